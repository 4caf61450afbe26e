"""The server extension: jobs, advice and skills over HTTP, in the Jupyter Server that is there already.

``route`` is what a route is, ``routes/`` declares them all; ``handlers`` answers requests by them, ``openapi``
describes them.  Nothing but Jupyter imports this room, so no command needs a server to be installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Tell Jupyter Server which module to load."""
    return [{"module": "skillfleet_nb.server"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    """Put the routes beside the server's own."""
    from skillfleet_nb.server.door import Door

    Door(server.web_app, server.root_dir).open()
