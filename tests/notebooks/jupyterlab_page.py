"""A real JupyterLab with real kernels, and pages of it in headless Chromium."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import axe_playwright_python
import nbformat
import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nbformat import NotebookNode
    from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parents[2]
LABEXTENSIONS = ROOT / "skillfleet_nb" / "server" / "labextensions"
ARTIFACTS = ROOT / "tests" / "artifacts"
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

_START_S, _PATIENCE_S = 300, 600  # a busy machine starts and draws late
_LOOK_MS = 100  # by default it looks at every frame, for which the browser draws all the time
_WIDTH, _PART = 1280, 1600  # pixels of a picture
_AROUND = 120  # pixels of menus and bars
_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "docmanager-extension/plugin": {"autosave": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells out of sight are drawn as well
}
_PAGE = {
    "buildCheck": False, "buildAvailable": False,  # it would look for sources to build, at every page
    "disabledExtensions": {"@jupyterlab/launcher-extension": True},  # it would come where no notebook is open
}  # fmt: skip
_READY = """async () => {
    const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
    if (!context) return false;
    await context.ready;
    return context.session?.kernel?.status === 'idle';
}"""
_DONE = """() => {
    const { content, sessionContext } = window.jupyterapp.shell.currentWidget;
    const cells = [...Array(content.model.cells.length).keys()].map(i => content.model.cells.get(i));
    const waiting = c => c.type === 'code' && c.sharedModel.getSource().trim() && c.executionCount === null;
    return !cells.some(waiting) && sessionContext.session.kernel.status === 'idle';
}"""
_ERRORS = """() => [...Array(window.jupyterapp.shell.currentWidget.content.model.cells.length).keys()]
    .map(i => window.jupyterapp.shell.currentWidget.content.model.cells.get(i))
    .filter(c => c.type === 'code')
    .flatMap(c => c.outputs.toJSON().filter(o => o.output_type === 'error').map(o => o.evalue))"""
_HEIGHT = """() => {
    const boxes = [...document.querySelectorAll('.jp-Notebook .jp-Cell')].map(c => c.getBoundingClientRect());
    return Math.ceil(boxes.at(-1).bottom - boxes[0].top);
}"""
_OPEN = """async name => {
    await window.jupyterapp.commands.execute('docmanager:open', { path: name });
}"""
_IS_OPEN = "name => window.jupyterapp?.shell.currentWidget?.context?.path === name"
_CLEAR = """() => {
    const { shell } = window.jupyterapp;
    for (const widget of [...shell.widgets('main')]) widget.dispose();
    shell.collapseLeft();
    shell.collapseRight();
}"""
_TO_TOP = "() => document.querySelectorAll('.jp-NotebookPanel *').forEach(e => { e.scrollTop = 0 })"


def violations(page: Page, selector: str, rules: Sequence[str] = ()) -> list[str]:
    """List what axe-core finds serious or critical, by all rules or some, in what `selector` names of any page."""
    page.evaluate(AXE.read_text("utf-8"))
    options = {"resultTypes": ["violations"], **({"runOnly": {"type": "rule", "values": list(rules)}} if rules else {})}
    result = page.evaluate("([part, options]) => axe.run({include: [[part]]}, options)", [selector, options])
    return [
        f"{v['id']}: {v['nodes'][0]['html'][:200]}"
        for v in result["violations"]
        if v["impact"] in {"serious", "critical"}
    ]


class LabPage:
    """One notebook in one browser tab.

    Attributes
    ----------
    outside
        Addresses the page asked for that are not the server's; the browser reaches no other host.
    """

    def __init__(self, tab: Page, base: str) -> None:
        self.outside: list[str] = []
        self._page = tab
        # Heard, not routed: what is routed is never taken from the cache, and JupyterLab is 20 MB of code.
        own = (f"{base}/", "data:", "blob:")
        self._hear = lambda r: None if r.url.startswith(own) else self.outside.append(r.url)
        tab.on("request", self._hear)

    def load(self, address: str) -> None:
        """Load JupyterLab with one notebook."""
        self._page.goto(address, wait_until="domcontentloaded")
        self._await_cells()

    def show(self, notebook: str) -> None:
        """Open a notebook in a tab that shows none, of a JupyterLab that is loaded."""
        self._page.evaluate(_OPEN, notebook)
        self._page.wait_for_function(_IS_OPEN, arg=notebook, polling=_LOOK_MS)
        self._await_cells()

    def clear(self) -> Page:
        """Close all that is open in the tab; return it as it was at first, for another notebook."""
        self._page.remove_listener("request", self._hear)
        self._page.unroute_all()
        self._page.evaluate(_CLEAR)
        self.theme("light")
        self.resize(_WIDTH)
        return self._page

    def close(self) -> None:
        """Close the tab."""
        self._page.close()

    def _await_cells(self) -> None:
        self._page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        self._page.wait_for_function(_READY, polling=_LOOK_MS)

    @property
    def width(self) -> int:
        """Width of the page in pixels."""
        return _WIDTH

    def title(self) -> str:
        """Return the title of the tab."""
        return self._page.title()

    def start_all(self) -> None:
        """Run every cell, and do not wait."""
        self._command("notebook:run-all-cells")

    def await_idle(self) -> None:
        """Wait until every cell has run and the kernel is idle."""
        self._page.wait_for_function(_DONE, polling=_LOOK_MS)

    def await_kernel(self) -> None:
        """Wait until the kernel is idle, whatever cells have run."""
        self._page.wait_for_function(_READY, polling=_LOOK_MS)

    def run_all(self) -> None:
        """Run every cell, and wait until the kernel is idle."""
        self.start_all()
        self.await_idle()

    def interrupt(self) -> None:
        """Interrupt the kernel, as the stop button does."""
        self._command("notebook:interrupt-kernel")

    def theme(self, name: str) -> None:
        """Switch to the theme ``light`` or ``dark``."""
        self._command("apputils:change-theme", {"theme": THEMES[name]})
        self._page.wait_for_selector(f"body[data-jp-theme-name='{THEMES[name]}']", state="attached")
        self._page.wait_for_selector("#jupyterlab-splash", state="detached")

    def save(self) -> None:
        """Write the notebook to its file."""
        self._page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def reload(self) -> None:
        """Load the page anew; its kernel goes on."""
        self._page.reload(wait_until="domcontentloaded")
        self._await_cells()

    def restart(self) -> None:
        """Restart the kernel, and wait until the new one is idle."""
        self._page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
        self._page.wait_for_function(_READY, polling=_LOOK_MS)

    def end_kernel(self) -> None:
        """End the kernel, and start no other."""
        self._page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")

    def run_cell(self, at: int) -> None:
        """Run one cell, counted from 0, and do not wait."""
        self._page.evaluate("at => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = at; }", at)
        self._command("notebook:run-cell")

    def resize(self, width: int, height: int = _PART) -> None:
        """Make the window so many pixels wide, and high."""
        self._page.set_viewport_size({"width": width, "height": height})

    def evaluate(self, script: str, given: object = None) -> Any:
        """Return what a script of the page comes to."""
        return self._page.evaluate(script, given)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        for key in keys:
            self._page.keyboard.press(key)

    def picture(self, at: int, file: Path) -> None:
        """Keep a picture of the outputs of a cell, counted from 0."""
        self._page.locator(".jp-Notebook .jp-Cell").nth(at).locator(".jp-Cell-outputWrapper").screenshot(path=str(file))

    def violations(self, selector: str, rules: Sequence[str] = ()) -> list[str]:
        """List what axe-core finds serious or critical in the parts of the page that `selector` names."""
        return violations(self._page, selector, rules)

    def errors(self) -> list[str]:
        """Return the message of every error output."""
        return list(self._page.evaluate(_ERRORS))

    def output(self, of: str) -> Locator:
        """Find the output of the cell whose code begins with `of`."""
        cell = self._page.locator(".jp-CodeCell").filter(has=self._page.locator(".cm-line").first.filter(has_text=of))
        return cell.locator(".jp-Cell-outputArea")

    def part(self, selector: str) -> Locator:
        """Find a part of the page."""
        return self._page.locator(selector)

    def answer(self, address: str, status: int) -> None:
        """Let requests to an address be answered with an error, from the next load of the page on."""
        self._page.route(address, lambda route: route.fulfill(status=status))

    def screenshots(self, name: str, width: int = _WIDTH) -> list[Path]:
        """Keep pictures of the whole notebook, top to bottom, under ``tests/artifacts``."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        for old in ARTIFACTS.glob(f"{name}-*.png"):
            old.unlink()
        height = int(self._page.evaluate(_HEIGHT)) + _AROUND
        self._page.set_viewport_size({"width": width, "height": height})
        self._page.evaluate(_TO_TOP)
        files = []
        for at, top in enumerate(range(0, height, _PART)):
            files.append(ARTIFACTS / f"{name}-{at + 1}.png")
            part = {"x": 0, "y": top, "width": width, "height": min(_PART, height - top)}
            self._page.screenshot(path=str(files[-1]), clip=part)
        return files

    def _command(self, name: str, args: dict[str, Any] | None = None) -> None:
        self._page.evaluate("([name, args]) => void window.jupyterapp.commands.execute(name, args)", [name, args or {}])


class Lab:
    """A JupyterLab server of its own: configuration, kernels' homes and notebooks are in one folder."""

    def __init__(self, folder: Path, browser: Browser) -> None:
        self._notebooks = folder / "notebooks"
        self._notebooks.mkdir()
        self._context = browser.new_context(viewport={"width": _WIDTH, "height": _PART})
        self._shown: list[LabPage] = []
        self._free: list[Page] = []  # tabs with JupyterLab and no notebook: to load it takes longer than all else
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._token = secrets.token_hex(16)
        self._base = f"http://127.0.0.1:{port}"
        self._log = folder / "server.log"
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"),
                    *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
                    *(f"--IdentityProvider.token={self._token}", f"--ServerApp.root_dir={self._notebooks}"),
                    *("--LabApp.expose_app_in_browser=True", "--LabApp.collaborative=False"),
                    f"--LabApp.extra_labextensions_path={LABEXTENSIONS}",  # those of this tree, not of an installation
                ],
                env=_environment(folder),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._await_server()

    def _ask(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(  # noqa: S310  our own server
            f"{self._base}/api/{path}", headers={"Authorization": f"token {self._token}"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  our own server
            return bytes(answer.read())

    def _await_server(self) -> None:
        for _ in range(_START_S * 4):
            try:
                self._ask("status")
            except (urllib.error.URLError, OSError):
                try:
                    self._server.wait(0.25)
                except subprocess.TimeoutExpired:
                    continue
                break
            return
        pytest.fail(f"JupyterLab did not start:\n{self._log.read_text('utf-8', 'replace')[-2000:]}")

    @property
    def home(self) -> Path:
        """The home of all kernels, and of the server."""
        return self._notebooks.parent / "home"

    def open(self, notebook: NotebookNode, name: str) -> LabPage:
        """Open a copy of `notebook` without its outputs, called `name`, with a kernel of its own."""
        copy = deepcopy(notebook)
        for cell in copy.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(copy, self._notebooks / name)
        if not self._free:
            return self._load(name)
        page = LabPage(self._free.pop(), self._base)
        page.show(name)
        self._shown.append(page)
        return page

    def _load(self, name: str) -> LabPage:
        tab = self._context.new_page()
        tab.set_default_timeout(_PATIENCE_S * 1000)
        page = LabPage(tab, self._base)
        # One document on an empty workspace: nothing restored.
        page.load(f"{self._base}/doc/tree/{name}?token={self._token}&reset")
        self._shown.append(page)
        return page

    def close_pages(self) -> None:
        """Close what is open, and end its kernels: they would go on working beside the next pages."""
        self._free += [page.clear() for page in self._shown]
        self._shown.clear()
        for kernel in json.loads(self._ask("kernels")):
            self._ask(f"kernels/{kernel['id']}", method="DELETE")

    def reopen(self, page: LabPage, name: str) -> LabPage:
        """Save a notebook, end its kernel, and open its file again, as on the next day."""
        page.save()
        page.end_kernel()
        self._shown.remove(page)
        page.close()
        return self._load(name)

    def saved(self, name: str) -> NotebookNode:
        """Read a notebook as it is in its file."""
        return nbformat.read(self._notebooks / name, as_version=4)

    def stop(self) -> None:
        """Close the pages and end the server with its kernels."""
        self._context.close()
        os.killpg(self._server.pid, signal.SIGTERM)
        try:
            self._server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait(5)


def _environment(folder: Path) -> dict[str, str]:
    for name, values in _SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    page = folder / "config" / "labconfig" / "page_config.json"
    page.parent.mkdir(parents=True)
    page.write_text(json.dumps(_PAGE))
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "SKILLFLEET_HOME": "home",
        "DSPY_CACHEDIR": "dspy",
    }
    return {**os.environ, **{name: str(folder / value) for name, value in own.items()}}
