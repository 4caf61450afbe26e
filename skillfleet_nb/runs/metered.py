"""Model calls outside of a job, for advice: metered, within a budget, journalled in a stream of their own."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from skillfleet_nb.events import StopKind
from skillfleet_nb.lm.gate import Gate
from skillfleet_nb.lm.meter import Ledger, Limits, RunStopped
from skillfleet_nb.lm.tap import UntappedCalls, tapped
from skillfleet_nb.runs.run_log import MARK, run_log
from skillfleet_nb.store import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from skillfleet_nb.config import Settings
    from skillfleet_nb.events import LMCall, Payload
    from skillfleet_nb.store import Home


class Aside:
    """A metered stretch of model calls; a context manager.

    Parameters
    ----------
    home, settings
        Where calls are recorded, and how.
    what
        Begins the name of the stream: ``"probe"``.
    budget_usd
        No call starts beyond it.

    Attributes
    ----------
    calls
        Every call, bought and cached.
    stopped
        Why calls were refused, None where none was.
    failure
        What a prediction raised last.
    """

    def __init__(self, home: Home, settings: Settings, what: str, budget_usd: float | None = None) -> None:
        stream = f"{what}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
        self._journal = Journal(home, stream)
        self._log = home.journal_dir(stream) / "output.log"
        self.calls: list[LMCall] = []
        self.ledger = Ledger(
            Limits(usd=budget_usd), self._on_call, record_prompts=settings.record_prompts, prices=settings.prices
        )
        self._gate = Gate(self.ledger)
        self.stopped: str | None = None
        self.failure: BaseException | None = None
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._journal.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.close(StopKind.CANCELLED, "what was asked aside is done")
        self._journal.__exit__(kind, exc, trace)

    def tell(self, payload: Payload) -> None:
        """Record what was found."""
        self._journal.append(payload, sync=True)

    def predict(self, program: Any, example: Any, lm: Any) -> Any:
        """Run a program on one example; None where it failed or was refused."""
        with self._models(lm):
            try:
                return program.deepcopy()(**example.inputs())
            except RunStopped as exc:
                self.stopped = exc.reason
            except Exception as exc:  # noqa: BLE001  whatever a program raises: the next example may go well
                self.failure = exc
        return None

    def scores(self, program: Any, examples: Sequence[Any], metric: Any, lm: Any, threads: int) -> list[float | None]:
        """Score a program on examples; None where the program failed, nothing where calls were refused."""
        import dspy

        with self._models(lm):
            try:
                rows = dspy.Evaluate(
                    devset=list(examples), metric=metric, num_threads=threads, max_errors=len(examples) + 1
                )(program).results
            except RunStopped as exc:
                self.stopped = exc.reason
                return []
        return [float(score) if prediction is not None and list(prediction.keys()) else None
                for _, prediction, score in rows]  # fmt: skip

    @contextmanager
    def _models(self, lm: Any) -> Iterator[None]:
        import dspy

        active = list(dspy.settings.callbacks)
        started = time.perf_counter()
        with run_log(self._log, []) as log, dspy.context(
            **{MARK: log}, lm=tapped(self._gate, lm, "task"), callbacks=active,
            caller_modules=[UntappedCalls(self._gate, active)], disable_history=False, max_history_size=1,
            track_usage=False, trace=[], max_errors=1_000_000,
        ):  # fmt: skip
            try:
                yield
            finally:
                self.seconds += time.perf_counter() - started

    def _on_call(self, make: Callable[[], Sequence[LMCall]]) -> None:
        made = make()
        self.calls += made
        self._journal.append_many(made)
