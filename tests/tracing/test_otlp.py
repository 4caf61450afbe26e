"""Traces sent by OpenTelemetry's own exporter, to a receiver that reads them off the wire."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import dspy
import pytest

import skillfleet_nb as sf
from skillfleet_nb.errors import InputError, NotFoundError, ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skillfleet_nb import Fleet


class Receiver(BaseHTTPRequestHandler):
    """Keeps the spans that are posted to it."""

    def do_POST(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        kept: Any = self.server
        kept.requests.append((self.path, self.headers.get("x-team"), request))
        self.send_response(kept.status)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Any]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.requests, server.status = [], 200
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    made = sf.Fleet(tmp_path_factory.mktemp("otlp") / "home")
    m = sf.monitored(dspy.ChainOfThought("n -> odd: bool"), home=made.home.root, name="odd")
    with dspy.context(lm=sf.offline_lm()):
        for n in range(3):
            m(n=str(n))
    m.close()
    return made


def test_spans_arrive_as_the_home_has_them(fleet: Fleet, receiver: Any) -> None:
    sent = fleet.export_traces("odd", f"http://127.0.0.1:{receiver.server_port}", headers={"x-team": "nine"})
    rows = fleet.sql("from spans order by spans.at")
    assert sent == len(rows) == 9
    [(path, team, request)] = receiver.requests
    assert (path, team) == ("/v1/traces", "nine")
    spans = [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    by_id = {s.span_id.hex(): s for s in spans}
    assert set(by_id) == set(rows.span_id)
    for row in rows.to_dict("records"):
        span = by_id[row["span_id"]]
        told = {a.key: a.value for a in span.attributes}
        assert span.trace_id.hex() == row["trace_id"]
        assert span.parent_span_id.hex() == (row["parent_id"] if isinstance(row["parent_id"], str) else "")
        assert (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9 == pytest.approx(row["latency_s"], abs=1e-6)
        if row["operation"] == "chat":
            assert span.name == "chat skillfleet/offline-1"
            assert told["gen_ai.operation.name"].string_value == "chat"
            assert told["gen_ai.request.model"].string_value == "offline-1"
            assert told["gen_ai.usage.input_tokens"].int_value == row["input_tokens"]
            [message] = json.loads(told["gen_ai.input.messages"].string_value)
            assert message["parts"][0]["content"] == row["input"]


def test_a_receiver_that_refuses_and_none_at_all_are_told_in_one_line(
    fleet: Fleet, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.status = 400
    with pytest.raises(ServerError, match=r"away or refuses spans: it has 0 spans; start the receiver"):
        fleet.export_traces("odd", f"http://127.0.0.1:{receiver.server_port}/v1/traces")
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with pytest.raises(InputError, match="no endpoint: give the address of an OTLP/HTTP receiver"):
        fleet.export_traces("odd")
    with pytest.raises(InputError, match="endpoint='localhost:4318'"):
        fleet.export_traces("odd", "localhost:4318")
    with pytest.raises(NotFoundError, match="unknown job or monitored program 'even'"):
        fleet.export_traces("even", "http://127.0.0.1:9")
