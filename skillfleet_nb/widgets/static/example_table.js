// A page of examples: filter, sort, open one for its components, tick it out, rate it.
// Python decides which rows are on the page; this draws them and says what was asked for.

const COMPONENTS = ["completeness", "length", "label_fit", "uniqueness", "clarity", "practice", "judged"];
const FACTS = ["intrinsic", "quality", "success", "runs", "solved", "relevance", "diversity", "suspicion", "rank", "influence"];

const number = (value) => (typeof value === "number" ? (Number.isInteger(value) ? `${value}` : value.toFixed(3)) : "–");

const score = (value) => (typeof value === "number" ? value.toFixed(3) : "–");

function render({ model, el }) {
  const open = new Set();
  const set = (name, value) => { model.set(name, value); model.save_changes(); };

  const query = node("input", { type: "search", placeholder: "filter by text, label or category", value: model.get("query"),
    "aria-label": "filter examples" });
  let waiting;
  query.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => set("query", query.value), 200); });
  const only = node("select", { "aria-label": "which examples", onchange: () => set("only", only.value) },
    ...["all", "high", "medium", "low", "suspects", "ticked out", "selected on the map"].map((name) => node("option", { value: name }, name)));
  const sort = node("select", { "aria-label": "order", onchange: () => set("sort", sort.value) },
    ...["rank", "worst quality", "most suspicious", "row"].map((name) => node("option", { value: name }, name)));
  const told = node("span", { className: "sf-told", role: "status" });
  const body = node("tbody");
  const head = node("tr", {}, ...["keep", "row", "rank", "quality", "label", "example"].map((name) => node("th", { scope: "col" }, name)));
  const before = node("button", { type: "button", onclick: () => set("page", model.get("page") - 1) }, "‹ previous");
  const after = node("button", { type: "button", onclick: () => set("page", model.get("page") + 1) }, "next ›");

  const all = (keep) => node("button", { type: "button", onclick: () => set("asked_all", { keep, nonce: Math.random() }) });
  const [keepAll, dropAll] = [all(true), all(false)];

  function details(row) {
    const list = (names) => names.map((name) => node("span", {}, `${name} `, node("b", {}, number(row[name]))));
    const rating = node("input", { type: "number", min: 0, max: 1, step: 0.05, value: row.rating ?? "",
      "aria-label": `rating of row ${row.row}`, onchange: () => {
        const value = rating.value === "" ? null : Math.min(1, Math.max(0, Number(rating.value)));
        set("asked_rating", { row: row.row, rating: value, nonce: Math.random() });
      } });
    rating.dataset.key = `rating ${row.row}`;
    return node("tr", { className: "sf-details" }, node("td", {}), node("td", { colSpan: 5 },
      node("div", { className: "sf-text", dir: "auto" }, row.text),
      node("div", { className: "sf-facts" }, ...list(COMPONENTS.filter((name) => typeof row[name] === "number"))),
      node("div", { className: "sf-facts" }, ...list(FACTS)),
      ...(row.judged_why ? [node("div", { className: "sf-text", dir: "auto" }, `the judge says: ${row.judged_why}`)] : []),
      ...(typeof row.influence === "number" ? [node("div", {},
        `influence is an estimate: ${number(row.influence_low)} to ${number(row.influence_high)} with 95 %, from ${row.as_demo} candidates`)] : []),
      ...(row.suggested && row.suggested !== row.label ? [node("div", {}, `reads like: ${row.suggested}`)] : []),
      node("label", {}, "your rating, 0 to 1 ", rating)));
  }

  function draw() {
    const excluded = new Set(model.get("excluded"));
    const held = body.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    body.replaceChildren();
    for (const row of model.get("rows")) {
      const kept = node("input", { type: "checkbox", checked: !excluded.has(row.row), "aria-label": `keep row ${row.row}`,
        onchange: () => set("excluded", kept.checked
          ? model.get("excluded").filter((r) => r !== row.row) : [...model.get("excluded"), row.row].sort((a, b) => a - b)) });
      const toggle = node("button", { type: "button", className: "sf-open", dir: "auto", "aria-expanded": open.has(row.row),
        onclick: () => { open.has(row.row) ? open.delete(row.row) : open.add(row.row); draw(); } }, row.brief);
      kept.dataset.key = `keep ${row.row}`;
      toggle.dataset.key = `open ${row.row}`;
      const mark = row.suspect ? node("span", { className: "sf-mark", title: `reads like ${row.suggested}` }, " ?") : "";
      body.append(node("tr", { className: excluded.has(row.row) ? "sf-out" : "" },
        node("td", {}, kept), node("td", { className: "sf-n" }, `${row.row}`), node("td", { className: "sf-n" }, score(row.rank)),
        node("td", { className: "sf-n" }, score(row.quality)), node("td", {}, row.label ?? "–", mark), node("td", {}, toggle)));
      if (open.has(row.row)) body.append(details(row));
    }
    if (held) body.querySelector(`[data-key="${held}"]`)?.focus({ preventScroll: true }); // who goes by keys stays there
    const pages = model.get("pages");
    const found = model.get("found");
    told.textContent = `${found.toLocaleString("en")} example${found === 1 ? "" : "s"} · page ${model.get("page") + 1} of ${pages} · ${excluded.size} ticked out`;
    keepAll.textContent = `keep all ${found.toLocaleString("en")}`;
    dropAll.textContent = `tick out all ${found.toLocaleString("en")}`;
    keepAll.disabled = dropAll.disabled = found === 0;
    before.disabled = model.get("page") <= 0;
    after.disabled = model.get("page") >= pages - 1;
    only.value = model.get("only");
    sort.value = model.get("sort");
  }

  model.on("change:rows change:excluded change:page change:found change:only change:sort", unhurried(el)(draw));
  el.classList.add("sf-face", "sf-examples");
  el.append(node("div", { className: "sf-bar" }, query, only, sort, dropAll, keepAll), node("table", {}, node("thead", {}, head), body),
    node("div", { className: "sf-bar" }, before, after, told));
  draw();
}

export default { initialize, render };
