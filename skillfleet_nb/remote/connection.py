"""Requests to a server, and its errors as those of the package."""

from __future__ import annotations

import json
import math
import time
import weakref
from typing import TYPE_CHECKING, Any

from skillfleet_nb import errors
from skillfleet_nb.errors import InputError, ServerError, SkillfleetError
from skillfleet_nb.format import one_line
from skillfleet_nb.remote.cache import TTL_S, Cache, Kept

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

_PREFIX = "/skillfleet/api/v1"
_API = "1"
_TIMEOUT_S, _CONNECT_S = 600.0, 10.0
_MAX_AGE = "max-age="


class Connection:
    """Asks one server; safe to share between threads.

    Parameters
    ----------
    url
        Of the Jupyter server, such as ``http://127.0.0.1:8888``, with its base URL.
    token
        Its token.
    cache_s
        Seconds for which final answers are shown without asking; None keeps nothing on disk.
    """

    def __init__(self, url: str, token: str, cache_s: float | None = TTL_S) -> None:
        import httpx

        self.url = url.rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise ServerError(f"server {url!r}: give its address, such as http://127.0.0.1:8888")
        timeout = httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_S)
        headers = {"Authorization": f"token {token}"} if token else {}
        self._client = httpx.Client(base_url=f"{self.url}{_PREFIX}", headers=headers, timeout=timeout)
        weakref.finalize(self, self._client.close)
        self._cache = None if cache_s is None else Cache(self.url, token, cache_s)
        self.age_s = 0.0

    def get(self, path: str, **query: object) -> Any:
        """Ask for something; how old the answer is stands in `age_s` afterwards, 0 where the server was asked."""
        parameters = {name: str(value) for name, value in query.items() if value is not None}
        address = f"{path}?{json.dumps(parameters, sort_keys=True)}"
        kept = None if self._cache is None else self._cache.get(address)
        self.age_s = 0.0
        if kept is not None and self._cache is not None and self._cache.is_fresh(kept):
            self.age_s = kept.age_s
            return kept.body
        response = self._ask(
            "GET", path, params=parameters, headers={} if kept is None else {"If-None-Match": kept.etag}
        )
        if response.status_code == 304 and kept is not None:  # noqa: PLR2004  as the client has it
            self._keep(address, Kept(kept.etag, kept.body, time.time(), kept.fresh_s))
            return kept.body
        body = self._read(response)
        if (etag := response.headers.get("ETag")) is not None:
            _, is_there, age = response.headers.get("Cache-Control", "").partition(_MAX_AGE)
            self._keep(address, Kept(etag, body, time.time(), float(age.partition(",")[0]) if is_there else 0.0))
        return body

    def post(self, path: str, body: object = None) -> Any:
        """Ask for something to be done."""
        if (wrong := _unsendable(body)) is not None:
            place, value = wrong
            raise InputError(
                f"{place} = {one_line(repr(value))} cannot be sent to a server: give text, finite numbers, true or "
                "false, None, or lists and dicts of these"
            )
        return self._read(self._ask("POST", path, json={} if body is None else body))

    def change(self, path: str, body: object) -> Any:
        """Ask for something that changes what complete jobs say of themselves; kept answers are asked for again."""
        answer = self.post(path, body)
        if self._cache is not None:
            self._cache.forget()
        return answer

    def events(self, path: str, after: int) -> Iterator[tuple[str, int, Any]]:
        """Yield the messages of a stream behind a milestone: kind, number (0 where there is none), data.

        Raises
        ------
        ServerError
            If the connection breaks: ask again.
        """
        import httpx

        headers = {"Last-Event-ID": str(after)} if after else {}
        kind, number = "", 0
        try:
            with self._client.stream("GET", path, headers=headers, timeout=httpx.Timeout(30.0)) as response:
                if not response.is_success:
                    response.read()
                    self._read(response)
                for line in response.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        number = int(value)
                    elif name == "event":
                        kind = value
                    elif name == "data":
                        yield kind, number, json.loads(value)
                        kind, number = "", 0
        except httpx.HTTPError as exc:
            raise self._unreachable(exc) from exc

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _keep(self, address: str, kept: Kept) -> None:
        if self._cache is not None:
            self._cache.put(address, kept)

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        import httpx

        try:
            return self._client.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise self._unreachable(exc) from exc

    def _read(self, response: httpx.Response) -> Any:
        """Return what a server answered, or raise what it raised."""
        api = response.headers.get("Skillfleet-API")
        if api is None:
            raise ServerError(
                f"{self.url} answers, and has no Skillfleet: install skillfleet-nb beside that Jupyter server, or give "
                "another address"
            )
        if api != _API:
            raise ServerError(
                f"{self.url} speaks version {api}, this client {_API}: install the same skillfleet-nb on both"
            )
        if response.is_success:
            return response.json() if response.content else None
        problem = response.json()
        kind = getattr(errors, str(problem.get("error")), None)
        is_ours = isinstance(kind, type) and issubclass(kind, SkillfleetError)
        raise (kind if is_ours and kind is not None else ServerError)(str(problem["detail"]))

    def _unreachable(self, exc: Exception) -> ServerError:
        why = str(exc) or type(exc).__name__
        return ServerError(
            f"cannot reach {self.url}: {why}; is it running (skillfleet serve), and is the address right?"
        )


def _unsendable(value: object, place: str = "") -> tuple[str, object] | None:
    """Return where in what is to be sent a value stands that JSON has not, and the value; None where there is none."""
    if isinstance(value, dict):
        parts = [(f"{place}.{key}" if place else str(key), one) for key, one in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(f"{place}[{number}]", one) for number, one in enumerate(value)]
    else:
        is_sent = value is None or (math.isfinite(value) if isinstance(value, float) else isinstance(value, (str, int)))
        return None if is_sent else (place, value)
    return next((wrong for name, one in parts if (wrong := _unsendable(one, name)) is not None), None)
