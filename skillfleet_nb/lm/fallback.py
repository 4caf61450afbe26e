"""The chain of models that answers a request: the one asked for, then those that take over from it.

Those that take over are a run's, and before them a model's own, which it was made with.

A model that fails for good on a request, its retries included, leaves that request to the next one.
Each is metered by itself.  Which request was answered by a fallback is recorded by the digest of all
that was asked, so that a resumed run asks the same model again, whose cache has the answer.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from skillfleet_nb.lm.faults import Breaker, in_short, is_of_the_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from skillfleet_nb.lm.faults import RetryPolicy
    from skillfleet_nb.typing import Model

_OF_THE_CLIENT = frozenset(
    {"api_key", "api_base", "base_url", "headers", "extra_headers", "timeout", "api_version", "organization", "project"}
)


class Fallbacks:
    """The models that take over in one run, and what is known of every model's health.

    Parameters
    ----------
    lms
        Models to ask, in this order, where the one asked for fails.
    policy
        When a failing model is skipped, and for how long.
    answered_by
        Requests that earlier attempts at the job had answered by a fallback: digest to model.
    tell
        Tells the person what they should know.
    """

    def __init__(
        self,
        lms: Sequence[Any],
        policy: RetryPolicy,
        answered_by: Mapping[str, str] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.lms = tuple(lms)
        self.breaker = Breaker(policy.skip_after, policy.skip_s)
        self.answered_by = dict(answered_by or {})
        self.answers = 0
        self._policy = policy
        self._tell = tell
        self._told: set[tuple[str, str]] = set()

    def took_over(self, first: Model, by: Model, request: str, failure: BaseException | None) -> None:
        """Note that `by` answered a request in place of `first`."""
        self.answers += 1
        if by.cache:
            self.answered_by[request] = by.model
        if failure is not None:
            text = f"{first.model} failed ({in_short(failure)}): {by.model} answers in its place"
            self._say_once(("replaced", first.model), text)

    def failed(self, model: Model) -> None:
        """Take in that a model failed on a request."""
        if self.breaker.tell(health_of(model), answered=False):
            p = self._policy
            text = f"{model.model} failed {p.skip_after} times in a row: skipped for {p.skip_s:g} s at a time"
            self._say_once(("skipped", model.model), text)

    def _say_once(self, about: tuple[str, str], text: str) -> None:
        if self._tell is not None and about not in self._told:
            self._told.add(about)
            self._tell(text)


@dataclass
class Step:
    """One model's turn at a request.

    Attributes
    ----------
    last
        Whether nobody takes over from it.
    request
        Digest of the request, where it answers in another's place.
    sent
        Prompt, messages and keyword arguments as this model takes them.
    """

    lm: Any
    sent: tuple[Any, Any, dict[str, Any]]
    last: bool = True
    request: str | None = None
    failure: BaseException | None = field(default=None, repr=False)

    def as_asked(self) -> AbstractContextManager[None]:
        """Say in the body that the messages are an adapter's, which DSPy knows of the model it gave them to."""
        if self.request is None and self.lm._sf_ask_of is None:  # noqa: SLF001  the mixin's
            return nullcontext()
        try:
            from dspy.clients._deprecation import adapter_message_call
        except ImportError:  # of DSPy 3.4 alone
            return nullcontext()
        held: AbstractContextManager[None] = adapter_message_call(self.lm, self.sent[1])
        return held


def steps(first: Any, prompt: object, messages: object, kwargs: dict[str, Any]) -> Iterator[Step]:
    """Lead a request along the chain: ask the model of each step, and put what it raised into `failure`.

    The step after one without a failure is the end; what the last model raised is raised from here.

    Parameters
    ----------
    first
        The metered model that was asked, maybe a copy with options of its own; `_sf_others` are the
        metered fallbacks.
    """
    chain: Fallbacks = first._sf_gate.ledger.fallbacks  # noqa: SLF001  the meter's own mark
    if not first._sf_others:  # noqa: SLF001
        step = Step(first, (prompt, messages, kwargs))
        yield step
        if step.failure is not None:
            raise step.failure
        return
    # What an optimizer changed on its copy of the model, a rollout or a temperature, goes along.
    changed = {k: v for k, v in first.kwargs.items() if first._sf_given.get(k) != v} | kwargs  # noqa: SLF001
    request = _digest(first, prompt, messages, changed)
    order = _order(chain, first, request)
    failure: BaseException | None = None
    for n, lm in enumerate(order):
        last = n == len(order) - 1
        if not last and not chain.breaker.admits(health_of(lm)):
            continue
        sent = (prompt, messages, kwargs) if lm is first else _adapted(lm, prompt, messages, changed)
        step = Step(lm, sent, last, None if lm is first else request)
        answered: bool | None = None
        try:
            yield step
            answered = step.failure is None
        finally:
            if answered is not False:  # None: a stop of the run says nothing of the model
                chain.breaker.tell(health_of(lm), answered=answered)
        if step.failure is None:
            if lm is not first:
                chain.took_over(first, lm, request, failure)
            return
        if is_of_the_request(step.failure):
            chain.breaker.tell(health_of(lm), answered=None)
            raise step.failure
        chain.failed(lm)
        failure = failure or step.failure
        if last:
            raise step.failure


def with_fallbacks(lm: Model, others: Sequence[Model]) -> Model:
    """Return a copy of `lm` from which `others` take over, in this order, where it fails for good."""
    if not others:
        return lm
    cls: Any = _falling()
    made = cls.__new__(cls)
    vars(made).update(vars(lm.copy()))
    made._sf_fallbacks = tuple(others)  # noqa: SLF001  the mixin's
    chained: Model = made
    return chained


def fallbacks_of(lm: Model) -> tuple[Model, ...]:
    """Return the models that `lm` itself was made to be followed by."""
    fallbacks: tuple[Model, ...] = getattr(lm, "_sf_fallbacks", ())
    return fallbacks


class Falling:
    """Mixed in before a model's class.  Metered, a model is a tap, of which `steps` leads the way instead."""

    _sf_fallbacks: tuple[Any, ...] = ()
    _sf_ask_of: Callable[..., Any] | None = None  # as a tap's, which `Step` asks for

    def __call__(self, prompt: object = None, *, messages: object = None, **kwargs: Any) -> Any:
        """Ask this model, then those that take over; what the last one raises is raised."""
        for step in self._sf_chain(prompt, messages, kwargs):
            prompt_, messages_, kwargs_ = step.sent
            ask = super().__call__ if step.lm is self else step.lm  # type: ignore[misc]  # a mixin
            asked = step.as_asked()
            try:
                with asked:
                    return ask(prompt_, messages=messages_, **kwargs_)
            except Exception as exc:
                if step.last or is_of_the_request(exc):
                    raise
        raise AssertionError("a chain has a last step")

    async def acall(self, prompt: object = None, *, messages: object = None, **kwargs: Any) -> Any:
        """Ask in async code, as `__call__` does."""
        for step in self._sf_chain(prompt, messages, kwargs):
            prompt_, messages_, kwargs_ = step.sent
            ask = super().acall if step.lm is self else step.lm.acall  # type: ignore[misc]  # a mixin
            asked = step.as_asked()
            try:
                with asked:
                    return await ask(prompt_, messages=messages_, **kwargs_)
            except Exception as exc:
                if step.last or is_of_the_request(exc):
                    raise
        raise AssertionError("a chain has a last step")

    def _sf_chain(self, prompt: Any, messages: object, kwargs: dict[str, Any]) -> list[Step]:
        others = [Step(lm, _adapted(lm, prompt, messages, kwargs), request=lm.model) for lm in self._sf_fallbacks]
        chain = [Step(self, (prompt, messages, kwargs)), *others]
        return [replace(step, last=step is chain[-1]) for step in chain]


@cache
def _falling() -> type:
    import dspy

    return type("FallingLM", (Falling, dspy.LM), {"__module__": __name__, "__qualname__": "FallingLM"})


def __getattr__(name: str) -> Any:
    if name == "FallingLM":  # by which it is found in another process
        return _falling()
    raise AttributeError(name)


def health_of(lm: Model) -> str:
    """Name what a model's health goes by: its name and where it is served."""
    return f"{lm.model} {lm.kwargs.get('api_base') or lm.kwargs.get('base_url') or ''}"


def _order(chain: Fallbacks, first: Any, request: str) -> list[Any]:
    """Put the model first that answered this very request before."""
    others = list(first._sf_others)  # noqa: SLF001
    model = chain.answered_by.get(request)
    before = [lm for lm in others if lm.model == model]
    return [*before[:1], first, *(lm for lm in others if lm not in before[:1])]


def _adapted(lm: Model, prompt: Any, messages: object, kwargs: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    options = {k: v for k, v in kwargs.items() if k not in _OF_THE_CLIENT}
    if options.get("request") is not None:
        options["request"] = replace(options["request"], model=lm.model)
    if prompt is not None and not isinstance(prompt, str):
        prompt = replace(prompt, model=lm.model)
    return prompt, messages, options


def _digest(first: Any, prompt: object, messages: object, kwargs: dict[str, Any]) -> str:
    asked = (first.model, prompt, messages, sorted((k, v) for k, v in kwargs.items() if k not in _OF_THE_CLIENT))
    return hashlib.sha256(repr(asked).encode("utf-8", "backslashreplace")).hexdigest()[:32]
