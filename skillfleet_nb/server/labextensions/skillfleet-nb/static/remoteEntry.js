// The container that JupyterLab loads: what webpack's module federation asks of one, written by hand, so that this
// extension needs no build.  https://webpack.js.org/concepts/module-federation/

(() => {
  const here = document.currentScript.src;
  let shared = {};

  // JupyterLab's own copy of a package, the newest where there are several.
  async function taken(name) {
    const versions = shared[name] ?? {};
    const newest = Object.keys(versions).sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
    if (newest === undefined) throw new Error(`this JupyterLab shares no ${name}`);
    return (await versions[newest].get())();
  }

  const modules = {
    "./extension": async () => {
      const version = new URL(here).search; // a new version is not served from an old one's cache
      const { plugin } = await import(new URL(`lab.js${version}`, here));
      const names = ["@jupyterlab/application", "@jupyterlab/apputils", "@jupyterlab/statusbar", "@lumino/widgets"];
      const [application, apputils, statusbar, widgets] = await Promise.all(names.map(taken));
      return { __esModule: true, default: plugin({ ...application, ...apputils, ...statusbar, ...widgets }, version) };
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB["skillfleet-nb"] = {
    init(scope) { shared = scope; },
    async get(name) {
      if (!(name in modules)) throw new Error(`skillfleet-nb holds no module ${name}`);
      const module = await modules[name]();
      return () => module;
    },
  };
})();
