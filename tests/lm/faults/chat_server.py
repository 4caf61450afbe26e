"""A server on loopback that speaks the OpenAI chat protocol over the offline LM, and fails as it is told."""

from __future__ import annotations

import json
import socket
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from skillfleet_nb.offline import OfflineEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _error(status: int, code: str, message: str, **headers: str) -> Answer:
    body = {"error": {"message": message, "type": code, "param": None, "code": code}}
    return Answer(status, json.dumps(body).encode(), headers)


@dataclass(frozen=True)
class Answer:
    """What the server sends: a status and a body, or `act` in their place."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    act: str = ""


FAULTS: dict[str, Answer] = {
    "auth": _error(401, "invalid_api_key", "Incorrect API key provided."),
    "quota": _error(429, "insufficient_quota", "You exceeded your current quota, check your plan and billing."),
    "not_found": _error(404, "model_not_found", "The model does not exist or you do not have access to it."),
    "bad_request": _error(400, "invalid_request_error", "Unsupported parameter."),
    "malformed": Answer(200, b'{"id": "x", "choices": [{"mess'),
    "no_choices": Answer(200, b'{"id": "x", "object": "chat.completion", "model": "m", "choices": []}'),
    "empty": Answer(act="empty"),
    "rate_limit": _error(429, "rate_limit_exceeded", "Rate limit reached.", **{"Retry-After": "0.02"}),
    "limited_for_long": _error(429, "rate_limit_exceeded", "Rate limit reached.", **{"Retry-After": "86400"}),
    "server_500": _error(500, "server_error", "The server had an error."),
    "unavailable_503": _error(503, "overloaded", "Overloaded.", **{"Retry-After": "0.02"}),
    "busy_for_long": _error(503, "overloaded", "Overloaded.", **{"Retry-After": "86400"}),
    "reset": Answer(act="reset"),
    "hang": Answer(act="hang"),
    "nonsense": Answer(act="nonsense"),
    "repeats": Answer(act="repeats"),
}
"""Faults by name; ``nonsense`` answers well, but with a text no adapter can read, ``empty`` with none, ``repeats``
refuses the key by repeating all that was sent."""


class ChatServer(ThreadingHTTPServer):
    """Answers ``/v1/chat/completions``; `fault` names a fault for the n-th request, from 1, or None.

    `seen` holds the body of every request; `usage` stands in answers in place of what they used, an empty one for
    a server that does not tell; a hung request is held until the server closes.  `on_fault`
    is called as a fault is about to be sent, or a request is left to hang.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.engine = OfflineEngine()
        self.fault: Callable[[int], str | None] = lambda _: None
        self.seen: list[dict[str, Any]] = []
        self.usage: dict[str, Any] | None = None
        self.repeated = ""
        self.failed = 0
        self.on_fault: Callable[[], None] = lambda: None
        self.hung = threading.Event()
        self.closing = threading.Event()
        self.lock = threading.Lock()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def always(self, name: str) -> None:
        self.fault = lambda _: name

    def every(self, k: int, name: str) -> None:
        """Fail every `k`-th request, but none twice, however threads take their turns."""
        failed: list[dict[str, Any]] = []

        def fault(n: int) -> str | None:
            if n % k or self.seen[n - 1] in failed:
                return None
            failed.append(self.seen[n - 1])
            return name

        self.fault = fault

    def first(self, k: int, name: str) -> None:
        self.fault = lambda n: name if n <= k else None

    def after(self, k: int, name: str) -> None:
        self.fault = lambda n: name if n > k else None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that were cut: that is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.seen.append(body)
            name = self.server.fault(len(self.server.seen))
            self.server.failed += name is not None
        if name is not None:
            self.server.on_fault()
        answer = FAULTS[name] if name else Answer(body=self._complete(body))
        if answer.act == "reset":
            # Linger 0: closing sends a reset, as a peer that died does.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if answer.act == "hang":
            self.server.hung.set()
            self.server.closing.wait()
            self.close_connection = True
            return
        if answer.act == "repeats":
            sent = {"address": self.path, "headers": dict(self.headers), "body": body}
            self.server.repeated = json.dumps(sent)
            answer = _error(401, "invalid_api_key", f"Incorrect API key provided: {self.server.repeated}")
        if answer.act == "nonsense":
            answer = Answer(body=self._completion(body["model"], "I would rather not say.", 7, 5))
        if answer.act == "empty":
            answer = Answer(body=self._completion(body["model"], "", 7, 5))
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer.body)))
        for header, value in answer.headers.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def _complete(self, body: dict[str, Any]) -> bytes:
        from dspy.lm15 import request_from_openai_chat

        known = {k: v for k, v in body.items() if k in {"model", "messages", "temperature"}}
        response = self.server.engine.complete(request_from_openai_chat(known))
        told = response.usage
        return self._completion(body["model"], response.message.text or "", told.input_tokens, told.output_tokens)

    def _completion(self, model: str, text: str, tokens_in: int, tokens_out: int) -> bytes:
        used = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
        told = used if self.server.usage is None else self.server.usage
        return json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 0,
                "model": model,
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                **({"usage": told} if told else {}),
            }
        ).encode()

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@contextmanager
def serving() -> Iterator[ChatServer]:
    """Serve on a free port for the time of the body."""
    server = ChatServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
