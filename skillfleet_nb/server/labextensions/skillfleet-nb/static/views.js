// What is drawn: the list of jobs, and a job's monitor, which is the one of notebooks with the server for its kernel.

import { Away } from "./server.js";

const ACTIVE = new Set(["pending", "running", "pending_hitl"]);
const WORDS = { pending: "waiting to start", pending_hitl: "waits for your answer" };
const BEAT_MS = 5000; // a picture at least so often while a job runs, for its clocks

export function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function usd(cost) {
  if (cost === null || cost === undefined) return "";
  return cost && cost < 0.01 ? `$${cost.toPrecision(1)}` : `$${cost.toFixed(2)}`;
}

const points = (score) => (score === null || score === undefined ? "" : (100 * score).toFixed(1));

function gain({ baseline, best }) {
  if (best === null || best === undefined) return "";
  return baseline === null || baseline === undefined || baseline === best ? points(best) : `${points(baseline)} → ${points(best)}`;
}

function day(moment) {
  const at = new Date(moment), today = new Date();
  return at.toDateString() === today.toDateString()
    ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
    : at.toLocaleDateString([], { day: "numeric", month: "short" });
}

function row(job, watch) {
  const active = ACTIVE.has(job.state);
  const told = job.paused ? "paused" : WORDS[job.state] ?? job.state;
  const facts = [active ? told : job.verdict ?? told, job.optimizer, gain(job), usd(job.cost_usd), active ? "" : day(job.created_at)];
  const bar = node("div", { className: "sf-lab-bar", hidden: !active || job.share_done === null || job.share_done === undefined });
  bar.append(node("div", { style: `width:${Math.round(100 * (job.share_done ?? 0))}%` }));
  const line = node("div", { className: "sf-lab-facts" }, ...facts.filter(Boolean).map((text) => node("span", {}, `${text}`)));
  const button = node("button", { type: "button", title: `Watch ${job.name}`, onclick: () => watch(job.job_id, job.name) },
    node("span", { className: "sf-lab-name" }, node("span", { className: `sf-lab-dot sf-lab-${job.state}`, "aria-hidden": "true" }), job.name),
    line, bar);
  if (job.question) line.append(node("span", { className: "sf-lab-asks" }, job.question));
  button.dataset.job = job.job_id;
  return node("li", {}, button);
}

export class Jobs {
  constructor(watch, starts = ["in a notebook", "%skillfleet optimize --help"]) {
    Object.assign(this, { watch, starts });
    this.notice = node("p", { className: "sf-lab-notice", role: "status", hidden: true });
    this.lists = node("div");
    this.element = node("section", { className: "sf-lab-jobs", "aria-label": "Skillfleet's jobs" },
      node("h2", {}, "Skillfleet"), this.notice, this.lists);
  }

  show({ jobs, problem, waits }) {
    this.notice.hidden = !(problem || waits || !jobs.length);
    const [where, line] = this.starts;
    const text = problem ? `${problem}. Trying again …` : waits ? "Asking the server …" : `No jobs yet. Start one ${where}:`;
    this.notice.replaceChildren(text, ...(problem || waits ? [] : [node("code", {}, line)]));
    this.element.classList.toggle("sf-lab-old", Boolean(problem)); // what is shown may not be so any more
    const [open, left] = [this.lists.querySelector(":focus")?.dataset.job, this.element.scrollTop];
    const groups = [["Running", jobs.filter((job) => ACTIVE.has(job.state))], ["Recent", jobs.filter((job) => !ACTIVE.has(job.state))]];
    this.lists.replaceChildren(...groups.filter(([, part]) => part.length).flatMap(([name, part]) =>
      [node("h3", {}, name), node("ul", { "aria-label": `${name} jobs` }, ...part.map((job) => row(job, this.watch)))]));
    if (open) this.lists.querySelector(`[data-job="${CSS.escape(open)}"]`)?.focus();
    this.element.scrollTop = left;
  }
}

const DOES = { stop: "cancel", pause: "pause", unpause: "unpause" };

// The monitor's page knows a model: a state, and messages that it sends.
class Model {
  constructor(server, job) {
    Object.assign(this, { server, job, state: "", heard: 0, note: "", away: "", isAway: false, drawn: 0, seen: -1, n: 0, stopping: false });
    this.changed = new Set();
  }

  get() { return this.state; }
  on(_, heard) { this.changed.add(heard); }
  off(_, heard) { this.changed.delete(heard); }

  async send({ do: what, n, text, choice }) {
    if (what === "ack") return;
    try {
      if (what === "answer") await this.server.ask(`hitl/${this.job}/response`, { method: "POST", body: { text, choice } });
      else await this.server.ask(`jobs/${this.job}/${DOES[what]}`, { method: "POST" });
      this.stopping ||= what === "stop";
      this.note = "";
    } catch (error) {
      this.note = error instanceof Away ? "Not done: the server did not answer. Try again" : error.message;
    }
    this.heard = Math.max(this.heard, n);
    await this.look();
  }

  async look() {
    if (this.looks) return; // the next news come soon
    this.looks = true;
    try {
      this.picture = await this.server.json(`jobs/${this.job}/picture`);
      [this.away, this.isAway] = ["", false];
    } catch (error) {
      [this.away, this.isAway] = [error.message, error instanceof Away]; // until it is asked with success
    } finally {
      this.looks = false;
    }
    if (!this.picture) return;
    const own = { n: ++this.n, monitor: "lab", note: this.away || this.note, heard: this.heard, stopping: this.stopping, actions: [], unsure: "", answer: "" };
    this.state = JSON.stringify({ ...this.picture, ...own });
    for (const heard of this.changed) heard();
  }
}

// Draw a job's monitor in an element; return what ends it.
export function monitor(element, server, job, name) {
  const notice = node("p", { className: "sf-lab-notice", role: "status" }, `Asking the server for ${name} …`);
  element.append(notice);
  const model = new Model(server, job);
  let last = "", at = 0, end = () => {}, closed = false, failed = false;

  async function draw() {
    const { esm, css } = await (server.page ??= server.json("monitor"));
    const source = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
    const { default: face } = await import(source);
    await model.look();
    if (closed) return;
    if (!model.picture) throw new Error(model.away);
    notice.remove();
    element.append(node("style", { textContent: css }));
    end = face.render({ model, el: element }) ?? end;
  }

  function start() {
    failed = false;
    draw().catch((error) => {
      server.page = undefined;
      failed = error instanceof Away || model.isAway;
      notice.textContent = error.message;
    });
  }
  start();
  const unlisten = server.listen(({ jobs, problem }) => {
    const one = jobs.find((other) => other.job_id === job);
    if (failed && !problem) start();
    const now = JSON.stringify(one && [one.state, one.seen, one.paused, one.question]);
    if (problem || !model.picture || (model.picture.finished && now === last)) return;
    if (now === last && Date.now() - at < BEAT_MS) return;
    [last, at] = [now, Date.now()];
    model.look();
  });
  const beat = setInterval(() => { if (!document.hidden && model.picture && !model.picture.finished) model.look(); }, BEAT_MS);
  return () => { closed = true; unlisten(); clearInterval(beat); end(); };
}
