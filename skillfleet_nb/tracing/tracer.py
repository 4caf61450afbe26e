"""How one prediction becomes a tree of spans: a DSPy callback that is on for that prediction alone."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import dspy
from dspy.utils.callback import BaseCallback
from dspy.utils.callback_context import ACTIVE_CALL_ID
from dspy.utils.usage_tracker import UsageTracker

from skillfleet_nb.lm.calls import in_part, text_of
from skillfleet_nb.lm.prices import Tokens
from skillfleet_nb.runs.outputs import output_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.lm.prices import Price

_PARAMETERS = ("temperature", "top_p", "max_tokens", "frequency_penalty", "presence_penalty", "seed")
_OPERATIONS = {"chat": "chat", "text": "text_completion", "responses": "chat"}
_LOOK_BACK = 8  # entries of a model's history: other threads may have made some since


class _Span:
    """What is known of a call: noted while it is made, written once the prediction is over."""

    __slots__ = ("ended", "error", "inputs", "instance", "outputs", "parent", "what")

    def __init__(self, what: str, parent: str | None, instance: Any, inputs: dict[str, Any]) -> None:
        self.what, self.parent, self.instance, self.inputs = what, parent, instance, inputs
        self.outputs: Any = None
        self.error: BaseException | None = None
        self.ended = 0.0


class Tracer(BaseCallback, UsageTracker):  # type: ignore[misc]  # dspy is untyped
    """Takes note of the modules, tools and models that a prediction calls, and of what these used.

    Threads that DSPy starts for the prediction go on telling it: their contexts are copies.
    """

    def __init__(self, outer: UsageTracker | None = None) -> None:
        UsageTracker.__init__(self)
        self._outer = outer
        self._spans: dict[str, tuple[float, _Span]] = {}
        self._usage: dict[str, Mapping[str, Any]] = {}
        self.started = time.perf_counter()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tracer:
        return self  # DSPy copies trackers for its threads, and never looks at the copies again

    def _start(self, what: str, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        parent = ACTIVE_CALL_ID.get()
        self._spans[call_id] = time.perf_counter(), _Span(what, parent, instance, inputs)

    def _end(self, call_id: str, outputs: Any, exception: BaseException | None) -> None:
        span = self._spans[call_id][1]
        span.ended, span.outputs, span.error = time.perf_counter(), outputs, exception

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Begin a module's span."""
        self._start("module", call_id, instance, inputs.get("kwargs") or inputs)

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Begin the span of a model's call."""
        self._start("lm", call_id, instance, inputs)

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Begin a tool's span."""
        self._start("tool", call_id, instance, inputs.get("kwargs") or inputs)

    def on_adapter_parse_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Begin to read an answer; what cannot be read leads to another call."""
        self._start("parse", call_id, instance, inputs)

    def on_module_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """End a module's span."""
        self._end(call_id, outputs, exception)

    on_tool_end = on_module_end

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """End the span of a model's call; where the program tracks usage itself, the history tells what it used."""
        self._end(call_id, outputs, exception)
        if call_id in self._usage or exception is not None or dspy.settings.usage_tracker is self:
            return
        history = getattr(self._spans[call_id][1].instance, "history", None) or ()
        for entry in reversed(history[-_LOOK_BACK:]):
            if entry.get("outputs") == outputs and entry.get("usage"):
                self._usage[call_id] = entry["usage"]
                return

    def on_adapter_parse_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """Keep what could not be read alone."""
        del outputs
        if exception is None:
            del self._spans[call_id]
        else:
            self._end(call_id, None, exception)

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        """Take note of what the call on this thread used; of one that came from the cache nothing is told."""
        super().add_usage(lm, usage_entry)
        if (call_id := ACTIVE_CALL_ID.get()) is not None:
            self._usage[call_id] = usage_entry
        if self._outer is not None:
            self._outer.add_usage(lm, usage_entry)

    def hand_on(self, answer: object) -> None:
        """Give an answer the usage that it would have without this tracker."""
        if self._outer is None and dspy.settings.track_usage and hasattr(answer, "set_lm_usage"):
            answer.set_lm_usage(self.get_total_tokens())

    @property
    def trace_id(self) -> str:
        """Id of the prediction: of the first call in it."""
        return next(iter(self._spans), None) or uuid.uuid4().hex

    def tree(
        self,
        name: str,
        names: Mapping[int, str],
        price: Callable[[Any], Price | None],
        keep: Callable[[str, bool], str | None],
        reason: Callable[[BaseException | None, bool], str | None],
    ) -> tuple[dict[str, Any], ...]:
        """Write what was noted, the root first.

        Parameters
        ----------
        name, names
            Of the root; of the modules in it, by identity.
        price
            What a token of a model costs.
        keep
            Returns what is recorded of a text, of the root or not.
        reason
            Returns what is recorded of an error, of the root or not.
        """
        now = time.perf_counter()
        spans = sorted(self._spans.items(), key=lambda one: one[1][0])
        root = next((call_id for call_id, (_, span) in spans if span.parent not in self._spans), None)
        rows = []
        for call_id, (began, span) in spans:
            is_root = call_id == root
            fields = self._described(call_id, span, name if is_root else names.get(id(span.instance)), price)
            if is_root:
                fields |= _operation("invoke_workflow", name, **{"gen_ai.workflow.name": name})
            sent, answer = _content(span)
            rows.append(
                {
                    "span_id": call_id[:16],
                    "parent_id": None if is_root else (span.parent or root or "")[:16],
                    "start_s": began - self.started,
                    "latency_s": (span.ended or now) - began,
                    "error": reason(span.error, is_root),
                    "input": None if sent is None else keep(sent, is_root),
                    "output": None if answer is None else keep(answer, is_root),
                    **fields,
                }
            )
        return tuple(rows)

    def models(self) -> list[Any]:
        """Return the models that were asked."""
        return [span.instance for _, span in self._spans.values() if span.what == "lm"]

    def _described(
        self, call_id: str, span: _Span, name: str | None, price: Callable[[Any], Price | None]
    ) -> dict[str, Any]:
        kind, instance = type(span.instance).__name__, span.instance
        if span.what == "lm":
            return self._call(call_id, span, price)
        if span.what == "tool":
            tool = str(getattr(instance, "name", None) or kind)
            return _operation("execute_tool", tool, **{"gen_ai.tool.name": tool})
        if span.what == "parse":
            return _operation("parse", kind, **{"skillfleet.adapter": kind})
        if isinstance(instance, dspy.ReAct | dspy.CodeAct):
            return _operation("invoke_agent", name or kind, **{"gen_ai.agent.name": name or kind, "dspy.module": kind})
        return _operation("module", name or kind, **{"dspy.module": kind})

    def _call(self, call_id: str, span: _Span, price: Callable[[Any], Price | None]) -> dict[str, Any]:
        lm = span.instance
        model, usage = str(getattr(lm, "model", type(lm).__name__)), self._usage.get(call_id)
        used, cached = Tokens.of(usage), usage is None and span.error is None
        rate = price(lm)
        cost = 0.0 if cached else None if rate is None or not any(used) else rate.cost(*used[:4])
        provider, _, short = model.rpartition("/")
        asked = {**getattr(lm, "kwargs", {}), **(span.inputs.get("kwargs") or {})}
        attributes = {f"gen_ai.request.{name}": asked[name] for name in _PARAMETERS if asked.get(name) is not None}
        attributes |= {"gen_ai.provider.name": provider.partition("/")[0]} if provider else {}
        attributes |= {"gen_ai.request.model": short or model}
        attributes |= {"gen_ai.usage.input_tokens": used.input, "gen_ai.usage.output_tokens": used.output}
        if used.cached_input:
            attributes["gen_ai.usage.cache_read.input_tokens"] = used.cached_input
        return {
            **_operation(_OPERATIONS.get(getattr(lm, "model_type", "chat"), "chat"), model, **attributes),
            "model": model,
            "input_tokens": used.input,
            "output_tokens": used.output,
            "cached": cached,
            "cost_usd": cost,
        }


def _operation(operation: str, name: str, **attributes: Any) -> dict[str, Any]:
    if operation not in {"module", "parse"}:
        attributes["gen_ai.operation.name"] = operation
    return {"name": name, "operation": operation, "attributes": attributes}


def _content(span: _Span) -> tuple[str | None, str | None]:
    """Return what went in and came out as text, or JSON of the fields."""
    if span.what == "lm":
        sent = span.inputs.get("messages") or span.inputs.get("prompt") or span.inputs.get("request")
        return in_part(text_of(sent)), None if span.outputs is None else in_part(_answers(span.outputs))
    if span.what == "parse":
        return None, None
    return output_json(span.inputs), output_json(span.outputs)


def _answers(outputs: object) -> str:
    parts: Sequence[object] = outputs if isinstance(outputs, list | tuple) else (outputs,)
    return "\n\n".join(text_of(part) for part in parts)
