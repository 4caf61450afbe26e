// Hides the HTML that is kept of a view, for as long as the view is on the page, keeps the keys that are pressed within
// the view, and gives its sliders the names that stand beside them, which readers of the screen would not hear else.
function render({ model, el }) {
  const style = document.createElement("style");
  style.textContent = `.sf-kept-${model.get("twin")} { display: none !important; }`;
  el.append(style);

  const watching = new MutationObserver(() => name());
  function name() {
    const box = el.closest(".jp-OutputArea-output, .output_subarea, .jupyter-widgets-view") ?? el.parentElement;
    for (const handle of box?.querySelectorAll('.noUi-handle[role="slider"]:not([aria-label])') ?? []) {
      const label = handle.closest(".widget-slider, .jupyter-widget-slider, .widget-inline-hbox")?.querySelector(".widget-label");
      if (label) handle.setAttribute("aria-label", label.textContent.trim());
    }
    return box;
  }
  let free = () => {};
  requestAnimationFrame(() => { // the view stands on the page by then
    const box = name();
    if (!box) return;
    watching.observe(box, { childList: true, subtree: true });
    free = kept_keys(box);
  });
  return () => {
    watching.disconnect();
    free();
  };
}

export default { initialize, render };
