"""A program in use that is looked at: a share of its predictions is recorded, each with its tree of calls."""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import InputError, SkillfleetError
from skillfleet_nb.events import Traced
from skillfleet_nb.lm.calls import Purchases
from skillfleet_nb.lm.off_loop import awaited
from skillfleet_nb.lm.prices import Price, price_of
from skillfleet_nb.programs.live import LiveProgram
from skillfleet_nb.store import Home, Journal, new_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import dspy

    from skillfleet_nb.tracing.tracer import Tracer
    from skillfleet_nb.typing import Metric

Content = Literal["all", "ends", "none"]
_GOLDEN = (5**0.5 - 1) / 2  # multiples of it spread evenly over [0, 1), and keep no step with what comes periodically
_MOST_UNSCORED = 1000  # predictions that wait for the metric, from which on none is scored
_MASK = "[redacted]"


class Monitored:
    """Calls a program and records a share of its predictions; made by :func:`monitored`.

    It is called as the program is, from any number of threads, and ``await m.acall(…)`` in async code.  Every other
    attribute is the program's.  Recording never breaks an answer: `trouble` says why there is none.  Within a run of
    the home it records nothing, for the run records all calls itself.

    Attributes
    ----------
    name
        What its predictions are recorded under.
    trouble
        Why a prediction was not recorded or scored; empty where all were.
    """

    def __init__(
        self,
        program: dspy.Module | LiveProgram,
        name: str,
        home: Home,
        *,
        sample: float,
        content: Content,
        redact: Callable[[str], str],
        metric: Metric | None,
    ) -> None:
        self.name, self.trouble = name, ""
        self._program, self._home, self._sample, self._metric = program, home, sample, metric
        self._redact = redact
        settings = Settings.load(home.config)
        self._content: Content = content if settings.record_prompts else "none"
        self._stated, self._prices = settings.prices, dict[tuple[object, object], Price | None]()
        self._count, self._opening = itertools.count(1), threading.Lock()
        self._journal: Journal | None = None
        self._scoring: ThreadPoolExecutor | None = None
        self._unscored = 0
        self._names: tuple[object, dict[int, str]] = (None, {})
        self._asked: weakref.WeakSet[Any] = weakref.WeakSet()  # models whose keys the journal's redactor knows

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the program, as it is asked itself."""
        tracer = self._tracer()
        if tracer is None:
            return self._program(*args, **kwargs)
        import dspy

        version = self._version()
        try:
            with dspy.context(callbacks=[*dspy.settings.callbacks, tracer], usage_tracker=tracer):
                answer = self._program(*args, **kwargs)
        except BaseException as exc:
            self._tell(tracer, version, kwargs, None, exc)
            raise
        self._tell(tracer, version, kwargs, answer, None)
        return answer

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the program in async code."""
        tracer = self._tracer()
        if tracer is None:
            return await awaited(self._program, *args, **kwargs)
        import dspy

        version = self._version()
        try:
            with dspy.context(callbacks=[*dspy.settings.callbacks, tracer], usage_tracker=tracer):
                answer = await awaited(self._program, *args, **kwargs)
        except BaseException as exc:
            self._tell(tracer, version, kwargs, None, exc)
            raise
        self._tell(tracer, version, kwargs, answer, None)
        return answer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._program, name)

    def __repr__(self) -> str:
        return f"<Monitored {self.name}, {self._sample:.0%} of its predictions>"

    def close(self) -> None:
        """Score and write what was recorded; it may be called after that all the same."""
        with self._opening:
            scoring, self._scoring = self._scoring, None
        if scoring is not None:
            scoring.shutdown()
        with self._opening:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def _tracer(self) -> Tracer | None:
        """Make what takes note of this prediction; None where it is not among the sample."""
        if self._sample < 1 and next(self._count) * _GOLDEN % 1 >= self._sample:
            return None
        import dspy

        outer = dspy.settings.usage_tracker
        if isinstance(outer, Purchases):
            return None
        from skillfleet_nb.tracing.tracer import Tracer

        return Tracer(outer)

    def _version(self) -> tuple[str | None, int | None]:
        """Return alias and version of a live program, before it is asked."""
        if not isinstance(self._program, LiveProgram):
            return None, None
        return self._program.ref.partition("@")[2], self._program.version.version

    def _tell(
        self,
        tracer: Tracer,
        version: tuple[str | None, int | None],
        inputs: dict[str, Any],
        answer: object,
        error: BaseException | None,
    ) -> None:
        latency = time.perf_counter() - tracer.started
        try:
            tracer.hand_on(answer)
            for model in tracer.models():
                if model not in self._asked:
                    self._open().redactor.add([model])
                    self._asked.add(model)
            spans = tracer.tree(self.name, self._module_names(), self._price, self._kept, self._reason)
            event = Traced(
                name=self.name,
                trace_id=tracer.trace_id,
                share=self._sample,
                latency_s=latency,
                error=self._reason(error, True),
                alias=version[0],
                version=version[1],
                spans=spans,
            )
            if self._metric is None or error is not None:
                self._open().post(lambda: (event,))
            else:
                self._score_later(event, inputs, answer)
        except Exception as trouble:  # noqa: BLE001  recording never breaks an answer; redact is a person's own code
            self.trouble = f"predictions are not recorded: {type(trouble).__name__}: {trouble}"

    def _score_later(self, event: Traced, inputs: dict[str, Any], answer: object) -> None:
        """Score on a thread of its own, in the caller's context: no answer waits for the metric."""
        if self._unscored >= _MOST_UNSCORED:
            self.trouble = f"{_MOST_UNSCORED:,} predictions wait for the metric: some are not scored"
            self._open().post(lambda: (event,))
            return
        with self._opening:
            if self._scoring is None:
                self._scoring = ThreadPoolExecutor(1, f"skillfleet-metric-{self.name}")
            self._unscored += 1
            self._scoring.submit(copy_context().run, self._score, event, inputs, answer)

    def _score(self, event: Traced, inputs: dict[str, Any], answer: object) -> None:
        import dspy

        score: float | None = None
        try:
            example = dspy.Example(**inputs).with_inputs(*inputs)
            score = _in_range(self._metric(example, answer) if self._metric is not None else None)
        except Exception as exc:  # noqa: BLE001  whatever a person's metric raises
            self.trouble = f"not scored: {type(exc).__name__}: {exc}"
        with self._opening:
            self._unscored -= 1
        try:
            self._open().post(lambda: (event.model_copy(update={"score": score}),))
        except (SkillfleetError, OSError) as trouble:
            self.trouble = f"predictions are not recorded: {trouble}"

    def _module_names(self) -> dict[int, str]:
        """Return the names of the program's modules by identity; a live program changes now and then."""
        live = isinstance(self._program, LiveProgram)
        program = self._program._current()[1] if live else self._program  # noqa: SLF001  of this package
        if self._names[0] is not program:
            modules = program.named_sub_modules()
            self._names = program, {id(module): path.removeprefix("self.") for path, module in modules}
        return self._names[1]

    def _price(self, lm: Any) -> Price | None:
        key = getattr(lm, "model", None), getattr(lm, "engine", None)
        if key not in self._prices:
            self._prices[key] = price_of(lm, self._stated)
        return self._prices[key]

    def _keeps(self, is_root: bool) -> bool:  # noqa: FBT001  as the callbacks have it
        return self._content == "all" or (self._content == "ends" and is_root)

    def _reason(self, error: BaseException | None, is_root: bool) -> str | None:  # noqa: FBT001  a callback
        """Say what failed; its words may repeat what was asked or answered, and are kept as those are."""
        if error is None:
            return None
        kind = type(error).__name__
        return f"{kind}: {self._redact(str(error))}" if self._keeps(is_root) else kind

    def _kept(self, text: str, is_root: bool) -> str | None:  # noqa: FBT001  a callback
        if self._keeps(is_root):
            return self._redact(text)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest() if is_root else None

    def _open(self) -> Journal:
        with self._opening:
            if self._journal is None:
                self._journal = journal = Journal(self._home, new_stream("traced"))
                weakref.finalize(self, _close, journal)  # as the process ends, too
            return self._journal


def monitored(
    program: dspy.Module | LiveProgram,
    sample: float = 1.0,
    *,
    name: str | None = None,
    content: Content = "all",
    redact: Callable[[str], str] | Sequence[str] = (),
    metric: Metric | None = None,
    home: str | Path | None = None,
) -> Monitored:
    """Record how a program is used: time, success, tokens, cost, inputs and outputs, and what each prediction called.

    Parameters
    ----------
    program
        A ``dspy.Module``, or a live one of ``fleet.live``.
    sample
        Share of the predictions to record, in (0, 1].
    name
        What they are recorded under; by default the registered name, else the program's class.
    content
        Which texts are kept: ``"all"``, those of the program's ``"ends"`` alone (its inputs and its answer), or
        ``"none"``, a SHA-256 in their place.  A home that records no prompts keeps none.
    redact
        Regular expressions to be masked in every text, or a function from text to text; keys are masked anyway.
    metric
        ``metric(example, prediction)`` in [0, 1], where `example` has the inputs alone; asked on a thread beside.
    home
        The home; found as :class:`~skillfleet_nb.Fleet` finds it by default.

    Raises
    ------
    InputError
        If an argument cannot be used.

    Examples
    --------
    >>> import dspy, tempfile, skillfleet_nb as sf
    >>> home = tempfile.mkdtemp()
    >>> classify = monitored(dspy.Predict("n -> odd: bool"), home=home, name="odd")
    >>> with dspy.context(lm=sf.offline_lm()):
    ...     answer = classify(n="3")
    >>> classify.close()
    >>> sf.Fleet(home).sql("select program, lm_calls from predictions").values.tolist()
    [['odd', 1]]
    """
    import dspy

    if isinstance(program, Monitored):
        raise InputError(f"{program!r} is monitored already: give the program itself to monitor it otherwise.")
    if not isinstance(program, dspy.Module | LiveProgram):
        what = program.__name__ if isinstance(program, type) else type(program).__name__
        raise InputError(f"{what} is no program: give an instance of dspy.Module, or what fleet.live returns.")
    if not isinstance(sample, int | float) or not 0 < sample <= 1:
        raise InputError(f"sample={sample!r}: give the share of predictions to record, above 0 and up to 1.")
    if content not in get_args(Content):
        raise InputError(f"content={content!r}: give 'all', 'ends' or 'none'.")
    if metric is not None and not callable(metric):
        raise InputError(f"metric={metric!r}: give a function metric(example, prediction).")
    fallback = program.ref.partition("@")[0] if isinstance(program, LiveProgram) else type(program).__name__
    return Monitored(
        program,
        name or fallback,
        Home.find(home),
        sample=float(sample),
        content=content,
        redact=_redaction(redact),
        metric=metric,
    )


def _redaction(redact: Callable[[str], str] | Sequence[str]) -> Callable[[str], str]:
    if callable(redact):
        return redact
    try:
        patterns = [re.compile(one) for one in ([redact] if isinstance(redact, str) else redact)]
    except (re.error, TypeError) as exc:
        raise InputError(
            f"redact={redact!r}: {exc}; give regular expressions, or a function from text to text."
        ) from exc
    return partial(_masked, patterns)


def _masked(patterns: Sequence[re.Pattern[str]], text: str) -> str:
    for pattern in patterns:
        text = pattern.sub(_MASK, text)
    return text


def _in_range(score: object) -> float | None:
    value = getattr(score, "score", score)
    if value is None:
        return None
    number = float(value)  # type: ignore[arg-type]  # whatever the metric returns
    if not 0 <= number <= 1:
        raise ValueError(f"the metric returned {value!r}; a score lies in [0, 1]")
    return number


def _close(journal: Journal) -> None:
    with suppress(SkillfleetError, OSError):  # the process ends, and so does its disk perhaps
        journal.close()
