// The runs of a home: tick some to compare their curves, open one for its page.
// Python decides which rows are on the page; this draws them and says what was asked for.

const COLUMNS = [
  ["name", "job"], ["state", "state"], ["optimizer", "optimizer"], ["validation", "validation"], ["test", "test"],
  ["verdict", "verdict"], ["calls", "calls"], ["cost", "cost"], ["tags", "tags"], ["domain", "domain"], ["started", "started"],
];
const NUMBERS = new Set(["calls", "cost"]);

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function render({ model, el }) {
  const set = (name, value) => { model.set(name, value); model.save_changes(); };
  const told = node("span", { className: "sf-told", role: "status" });
  const body = node("tbody");
  const head = node("tr", {}, node("th", { scope: "col" }, "compare"),
    ...COLUMNS.map(([, title]) => node("th", { scope: "col" }, title)));
  const before = node("button", { type: "button", onclick: () => set("page", model.get("page") - 1) }, "‹ newer");
  const after = node("button", { type: "button", onclick: () => set("page", model.get("page") + 1) }, "older ›");

  function draw() {
    const held = el.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const ticked = new Set(model.get("ticked"));
    body.replaceChildren(...model.get("rows").map((row) => {
      const tick = node("input", { type: "checkbox", checked: ticked.has(row.id), "aria-label": `compare ${row.whole}`,
        onchange: () => set("ticked", tick.checked
          ? [...model.get("ticked"), row.id] : model.get("ticked").filter((id) => id !== row.id)) });
      tick.dataset.key = `tick ${row.id}`;
      const open = node("button", { type: "button", className: "sf-open", title: row.whole, "aria-label": row.whole,
        onclick: () => model.send({ open: row.id }) }, row.name);
      open.dataset.key = `open ${row.id}`;
      return node("tr", {}, node("td", {}, tick), ...COLUMNS.map(([name]) =>
        node("td", { className: NUMBERS.has(name) ? "sf-n" : "" }, name === "name" ? open : row[name])));
    }));
    if (held) [...body.querySelectorAll("[data-key]")].find((one) => one.dataset.key === held)?.focus();
    const pages = model.get("pages");
    told.textContent = model.get("told") + (pages > 1 ? ` · page ${model.get("page") + 1} of ${pages}` : "");
    before.hidden = after.hidden = pages <= 1;
    before.disabled = model.get("page") <= 0;
    after.disabled = model.get("page") >= pages - 1;
  }

  model.on("change:rows change:ticked change:page change:pages change:told", draw);
  el.classList.add("sf-jobs");
  el.append(node("div", { className: "sf-wide", tabIndex: 0, role: "region", "aria-label": "jobs" },
    node("table", {}, node("thead", {}, head), body)), node("div", { className: "sf-bar" }, before, after, told));
  draw();
}

export default { render };
