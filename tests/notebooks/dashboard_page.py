"""A view, such as the dashboard, in a page of its own, without a server: what both sides say is handed on by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from skillfleet_nb.widgets import Dashboard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.sync_api import Browser, Page

    from skillfleet_nb import Fleet

TRAITS = ("library", "filters", "chosen", "path", "columns", "grouped", "archived")
WIDGET_MODEL = """([state, esm, css]) => {
  const heard = {}, said = [];
  const hear = (what, ...given) => (heard[what] || []).forEach((f) => f(...given));
  const model = {
    get: (name) => structuredClone(state[name]),
    set: (name, value) => {
      state[name] = value;
      said.push({ set: name, value });
      hear(`change:${name}`);
    },
    save_changes: () => {},
    send: (message) => said.push(message),
    on: (what, f) => (heard[what] ??= []).push(f),
    off: (what, f) => { heard[what] = (heard[what] || []).filter((one) => one !== f); },
  };
  globalThis.kernel = {
    said: () => said.splice(0),
    take: (name, value) => {
      if (JSON.stringify(state[name]) === JSON.stringify(value)) return;
      state[name] = value;
      hear(`change:${name}`);
    },
    tell: (message, text) => {
      if (message.kind === "rows") globalThis.rowsAt ??= performance.now();
      hear("msg:custom", message, text === null ? [] : [new TextEncoder().encode(text)]);
    },
  };
  const style = document.createElement("style"), el = document.createElement("div");
  style.textContent = css;
  document.head.append(style);
  document.querySelector("main").append(el);
  el.addEventListener("sf-drawn", () => { globalThis.drawnAt = performance.now(); });
  const module = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  return import(module).then(({ default: view }) => { view.render({ model, el }); });
}"""
THEMES = {  # what JupyterLab's themes set
    "light": "--jp-ui-font-color1:rgba(0,0,0,.87);--jp-layout-color1:#fff;--jp-layout-color2:#eee",
    "dark": "--jp-ui-font-color1:#fff;--jp-layout-color1:#111;--jp-layout-color2:#424242",
}


class WidgetPage:
    """A view in a tab; :meth:`settle` carries what both sides say until neither says more."""

    def __init__(
        self, browser: Browser, view: Any, traits: Sequence[str], *, width: int = 1280, theme: str = "light"
    ) -> None:
        self.view, self.traits = view, traits
        self.outbox: list[tuple[Any, str | None]] = []
        self.view.box.send = self._sent
        self.page: Page = browser.new_page(viewport={"width": width, "height": 1200})
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        ground = "#fff" if theme == "light" else "#111"
        self.page.set_content(
            "<!doctype html><html lang=en><title>jobs</title><body style='margin:8px;font-family:sans-serif;"
            f"background:{ground};{THEMES[theme]}'><main></main></body></html>"
        )
        state = {name: getattr(self.view.box, name) for name in traits}
        self.page.evaluate(WIDGET_MODEL, [state, str(self.view.box._esm), str(self.view.box._css)])
        self.settle()

    def _sent(self, content: Any, buffers: list[bytes] | None = None) -> None:
        self.outbox.append((json.loads(json.dumps(content)), buffers[0].decode() if buffers else None))

    def settle(self) -> None:
        """Carry messages and traits over until all is quiet."""
        box, quiet = self.view.box, 0
        while quiet < 4:
            said = self.page.evaluate("() => kernel.said()")
            for message in said:
                if "set" in message:
                    setattr(box, message["set"], message["value"])
                else:
                    self.view._heard(box, message, [])
            outbox, self.outbox = self.outbox, []
            for content, text in outbox:
                self.page.evaluate("([message, text]) => kernel.tell(message, text)", [content, text])
            for name in self.traits:
                self.page.evaluate("([name, value]) => kernel.take(name, value)", [name, getattr(box, name)])
            quiet = 0 if said or outbox else quiet + 1
            self.page.wait_for_timeout(100)

    def close(self) -> None:
        """Close the tab, and stop looking."""
        self.page.close()
        self.view.close()


class DashboardPage(WidgetPage):
    """A dashboard of a home in a tab."""

    def __init__(self, browser: Browser, fleet: Fleet, *, width: int = 1280, theme: str = "light") -> None:
        super().__init__(browser, Dashboard(fleet), TRAITS, width=width, theme=theme)
