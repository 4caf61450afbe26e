// The page of `skillfleet serve`: the dashboard, the jobs as they go, and the monitor of the one that was chosen.

import { dashboard } from "./dashboard.js";
import { Server } from "./server.js";
import { Jobs, monitor, node, usd } from "./views.js";

const address = new URL(window.location.href);
if (address.searchParams.has("token")) { // it has become a cookie
  address.searchParams.delete("token");
  window.history.replaceState(null, "", address);
}

const server = new Server({ baseUrl: document.documentElement.dataset.base, token: "" });
const main = document.querySelector("main"), cost = document.querySelector("footer");
const all = node("div"), one = node("div", { hidden: true });
main.append(all, one);
let close = () => {}, shown = null;

// The job that the address names; a person may have typed anything.
function named() {
  const text = window.location.hash.slice(1);
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const name_of = (job) => server.news.jobs.find((other) => other.job_id === job)?.name ?? job;

function entitle() {
  document.title = shown ? `${name_of(shown)} · Skillfleet` : "Skillfleet";
}

// Show the monitor of the job that the address names, or the dashboard; it stays as it was left.
function turn() {
  const job = named();
  if (job === shown) return;
  close();
  close = () => {};
  shown = job;
  entitle();
  all.hidden = Boolean(job);
  one.hidden = !job;
  one.replaceChildren();
  if (job) close = monitor(one, server, job, name_of(job));
  job ? home.removeAttribute("aria-current") : home.setAttribute("aria-current", "page");
  main.scrollTop = 0;
}

const go = (job) => { window.location.hash = encodeURIComponent(job); };
const home = node("button", { type: "button", className: "sf-lab-home", onclick: () => go("") }, "Dashboard");
const jobs = new Jobs(go, ["in a shell", "skillfleet optimize --help"]);
jobs.element.querySelector("h2").after(home);
document.querySelector("body > nav").append(jobs.element);
dashboard(all, server, go);
turn();
server.follow((news) => {
  jobs.show(news);
  entitle(); // a page that was loaded anew has heard of no name before
  const spent = usd(news.cost_usd);
  cost.textContent = spent && !news.problem ? `${spent} since the server started` : "";
});
window.addEventListener("hashchange", turn);
