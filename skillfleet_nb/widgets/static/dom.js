// What all faces draw with: it stands before each of their modules.

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value; // an input's list is read-only
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function drawn(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function span(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

// Draws with the next frame of a page.  One that is in sight and has none for long, as on a busy machine, draws without;
// one that nobody sees waits.  Returns what calls it off.
const FRAMELESS_MS = 2000;
function soon(draw) {
  const frame = requestAnimationFrame(once);
  const late = setInterval(() => { if (document.visibilityState === "visible") once(); }, FRAMELESS_MS);
  const cancel = () => { cancelAnimationFrame(frame); clearInterval(late); };
  function once() {
    cancel();
    draw();
  }
  return cancel;
}

// anywidget (0.11) gives a page two seconds to load a view's module; where it took longer, the model refuses whatever the
// kernel sends from then on.  A page that was busy with other things hears its kernel all the same.
function initialize({ model }) {
  model.on("change:sf_reached", (whole) => { // the event alone leads to the model behind this part of it
    if (whole?.comm?.on_msg && whole._handle_comm_msg) hear(whole);
  });
  model.set("sf_reached", true);
}

async function hear(model) {
  try {
    await model._handle_comm_msg({ content: { data: {} } }); // says nothing, and is refused as all is
  } catch {
    let take;
    for (let of = model; of; of = Object.getPrototypeOf(of))
      if (Object.hasOwn(of, "_handle_comm_msg")) take = of._handle_comm_msg; // the last is ipywidgets' own
    model.comm.on_msg(take.bind(model));
    model.comm.send({ method: "request_state" }); // what was refused until now
  }
}

// A button that is drawn anew between press and release hears no click: what wants to draw meanwhile waits for the release.
function unhurried(el) {
  const late = [];
  let pressed = false;
  const release = () => {
    pressed = false;
    for (const draw of late.splice(0)) draw();
  };
  el.addEventListener("pointerdown", () => {
    pressed = true;
    const heard = new AbortController();
    const up = () => { heard.abort(); setTimeout(release); }; // the click comes first
    for (const what of ["pointerup", "pointercancel"]) addEventListener(what, up, { capture: true, signal: heard.signal });
  }, true);
  return (draw) => (...given) => (pressed ? late.push(() => draw(...given)) : draw(...given));
}

// A notebook has keys of its own: an arrow goes to another cell, "d d" deletes the one that a face is in.  What is
// pressed within a face is for it alone, but for running the cell and what is pressed with Ctrl, Alt or ⌘.
function kept_keys(el) {
  const keep = (event) => {
    const runs = event.key === "Enter" && event.shiftKey;
    if (!(runs || event.ctrlKey || event.altKey || event.metaKey)) event.stopPropagation();
  };
  el.addEventListener("keydown", keep);
  return () => el.removeEventListener("keydown", keep);
}
