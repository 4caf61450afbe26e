"""The engine of the offline model: requests in, answers out, nothing kept but caches."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from skillfleet_nb.async_engine import AsyncEngine
from skillfleet_nb.errors import InputError
from skillfleet_nb.offline.answer import Learner
from skillfleet_nb.offline.induce import guess
from skillfleet_nb.offline.notes import plain_task
from skillfleet_nb.offline.prompt import Field, read_inputs, read_task
from skillfleet_nb.offline.propose import find_proposer
from skillfleet_nb.offline.reply import write_reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dspy
    from dspy.lm15 import Request, Response

_LEARNERS_KEPT = 64
_REQUESTS_KEPT = 128
_CHARS_PER_TOKEN = 4
_TOKENS_PER_PRICE = 1000
_MODEL = "skillfleet/"


class OfflineEngine:
    """A deterministic in-context learner behind DSPy's engine protocol.

    An answer is a function of the request alone: the same prompt gets the same answer on any platform, in
    any process and thread.  Where one call asks for ``n > 1`` candidates, DSPy hands the *same request
    object* over `n` times; the k-th time gets the k-th candidate, so a call as a whole stays a function of
    its prompt.  At a temperature above 0 labels are drawn with noise that depends on the request alone, so a
    sampled run explores and still repeats exactly; DSPy's ``rollout_id`` never reaches an engine and changes
    nothing.  Safe to share between threads, to copy, to pickle and to save with a program.

    Parameters
    ----------
    latency_s
        Seconds each call sleeps, >= 0; does not change answers.
    usd_per_1k_tokens
        Price in USD of 1,000 tokens, or of 1,000 input and 1,000 output tokens; None is free.

    Raises
    ------
    InputError
        If a latency or price is negative or not finite, or there are not one or two prices.

    Examples
    --------
    >>> OfflineEngine(usd_per_1k_tokens=(1.0, 2.0)).price_per_token()
    (0.001, 0.002)
    """

    answers_here = True  # no network to wait for: the meter need not watch its calls for a hang
    repeats_itself = True  # the same prompt gets the same answer at any temperature

    def __init__(self, *, latency_s: float = 0.0, usd_per_1k_tokens: float | tuple[float, float] | None = None) -> None:
        both = usd_per_1k_tokens if isinstance(usd_per_1k_tokens, tuple | list) else (usd_per_1k_tokens or 0.0,) * 2
        if len(both) != 2:  # noqa: PLR2004  input and output
            raise InputError(
                f"usd_per_1k_tokens is {usd_per_1k_tokens!r}: give one price, or two for input and output."
            )
        for what, value in (("latency_s", latency_s), *(("usd_per_1k_tokens", price) for price in both)):
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise InputError(f"{what} is {value!r}: give a finite number >= 0.")
        self.latency_s = float(latency_s)
        self._usd_per_1k = (float(both[0]), float(both[1]))
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._learners: OrderedDict[tuple[Any, ...], Learner | None] = OrderedDict()
        self._asked: OrderedDict[int, tuple[Request, int]] = OrderedDict()

    def price_per_token(self) -> tuple[float, float]:
        """Give the price in USD of one input token and of one output token; zeros where it is free."""
        return (self._usd_per_1k[0] / _TOKENS_PER_PRICE, self._usd_per_1k[1] / _TOKENS_PER_PRICE)

    def complete(self, request: Request) -> Response:
        """Answer one request; a prompt of any shape gets an answer."""
        from dspy.lm15 import Message, Response, TextPart, Usage

        turns = [(message.role, message.text or "") for message in request.messages]
        system = request.system if isinstance(request.system, str) else _parts_text(request.system)
        text = self._reply(system, turns, self._candidate(request), request.config.temperature or 0.0)
        if self.latency_s:
            time.sleep(self.latency_s)
        asked = _tokens(system) + sum(_tokens(turn) for _, turn in turns)
        output_tokens = _tokens(text)
        return Response(
            id=None,
            model=request.model,
            message=Message.assistant([TextPart(text)]),
            finish_reason="stop",
            usage=Usage(input_tokens=asked, output_tokens=output_tokens, total_tokens=asked + output_tokens),
        )

    def stream(self, request: Request) -> Iterator[Any]:
        """Answer one request as a stream of events."""
        from dspy.lm15 import response_to_events

        return iter(response_to_events(self.complete(request)))

    def close(self) -> None:
        """Release nothing: the engine holds no resources."""

    def _candidate(self, request: Request) -> int:
        """Number this candidate within its call, by the identity of the request object."""
        with self._lock:
            kept, number = self._asked.pop(id(request), (request, -1))
            number = number + 1 if kept is request else 0
            # The request is kept alive here, so its id cannot be given to another while it is counted.
            self._asked[id(request)] = (request, number)
            while len(self._asked) > _REQUESTS_KEPT:
                self._asked.popitem(last=False)
        return number

    def _learner(self, system: str, turns: list[tuple[str, str]]) -> Learner | None:
        key = (system, *turns)
        with self._lock:
            if key in self._learners:
                self._learners.move_to_end(key)
                return self._learners[key]
        task = read_task(system, turns) or plain_task(system)
        learner = Learner(task) if task is not None else None
        with self._lock:
            self._learners[key] = learner
            while len(self._learners) > _LEARNERS_KEPT:
                self._learners.popitem(last=False)
        return learner

    def _reply(self, system: str, turns: list[tuple[str, str]], candidate: int, temperature: float) -> str:
        asked = turns[-1][1]
        learner = self._learner(system, turns[:-1])
        if learner is None:
            return guess(Field("answer", "", {}), {"system": system, "prompt": asked}) or "N/A"
        if learner.spec.style == "plain":
            inputs = {learner.spec.inputs[0].name: asked}
        else:
            inputs = read_inputs(learner.spec, asked)
        proposer = find_proposer(learner.spec)
        if proposer is not None:
            made = proposer(inputs, candidate)
            made = {field.name: made.get(field.name, "N/A") for field in learner.spec.outputs}
        else:
            key = "\x1f".join((str(candidate), *(text for _, text in turns), system))
            made = learner.answer(inputs, (key, temperature) if temperature else None)
        return write_reply(made, learner.spec.style)

    def dump_state(self) -> dict[str, Any]:
        """Give what :meth:`load_state` needs, as JSON values."""
        return {"latency_s": self.latency_s, "usd_per_1k_tokens": list(self._usd_per_1k)}

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> OfflineEngine:
        """Build the engine that :meth:`dump_state` described."""
        prices = state["usd_per_1k_tokens"]
        return cls(latency_s=state["latency_s"], usd_per_1k_tokens=(prices[0], prices[1]))

    def __deepcopy__(self, memo: dict[int, Any]) -> OfflineEngine:
        # DSPy copies LMs with their programs; all copies may share one engine, since it holds caches alone.
        return self

    def __getstate__(self) -> dict[str, Any]:
        return self.dump_state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.latency_s = state["latency_s"]
        self._usd_per_1k = (state["usd_per_1k_tokens"][0], state["usd_per_1k_tokens"][1])
        self._start()


class AsyncOfflineEngine(AsyncEngine[OfflineEngine]):
    """The asynchronous face of an :class:`OfflineEngine`."""

    of = OfflineEngine


def _parts_text(parts: Any) -> str:
    return "\n".join(part.text for part in parts or () if getattr(part, "text", None))


def _tokens(text: str) -> int:
    """Count tokens as hosted models bill them on average for English: four characters each."""
    return -(-len(text) // _CHARS_PER_TOKEN)


def offline_lm(
    *,
    latency_s: float = 0.0,
    usd_per_1k_tokens: float | tuple[float, float] | None = None,
    name: str = "offline-1",
    **lm_kwargs: Any,
) -> dspy.LM:
    """Make the offline language model: a deterministic in-context learner without weights or network.

    It reads the prompt as a model would (instruction, field types, demos) and answers by the evidence it
    finds there; it also answers the proposers of MIPROv2, COPRO, SIMBA, GEPA and InferRules.  So every
    optimizer works on it without a key, with gains that are real for this model.

    Parameters
    ----------
    latency_s
        Seconds each call takes, to rehearse a slower model.
    usd_per_1k_tokens
        Price to rehearse budgets with: USD for 1,000 tokens, or a pair for input and output; None is free.
    name
        Name of the model, after ``skillfleet/``.  DSPy's cache goes by it.
    **lm_kwargs
        Passed to ``dspy.LM``: ``cache``, ``temperature``, …

    Returns
    -------
    dspy.LM
        To use like any other.

    Raises
    ------
    InputError
        If a latency or price is negative or not finite, or there are not one or two prices.

    Examples
    --------
    >>> import dspy
    >>> classify = dspy.Predict("message -> topic: Literal['lost card', 'exchange rate']")
    >>> with dspy.context(lm=offline_lm(cache=False)):
    ...     classify(message="I lost my card").topic
    'lost card'
    """
    import dspy

    engine = OfflineEngine(latency_s=latency_s, usd_per_1k_tokens=usd_per_1k_tokens)
    return dspy.LM(_MODEL + name, engine=engine, async_engine=AsyncOfflineEngine(engine), **lm_kwargs)
