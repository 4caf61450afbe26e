// Registered programs: what Python draws, shown, and what is clicked in it, sent back.
// Whatever is to be clicked carries data-do; all HTML is escaped where it is made.

const UNHEARD_MS = 4000; // a click without an answer by then: the kernel is busy, or gone
const PARTS = ["listing", "opened", "panel", "told"];

function render({ model, el }) {
  const find = node("input", { type: "search", placeholder: "find by name", "aria-label": "find registered programs by name" });
  const bar = node("div", { className: "sf-bar" }, find);
  const notice = node("div", { className: "sf-told", role: "status", hidden: true });
  const parts = Object.fromEntries(PARTS.map((name) => [name, node("div", { className: `sf-${name}` })]));
  parts.told.setAttribute("role", "status");
  let waiting = null, typing = null, n = model.get("heard");

  function send(what, more = {}) {
    n = Math.max(n, model.get("heard")) + 1;
    model.send({ do: what, n, ...more });
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      notice.textContent = "The kernel has not answered yet: it is busy with a cell, or was restarted. Run this cell again then.";
      notice.hidden = false;
    }, UNHEARD_MS);
  }

  const fields = (within) => Object.fromEntries([...within.querySelectorAll("[name]")].map((one) => [one.name, one.value.trim()]));

  function act(target) {
    const panel = target.closest("form");
    send(target.dataset.do, { ...target.dataset, fields: panel ? fields(panel) : {} });
  }

  function allow() { // what needs a reason waits for one
    for (const button of parts.panel.querySelectorAll("button[data-needs]"))
      button.disabled = !parts.panel.querySelector(`[name='${button.dataset.needs}']`)?.value.trim();
  }

  function show(name) {
    const part = parts[name], html = model.get(name);
    const held = part.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const scrolled = part.querySelector(".sf-wide")?.scrollLeft;
    part.innerHTML = html;
    const wide = part.querySelector(".sf-timeline"); // the newest versions are at its right
    if (wide) wide.scrollLeft = scrolled ?? wide.scrollWidth;
    const key = held ? [...part.querySelectorAll("[data-key]")].find((one) => one.dataset.key === held) : null;
    if (key) key.focus({ preventScroll: true });
    else if (name === "panel" && html) part.querySelector("textarea, button, select")?.focus({ preventScroll: true });
    if (name === "panel") allow();
    if (name === "listing") bar.hidden = !model.get("many");
  }

  function heard() {
    if (model.get("heard") < n) return;
    clearTimeout(waiting);
    notice.hidden = true;
  }

  el.addEventListener("click", (event) => {
    const target = event.target.closest("[data-do]");
    if (!target || target.disabled || target.tagName === "SELECT") return;
    event.preventDefault();
    act(target);
  });
  el.addEventListener("change", (event) => {
    if (event.target.tagName === "SELECT" && event.target.dataset.do) act(event.target);
  });
  el.addEventListener("input", (event) => {
    if (event.target !== find) return allow();
    clearTimeout(typing);
    typing = setTimeout(() => send("find", { text: find.value }), 200);
  });
  el.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (target.matches("input, textarea, select")) event.stopPropagation(); // the notebook has keys of its own
    if (key === "Escape" && parts.panel.innerHTML) send("cancel");
    if (target.matches("g[data-do]") && (key === "Enter" || key === " ")) {
      event.preventDefault();
      event.stopPropagation();
      act(target);
    }
    const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[key];
    if (target.matches("g[data-do]") && step && target[step]?.matches("g[data-do]")) {
      event.preventDefault();
      event.stopPropagation();
      target[step].focus();
    }
  });
  el.addEventListener("submit", (event) => event.preventDefault());

  const calm = unhurried(el);
  for (const name of PARTS) model.on(`change:${name}`, calm(() => show(name)));
  model.on("change:heard", heard);
  el.classList.add("sf-face", "sf-registry");
  el.append(bar, parts.listing, parts.opened, parts.panel, parts.told, notice);
  PARTS.forEach(show);
  return () => { clearTimeout(waiting); clearTimeout(typing); };
}

export default { initialize, render };
