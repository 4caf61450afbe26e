"""Handlers of Jupyter Server, one a path: who asks is looked at first, then what, then the route answers on a thread.

Jupyter's own identity provider says who it is, its authorizer what they may, and its handlers look at the host, the
origin and the XSRF cookie of whoever comes with a cookie and no token.
"""

from __future__ import annotations

import re
import traceback
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import orjson
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import ensure_async
from pydantic import ValidationError
from tornado import web

from skillfleet_nb.errors import HomeError, SkillfleetError
from skillfleet_nb.security import Redactor
from skillfleet_nb.server.caching import Made, position
from skillfleet_nb.server.problems import TYPE, Problem, RefusedError, problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel

    from skillfleet_nb.server.caching import Position
    from skillfleet_nb.server.route import Permission, Route
    from skillfleet_nb.server.service import Service

_ANONYMOUS = re.compile(r"[0-9a-f]{32}")  # how Jupyter names whoever has nothing but its token
_VERSION = version("skillfleet-nb")
TOKEN_USER = "token"  # noqa: S105  a name, no token
_MB = 1_000_000
_LINGER = 16 * _MB  # of a body that is too large, read on so that its sender hears why; then the connection is closed
_FINAL_S = 300  # how long nobody need ask again about a job that is complete; a note or a tag may yet be added


class Base(APIHandler):
    """What every handler of this extension does before it answers."""

    def initialize(self, service: Service) -> None:
        """Take what all requests share."""
        self.service = service

    def set_default_headers(self) -> None:
        """Say that nothing is to be guessed or kept."""
        super().set_default_headers()
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Skillfleet-API", "1")
        self.set_header("Cache-Control", "no-store")

    @property
    def methods(self) -> Sequence[str]:
        """The methods that are for this address."""
        return ("GET",)

    @property
    def user(self) -> str:
        """Who asks, by name; whoever only has the server's token is told apart from nobody."""
        name = str(getattr(self.current_user, "username", "") or "")
        return TOKEN_USER if _ANONYMOUS.fullmatch(name) else name

    async def admit(self, permission: Permission, resource: str) -> None:
        """Let in who may do this.

        Raises
        ------
        RefusedError
            Naming what is missing.
        """
        if self.current_user is None:
            raise self._nobody()
        allowed = self.authorizer.is_authorized(self, self.current_user, permission, resource)
        if not await ensure_async(allowed):
            raise RefusedError(
                HTTPStatus.FORBIDDEN,
                f"{self.user} may not {permission} {resource.partition(':')[2]}: "
                "ask who runs the server for another role",
            )

    def _nobody(self) -> RefusedError:
        return RefusedError(
            HTTPStatus.UNAUTHORIZED,
            "no token, or a wrong one: send the header 'Authorization: token TOKEN' with the server's token, which "
            "`jupyter server list` tells on its machine",
            **{"WWW-Authenticate": "token"},
        )

    def refuse(self, exc: BaseException, *, is_named_in_path: bool = False) -> None:
        """Answer with what was wrong."""
        if isinstance(exc, web.HTTPError):
            self.write_error(exc.status_code, exc_info=(type(exc), exc, None))
            return
        if not isinstance(exc, SkillfleetError | RefusedError | ValidationError):
            trace = "".join(traceback.format_exception(exc))
            self.log.error("skillfleet: %s", Redactor().text(trace))
        self._write_problem(problem(exc, is_named_in_path=is_named_in_path), getattr(exc, "headers", {}))

    def _write_problem(self, problem: Problem, headers: Mapping[str, str]) -> None:
        self.set_status(problem.status)
        for name, value in headers.items():
            self.set_header(name, value)
        self.finish_json(self.service.encoded(problem), TYPE)

    def finish_json(self, body: bytes, content_type: str = "application/json") -> None:
        """Send a body that is JSON."""
        self.set_header("Content-Type", content_type)
        super(APIHandler, self).finish(body)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say what Jupyter or Tornado refuse in the same form."""
        exc = kwargs.get("exc_info", (None, None, None))[1]
        detail = (getattr(exc, "log_message", None) or "") if isinstance(exc, web.HTTPError) else ""
        status = HTTPStatus(status_code)
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(self.methods))
        fallback = (
            "the server has a defect: its log says more" if status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else ""
        )
        fault = Problem(title=status.phrase, status=status_code, detail=detail or fallback or status.description)
        self._write_problem(fault, {})


@web.stream_request_body
class Handler(Base):
    """Answers the routes of a path."""

    def initialize(self, service: Service, routes: Mapping[str, Route]) -> None:  # type: ignore[override]
        """Take what all requests share, and the routes of the path by method."""
        super().initialize(service)
        self._routes = routes
        self._body = bytearray()
        self._is_too_large, self._received, self._most = False, 0, 0
        self._is_read = False  # the body, whole
        self._refused: Exception | None = None

    async def prepare(self) -> None:  # type: ignore[override]  # as APIHandler does
        """Look at who asks, before any of the body is read; who is refused is told so once it is read.

        An answer that comes before would be lost: the server would close the connection on what is still sent.  Who
        asks before sending, as curl does with what is large, is told at once.
        """
        try:
            await super().prepare()
            if self.current_user is not None and not self._reads:
                megabytes = await self.service.off_loop(lambda: self.service.fleet.settings.serving.max_body_mb)
                self._most = int(megabytes * _MB)
                if int(self.request.headers.get("Content-Length", 0)) > self._most:
                    self._refused = self._too_large()
        except Exception as exc:  # noqa: BLE001  told as any other
            self._refused = exc
        if self.current_user is None:
            self._refused = self._nobody()
        if self._refused is not None and self.request.headers.get("Expect") == "100-continue":
            self.refuse(self._refused)

    @property
    def methods(self) -> Sequence[str]:
        """The methods of its routes."""
        return tuple(self._routes)

    @property
    def _reads(self) -> bool:
        return self.request.method in {"GET", "HEAD"}

    def data_received(self, chunk: bytes) -> None:
        """Take in a piece of the body; what is too much is let go, and of that not all is waited for."""
        self._received += len(chunk)
        self._is_too_large = self._received > self._most
        if not self._is_too_large:
            self._body += chunk
        elif self._received > self._most + _LINGER and not self._finished:
            self.refuse(self._refused or self._too_large())

    def _write_problem(self, problem: Problem, headers: Mapping[str, str]) -> None:
        if not self._is_read:  # Tornado closes the connection then, which a client would find out by its next request
            self.set_header("Connection", "close")
        super()._write_problem(problem, headers)

    def _too_large(self) -> RefusedError:
        return RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body is larger than the {self._most:,} bytes that are allowed: name a file of the server's in "
            "place of rows, or raise max_body_mb under [serving] in config.toml",
        )

    @allow_unauthenticated  # answered as a problem, not with a page to log in at
    async def get(self, **path: str) -> None:
        """Answer a route that reads."""
        await self._answer(path)

    @allow_unauthenticated
    async def post(self, **path: str) -> None:
        """Answer a route that does something."""
        await self._answer(path)

    put = patch = delete = post  # told which methods there are

    async def _answer(self, path: dict[str, str]) -> None:
        self._is_read = True
        route = self._routes.get(str(self.request.method))
        if route is None:
            allowed = ", ".join(self.methods)
            detail = f"{self.request.method} is not for this address: use {allowed}"
            self.refuse(RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, detail, Allow=allowed))
            return
        try:
            await self._admitted(route, path)
            asked = self._asked(route)
            if route.kept is None:
                self._send(route, await self.service.off_loop(self.service.sent, route, path, asked, self.user))
            else:
                await self._answer_kept(route, path, asked)
        except Exception as exc:  # noqa: BLE001  whatever a route raises is told
            self.refuse(exc, is_named_in_path=bool(path))

    async def _admitted(self, route: Route, path: dict[str, str]) -> None:
        try:
            await self.admit(route.permission, route.resource)
        except RefusedError as exc:
            if self.current_user is not None:
                await self.service.off_loop(self.service.refused, route, path, self.user, exc)
            raise

    def _asked(self, route: Route) -> BaseModel:
        """Read the query or the body, if nothing was refused before it was read."""
        if self._refused is not None:
            raise self._refused
        if self._is_too_large:
            raise self._too_large()
        if route.reads_query:
            parameters = {
                name: [v.decode("utf-8", "replace") for v in values]
                for name, values in self.request.query_arguments.items()
            }
            parameters.pop("token", None)
            if twice := [name for name, values in parameters.items() if len(values) > 1]:
                raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{twice[0]} is given twice: give it once")
            return route.takes.model_validate_strings({name: values[0] for name, values in parameters.items()})
        content_type = self.request.headers.get("Content-Type", "application/json").partition(";")[0].strip()
        if self._body and content_type != "application/json":
            detail = f"the body is {content_type}: send it as application/json"
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
        return route.takes.model_validate_json(bytes(self._body) or b"{}", strict=True)

    async def _answer_kept(self, route: Route, path: dict[str, str], asked: BaseModel) -> None:
        """Answer what stays the same until something is written: with 304, where the client has it."""
        address = f"{route.name} {sorted(path.items())} {asked!r}"
        make = partial(self._make, route, path, asked, address)
        made, is_old = self.service.rush.get(address)
        if made is None:
            made = await make(self.request.headers.get("If-None-Match", ""))
        elif is_old:
            self.service.behind(address, make)
        self.set_header("Cache-Control", made.cache_control)
        if made.position is not None:
            self.set_header("ETag", made.position.etag)
            if made.position.at is not None:
                self.set_header("Last-Modified", formatdate(made.position.at, usegmt=True))
            if self.check_etag_header():
                self.set_status(HTTPStatus.NOT_MODIFIED)
                super(APIHandler, self).finish()
                return
        self._send(route, made.body)

    async def _make(self, route: Route, path: dict[str, str], asked: BaseModel, address: str, has: str = "") -> Made:
        """Make an answer; where the client `has` the one of this position, there is no body."""
        service, job, user = self.service, path.get("job"), self.user
        began = service.rush.now()

        async def look() -> Position | None:
            try:
                return await service.off_loop(position, service.fleet, route, job)
            except HomeError:  # locked: what it has told goes, as its database does
                service.bodies.forget()
                service.rush.forget()
                raise

        def work() -> bytes:
            return service.sent(route, path, asked, user)

        now = await service.shared.once((route.kept, route.ticks, job), look)
        if now is None:
            body = await service.shared.once(address, lambda: service.off_loop(work))
            service.rush.put(address, began, made := Made(body, None, "private, no-cache"))
            return made
        kept = service.bodies.get(address, now.etag)
        if kept is None and now.etag in has:
            return Made(b"", now, "private, no-cache")
        body = kept if kept is not None else await service.shared.once(address, lambda: service.off_loop(work))
        if kept is None and await service.shared.once((route.kept, route.ticks, job), look) != now:
            made = Made(body, None, "private, no-cache")  # written meanwhile: it belongs to neither position
        else:
            service.bodies.put(address, now.etag, body)
            final = job is not None and await service.off_loop(service.is_final, job)
            for_good = ", immutable" if not route.ticks else ""  # what a job says of itself may get a note yet
            made = Made(body, now, f"private, max-age={_FINAL_S}{for_good}" if final else "private, no-cache")
        service.rush.put(address, began, made)
        return made

    def _send(self, route: Route, body: bytes) -> None:
        self.set_status(route.status)
        if route.status == HTTPStatus.CREATED and isinstance(made := orjson.loads(body), dict) and "id" in made:
            self.set_header("Location", f"{self.base_url}skillfleet/api/v1/jobs/{made['id']}")
        self.finish_json(body)

    def compute_etag(self) -> str | None:
        """Leave Tornado's own out, which is of the body: a position is told before there is one."""
        return None


class Health(Base):
    """Says that the server answers; the one thing that is told to anybody."""

    @allow_unauthenticated
    def get(self) -> None:
        """Tell which version this is."""
        self.finish_json(orjson.dumps({"status": "ok", "version": _VERSION, "api": 1}))


class Document(Base):
    """The OpenAPI document."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Return it to whoever may read."""
        from skillfleet_nb.server.openapi import document

        try:
            await self.admit("read", "skillfleet:openapi")
            self.finish_json(await self.service.off_loop(lambda: orjson.dumps(document(self.base_url))))
        except Exception as exc:  # noqa: BLE001  told as any other
            self.refuse(exc)


class Unknown(Base):
    """Anything below the extension's address that is no route."""

    @allow_unauthenticated
    async def get(self, *_: str) -> None:
        """Say so."""
        address = f"{self.base_url}skillfleet/api/v1/openapi.json"
        self.refuse(
            RefusedError(
                HTTPStatus.NOT_FOUND, f"there is nothing at {self.request.path}: {address} lists what there is"
            )
        )

    post = put = patch = delete = get
