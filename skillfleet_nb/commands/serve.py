"""The server on its own: Jupyter Server with the routes, for machines and people without a notebook."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command
from skillfleet_nb.commands.server_process import HERE, await_start, door, end, ended_by_term, free_port, start
from skillfleet_nb.commands.views import Note
from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context

_ABOUT = """Serve the jobs of a home over HTTP, behind a token, until Ctrl-C ends it, with a page that follows them.

In JupyterLab the same routes are there without this command: it is for machines that have no notebook. The token is
$JUPYTER_TOKEN, or a new one; who comes with $SKILLFLEET_VIEWER_TOKEN may look and not spend."""


@command(
    "serve",
    "serve jobs over HTTP, for other machines, editors and scripts",
    argument("--port", type=int, default=0, metavar="N", help="port; by default a free one"),
    argument("--root", default=".", metavar="FOLDER", help="folder that paths in requests lie below (.)"),
    argument(
        "--ip", default=HERE, metavar="ADDRESS", help=f"address to listen at; by default this machine's own, {HERE}"
    ),
    argument("--no-browser", action="store_true", help="open no page"),
    about=_ABOUT,
    examples=("serve", "serve --port 8888 --root project --no-browser"),
    task="Learn from runs",
    place=12,
)
def _serve(c: Context, a: argparse.Namespace) -> Note:
    if c.stays:
        raise InputError("serve is for a shell: in a notebook, Jupyter's own server answers at skillfleet/api/v1")
    if find_spec("jupyter_server") is None:
        raise InputError("serve needs Jupyter Server: pip install 'skillfleet-nb[server]'")
    root = Path(a.root).resolve()
    if not root.is_dir():
        raise InputError(f"--root {a.root!r} is no folder: give one that there is")
    port, token = free_port(a.port), os.environ.get("JUPYTER_TOKEN") or secrets.token_urlsafe(24)
    address = f"http://{a.ip}:{port}"
    with tempfile.TemporaryDirectory(prefix="skillfleet-serve-") as folder:
        log = Path(folder) / "server.log"
        server = start(
            [*_COMMAND, f"--ServerApp.root_dir={root}", f"--ServerApp.ip={a.ip}", f"--ServerApp.port={port}"],
            # The token is not among the arguments, which every user of the machine can read.
            {"JUPYTER_TOKEN": token, "SKILLFLEET_HOME": str(c.fleet.home.root.resolve())},
            log,
        )
        try:
            with ended_by_term():
                await_start(server, f"{address}/skillfleet/api/v1/health", log, "Jupyter Server")
                c.say(Note(f"serving {c.fleet.home} at {address}\nexport SKILLFLEET_SERVER={address}"))
                if "JUPYTER_TOKEN" not in os.environ:
                    c.say(Note(f"export SKILLFLEET_TOKEN={token}"))
                c.say(Note(f"its page is {address}/skillfleet\nCtrl-C ends it"))
                sys.stdout.flush()
                if not a.no_browser:
                    webbrowser.open(door(Path(folder), f"{address}/skillfleet?token={token}"))
                server.wait()
        except KeyboardInterrupt:
            pass
        finally:
            end(server)
    return Note("the server has ended; detached jobs go on")


_COMMAND = (
    "jupyter_server", "--no-browser", "--ServerApp.port_retries=0", "--ServerApp.allow_root=True",
    "--ServerApp.jpserver_extensions={'skillfleet_nb.server': True}",
    "--ServerApp.identity_provider_class=skillfleet_nb.server.roles.Tokens",
    "--ServerApp.authorizer_class=skillfleet_nb.server.roles.RoleAuthorizer",
)  # fmt: skip
