// A program in use.  The kernel sends the next state after this page has said that it drew the last; calls that somebody
// has opened stay as they are until they are closed.

const UNHEARD_MS = 4000; // a click without an answer by then: the kernel is busy, or gone
const WORDS = { m: "min", h: "h", d: "d", s: "s" };

function render({ model, el }) {
  let waiting = null, frame = null; // what calls off the drawing that is due
  const window_of = node("select", { "aria-label": "how far to look back", onchange: () => send({ do: "window", window: window_of.value }) });
  const pause = node("button", { type: "button", onclick: () => send({ do: model.get("paused") ? "unpause" : "pause" }) });
  const notice = node("div", { className: "sf-told", role: "status", hidden: true });
  const held = node("div", { className: "sf-quiet", role: "status", hidden: true }, "Newer calls are shown once these are closed.");
  const figures = node("div"), calls = node("div");
  const root = node("section", { className: "sf-face sf-usage" },
    node("div", { className: "sf-bar" }, node("label", {}, "the last ", window_of), pause), notice, figures, held, calls);

  function send(message) {
    model.send(message);
    clearTimeout(waiting);
    waiting = setTimeout(() => say("The kernel has not answered yet: it is busy with a cell, or was restarted. Run this cell again then."), UNHEARD_MS);
  }

  function say(text) {
    notice.hidden = !text;
    if (notice.textContent !== text) notice.textContent = text;
  }

  function put(part, html) {
    if (part.shown === html) return;
    const stops = () => [...part.querySelectorAll("[tabindex], summary")], at = stops().indexOf(document.activeElement);
    part.innerHTML = part.shown = html; // escaped where it was made
    if (at >= 0) stops()[at]?.focus({ preventScroll: true });
  }

  function draw() {
    frame = null;
    root.setAttribute("aria-label", `monitor of ${model.get("program")}`);
    put(figures, model.get("figures"));
    const is_read = calls.querySelector("details[open]") !== null && calls.shown !== model.get("calls");
    held.hidden = !is_read;
    if (!is_read) put(calls, model.get("calls"));
  }

  const calm = unhurried(el);
  const controls = calm(() => {
    clearTimeout(waiting);
    say(model.get("told"));
    window_of.replaceChildren(...model.get("windows").map((text) =>
      node("option", { value: text, selected: text === model.get("window") }, text.replace(/([smhd])$/, (unit) => ` ${WORDS[unit]}`))));
    pause.textContent = model.get("paused") ? "Go on" : "Pause";
  });

  function take() {
    clearTimeout(waiting);
    say(model.get("told"));
    if (!frame) frame = soon(calm(() => { draw(); model.send({ do: "drawn", n: model.get("n") }); }));
  }

  calls.addEventListener("toggle", () => { if (!calls.querySelector("details[open]")) draw(); }, true);
  el.append(root);
  model.on("change:n", take);
  for (const name of ["told", "windows", "window", "paused"]) model.on(`change:${name}`, controls);
  controls();
  take();
  return () => {
    clearTimeout(waiting);
    frame?.();
    model.off("change:n", take);
    for (const name of ["told", "windows", "window", "paused"]) model.off(`change:${name}`, controls);
  };
}

export default { initialize, render };
