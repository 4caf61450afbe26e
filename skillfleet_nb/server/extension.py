"""The handlers of all routes, as they are put beside those of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_server.utils import url_path_join

from skillfleet_nb.server.handlers import Document, Handler, Health, Unknown
from skillfleet_nb.server.page import Page, Static
from skillfleet_nb.server.route import PREFIX, pattern
from skillfleet_nb.server.routes import routes
from skillfleet_nb.server.stream import HomeStream, Stream

if TYPE_CHECKING:
    from skillfleet_nb.server.route import Route
    from skillfleet_nb.server.service import Service


def handlers(service: Service, base_url: str) -> list[Any]:
    """Return what answers at which address."""
    by_path: dict[str, dict[str, Route]] = {}
    for one in routes():
        for path in (f"{PREFIX}/{one.path}", *one.aliases):
            by_path.setdefault(path, {})[one.method] = one
    shared = {"service": service}
    entries: list[Any] = [
        (url_path_join(base_url, PREFIX, "health"), Health, shared),
        (url_path_join(base_url, PREFIX, r"openapi\.json"), Document, shared),
    ]
    entries += [
        (url_path_join(base_url, PREFIX, pattern("jobs/{job}/stream")), Stream, shared),
        (url_path_join(base_url, PREFIX, "stream"), HomeStream, shared),
    ]
    entries += [
        (url_path_join(base_url, pattern(path)), Handler, {**shared, "routes": methods})
        for path, methods in by_path.items()
    ]
    entries += [
        (url_path_join(base_url, "skillfleet/?"), Page),
        (url_path_join(base_url, r"skillfleet/static/([\w.]+)"), Static),
    ]
    return [*entries, (url_path_join(base_url, "skillfleet/(.*)"), Unknown, shared)]
