"""Who may look and not spend: a second token of the server, and the authorizer that keeps to it.

``skillfleet serve`` uses both; a server of your own does with::

    c.ServerApp.identity_provider_class = "skillfleet_nb.server.roles.Tokens"
    c.ServerApp.authorizer_class = "skillfleet_nb.server.roles.RoleAuthorizer"
    c.RoleAuthorizer.viewers = ["viewer", "ann"]
"""

from __future__ import annotations

import os
from hmac import compare_digest
from typing import TYPE_CHECKING

from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.auth.identity import PasswordIdentityProvider, User
from traitlets import List, Unicode, default

if TYPE_CHECKING:
    from jupyter_server.base.handlers import JupyterHandler
    from tornado.web import RequestHandler

VIEWER = "viewer"


class Tokens(PasswordIdentityProvider):
    """Jupyter's own token and password, and beside them a token for whoever may only look."""

    viewer_token = Unicode(
        help="Token of the user 'viewer'; by default $SKILLFLEET_VIEWER_TOKEN. Empty: there is none."
    ).tag(config=True)

    @default("viewer_token")  # type: ignore[untyped-decorator]
    def _viewer_token_default(self) -> str:
        return os.environ.get("SKILLFLEET_VIEWER_TOKEN", "")

    async def get_user_token(self, handler: RequestHandler) -> User | None:
        """Know the viewer by their token, and all others as before."""
        token = self.get_token(handler) or ""
        if self.viewer_token and compare_digest(token.encode(), self.viewer_token.encode()):
            return User(username=VIEWER, name="Viewer", display_name="Viewer")
        return await super().get_user_token(handler)


class RoleAuthorizer(Authorizer):
    """Lets viewers read, in all of the server, and all others do everything."""

    viewers = List(Unicode(), [VIEWER], help="Names of users who may only read.").tag(config=True)

    def is_authorized(self, handler: JupyterHandler, user: User, action: str, resource: str) -> bool:
        """Tell whether somebody may do this."""
        del handler, resource
        return action == "read" or user.username not in self.viewers
