// The plugin: a sidebar of jobs, the monitor in a tab, the cost in the status bar, and commands for all of it.

import { Server } from "./server.js";
import { Jobs, monitor, node, usd } from "./views.js";

const SIDEBAR = "skillfleet-jobs";
const ACTIVE = new Set(["pending", "running", "pending_hitl"]);

function styled(version) {
  const href = new URL(`lab.css${version}`, import.meta.url).href;
  document.head.append(node("link", { rel: "stylesheet", href }));
}

// The status bar's item; a click opens the list.
function cost(open) {
  const button = node("button", { type: "button", className: "sf-lab-status jp-StatusBar-TextItem", onclick: open });
  const show = ({ jobs, cost_usd, problem }) => {
    const running = jobs.filter((job) => ACTIVE.has(job.state)).length;
    const parts = ["Skillfleet", usd(cost_usd), running ? `${running} running` : ""];
    button.textContent = problem ? "Skillfleet –" : parts.filter(Boolean).join(" · ");
    button.title = problem ?? "What calls of models cost since this Jupyter server started; click for the jobs";
  };
  return { button, show };
}

function in_tab(Widget, element, { id, label, caption }) {
  const widget = new Widget({ node: element });
  widget.id = id;
  widget.title.label = label;
  widget.title.caption = caption;
  widget.title.iconClass = "sf-lab-icon";
  widget.title.closable = true;
  return widget;
}

export function plugin(lab, version) {
  return {
    id: "skillfleet-nb:jobs",
    description: "Jobs of Skillfleet NB: a live list, the monitor, and what this session cost.",
    autoStart: true,
    optional: [lab.ICommandPalette, lab.IStatusBar, lab.ILayoutRestorer],
    activate(app, palette, status_bar, restorer) {
      styled(version);
      const { commands, shell } = app;
      const server = new Server(app.serviceManager.serverSettings);

      function watch(job, name) {
        const id = `skillfleet-monitor-${job}`;
        const there = [...shell.widgets("main")].find((widget) => widget.id === id);
        if (!there) {
          const element = node("div", { className: "sf-lab-monitor" });
          const tab = in_tab(lab.Widget, element, { id, label: name, caption: `Skillfleet: job ${name}` });
          const close = monitor(element, server, job, name);
          tab.disposed.connect(close);
          shell.add(tab, "main");
        }
        shell.activateById(id);
      }

      const jobs = new Jobs(watch);
      const sidebar = new lab.Widget({ node: jobs.element });
      sidebar.id = SIDEBAR;
      sidebar.title.caption = "Skillfleet: jobs";
      sidebar.title.iconClass = "sf-lab-icon";
      shell.add(sidebar, "left", { rank: 600, type: "Skillfleet" });
      restorer?.add(sidebar, SIDEBAR);
      const open = () => shell.activateById(SIDEBAR);
      const item = cost(open);
      server.follow((news) => { jobs.show(news); item.show(news); commands.notifyCommandChanged(); });

      commands.addCommand("skillfleet:jobs", { label: "Show Skillfleet Jobs", caption: "Open the list of Skillfleet's jobs", execute: open });
      commands.addCommand("skillfleet:watch", {
        label: "Watch the Newest Skillfleet Job",
        caption: "Open the monitor of a job: the one that is named, or the newest",
        isEnabled: () => server.news.jobs.length > 0,
        execute: ({ job } = {}) => {
          const one = server.news.jobs.find((other) => !job || other.job_id === job || other.name === job);
          if (one) watch(one.job_id, one.name);
        },
      });
      for (const command of ["skillfleet:jobs", "skillfleet:watch"]) palette?.addItem({ command, category: "Skillfleet" });
      status_bar?.registerStatusItem("skillfleet-nb:cost", { item: in_bar(lab.Widget, item.button), align: "left", rank: 50 });
    },
  };
}

function in_bar(Widget, element) {
  const widget = new Widget({ node: node("div", {}, element) });
  widget.addClass("sf-lab-status-item");
  return widget;
}
