"""Traces for OpenTelemetry: spans as its SDK knows them, sent by its own exporter over OTLP/HTTP."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, MissingExtraError, ServerError
from skillfleet_nb.format import counted, is_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import ReadableSpan

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_BATCH = 1000  # spans of a request
_CALLS = {"chat", "text_completion"}
_WHOLE = {"gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"}  # a frame with gaps makes floats of numbers
_KNOWN = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached": "skillfleet.cached",
    "cost_usd": "skillfleet.cost_usd",
}


def exporter(
    endpoint: str | None,
    headers: Mapping[str, str] | None = None,
    session: Any = None,
    timeout_s: float = 10.0,
) -> OTLPSpanExporter:
    """Make the exporter for an address of OTLP/HTTP, ``…/v1/traces`` or what that stands below.

    Raises
    ------
    MissingExtraError
        If OpenTelemetry's exporter is not installed.
    InputError
        If there is no address, or it is none of HTTP.
    """
    address = endpoint or os.environ.get(ENDPOINT) or ""
    if not address.startswith(("http://", "https://")):
        said = f"endpoint={address!r}" if address else "no endpoint"
        raise InputError(f"{said}: give the address of an OTLP/HTTP receiver, http://…:4318, or set {ENDPOINT}.")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise MissingExtraError("OTLP needs an exporter: pip install 'skillfleet-nb[otel]'") from None
    address = address.rstrip("/")
    address += "" if address.endswith("/v1/traces") else "/v1/traces"
    return OTLPSpanExporter(address, headers=dict(headers or {}), timeout=timeout_s, session=session)


def send(frame: pd.DataFrame, to: OTLPSpanExporter, on_sent: Callable[[int], None] | None = None) -> int:
    """Send rows of ``spans`` in their order, in batches; return how many there were.

    Parameters
    ----------
    on_sent
        Called after each batch with the number of spans sent so far.

    Raises
    ------
    ServerError
        If the receiver is away or refuses, with how many it has.
    """
    from opentelemetry.sdk.trace.export import SpanExportResult

    sent = 0
    for batch in _batches(frame):
        if to.export(batch) is not SpanExportResult.SUCCESS:
            raise ServerError(
                f"{to._endpoint} is away or refuses spans: it has {counted(sent, 'span')}; "  # noqa: SLF001  its address
                "start the receiver and send again, spans keep their ids."
            )
        sent += len(batch)
        if on_sent is not None:
            on_sent(sent)
    return sent


def _batches(frame: pd.DataFrame) -> Iterator[Sequence[ReadableSpan]]:
    """Yield spans in batches, in their order, so that a number tells what was sent."""
    for at in range(0, len(frame), _BATCH):
        rows = frame.iloc[at : at + _BATCH].to_dict("records")
        yield [otel_span({str(name): value for name, value in row.items()}) for row in rows]


def otel_span(row: Mapping[str, Any]) -> ReadableSpan:
    """Make a span of OpenTelemetry of a row of ``spans``."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def context(span_id: str) -> SpanContext:
        sampled = TraceFlags(TraceFlags.SAMPLED)
        return SpanContext(int(row["trace_id"], 16), int(span_id, 16), is_remote=False, trace_flags=sampled)

    began = int(row["at"].timestamp() * 1e9)
    error = None if is_missing(row["error"]) else str(row["error"])
    return ReadableSpan(
        name=f"chat {row['model']}" if row["operation"] in _CALLS else str(row["name"]),
        context=context(row["span_id"]),
        parent=None if is_missing(row["parent_id"]) else context(row["parent_id"]),
        attributes=_attributes(row, error),
        kind=SpanKind.CLIENT if row["operation"] in _CALLS else SpanKind.INTERNAL,
        status=Status(StatusCode.OK) if error is None else Status(StatusCode.ERROR, error),
        start_time=began,
        end_time=began + int(row["latency_s"] * 1e9),
        resource=_resource(str(row["program"])),
    )


def _resource(program: str) -> Any:
    from opentelemetry.sdk.resources import Resource

    return Resource({"service.name": "skillfleet", "skillfleet.program": program})


def _attributes(row: Mapping[str, Any], error: str | None) -> dict[str, Any]:
    facts = {name: value for name, value in (row["attributes"] or {}).items() if not is_missing(value)}
    if row["operation"] in _CALLS:
        facts |= {name: plain(row[column]) for column, name in _KNOWN.items() if not is_missing(row[column])}
    if error is not None:
        facts["error.type"] = error.partition(":")[0]
    for column, key in (("input", "input"), ("output", "output")):
        if not is_missing(row[column]):
            facts |= _texts(key, str(row[column]), row["operation"])
    return {name: int(value) if name in _WHOLE else plain(value) for name, value in facts.items()}


def plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python; anything else as it is."""
    return value.item() if hasattr(value, "item") else value


def _texts(key: str, text: str, operation: str) -> dict[str, str]:
    """Tell what went in or came out: of models and tools by the conventions, of all as MLflow shows it."""
    shown = {f"mlflow.span{key.title()}s": text if _is_json(text) else json.dumps(text, ensure_ascii=False)}
    if operation in _CALLS:
        role = "user" if key == "input" else "assistant"
        message = [{"role": role, "parts": [{"type": "text", "content": text}]}]
        shown[f"gen_ai.{key}.messages"] = json.dumps(message, ensure_ascii=False)
    elif operation == "execute_tool":
        shown["gen_ai.tool.call.arguments" if key == "input" else "gen_ai.tool.call.result"] = text
    return shown


def _is_json(text: str) -> bool:
    return text.startswith(("{", "[", '"')) and _reads(text)


def _reads(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
