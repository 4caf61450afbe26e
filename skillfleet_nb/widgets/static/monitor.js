// The job card.  The kernel sends one state, as JSON, and the next only after this page has said that it
// drew it; what is clicked goes back as a message, and the state tells when it was heard.

const HEIGHT = 200, LEFT = 38, RIGHT = 10, TOP = 8, BOTTOM = 32;
const UNHEARD_MS = 2500; // a click the kernel has not answered by then is held up by the cell that runs
const SILENT_MS = 20000; // no news for so long: the kernel was restarted, or the connection is lost
const QUIET_MS = 8000; // between two announcements to a screen reader

const points = (score) => (score === null || score === undefined ? "–" : score.toFixed(1));

function left([low, high]) {
  if (high < 1) return "almost done";
  const [a, b] = [span(low), span(high)];
  return a === b ? `about ${b} left` : `${a} to ${b} left`;
}

// One live region outside of every view: it stays when a view is replaced, and says little.
const announcer = { node: null, at: 0, text: "", waiting: null };

function announce(text) {
  if (!text || text === announcer.text) return;
  announcer.text = text;
  if (!announcer.node?.isConnected) {
    announcer.node = node("div", { role: "status", className: "sf-monitor-announcer" });
    announcer.node.style.cssText = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap";
    document.body.append(announcer.node);
  }
  clearTimeout(announcer.waiting);
  const say = () => { announcer.at = Date.now(); announcer.node.textContent = announcer.text; };
  announcer.waiting = setTimeout(say, Math.max(50, announcer.at + QUIET_MS - Date.now()));
}

function curve(figure, picked) {
  const svg = drawn("svg", { role: "presentation", height: HEIGHT });
  const mark = drawn("path", { class: "sf-picked" });
  let shown = [], at = null, x = () => 0, y = () => 0;

  function pick(point) {
    at = point;
    mark.setAttribute("d", point ? `M${x(point.trial) - 7} ${y(point.score)}a7 7 0 1 0 14 0a7 7 0 1 0-14 0z` : "");
    picked.textContent = point ? `trial ${point.trial.toLocaleString("en")}: ${points(point.score)} on ${point.on}` : "";
  }

  function draw(state) {
    const { full, part, pruned, best, axis: [low, high, step], last } = state.curve;
    const width = Math.max(240, figure.clientWidth || 560);
    x = (trial) => LEFT + ((width - LEFT - RIGHT) * trial) / last;
    y = (score) => TOP + ((HEIGHT - TOP - BOTTOM) * (high - score)) / (high - low);
    const across = (score, name) => drawn("path", { class: name, fill: "none", d: `M${LEFT} ${y(score)}H${width - RIGHT}` });
    const parts = [];
    for (let n = 0; n <= Math.round((high - low) / step); n += 1) {
      const score = low + n * step;
      parts.push(across(score, "sf-grid"), drawn("text", { x: LEFT - 5, y: y(score) + 4, "text-anchor": "end" }, `${+score.toFixed(2)}`));
    }
    const every = Math.max(1, Math.ceil(last / Math.max(2, Math.floor(width / 70))));
    for (let trial = 0; trial <= last; trial += every)
      parts.push(drawn("text", { x: x(trial), y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, trial.toLocaleString("en")));
    parts.push(drawn("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 2, "text-anchor": "middle" }, "trial"));
    if (state.baseline !== null) parts.push(across(state.baseline, "sf-baseline"));
    if (state.target !== null) parts.push(across(state.target, "sf-target"));
    const diamonds = part.map(([t, s]) => `M${x(t)} ${y(s) - 2.5}l2.5 2.5-2.5 2.5-2.5-2.5z`).join("");
    const ring = ([t, s]) => `M${x(t) - 4} ${y(s)}a4 4 0 1 0 8 0a4 4 0 1 0-8 0z`;
    const circles = full.map(ring).join("");
    const steps = best.map(([t, s], n) => (n ? `H${x(t)}V${y(s)}` : `M${x(t)} ${y(s)}`)).join("");
    if (steps) parts.push(drawn("path", { class: "sf-best", d: `${steps}H${x(last)}` }));
    parts.push(drawn("path", { class: "sf-pruned", d: pruned.map(ring).join("") }));
    parts.push(drawn("path", { class: "sf-part", d: diamonds }), drawn("path", { class: "sf-full", d: circles }), mark);
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.replaceChildren(...parts);
    const named = (list, on) => list.map(([trial, score]) => ({ trial, score, on }));
    shown = [...named(full, "all of validation"), ...named(part, "a part of it, or on training examples"), ...named(pruned, "all of it at most: pruned")].sort((a, b) => a.trial - b.trial);
    if (at) pick(shown.find((p) => p.trial === at.trial) ?? null);
  }

  figure.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const ratio = (svg.viewBox.baseVal.width || 1) / (box.width || 1);
    const [px, py] = [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
    const away = (p) => (x(p.trial) - px) ** 2 + (y(p.score) - py) ** 2;
    pick(shown.reduce((near, p) => (near && away(near) <= away(p) ? near : p), null));
  });
  figure.addEventListener("pointerleave", () => pick(null));
  figure.addEventListener("blur", () => pick(null));
  figure.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined || !shown.length) return;
    event.preventDefault();
    const from = at ? shown.indexOf(at) : move > 0 ? -1 : shown.length;
    pick(shown[Math.min(shown.length - 1, Math.max(0, from + move))]);
  });
  figure.prepend(svg);
  return draw;
}

function meter(what) {
  const value = node("span");
  const fill = node("div");
  const bar = node("div", { className: "sf-meter-bar", role: "progressbar", "aria-label": what, "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
  const line = node("div", {}, node("div", { className: "sf-meter-line" }, node("span", { className: "sf-quiet" }, what), value), bar);
  return {
    line,
    set(text, share) {
      value.textContent = text;
      bar.hidden = share === null;
      if (share === null) return;
      const percent = Math.round(100 * Math.min(1, share));
      fill.style.width = `${percent}%`;
      bar.classList.toggle("sf-near", !["calls expected", "quality"].includes(what) && share >= 0.9);
      bar.setAttribute("aria-valuenow", percent);
      bar.setAttribute("aria-valuetext", text);
    },
  };
}

const symbol = (inner) => `<svg viewBox="0 0 18 10" aria-hidden="true">${inner}</svg>`;
const LEGEND = {
  full: ["all of validation", '<circle class="sf-full" cx="9" cy="5" r="4"/>'],
  part: ["a part of it, or train", '<path class="sf-part" d="M9 2.5l2.5 2.5-2.5 2.5-2.5-2.5z"/>'],
  pruned: ["pruned, at most", '<circle class="sf-pruned" cx="9" cy="5" r="4"/>'],
  best: ["best so far", '<path class="sf-best" d="M0 5h18"/>'],
  baseline: ["baseline", '<path class="sf-baseline" d="M0 5h18"/>'],
  target: ["target", '<path class="sf-target" d="M0 5h18"/>'],
};

function render({ model, el }) {
  let state = null, arrived = 0, clicks = 0;
  let frame = null; // what calls off the drawing that is due
  const send = (message) => model.send(message);

  const title = node("span", { className: "sf-title" });
  const told = node("span", { className: "sf-state" });
  const phase = node("div", { className: "sf-phase" });
  const notice = node("div", { className: "sf-told", hidden: true });
  const pause = node("button", { type: "button", onclick: () => click(state.paused ? "unpause" : "pause") }, "Pause");
  const stop = node("button", { type: "button", onclick: () => click("stop") }, "Stop and keep best");
  const whole = meter("calls expected");
  whole.line.firstChild.remove();
  const elapsed = node("span"), eta = node("span");
  const picked = node("div", { className: "sf-picked-text", "aria-live": "polite" });
  const legend = node("figcaption", { className: "sf-legend" });
  const figure = node("figure", { tabIndex: 0, role: "group" }, picked, legend);
  const draw_curve = curve(figure, picked);
  const score = node("div", { className: "sf-score" });
  const meters = node("div", { className: "sf-meters" }, score);
  const known = {};
  const failures = node("div");
  const tried_title = node("summary"), diff = node("div", { className: "sf-diff", tabIndex: 0, role: "region", "aria-label": "changes in the prompts" });
  const tried = node("details", { open: true, hidden: true }, tried_title, diff);
  const lanes = node("table", { className: "sf-lanes", hidden: true, tabIndex: 0, "aria-label": "searches side by side" });
  const steps = node("table", { className: "sf-lanes", hidden: true, tabIndex: 0, "aria-label": "steps of creating the skill" });
  const cards = node("div", { className: "sf-cards", hidden: true }); // what is known of a skill that is created
  const notes_title = node("summary"), notes_list = node("ul");
  const notes = node("details", { hidden: true }, notes_title, notes_list);
  const question = node("div", { className: "sf-question", role: "group", hidden: true }); // what the run asks of a person
  const head = node("div", { className: "sf-head" }, node("div", {}, title, told), node("div", { className: "sf-buttons" }, pause, stop));
  const live = node("div", {}, head, notice, phase, steps, cards, question, whole.line,
    node("div", { className: "sf-time" }, elapsed, eta),
    node("div", { className: "sf-body" }, figure, meters), lanes, tried, notes);
  const still = node("div", { hidden: true });
  const actions = node("div", { className: "sf-buttons sf-actions", role: "group", hidden: true }); // for what is next
  const answer = node("div", { className: "sf-answer", hidden: true });
  const root = node("section", { className: "sf-face sf-monitor", hidden: true }, live, still, actions, answer);
  const hides = node("style"); // the kept still of the same monitor gives way as long as this view lives
  el.append(hides, root);
  kept_keys(root);

  const facts_of = (facts) => node("dl", {}, ...facts.flatMap(([label, text]) => [node("dt", {}, label), node("dd", {}, text)]));
  const on_cards = (label) => state.cards.some((card) => // what a card shows, a question need not repeat
    card.name === label || card.facts.some(([word]) => word === label) || (card.score !== null && ["quality", "findings"].includes(label)));

  const drawn_cards = {};
  function show_cards() {
    cards.hidden = !state.cards.length;
    const last = state.cards.at(-1)?.name;
    for (const card of state.cards) {
      const text = JSON.stringify(card);
      let one = drawn_cards[card.name];
      if (!one) {
        one = drawn_cards[card.name] = { box: node("details"), title: node("summary"), text: "", touched: false };
        one.title.addEventListener("click", () => { one.touched = true; });
        one.box.className = `sf-card sf-card-${card.name}`;
      }
      if (!one.touched) one.box.open = card.name === last || card.name in (state.question?.details ?? {});
      if (text === one.text) continue;
      one.text = text;
      const top = one.box.querySelector("pre")?.scrollTop ?? 0;
      const body = [facts_of(card.facts)];
      const written = card.text ? [node("pre", { tabIndex: 0, "aria-label": card.title }, card.text)] : [];
      const judged = card.score === null ? [] : [judgement(card)];
      if (written.length || judged.length) body.push(node("div", { className: "sf-beside" }, ...written, ...judged));
      one.title.textContent = card.title;
      one.box.replaceChildren(one.title, ...body);
      if (card.name === "draft" && written.length) written[0].scrollTop = card.score === null ? written[0].scrollHeight : one.judged ? top : 0; // its end is in sight while it is written
      one.judged = card.score !== null;
    }
    const wanted = state.cards.map((card) => drawn_cards[card.name].box);
    if (wanted.length !== cards.childElementCount || wanted.some((box, n) => cards.children[n] !== box)) cards.replaceChildren(...wanted);
  }

  function judgement(card) {
    const quality = meter("quality");
    quality.set(card.score.toFixed(1), card.score / 100);
    const list = node("ul", {}, ...card.findings.map((text) => node("li", {}, text)));
    const n = card.findings.length;
    return node("div", {}, quality.line, node("div", {}, n ? `${n} finding${n === 1 ? "" : "s"}` : "nothing found wrong"), ...(n ? [list] : []));
  }

  let shown_question = null;
  function show_question() {
    const q = state.question;
    question.hidden = !q;
    if (!q || shown_question === q.review_id) return (shown_question = q ? shown_question : null);
    shown_question = q.review_id;
    const facts = facts_of(Object.entries(q.details).filter(([label]) => !on_cards(label)));
    const box = node("textarea", { rows: 3, value: q.draft, "aria-label": q.asks === "clarify" ? "your answer" : "your text, for Revise" });
    box.placeholder = box.getAttribute("aria-label");
    const buttons = Object.keys(q.options).map((choice) => node("button", {
      type: "button", title: q.options[choice], className: choice === "proceed" ? "sf-first" : "",
      onclick: () => reply(q, choice, box.value.trim()),
    }, choice[0].toUpperCase() + choice.slice(1)));
    const meaning = node("ul", {}, ...Object.entries(q.options).map(([choice, does]) => node("li", {}, node("b", {}, choice), `: ${does}`)));
    const compared = node("details", { open: true, hidden: !state.proposed }, node("summary", {}, "What would change"));
    const changed = node("div", { className: "sf-diff", tabIndex: 0, role: "region", "aria-label": "what would change" });
    changed.innerHTML = state.proposed; // escaped where it was made
    compared.append(changed);
    question.setAttribute("aria-label", "the job asks");
    question.replaceChildren(node("div", { className: "sf-asked" }, q.question), node("i", {}, q.note), facts, compared, box,
      node("div", { className: "sf-buttons" }, ...buttons), meaning);
    announce(`${state.name} asks: ${q.question}`);
  }

  function reply(q, choice, text) {
    if (choice !== "revise" && q.about === "accept" && text && text !== q.draft.trim()) {
      state.note = "You changed the text: Revise has it scored; to leave it, clear the box.";
      show_notice();
      return;
    }
    clicks = Math.max(clicks, state.heard) + 1;
    asked = { what: "answer", n: clicks, at: Date.now() };
    send({ do: "answer", n: clicks, choice, text: choice === "revise" || q.asks === "clarify" ? text : "" });
    show_notice();
  }

  let asked = null; // the last click, until it is heard
  function click(what) {
    clicks = Math.max(clicks, state.heard) + 1;
    asked = { what, n: clicks, at: Date.now() };
    send({ do: what, n: clicks });
    announce({ stop: "stopping", pause: "pausing", unpause: "going on" }[what] ?? "");
    show_notice();
  }

  function show_notice() {
    let text = state.note;
    if (asked && state.heard >= asked.n) asked = null;
    if (asked && Date.now() - asked.at > UNHEARD_MS)
      text = "The kernel hears this when the running cell is done. To stop at once, interrupt the kernel (■)" + (state.has_best ? ": the best so far is kept." : ".");
    else if (asked) text = { stop: "Stopping …", pause: "Pausing …", unpause: "Going on …", answer: "Answering …" }[asked.what] ?? "…";
    else if (!state.finished && document.visibilityState === "visible" && Date.now() - Math.max(arrived, awake) > SILENT_MS)
      text = `No news from the kernel. If it was restarted: %skillfleet watch ${state.name}`;
    notice.hidden = !text;
    if (notice.textContent !== text) notice.textContent = text;
    stop.disabled = pause.disabled = state.finished || state.stopping || (asked !== null);
    for (const button of actions.querySelectorAll("button")) button.disabled = asked !== null;
    for (const button of question.querySelectorAll("button")) button.disabled = asked !== null;
  }

  function clock() {
    if (!state) return;
    const since = state.paused || state.state !== "running" ? 0 : (Date.now() - arrived) / 1000;
    elapsed.textContent = `${span(state.elapsed_s + since)}${state.paused ? ", paused" : ""}`;
    eta.textContent = state.eta_s ? left(state.eta_s.map((s) => Math.max(0, s - since))) : "";
    show_notice();
  }

  function show_actions() {
    const now = JSON.stringify([state.actions, state.unsure]);
    if (now === last_actions) return;
    last_actions = now;
    const had = document.activeElement?.dataset?.do;
    actions.setAttribute("aria-label", "what is next");
    actions.replaceChildren(...state.actions.map(({ do: what, label, command }) => {
      const button = node("button", { type: "button", title: command, onclick: () => click(what) },
        what === state.unsure ? "Replace it" : label);
      button.dataset.do = what;
      return button;
    }));
    actions.querySelector(`[data-do="${had}"]`)?.focus();
  }

  let last_curve = "", last_diff = "", last_lanes = "", last_steps = "", last_width = 0, last_actions = "", last_still = "", last_answer = "";
  function draw() {
    frame = null;
    const s = state;
    root.hidden = false;
    root.setAttribute("aria-label", `monitor of job ${s.name}`);
    hides.textContent = `.sf-kept-${s.monitor}{display:none}`;
    live.hidden = s.finished;
    still.hidden = !s.finished;
    actions.hidden = !s.finished;
    answer.hidden = !s.answer;
    if (s.answer !== last_answer) answer.innerHTML = last_answer = s.answer; // escaped where it was made
    if (s.finished) {
      if (notice.previousSibling !== actions) actions.after(notice);
      if (s.still !== last_still) still.innerHTML = last_still = s.still; // escaped where it was made
      show_actions();
      show_notice();
      announce(`${s.name} ${s.told}. ${s.result.verdict ?? s.result.summary}`);
      return;
    }
    const beside = s.question ? question : head; // what was pressed: at the end of a long page nobody sees an answer
    if (notice.previousSibling !== beside) beside.after(notice);
    title.textContent = [s.name, s.optimizer].filter(Boolean).join(" · ");
    told.textContent = ` ${s.paused ? "paused" : s.told}`;
    phase.textContent = s.phase;
    show_cards();
    show_question();
    announce(s.paused ? `${s.name} paused` : s.phase.replace(/[,:]?\s*\d.*$/, ""));
    stop.textContent = s.has_best ? "Stop and keep best" : "Stop"; // of a creation or an evaluation nothing is kept
    pause.textContent = s.paused ? "Resume" : "Pause";
    whole.set(s.share === null ? "" : `${Math.round(100 * s.share)}% of the calls expected`, s.share);
    score.textContent = s.best === null ? "no score yet" : `best ${points(s.best)}`;
    if (s.best !== null && s.baseline !== null)
      score.append(node("span", { className: "sf-quiet" }, `  baseline ${points(s.baseline)} (${s.best >= s.baseline ? "+" : ""}${points(s.best - s.baseline)})`));
    for (const used of s.used) {
      if (!known[used.what]) meters.append((known[used.what] = meter(used.what)).line);
      known[used.what].set(used.text, used.limit === null || used.used === null ? null : used.used / used.limit);
    }
    const failed = s.failures.map(([kind, n]) => `${n} ${kind}`).join(", ");
    const unread = s.unread.map(([what, n]) => `${n.toLocaleString("en")} ${what}`).join(", ");
    failures.textContent = [failed && `failed calls: ${failed}`, unread && `could not be read: ${unread}`, s.repeats && `${s.repeats} attempts repeated`].filter(Boolean).join(" · ");
    meters.append(failures);
    const width = figure.clientWidth, now = JSON.stringify([s.curve, s.trials, s.baseline, s.target]);
    if (now !== last_curve || width !== last_width) {
      [last_curve, last_width] = [now, width];
      draw_curve(s);
      figure.setAttribute("aria-label", `learning curve: ${s.trials} trials, ${score.textContent}; arrow keys go from trial to trial`);
      const shown = [["full", true], ["best", true], ["part", s.curve.part.length], ["pruned", s.curve.pruned.length], ["baseline", s.baseline !== null], ["target", s.target !== null]];
      legend.innerHTML = shown.filter(([, there]) => there)
        .map(([kind]) => `<span>${symbol(LEGEND[kind][1])}${LEGEND[kind][0]}${kind === "target" ? ` ${+s.target}` : ""}</span>`).join("");
    }
    const now_lanes = JSON.stringify(s.lanes);
    if (now_lanes !== last_lanes) {
      last_lanes = now_lanes;
      lanes.hidden = !s.lanes.length;
      const told = s.lanes.some((l) => l.why) ? 5 : 4; // few searches have a reason to tell
      const row = (cells, kind) => node("tr", {}, ...cells.slice(0, told).map((text) => node(kind, {}, `${text}`)));
      lanes.replaceChildren(
        node("thead", {}, row(["search", "state", "trials", "best", "why"], "th")),
        node("tbody", {}, ...s.lanes.map((l) => row([l.name, l.state, l.trials, l.best === null ? "" : l.best.toFixed(1), l.why], "td"))),
      );
    }
    figure.hidden = score.hidden = s.steps.length > 0; // a creation has no trials
    const now_steps = JSON.stringify(s.steps);
    if (now_steps !== last_steps) {
      last_steps = now_steps;
      steps.hidden = !s.steps.length;
      const current = new Set(["now", "asks you", "stopped"]);
      const row = ([name, state, ...took]) => {
        const at = current.has(state);
        return node("tr", at ? { "aria-current": "step" } : {}, ...[name, state, ...took].map((text) => node("td", {}, at ? node("b", {}, text) : text)));
      };
      steps.replaceChildren(
        node("thead", {}, node("tr", {}, ...["step", "state", "calls", "cost"].map((text) => node("th", {}, text)))),
        node("tbody", {}, ...s.steps.map(row)),
      );
    }
    tried.hidden = !s.tried;
    if (s.tried) {
      tried_title.textContent = s.tried.text + (s.diff ? `; against ${s.tried.against}:` : "");
      diff.hidden = !s.diff;
      if (s.diff !== last_diff) diff.innerHTML = last_diff = s.diff; // escaped where it was made
    }
    notes.hidden = !s.notes.length;
    notes_title.textContent = `${s.notes.length} note${s.notes.length === 1 ? "" : "s"}`;
    if (notes_list.childElementCount !== s.notes.length) notes_list.replaceChildren(...s.notes.map((text) => node("li", {}, text)));
    clock();
  }

  const calm = unhurried(el);
  function take() {
    const text = model.get("state");
    if (!text) return;
    state = JSON.parse(text);
    arrived = Date.now();
    if (!frame) frame = soon(calm(() => { draw(); send({ do: "ack", n: state.n }); }));
  }

  let awake = Date.now();
  const wakes = () => { awake = Date.now(); };
  document.addEventListener("visibilitychange", wakes);
  const ticking = setInterval(clock, 1000);
  const sized = new ResizeObserver(() => { if (state && !frame && figure.clientWidth !== last_width) frame = soon(calm(draw)); });
  sized.observe(figure);
  model.on("change:state", take);
  take();
  return () => {
    clearInterval(ticking);
    sized.disconnect();
    frame?.();
    document.removeEventListener("visibilitychange", wakes);
    model.off("change:state", take);
  };
}

export default { initialize, render };
