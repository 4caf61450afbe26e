// The page of `skillfleet serve`: the list of jobs, and the monitor of the one that was chosen, without JupyterLab.

import { Server } from "./server.js";
import { Jobs, monitor, node, usd } from "./views.js";

const address = new URL(window.location.href);
if (address.searchParams.has("token")) { // it has become a cookie
  address.searchParams.delete("token");
  window.history.replaceState(null, "", address);
}

const server = new Server({ baseUrl: document.documentElement.dataset.base, token: "" });
const main = document.querySelector("main"), cost = document.querySelector("footer");
let close = () => {}, shown = "";

function watch(job, name) {
  close();
  shown = job;
  document.title = `${name} · Skillfleet`;
  main.replaceChildren();
  close = monitor(main, server, job, name);
}

const jobs = new Jobs((job, name) => { window.location.hash = encodeURIComponent(job); watch(job, name); });
document.querySelector("nav").append(jobs.element);
server.follow((news) => {
  jobs.show(news);
  const spent = usd(news.cost_usd);
  cost.textContent = spent && !news.problem ? `${spent} since the server started` : "";
  const wanted = decodeURIComponent(window.location.hash.slice(1)) || news.jobs[0]?.job_id;
  const job = news.jobs.find((other) => other.job_id === wanted);
  if (job && !shown) watch(job.job_id, job.name);
  else if (!news.jobs.length && !shown) main.replaceChildren(node("p", { className: "sf-lab-notice" }, "What a job is doing is shown here."));
});
window.addEventListener("hashchange", () => {
  const job = server.news.jobs.find((other) => other.job_id === decodeURIComponent(window.location.hash.slice(1)));
  if (job && job.job_id !== shown) watch(job.job_id, job.name);
});
