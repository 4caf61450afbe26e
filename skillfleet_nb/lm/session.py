"""A metered session: the one way to call language models, in a run and outside of one.

It puts together what every caller needs alike: a ledger with limits and prices, a policy for retries and
fallbacks, the journal that takes each call, the log that takes what is printed, and the redactor that keeps
keys out of them and out of every error.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from skillfleet_nb.errors import HomeError
from skillfleet_nb.events import StopKind, Warned
from skillfleet_nb.lm.answer_cache import answers_of
from skillfleet_nb.lm.calls import Purchases
from skillfleet_nb.lm.everywhere import everywhere, standing_in
from skillfleet_nb.lm.fallback import Fallbacks
from skillfleet_nb.lm.faults import RetryPolicy, advice, in_short, is_dead
from skillfleet_nb.lm.gate import Gate
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.meter import Ledger
from skillfleet_nb.lm.pacing import Pacer
from skillfleet_nb.lm.reading import Readings
from skillfleet_nb.lm.run_log import MARK, run_log
from skillfleet_nb.lm.tap import tapped
from skillfleet_nb.lm.tool_calls import without_texts
from skillfleet_nb.security import Redactor
from skillfleet_nb.store import Journal, new_stream
from skillfleet_nb.store.logs import log_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from dspy.utils.callback import BaseCallback

    from skillfleet_nb.config import Settings
    from skillfleet_nb.events import LMCall, Payload, Role, ToolCalled
    from skillfleet_nb.projection import Totals
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Model

_T = TypeVar("_T")
_DRAIN_S = 1.0  # how long beyond the grace of calls in flight the end of a session waits for them


class Earlier(Protocol):
    """What earlier attempts at the same job bought, how long they took, and which model answered what."""

    spent: Totals
    seconds: float
    answered_by: dict[str, str]


class Session:
    """A stretch of metered calls; a context manager.

    Parameters
    ----------
    journal
        Takes every call, and what the session warns of; it is closed by its owner.  None records nothing.
    settings
        Prices, retries, and whether prompts are recorded.
    models
        All that may be asked: their keys are kept out of what is written and raised.
    limits
        No call starts beyond them.
    fallbacks
        Models that take over from one that fails.
    earlier
        Earlier attempts at the same job.
    look
        Called after each call and now and then while one takes long; it may stop the ledger.
    on_pause
        Called when the ledger is paused.
    on_calls
        Called with each call's events before they are recorded, on its thread.

    Attributes
    ----------
    ledger
        Counts the calls, and stops them.
    redactor
        Takes secrets out of texts and errors.
    readings
        Counts the answers that could not be read.

    Examples
    --------
    >>> import skillfleet_nb as sf
    >>> from skillfleet_nb.config import Settings
    >>> lm = sf.offline_lm()
    >>> with Session(None, Settings(), [lm]) as session, session.models(session.gate(), lm) as metered:
    ...     answers = metered("hello")
    >>> session.ledger.totals.calls + session.ledger.totals.cached
    1
    """

    def __init__(
        self,
        journal: Journal | None,
        settings: Settings,
        models: Sequence[Model],
        *,
        limits: Limits | None = None,
        fallbacks: Sequence[Model] = (),
        earlier: Earlier | None = None,
        look: Callable[[], None] | None = None,
        on_pause: Callable[[], None] | None = None,
        on_calls: Callable[[Sequence[LMCall]], None] | None = None,
    ) -> None:
        self._journal, self._look, self._on_calls = journal, look, on_calls
        self._inside = ExitStack()
        self.redactor = journal.redactor if journal is not None else Redactor()
        self.redactor.add([*models, *fallbacks])
        policy = RetryPolicy.of(settings)
        self._drain_s = policy.grace_s + _DRAIN_S
        self.readings = Readings(
            lambda unread: self._post(lambda: (unread,), now=True), self._warn, quote=settings.record_prompts
        )
        self.ledger = Ledger(
            limits,
            self._record,
            record_prompts=settings.record_prompts,
            prices=settings.prices,
            retry_policy=policy,
            fallbacks=Fallbacks(fallbacks, policy, earlier.answered_by if earlier else None, self._warn),
            on_wait=look,
            on_pause=on_pause,
            clean=self.redactor.error,
            spent=earlier.spent if earlier else None,
            spent_s=earlier.seconds if earlier else 0.0,
        )
        if journal is not None:
            self._keeps_texts = settings.record_prompts
            self.ledger.on_tool = self._record_tool
            self.ledger.pacer = Pacer(journal.home, settings.rates, self.emit)

    @classmethod
    @contextmanager
    def opened(
        cls,
        home: Home | None,
        settings: Settings,
        what: str,
        models: Sequence[Model],
        *,
        limits: Limits | None = None,
        on_calls: Callable[[Sequence[LMCall]], None] | None = None,
    ) -> Iterator[Self]:
        """Open a session outside of a job, with a stream of its own, whose name begins with `what`.

        Without a home nothing is recorded.  Nobody sees it wait: a call that a provider puts off for longer than an
        attempt may take fails.
        """
        with (
            Journal(home, new_stream(what)) if home else nullcontext() as journal,
            cls(journal, settings, models, limits=limits, on_calls=on_calls) as session,
        ):
            session.ledger.most_wait_s = settings.lm_timeout_s
            session.ledger.way_out = "leave the budget out"
            yield session

    def __enter__(self) -> Self:
        if self._journal is not None:
            self.ledger.answers = answers_of(self._journal.home)
        self._inside.enter_context(standing_in())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        finally:
            self._inside.close()

    def close(self) -> None:
        """Let no further call start, and wait for those in flight."""
        self.ledger.stop(StopKind.CANCELLED, "the session is over")
        self.drain()
        if self.ledger.pacer is not None:
            self.ledger.pacer.close()

    def drain(self) -> None:
        """Wait until the calls in flight are counted, not much longer than the policy's grace."""
        self.ledger.drain(self._drain_s)

    def gate(self, reserve: Limits | None = None) -> Gate:
        """Open a gate, less what of the limits is left for later ones."""
        return Gate(self.ledger, reserve)

    @contextmanager
    def models(self, gate: Gate, lm: Model, *callbacks: BaseCallback, role: Role = "task") -> Iterator[Model]:
        """Make the body's calls of models go through `gate`: of `lm` and of any other, on whatever threads."""
        import dspy

        metered = tapped(gate, lm, role)
        settings = dspy.context(
            lm=metered,
            adapter=self.readings.reading(dspy.settings.adapter or dspy.ChatAdapter()),
            callbacks=[*dspy.settings.callbacks, *callbacks],
            disable_history=False,  # the meter reads usage from it
            max_history_size=1,  # the meter is told each call as it is made; every program keeping 10,000 fills memory
            track_usage=False,
            usage_tracker=Purchases(),
        )
        with settings, everywhere(gate):
            yield metered

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Put what the body prints, on whichever thread, into the log beside the journal."""
        import dspy

        if self._journal is None:
            yield
            return
        with (
            run_log(log_file(self._journal.home, self._journal.stream), self.redactor) as log,
            dspy.context(**{MARK: log}),
        ):
            yield

    def emit(self, *payloads: Payload, sync: bool = False) -> None:
        """Record facts, without keys, in one go; with `sync` they are on the disk when this returns.

        Raises
        ------
        HomeError
            If the home cannot be written.
        """
        if self._journal is not None:
            self._journal.append_many(payloads, sync=sync)

    def first_answer(self, ask: Callable[[], _T]) -> _T:
        """Return what `ask` does: a first call, which finds a dead model before anything else is bought.

        Raises
        ------
        RunStopped
            If the model is dead, naming the cause and what to do.  Any other error is raised as it is.
        """
        from dspy.utils.exceptions import LMError

        ledger = self.ledger
        try:
            return ask()
        except LMError as exc:
            if not is_dead(exc):
                raise
            others = " and its fallbacks" * bool(ledger.fallbacks.lms)
            reason = f"{ledger.last_failed}{others} failed on the first call: {in_short(exc)}; {advice(exc)}"
            ledger.stop(StopKind.LM_FAILING, reason)
            raise RunStopped(StopKind.LM_FAILING, reason) from exc

    def _warn(self, text: str) -> None:
        self.emit(Warned(text=text))

    def _record(self, make: Callable[[], Sequence[LMCall]], is_bought: bool) -> None:  # noqa: FBT001  a callback's
        """Record a call, at once if it was bought; what a cache answered, it will answer again.

        Where that fails, the session ends: an error would be swallowed, and it go on unrecorded.
        """
        if self._on_calls is not None:
            calls = make()
            self._on_calls(calls)
            make = partial(tuple, calls)
        self._post(make, now=is_bought)
        if self._look is not None:
            self._look()

    def _record_tool(self, step: ToolCalled) -> None:
        self._post(lambda: (step if self._keeps_texts else without_texts(step),), now=False)

    def _post(self, make: Callable[[], Sequence[Payload]], *, now: bool) -> None:
        try:
            if self._journal is not None:
                self._journal.post(make, now=now)
        except HomeError as exc:
            self.ledger.stop(StopKind.HOME, str(exc))
            raise RunStopped(StopKind.HOME, str(exc)) from exc
