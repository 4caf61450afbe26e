"""What a Jupyter server holds of this extension until somebody asks it something: an address, and no code behind it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server.utils import url_path_join
from tornado.routing import Router

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerWebApplication
    from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest

_EVERY_HOST = ".*$"
_BELOW = r"(?:skillfleet(?:/.*)?|api/v[12]/.*)"  # the page and the routes, and the addresses they had before


class Door(Router):
    """Makes the handlers at the first request, for they take longer to import than all else that Jupyter starts.

    Parameters
    ----------
    application
        Of the server.
    root
        The server's folder.
    """

    SUPPORTED_METHODS = ()  # Jupyter asks those of each handler whether they need a token: here is none to ask

    def __init__(self, application: ServerWebApplication, root: str) -> None:
        self._application, self._root = application, Path(root)
        self._base = str(application.settings["base_url"])
        self._is_open, self._since = False, datetime.now(UTC)

    def open(self) -> None:
        """Wait for requests."""
        self._application.add_handlers(_EVERY_HOST, [(url_path_join(self._base, _BELOW), self)])  # type: ignore[no-untyped-call]

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate | None:
        """Make the handlers, which stand behind this one; let all later requests through to them."""
        del kwargs
        if self._is_open:
            return None
        from skillfleet_nb.server.extension import handlers
        from skillfleet_nb.server.service import Service

        self._is_open = True
        self._application.add_handlers(_EVERY_HOST, handlers(Service(self._root, self._since), self._base))  # type: ignore[no-untyped-call]
        return self._application.find_handler(request)
