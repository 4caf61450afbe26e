"""The dashboard: a widget in a notebook, and from a shell a page of its own that Voilà serves."""

from __future__ import annotations

import json
import secrets
import tempfile
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.job_views import RunHistory
from skillfleet_nb.commands.server_process import HERE, await_start, door, end, ended_by_term, free_port, start
from skillfleet_nb.commands.views import Note
from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_ABOUT = """Look through the jobs of a home: filter them, compare costs and curves, open one.

In a notebook this is a widget. From a shell it is a page of its own on this machine, behind a token, until
Ctrl-C ends it; that needs skillfleet-nb[dashboard]."""
# Voilà's page would fetch icons from elsewhere, which nothing here uses; the browser then refuses to.
_POLICY = "default-src 'self' data: blob: ws: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'self'"


@command(
    "dashboard",
    "look through all jobs; from a shell as a page of its own",
    argument("--port", type=int, metavar="N", help="from a shell: the port; by default a free one"),
    argument("--dark", action="store_true", help="from a shell: a dark page"),
    argument("--no-browser", action="store_true", help="from a shell: only tell the address"),
    about=_ABOUT,
    examples=("dashboard", "dashboard --port 8877 --no-browser"),
    task="Learn from runs",
    place=0,
)
def _dashboard(c: Context, a: argparse.Namespace) -> object:
    if c.stays:
        return RunHistory(c.fleet)
    if find_spec("voila") is None:
        raise InputError("dashboard needs Voilà to serve a page: pip install 'skillfleet-nb[dashboard]'")
    return _serve(c, free_port(a.port), dark=a.dark, browser=not a.no_browser)


def _serve(c: Context, port: int, *, dark: bool, browser: bool) -> Note:
    """Serve until the person has enough."""
    token = secrets.token_urlsafe(24)
    address = f"http://{HERE}:{port}/login?token={token}"
    with tempfile.TemporaryDirectory(prefix="skillfleet-dashboard-") as folder:
        notebook, log = Path(folder) / "dashboard.ipynb", Path(folder) / "voila.log"
        notebook.write_text(_notebook(str(c.fleet.home.root.resolve())), "utf-8")
        server = start(
            [
                *("skillfleet_nb.widgets.dashboard_server", str(notebook), "--no-browser"),
                *(f"--Voila.ip={HERE}", f"--port={port}", "--Voila.port_retries=0", "--Voila.auto_token=True"),
                f"--Voila.tornado_settings={ {'headers': {'Content-Security-Policy': _POLICY}} }",
                *("--Voila.mathjax_url=", f"--theme={'dark' if dark else 'light'}"),
            ],
            {"JUPYTER_TOKEN": token},  # not among the arguments, which every user of the machine can read
            log,
        )
        try:
            with ended_by_term():
                await_start(server, address.partition("?")[0], log, "Voilà")
                c.say(Note(f"the dashboard is at {address}\nCtrl-C ends it"))
                if browser:
                    webbrowser.open(door(Path(folder), address))
                server.wait()
        except KeyboardInterrupt:
            pass
        finally:
            end(server)
    return Note("the dashboard has ended")


def _notebook(home: str) -> str:
    imports = "from skillfleet_nb import Fleet\nfrom skillfleet_nb.widgets import Dashboard"
    cell: dict[str, Any] = {"cell_type": "code", "execution_count": None, "id": "dashboard"}
    cell |= {"metadata": {}, "outputs": [], "source": f"{imports}\n\nDashboard(Fleet({home!r}))"}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps(
        {
            "cells": [cell],
            "metadata": {"kernelspec": kernel, "title": "Skillfleet"},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )
