"""Events of calls: of monitored programs one a prediction, with its tree of calls; of tools in runs."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from skillfleet_nb.events.payload import Payload


class Traced(Payload):
    """A monitored program made a prediction; `share` of them are recorded, in (0, 1].

    Each of `spans` has `span_id`, `parent_id` (None of the root, which comes first), `name`, `operation`, `start_s`
    since the root began, `latency_s`, `error`, and `attributes` by the names of OpenTelemetry's conventions for
    generative AI as far as there are any; calls of models also `model`, `input_tokens`, `output_tokens`, `cached` and
    `cost_usd`, which is None where it is not known.  `input` and `output` are text, or JSON of the fields;
    ``sha256:…`` of it where content is not recorded.  `alias` and `version` are those of a registered program; `score`
    is what the metric gave, in [0, 1].
    """

    kind: Literal["traced"] = "traced"
    name: str
    trace_id: str
    share: float
    latency_s: float
    error: str | None = None
    alias: str | None = None
    version: int | None = None
    score: float | None = None
    spans: tuple[dict[str, Any], ...]


class ToolCalled(Payload):
    """A program that a run asks called a tool, which took `latency_s` seconds, or failed with `error`.

    `input` is JSON of the arguments, `output` text, or JSON of what was returned, both as far as 2,000 characters;
    ``sha256:…`` of it where prompts are not recorded.
    """

    kind: Literal["tool_called"] = "tool_called"
    tool: str
    latency_s: float
    input: str | None = None
    output: str | None = None
    error: str | None = None


TracingPayload: TypeAlias = Traced | ToolCalled
