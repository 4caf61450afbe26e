// The dashboard without a kernel: it is drawn by the module of notebooks, and the server answers what that asks.

import { node } from "./views.js";

const REST_MS = 2000; // between two looks at jobs that run
const MOST_CURVES = 12, NEWEST = 5;
const SHOWN = "skillfleet-dashboard"; // where a browser keeps which columns are shown

function kept() {
  try {
    return JSON.parse(localStorage.getItem(SHOWN)) ?? {};
  } catch {
    return {};
  }
}

// Rows that are new or differ, as columns, and the ids of those that are gone.
function changed(old, now) {
  const names = Object.keys(now.columns);
  const keyed = ({ columns, n }) => new Map(Array.from({ length: n }, (_, at) => [columns.id[at], JSON.stringify(names.map((name) => columns[name][at]))]));
  const before = keyed(old), after = keyed(now);
  const at = now.columns.id.flatMap((id, n) => (before.get(id) === after.get(id) ? [] : [n]));
  const columns = Object.fromEntries(names.map((name) => [name, at.map((n) => now.columns[name][n])]));
  return { columns, n: at.length, whole: false, gone: [...before.keys()].filter((id) => !after.has(id)) };
}

// The dashboard's module knows a model: traits, and messages that it sends and hears.
class Model {
  constructor(server, { esm, library, columns }, face, watch) {
    Object.assign(this, { server, watch, face });
    this.state = { library, filters: {}, chosen: [], path: [], columns, grouped: true, archived: false, command: "skillfleet", ...kept() };
    this.heard = new Map();
    this.rows = null;
    this.done = null;
    this.turn = Promise.resolve();
  }

  get(name) { return structuredClone(this.state[name]); }
  on(what, hear) { this.heard.set(what, (this.heard.get(what) ?? new Set()).add(hear)); }
  off(what, hear) { this.heard.get(what)?.delete(hear); }
  tell(what, ...news) { for (const hear of this.heard.get(what) ?? []) hear(...news); }
  save_changes() {}

  set(name, value) {
    this.state[name] = value;
    this.tell(`change:${name}`);
    if (name === "path") this.page(true);
    else if (name === "chosen" || name === "filters") this.curves();
    else if (name === "archived") this.look(true);
    else {
      const { columns, grouped } = this.state;
      try { localStorage.setItem(SHOWN, JSON.stringify({ columns, grouped })); } catch { /* of no weight */ }
    }
  }

  hear(message, ...buffers) { this.tell("msg:custom", message, buffers); }
  say(text, undo = false) { this.hear({ kind: "told", text, undo }); }

  // One thing after the other: an answer that comes late does not stand in the place of a newer one.
  async step(act) {
    const mine = this.turn.then(act).catch((error) => this.say(error.message));
    this.turn = mine;
    return mine;
  }

  send(message) {
    const { ask } = message;
    if (ask === "library") this.step(async () => this.hear({ kind: "library" }, await this.library()));
    else if (ask === "rows") this.look(true);
    else if (ask === "curves") this.curves();
    else if (ask === "page") this.page(false);
    else this.step(() => this.act(message));
  }

  async library() {
    const file = new URL("./tabulator_esm.min.mjs", import.meta.url);
    const answer = await fetch(file);
    if (!answer.ok) throw new Error(`The server answers ${answer.status} for its grid`);
    return answer.arrayBuffer();
  }

  look(whole = false) {
    return this.step(() => this.read(whole));
  }

  async read(whole) {
    const now = await this.server.json(`dashboard/jobs?archived=${this.state.archived}`);
    const news = whole || !this.rows ? { ...now, whole: true, gone: [] } : changed(this.rows, now);
    this.rows = now;
    if (!news.whole && !news.n && !news.gone.length) return;
    const there = new Set(now.columns.id);
    if (this.state.chosen.some((job) => !there.has(job))) {
      this.state.chosen = this.state.chosen.filter((job) => there.has(job));
      this.tell("change:chosen");
    }
    this.hear({ kind: "rows" }, new TextEncoder().encode(JSON.stringify({ ...news, total: now.n })));
    if (news.whole) return; // who asked for all of it asks for the rest too
    this.curves();
    if (news.columns.id.includes(this.state.path[0])) this.page(false);
  }

  // All of what is shown, after a while without the server.
  again() {
    this.say("");
    this.look();
    this.page(false);
  }

  // The newest jobs that the filters leave.
  found() {
    const { COLUMNS, fits } = this.face, { columns, n } = this.rows;
    const wishes = COLUMNS.filter(({ field }) => this.state.filters[field]?.trim());
    const row = (at) => Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[at]]));
    const ids = [];
    for (let at = 0; at < n && ids.length < NEWEST; at++) {
      if (wishes.every((column) => fits(this.state.filters[column.field], columns[column.field][at], row(at), column))) ids.push(columns.id[at]);
    }
    return ids;
  }

  curves() {
    return this.step(async () => {
      if (!this.rows) return;
      const chosen = this.state.chosen.slice(0, MOST_CURVES), jobs = chosen.length ? chosen : this.found();
      const wanted = new URLSearchParams({ jobs: jobs.join(","), chosen: chosen.length > 0 });
      this.hear({ kind: "curves", ...await this.server.json(`dashboard/curves?${wanted}`) });
    });
  }

  page(focus) {
    return this.step(async () => {
      const path = this.state.path;
      if (!path.length) {
        this.hear({ kind: "page", path, focus });
        return;
      }
      const page = await this.server.json(`dashboard/page?${new URLSearchParams({ path: path.map(encodeURIComponent).join("/") })}`);
      const acts = path.length === 1 && !path[0].startsWith("@") ? [{ text: "Watch", message: { do: "watch", job: page.path[0], name: page.title } }] : [];
      this.hear({ kind: "page", acts, ...page, focus });
    });
  }

  async act({ do: what, jobs = [], text = "", insight, decision = null, job, name }) {
    const post = (path, body) => this.server.json(path, { method: "POST", body });
    if (what === "watch") this.watch(job, name);
    else if (what === "refresh") await this.read(false);
    else if (what === "analyse") this.hear({ kind: "analysis", ...await this.server.json(`dashboard/analysis?${new URLSearchParams({ jobs: jobs.join(",") })}`) });
    else if (what === "decide") {
      const decided = await post(`insights/${encodeURIComponent(insight)}/decision`, { decision });
      this.say(`${decision ?? "undecided again"}: ${decided.text}`);
      this.page(false);
    } else if (what === "undo") {
      const done = this.done;
      this.done = null;
      for (const edit of done?.undo ?? []) await post("curation", edit);
      if (done) this.say(done.undone);
      this.look(true);
    } else {
      this.done = await post("curation", { what, jobs, text });
      if (what === "delete" && jobs.includes(this.state.path[0])) this.set("path", []);
      this.say(this.done.told, true);
      this.look(true);
    }
  }
}

// Draw the dashboard in an element; return what ends it.  `watch` opens the monitor of a job.
export function dashboard(element, server, watch) {
  const notice = node("p", { className: "sf-lab-notice", role: "status" }, "Asking the server for the jobs …");
  element.append(notice);
  let end = () => {}, closed = false, unlisten = () => {}, waits = null, last = "", away = false;

  async function draw() {
    const drawn = await server.json("dashboard");
    const face = await import(URL.createObjectURL(new Blob([drawn.esm], { type: "text/javascript" })));
    if (closed) return;
    const model = new Model(server, drawn, face, watch);
    const room = node("div");
    element.append(node("style", { textContent: drawn.css }), room);
    room.addEventListener("sf-drawn", () => notice.remove(), { once: true });
    end = face.default.render({ model, el: room }) ?? end;
    unlisten = server.listen(({ jobs, problem }) => {
      const now = JSON.stringify(jobs);
      if (away && !problem) model.again();
      away = Boolean(problem);
      if (problem || now === last) return;
      last = now;
      waits ??= setTimeout(() => { waits = null; model.look(); }, REST_MS);
    });
  }

  function again() {
    draw().catch((error) => {
      notice.replaceChildren(`${error.message}. `, node("button", { type: "button", onclick: () => { notice.textContent = "Asking again …"; again(); } }, "Ask again"));
    });
  }
  again();
  return () => { closed = true; clearTimeout(waits); unlisten(); end(); };
}
