// The dashboard: a grid of all jobs, charts of them, and a page for whatever is opened.
// The kernel hands over the rows once and afterwards what changed; sorting, filtering, grouping and scrolling are done
// here.  The grid is Tabulator, which comes from the kernel as well, as a message: a state would be saved in notebooks.

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const HEIGHT = 230, LEFT = 40, RIGHT = 14, TOP = 22, BOTTOM = 34, ROW = 27;
const MOST_POINTS = 600; // of the scatter, the best of each cost among them
const CALM_MS = 250; // typing that has come to rest

// Numbers as format.py writes them.
const known = (value) => value !== null && value !== undefined;
const points = (score) => (known(score) ? (100 * score).toFixed(1) : "");
const whole = (n) => (known(n) ? n.toLocaleString("en") : "");
const money = (usd) => (known(usd) ? (usd === 0 || usd >= 1 ? `$${usd.toFixed(2)}` : `$${usd.toFixed(4)}`) : "unknown");
function ago(at) {
  if (!known(at)) return "";
  const s = Date.now() / 1000 - at;
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([n]) => s >= n) || [1, "s"];
  return `${Math.max(0, Math.floor(s / size))} ${unit} ago`;
}
const gained = (delta, row) => (known(delta)
  ? `${delta >= 0 ? "+" : "−"}${Math.abs(100 * delta).toFixed(1)} (${points(row.low)} to ${points(row.high)})` : "");
const change = (delta, row) => (row.kept ? "kept yours" : gained(delta, row));

// Each column: field, title, its least width and how it grows, how soon it gives way on a narrow page, and how it is
// written; numbers are right-aligned and take < and > in their filter.
export const COLUMNS = [
  { field: "name", title: "job", least: 150, grow: 4 },
  { field: "task", title: "task", least: 110, grow: 3 },
  { field: "state", title: "state", least: 90 },
  { field: "optimizer", title: "optimizer", least: 120, grow: 1, gives_way: 1 },
  { field: "baseline", title: "baseline", least: 80, write: points, scale: 100, gives_way: 3 },
  { field: "best", title: "validation", least: 88, write: points, scale: 100, gives_way: 2 },
  { field: "test", title: "test", least: 58, write: points, scale: 100 },
  { field: "delta", title: "gain on test", least: 160, write: change, scale: 100, gives_way: 2 },
  { field: "verdict", title: "verdict", least: 100, gives_way: 2 },
  { field: "calls", title: "calls", least: 70, write: whole, gives_way: 3 },
  { field: "cost", title: "cost", least: 72, write: money, gives_way: 3 },
  { field: "time", title: "time", least: 84, write: span, gives_way: 4 },
  { field: "started", title: "started", least: 112, write: ago, gives_way: 4 },
  { field: "tags", title: "tags", least: 90, grow: 1, gives_way: 5 },
  { field: "note", title: "note", least: 120, grow: 2, gives_way: 5 },
  { field: "domain", title: "domain", least: 90, gives_way: 5 },
];

const FITS = { // what Python's `fits` does as well
  "<": (value, limit) => value < limit,
  ">": (value, limit) => value > limit,
};

export function fits(text, value, row, { write, scale }) {
  const limit = write && text.trim().match(/^([<>])\s*([-+]?[\d.]+)$/);
  if (limit) return known(value) && FITS[limit[1]](value * (scale || 1), +limit[2]);
  const shown = write ? write(value, row) : value;
  return String(shown ?? "").toLowerCase().includes(text.trim().toLowerCase());
}

function unpacked(buffer) {
  const { columns, n, ...rest } = JSON.parse(new TextDecoder().decode(buffer));
  const names = Object.keys(columns);
  const rows = Array.from({ length: n }, (_, at) => {
    const row = {};
    for (const name of names) row[name] = columns[name][at];
    return row;
  });
  return { ...rest, rows };
}

// One copy of the library a page, however many dashboards there are.
function library(model) {
  const kept = (globalThis.skillfleetGrid ??= {});
  kept[model.get("library")] ??= new Promise((found) => {
    const hear = (message, buffers) => {
      if (message.kind !== "library") return;
      model.off("msg:custom", hear);
      found(import(URL.createObjectURL(new Blob([buffers[0]], { type: "text/javascript" }))));
    };
    model.on("msg:custom", hear);
    model.send({ ask: "library" });
  });
  return kept[model.get("library")];
}

function ticks(low, high, most, least = 0) { // of calls and trials there are no halves: their least step is 1
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(least, [1, 2, 5, 10].map((n) => n * power).find((s) => s >= rough));
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + 1e-9; at += step) found.push(+at.toPrecision(10));
  return found;
}

// A plot of points that can be clicked, or walked through with the arrow keys and opened with Enter.
function plot(title, { open }) {
  const svg = drawn("svg", { height: HEIGHT, tabindex: 0, role: "group" });
  const picked = node("p", { role: "status" });
  const key = node("ul", { className: "sf-key" });
  const caption = node("figcaption", {}, title);
  const figure = node("figure", { hidden: true }, caption, svg, key, picked);
  let marks = [], at = -1, last = null;

  function pick(to) {
    at = Math.max(-1, Math.min(to, marks.length - 1));
    svg.querySelector(".sf-picked")?.remove();
    picked.textContent = at < 0 ? "" : marks[at].told;
    if (at >= 0) svg.append(drawn("circle", { class: "sf-picked", cx: marks[at].px, cy: marks[at].py, r: 7 }));
  }
  svg.addEventListener("keydown", (event) => {
    const to = { ArrowRight: at + 1, ArrowLeft: Math.max(0, at - 1), Home: 0, End: marks.length - 1 }[event.key];
    if (to !== undefined) pick(to);
    else if (event.key === "Enter" && at >= 0) open(marks[at]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  svg.addEventListener("blur", () => pick(-1));

  // data: {x, y: axis titles, format, marks: [{x, y, colour, hollow, told, …}], lines: [{points, colour}], series: [[name, colour]]}
  function draw(data) {
    last = data;
    figure.hidden = !data.marks.length;
    if (figure.hidden) return;
    const width = Math.max(240, figure.clientWidth || 480);
    const span_of = (values, room) => {
      const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
      const more = room * (high - low || 20);
      return [Math.max(0, low - more), high + more];
    };
    const [x0, x1] = span_of(data.marks.map((m) => m.x), 0.04), [y0, y_above] = span_of(data.marks.map((m) => m.y), 0.08);
    const y1 = Math.min(100, y_above); // both axes of scores are in points
    const px = (x) => LEFT + ((width - LEFT - RIGHT) * (x - x0)) / (x1 - x0), py = (y) => TOP + ((HEIGHT - TOP - BOTTOM) * (y1 - y)) / (y1 - y0);
    const parts = [];
    for (const y of ticks(y0, y1, 4)) {
      parts.push(drawn("path", { class: "sf-grid", d: `M${LEFT} ${py(y)}H${width - RIGHT}` }));
      parts.push(drawn("text", { x: LEFT - 5, y: py(y) + 4, "text-anchor": "end" }, `${y}`));
    }
    for (const x of ticks(x0, x1, Math.max(2, Math.floor(width / 110)), last.whole ? 1 : 0)) {
      parts.push(drawn("text", { x: px(x), y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, data.format(x)));
    }
    parts.push(drawn("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, data.x));
    parts.push(drawn("text", { x: 2, y: 9 }, data.y));
    for (const line of data.lines || []) {
      const d = line.points.map(([x, y], n) => (n ? `H${px(x)}V${py(y)}` : `M${px(x)} ${py(y)}`)).join("");
      parts.push(drawn("path", { d, fill: "none", stroke: line.colour, "stroke-width": 2, "stroke-dasharray": line.dash || "" }));
    }
    marks = data.marks.map((mark) => ({ ...mark, px: px(mark.x), py: py(mark.y) })).sort((a, b) => a.px - b.px);
    marks.forEach((mark, n) => {
      const dot = drawn("circle", { class: "sf-mark", cx: mark.px, cy: mark.py, r: 4, fill: mark.colour, "fill-opacity": mark.hollow ? 0 : 0.85, stroke: mark.hollow ? mark.colour : "none" });
      dot.append(drawn("title", {}, mark.told));
      dot.addEventListener("click", () => open(mark));
      dot.addEventListener("pointerenter", () => pick(n));
      parts.push(dot);
    });
    svg.replaceChildren(...parts);
    svg.setAttribute("aria-label", `${caption.textContent}: ${marks.length} points; arrow keys walk, Enter opens`);
    key.replaceChildren(...data.series.map(([name, colour]) =>
      node("li", {}, node("span", { ariaHidden: "true", style: `color:${colour}` }, "●"), name)));
    at = -1;
  }
  const watch = new ResizeObserver(() => last && draw(last));
  return { figure, draw, title: (text) => { caption.textContent = text; }, watch: () => watch.observe(figure), end: () => watch.disconnect() };
}

function scattered(rows) {
  const scored = rows.filter((r) => known(r.test ?? r.best));
  const priced = scored.some((r) => r.cost > 0);
  const cost = (r) => (priced ? r.cost : r.calls);
  let placed = scored.filter((r) => known(cost(r)));
  const on_test = placed.some((r) => known(r.test));
  const score = (r) => 100 * (on_test ? r.test : r.best);
  placed = placed.filter((r) => known(on_test ? r.test : r.best));
  if (placed.length > MOST_POINTS) placed = [...placed].sort((a, b) => score(b) - score(a)).slice(0, MOST_POINTS);
  const names = [...new Set(placed.map((r) => r.optimizer))].sort();
  const colour = (name) => COLOURS[names.indexOf(name) % COLOURS.length];
  return {
    x: priced ? "cost (USD)" : "calls made", y: on_test ? "test (points)" : "validation (points)",
    whole: !priced, format: priced ? (x) => `$${+x.toPrecision(3)}` : (x) => whole(x),
    marks: placed.map((r) => ({
      job: r.id, x: cost(r), y: score(r), colour: colour(r.optimizer),
      told: `${r.name}, ${r.optimizer}: ${score(r).toFixed(1)} for ${priced ? money(r.cost) : `${whole(r.calls)} calls`}`,
    })),
    series: names.map((name) => [name, colour(name)]),
    left_out: scored.length - placed.length,
  };
}

function curved(curves) {
  const dashes = ["", "6 3", "2 2", "8 3 2 3"];
  const parts = curves.some((c) => c.trials.some(([, , , part]) => part));
  return {
    x: "trial", y: `best so far (points)${parts ? "; hollow: not scored on all of validation" : ""}`, whole: true, format: (x) => whole(x),
    lines: curves.map((c, n) => ({ points: c.best, colour: COLOURS[n % 6], dash: dashes[Math.floor(n / 6) % 4] })),
    marks: curves.flatMap((c, n) => c.trials.map(([trial, score, program, part]) => ({
      job: c.job, program, x: trial, y: score, colour: COLOURS[n % 6], hollow: part,
      told: `${c.name}, trial ${trial}: ${score.toFixed(1)}${part && ` (${part})`}`,
    }))),
    series: curves.map((c, n) => [c.name, COLOURS[n % 6]]),
  };
}

// What is opened: where one is, its page, and a list of what lies in it.
function paged(model, say) {
  const root = node("section", { className: "sf-page", hidden: true, ariaLabel: "opened" });
  const go = (path) => { model.set("path", path); model.save_changes(); };
  let lastPath = "";

  function using(page) {
    const name = node("input", { type: "text", value: page.use, ariaLabel: "variable" });
    const file = node("input", { type: "text", value: `${page.use}.json`, ariaLabel: "file" });
    return node("div", { className: "sf-row" },
      node("label", {}, "variable", name), node("button", { type: "button", onclick: () => say({ do: "use", name: name.value }) }, "Use this program"),
      node("label", {}, "file", file), node("button", { type: "button", onclick: () => say({ do: "save", file: file.value }) }, "Save as JSON"));
  }

  function asking(form) {
    const field = node("input", { type: "text", value: form.value, placeholder: form.hint, ariaLabel: form.label });
    return node("form", { className: "sf-row", onsubmit: (event) => { event.preventDefault(); go(field.value ? [...form.path, field.value] : form.path); } },
      node("label", {}, form.label, field), node("button", { type: "submit" }, "Reckon"));
  }

  function draw(page, focus) {
    root.hidden = !page.path.length;
    if (root.hidden) { root.replaceChildren(); return; }
    const title = node("h3", { tabIndex: -1 }, page.title);
    const crumbs = page.crumbs.map(([text, path]) => node("button", { type: "button", onclick: () => go(path) }, text));
    const html = node("div", { className: "sf-html", tabIndex: 0, role: "region", ariaLabel: page.title });
    const opened = [...root.querySelectorAll("details[open][data-key]")].map((one) => one.dataset.key);
    html.innerHTML = page.html; // escaped where it was made
    if (page.path.join() === lastPath) // a job that goes on is drawn again: what is read stays open
      for (const one of html.querySelectorAll("details[data-key]")) one.open = opened.includes(one.dataset.key);
    lastPath = page.path.join();
    const acts = (page.acts || []).map((act) => node("button", { type: "button", onclick: () => say(act.message) }, act.text));
    const list = page.list.rows.length ? node("div", { className: "sf-list", tabIndex: 0, role: "region", ariaLabel: page.list.title },
      node("table", {}, node("thead", {}, node("tr", {}, ...page.list.header.map((text) => node("th", { scope: "col" }, text)))),
        node("tbody", {}, ...page.list.rows.map(({ path, cells }) => node("tr", {}, ...cells.map((text, n) => node("td", {},
          n ? text : node("button", { type: "button", className: "sf-link", onclick: () => go(path) }, text)))))))) : null;
    root.replaceChildren(node("div", { className: "sf-row" }, ...crumbs), title, page.use ? using(page) : "",
      page.form ? asking(page.form) : "", acts.length ? node("div", { className: "sf-row" }, ...acts) : "",
      list ? node("strong", {}, page.list.title) : "", list || "", html);
    if (focus) title.focus();
  }
  return { root, draw, go };
}

function columnsOf(given) {
  const shown = new Set(given);
  return [
    { formatter: "rowSelection", titleFormatter: "rowSelection", headerSort: false, hozAlign: "center", width: 36, resizable: false, responsive: 0,
      titleFormatterParams: { rowRange: "active" }, title: "", cellClick: (event) => event.stopPropagation() },
    ...COLUMNS.map((column) => ({
      field: column.field, title: column.title, minWidth: column.least, widthGrow: column.grow || 0.4, responsive: column.gives_way || 0,
      visible: shown.has(column.field), headerSortTristate: true,
      titleFormatter: (cell) => node("button", { type: "button", className: "sf-link" }, cell.getValue()),
      cssClass: column.write ? "sf-n" : "", sorter: column.write ? "number" : "string",
      sorterParams: { alignEmptyValues: "bottom" },
      formatter: (cell) => {
        const value = cell.getValue();
        return document.createTextNode(column.write ? column.write(value, cell.getData()) : value ?? "");
      },
      tooltip: (_, cell) => (cell.getField() === "started" ? new Date(1000 * cell.getValue()).toLocaleString() : cell.getElement().textContent),
      headerFilter: "input", headerFilterFunc: fits, headerFilterFuncParams: column,
      headerFilterParams: { elementAttributes: { "aria-label": `filter by ${column.title}`, placeholder: column.write ? "> 50" : "" } },
    })),
  ];
}

function render({ model, el }) {
  const say = (message) => model.send(message);
  const set = (name, value) => { model.set(name, value); model.save_changes(); };
  const told = node("span", { className: "sf-told", role: "status" }, "looking for jobs …");
  const notice = node("div", { className: "sf-notice", role: "status", hidden: true });
  const command = model.get("command") ?? "%skillfleet"; // how a person types one
  const grouped = node("input", { type: "checkbox", checked: model.get("grouped"), onchange: () => set("grouped", grouped.checked) });
  const archived = node("input", { type: "checkbox", checked: model.get("archived"), onchange: () => set("archived", archived.checked) });
  const ticks_of_columns = node("div");
  const columns = node("details", { className: "sf-columns" }, node("summary", {}, "Columns"), ticks_of_columns);
  const clear = node("button", { type: "button", onclick: () => { set("filters", {}); } }, "Clear filters");
  const bar = node("div", { className: "sf-row" }, told, node("label", {}, grouped, "by task"), node("label", {}, archived, "archived"),
    clear, node("button", { type: "button", onclick: () => say({ do: "refresh" }) }, "Refresh"), columns);
  const doing = node("div", { className: "sf-row sf-chosen", hidden: true, role: "group", ariaLabel: "what to do with the chosen jobs" });
  const room = node("div");
  const scatter = plot("Score against cost", { open: (mark) => page.go([mark.job]) });
  const curves = plot("Learning curves", { open: (mark) => page.go(mark.program ? [mark.job, mark.program] : [mark.job]) });
  const analysis = node("div", { className: "sf-charts" });
  const page = paged(model, say);
  const charts = node("div", { className: "sf-charts" }, scatter.figure, curves.figure);
  el.classList.add("sf-face", "sf-dash");
  const pages = [["Jobs", []], ["Trends", ["@trends"]], ["Insights", ["@insights"]], ["Money", ["@money"]]].map(([text, path]) =>
    [path[0] || "", node("button", { type: "button", onclick: () => page.go(path) }, text)]);
  const about_jobs = node("div", {}, bar, doing, room, charts, analysis);
  const turnTo = () => { // a page about all runs stands in the place of the jobs, that of a job below them
    const at = (model.get("path")[0] || "").startsWith("@") ? model.get("path")[0] : "";
    const was_hidden = about_jobs.hidden;
    about_jobs.hidden = Boolean(at);
    for (const [name, button] of pages) name === at ? button.setAttribute("aria-current", "page") : button.removeAttribute("aria-current");
    if (was_hidden && !at) table?.redraw(true);
  };
  el.append(node("nav", { className: "sf-row sf-pages", ariaLabel: "pages" }, ...pages.map(([, button]) => button)), notice, about_jobs, page.root);
  turnTo();
  let table = null, total = 0, active = null, quiet = false, ended = false;

  const chosen = () => model.get("chosen");
  const visible = () => (table ? table.getData("active") : []);

  function count() {
    const n = table ? table.getDataCount("active") : 0;
    told.textContent = total ? `${whole(n)} of ${whole(total)} job${total === 1 ? "" : "s"}` : "no jobs yet";
    clear.hidden = !Object.keys(model.get("filters")).length;
  }

  function drawScatter() {
    const data = scattered(visible());
    scatter.draw(data);
    scatter.title(`Score against cost of ${whole(data.marks.length)} job${data.marks.length === 1 ? "" : "s"}`);
  }

  function form(label, value, act, hint) {
    const field = node("input", { type: "text", value, ariaLabel: label });
    const ask = node("form", { className: "sf-row", onsubmit: (event) => { event.preventDefault(); act(field.value); drawDoing(); } },
      node("label", {}, label, field), node("button", { type: "submit", title: hint }, "Keep"),
      node("button", { type: "button", onclick: drawDoing }, "Leave"));
    doing.replaceChildren(ask);
    field.focus();
  }

  function drawDoing() {
    const jobs = chosen();
    doing.hidden = !jobs.length;
    if (doing.hidden) return;
    const first = table?.getRow(jobs[0])?.getData?.() || {};
    const button = (text, hint, onclick) => node("button", { type: "button", title: hint, onclick }, text);
    const one = jobs.length === 1;
    doing.replaceChildren(node("strong", {}, `${whole(jobs.length)} chosen`),
      one ? button("Open", "%skillfleet job JOB", () => page.go([jobs[0]])) : button("What mattered", "%skillfleet plot optimizers JOB …, plot importance JOB …", () => say({ do: "analyse", jobs })),
      one ? button("Rename", "%skillfleet rename JOB NEW", () => form("new name", first.name || "", (text) => say({ do: "rename", jobs, text }), "%skillfleet rename JOB NEW")) : null,
      one ? button("Note", "%skillfleet note JOB TEXT", () => form("note", first.note || "", (text) => say({ do: "note", jobs, text }), "%skillfleet note JOB TEXT")) : null,
      button("Tag", "%skillfleet tag JOB … --add TAG", () => form("tags to add; -tag takes one away", "", (text) => say({ do: "tag", jobs, text }), "%skillfleet tag JOB … --add TAG --remove TAG")),
      button(model.get("archived") ? "Out of the archive" : "Archive", "%skillfleet archive JOB …", () => say({ do: model.get("archived") ? "unarchive" : "archive", jobs })),
      button("Delete", "%skillfleet delete JOB …", () => {
        const sure = node("button", { type: "button", onclick: () => say({ do: "delete", jobs }) }, "Move to the trash");
        doing.replaceChildren(node("strong", {}, `Delete ${whole(jobs.length)} job${one ? "" : "s"}? This can be undone.`), sure, button("Keep", "", drawDoing));
        sure.focus();
      }),
      button("Choose none", "", () => set("chosen", [])));
  }

  function activate(row, { focus } = {}) {
    active?.getElement?.()?.classList?.remove("sf-active");
    active = row;
    if (!row) return;
    row.getElement().classList.add("sf-active");
    const r = row.getData();
    if (focus) notice.hidden = true;
    announce.textContent = [r.name, r.state, r.optimizer, points(r.test ?? r.best), r.verdict].filter(Boolean).join(", ");
  }
  const announce = node("div", { role: "status", style: "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)" });
  el.append(announce);

  function walk(event) {
    if (event.target !== holder()) return;
    const rows = grouped.checked
      ? table.getGroups().filter((group) => group.isVisible()).flatMap((group) => group.getRows()) : table.getRows("active");
    const at = active ? rows.indexOf(active) : -1, leap = Math.max(1, Math.floor(holder().clientHeight / ROW) - 1);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + leap, PageUp: at - leap, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined && rows.length) {
      const row = rows[Math.max(0, Math.min(to, rows.length - 1))];
      table.scrollToRow(row, "nearest", false).then(() => activate(row, { focus: true }), () => {});
    } else if (event.key === "Enter" && active) page.go([active.getData().id]);
    else if (event.key === " " && active) active.toggleSelect();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
  const holder = () => room.querySelector(".tabulator-tableholder");

  const calm = (act) => { let waits = null; return (...given) => { clearTimeout(waits); waits = setTimeout(() => !ended && act(...given), CALM_MS); }; };
  const tellFilters = calm(() => {
    const filters = Object.fromEntries(table.getHeaderFilters().map((f) => [f.field, f.value]));
    if (JSON.stringify(filters) !== JSON.stringify(model.get("filters"))) set("filters", filters);
  });
  const drawSoon = calm(drawScatter);

  function applyFilters() {
    const wanted = model.get("filters"), now = Object.fromEntries(table.getHeaderFilters().map((f) => [f.field, f.value]));
    for (const { field } of COLUMNS) {
      if ((now[field] || "") !== (wanted[field] || "")) table.setHeaderFilterValue(field, wanted[field] || "");
    }
    clear.hidden = !Object.keys(wanted).length;
  }

  function applyChosen() {
    if (!table) return;
    quiet = true;
    const wanted = new Set(chosen()), has = new Set(table.getSelectedData().map((r) => r.id));
    table.deselectRow([...has].filter((id) => !wanted.has(id)));
    table.selectRow([...wanted].filter((id) => !has.has(id) && table.getRow(id)));
    quiet = false;
    drawDoing();
  }

  function rolesOfGroups() {
    for (const head of room.querySelectorAll(".tabulator-group")) {
      head.setAttribute("role", "row");
      head.setAttribute("aria-expanded", head.classList.contains("tabulator-group-visible"));
    }
  }

  async function build(news) {
    const { TabulatorFull } = await library(model);
    if (ended) return;
    total = news.total;
    table = new TabulatorFull(room, {
      data: news.rows, index: "id", maxHeight: 430, minHeight: 150, rowHeight: ROW, layout: "fitColumns", responsiveLayout: "hide",
      columns: columnsOf(model.get("columns")), movableColumns: true, selectableRows: "highlight", selectableRowsPersistence: true,
      headerFilterLiveFilterDelay: 80, groupBy: model.get("grouped") ? "task" : false,
      groupHeader: (task, n, rows) => {
        const best = rows.reduce((most, r) => Math.max(most, r.test ?? r.best ?? -1), -1);
        const name = node("i", {}, task).innerHTML;
        return `<span role="gridcell"><b>${name}</b><span>· ${whole(n)} job${n === 1 ? "" : "s"}${best < 0 ? "" : ` · best ${points(best)}`}</span></span>`;
      },
      placeholder: () => (total ? "no job fits these filters" : `no jobs yet: ${command} optimize starts one, ${command} demo shows one`),
    });
    table.on("rowClick", (event, row) => { activate(row); page.go([row.getData().id]); });
    table.on("rowSelectionChanged", (data) => { if (!quiet) set("chosen", data.map((r) => r.id)); });
    table.on("dataFiltered", () => { activate(null); tellFilters(); drawSoon(); requestAnimationFrame(count); });
    table.on("columnMoved", (_, all) => set("columns", all.map((c) => c.getField()).filter((field) => model.get("columns").includes(field))));
    table.on("renderComplete", rolesOfGroups);
    await new Promise((done) => table.on("tableBuilt", done));
    const body = room.querySelector(".tabulator-table");
    room.removeAttribute("aria-owns"); // what scrolls can be reached by the keyboard, so it is the group of rows itself
    room.setAttribute("role", "treegrid");
    room.setAttribute("aria-label", "jobs");
    holder().setAttribute("role", "rowgroup");
    body.setAttribute("role", "presentation");
    rolesOfGroups();
    holder().addEventListener("keydown", walk);
    const heads = room.querySelector(".tabulator-header"); // the grid hears keys alone: what is pasted or dropped counts too
    heads.addEventListener("input", (event) => event.target.dispatchEvent(new KeyboardEvent("keyup")));
    for (const box of room.querySelectorAll(".tabulator-header input[type=checkbox]")) box.setAttribute("aria-label", "choose all shown");
    ticks_of_columns.replaceChildren(...COLUMNS.map(({ field, title }) => {
      const box = node("input", { type: "checkbox", checked: model.get("columns").includes(field), onchange: () => {
        box.checked ? table.showColumn(field) : table.hideColumn(field);
        set("columns", box.checked ? [...model.get("columns"), field] : model.get("columns").filter((one) => one !== field));
      } });
      return node("label", {}, box, title);
    }));
    applyFilters();
    applyChosen();
    count();
    el.dispatchEvent(new Event("sf-drawn"));
    drawSoon();
    say({ ask: "curves" });
    if (model.get("path").length) say({ ask: "page" });
    scatter.watch();
    curves.watch();
  }

  async function take(news) {
    if (!table) { await build(news); return; }
    total = news.total;
    if (news.whole) await table.replaceData(news.rows);
    else {
      if (news.gone.length) await table.deleteRow(news.gone.filter((id) => table.getRow(id)));
      const fresh = news.rows.filter(({ id }) => !table.getRow(id)), others = news.rows.filter(({ id }) => table.getRow(id));
      if (others.length) await table.updateData(others);
      if (fresh.length) { // the newest stands first, and so does its task, where nothing else was chosen
        const id = active?.getData().id;
        await table.replaceData([...fresh, ...table.getData()]);
        activate((id && table.getRow(id)) || null);
      }
    }
    applyChosen();
    count();
    drawSoon();
  }

  let turn = Promise.resolve();
  const hear = (message, buffers) => {
    if (message.kind === "rows") turn = turn.then(() => take(unpacked(buffers[0])));
    else if (message.kind === "curves") {
      curves.draw(curved(message.curves));
      curves.title(message.title);
    } else if (message.kind === "page") page.draw(message, message.focus);
    else if (message.kind === "analysis") analysis.innerHTML = message.html; // escaped where it was made
    else if (message.kind === "told") {
      notice.hidden = !message.text;
      notice.replaceChildren(message.text, message.undo ? node("button", { type: "button", onclick: () => say({ do: "undo" }) }, "Undo") : "");
    }
  };
  const hears = {
    "msg:custom": hear,
    "change:grouped": () => { grouped.checked = model.get("grouped"); table?.setGroupBy(grouped.checked ? "task" : false); },
    "change:archived": () => { archived.checked = model.get("archived"); },
    "change:chosen": applyChosen,
    "change:path": turnTo,
    "change:filters": () => table && applyFilters(),
  };
  for (const [what, act] of Object.entries(hears)) model.on(what, act);
  say({ ask: "rows" });
  return () => {
    ended = true;
    for (const [what, act] of Object.entries(hears)) model.off(what, act);
    scatter.end();
    curves.end();
    table?.destroy();
  };
}

export default { initialize, render };
