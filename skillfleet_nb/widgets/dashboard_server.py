"""The server of the dashboard's page: Voilà, behind a token that is spent at the door, with one kernel for all.

It is started as a process of its own, with the notebook to serve; ``JUPYTER_TOKEN`` holds the token.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado import web
from tornado.iostream import StreamClosedError
from traitlets import Bool
from voila.app import Voila
from voila.tornado.handler import TornadoVoilaHandler
from voila.voila_identity_provider import VoilaIdentityProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CLOSED = (
    "<!doctype html><title>Skillfleet</title><p>This dashboard is opened by the address that "
    "<code>skillfleet dashboard</code> has told, once, in one browser. Start it again for another."
)


class OnceToken(VoilaIdentityProvider):  # type: ignore[misc]  # Voilà has no types
    """Takes the token once, for a cookie: no other request is let in by it, and so none leaves out the origin."""

    is_spent = Bool(default_value=False)

    def get_token(self, handler: web.RequestHandler) -> str | None:
        """Find no token in any request."""
        del handler
        return None

    def spend(self, token: str) -> bool:
        """Take a token; tell whether it was the right one, for the first time."""
        taken = not self.is_spent and hmac.compare_digest(token.encode(), str(self.token).encode())
        self.is_spent = self.is_spent or taken
        return taken


class Door(JupyterHandler):
    """Gives a cookie for the token, and leads to an address that holds none."""

    @allow_unauthenticated
    def get(self) -> None:
        """Let in whoever has the token or a cookie."""
        provider: OnceToken = self.identity_provider
        if self.current_user is None:
            if not provider.spend(self.get_argument("token", "")):
                self.set_status(403)
                self.finish(_CLOSED)
                return
            provider.set_login_cookie(self, provider.generate_anonymous_user(self))
        self.redirect(self.base_url)


@dataclass
class Opened:
    """What the first opening has rendered, and by which kernel."""

    kernel_id: str = ""
    parts: list[str] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Page(TornadoVoilaHandler):  # type: ignore[misc]  # Voilà has no types
    """The page; every opening of it looks at the same kernel, as two tabs of a notebook do."""

    def initialize(self, opened: Opened, **kwargs: Any) -> None:
        """Take what all openings share."""
        super().initialize(**kwargs)
        self._opened = opened

    @web.authenticated
    async def get(self) -> None:
        """Send the page: as it is rendered, or as it was."""
        self.set_header("Content-Type", "text/html")
        self.set_header("Cache-Control", "no-store")
        async with self._opened.lock:
            is_there = self._opened.kernel_id in self.kernel_manager.list_kernel_ids()
            async for part in self._kept() if is_there else self._rendered():
                self.write(part)
                with suppress(StreamClosedError):  # who goes away stops the page for nobody else
                    await self.flush()

    async def _kept(self) -> AsyncIterator[str]:
        for part in self._opened.parts:
            yield part

    async def _rendered(self) -> AsyncIterator[str]:
        parts = []
        async for part in self.get_generator():
            parts.append(part)
            yield part
        (self._opened.kernel_id,), self._opened.parts = self.kernel_manager.list_kernel_ids(), parts


class Stay(APIHandler):
    """Hears that a page was closed; its kernel is that of other pages too, and ends with the server."""

    @web.authenticated
    def post(self, kernel_id: str) -> None:
        """Do nothing."""
        del kernel_id
        self.set_status(204)
        self.finish()


class DashboardServer(Voila):  # type: ignore[misc]  # Voilà has no types
    """Voilà, with the handlers above before its own."""

    def init_handlers(self) -> list[Any]:
        """Put the door, the page and what keeps the kernel first."""
        notebook = os.path.relpath(self.notebook_path, self.root_dir)
        options = {"notebook_path": notebook, "template_paths": self.template_paths, "config": self.config}
        options |= {"voila_configuration": self.voila_configuration, "opened": Opened()}
        ours = [("/login", Door), ("/voila/api/shutdown/(.*)", Stay), ("/", Page, options)]
        return [*ours, *super().init_handlers()]


if __name__ == "__main__":
    DashboardServer.identity_provider_class.default_value = OnceToken
    DashboardServer.launch_instance()
