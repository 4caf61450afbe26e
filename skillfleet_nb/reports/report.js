// Makes the pictures of the report interactive; where it cannot, they stay.
const actions = { export: true, source: false, compiled: false, editor: false };
for (const figure of document.querySelectorAll("figure[data-chart]")) {
  const live = document.createElement("div");
  const spec = JSON.parse(figure.querySelector("script").textContent);
  delete spec.$schema; // written for JupyterLab's Vega-Lite 5, and drawn alike by the newer one here
  vegaEmbed(live, spec, { mode: "vega-lite", renderer: "svg", actions }).then(
    () => {
      figure.querySelector(".picture").replaceWith(live);
      live.querySelector("summary")?.setAttribute("aria-label", "save the picture");
      figure.dataset.live = "yes";
    },
    (error) => console.warn("a chart stays a picture:", error),
  );
}
