"""The page of a server without JupyterLab: dashboard and monitor, drawn by the modules of JupyterLab's side."""

from __future__ import annotations

from html import escape
from pathlib import Path

from jupyter_server.base.handlers import JupyterHandler
from tornado import web

_FOLDER = Path(__file__).parent / "labextensions" / "skillfleet-nb" / "static"
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css"}
_PAGE = """<!doctype html>
<html lang="en" data-base="{base}"><head><meta charset="utf-8"><title>Skillfleet</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<link rel="stylesheet" href="{base}skillfleet/static/page.css">
<link rel="stylesheet" href="{base}skillfleet/static/lab.css">
<script type="module" src="{base}skillfleet/static/page.js"></script></head>
<body><nav></nav><main></main><footer></footer></body></html>
"""


class Page(JupyterHandler):
    """The page; who has no token is led to where one is asked for."""

    @web.authenticated
    def get(self) -> None:
        """Send it, with the cookie by which it may steer jobs."""
        _ = self.xsrf_token
        self.finish(_PAGE.format(base=escape(self.base_url, quote=True)))


class Static(JupyterHandler):
    """The page's modules and style sheets."""

    @web.authenticated
    def get(self, name: str) -> None:
        """Send one of them."""
        from skillfleet_nb.widgets.grid import LIBRARY

        file = {path.name: path for path in (*_FOLDER.iterdir(), LIBRARY)}.get(name)
        if file is None:
            raise web.HTTPError(404)
        self.set_header("Content-Type", _TYPES[file.suffix])
        self.set_header("Cache-Control", "no-cache")
        self.finish(file.read_bytes())
