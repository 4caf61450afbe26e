"""What a run came to: why it ended, what the test says, the result a person gets and the one that is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from skillfleet_nb.data.checks import told_of_blanks
from skillfleet_nb.events import JobState, Result, StopKind
from skillfleet_nb.format import counted, points
from skillfleet_nb.runs.spec import RunResult
from skillfleet_nb.runs.task import may_be_blank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.events import Split
    from skillfleet_nb.lm.meter import Ledger
    from skillfleet_nb.stats import PairedComparison
    from skillfleet_nb.typing import Example, Program


@dataclass(frozen=True)
class Comparison:
    """The given program against the best on the test split, and how many predictions of each failed.

    Where nothing proved better than the given program it `is_kept`: both are one.
    `after` are the best one's scores, row by row.
    """

    scores: PairedComparison
    failed_before: int
    failed_after: int
    is_kept: bool = False
    after: tuple[float, ...] = ()

    @property
    def failed_share(self) -> float:
        """Share of all these predictions that failed, each counted as 0."""
        return (self.failed_before + self.failed_after) / (2 * self.scores.n)

    def sentence(self) -> str:
        """Say what it came to in one sentence."""
        text = self.scores.sentence()
        if self.is_kept:
            scored = f"{points(self.scores.baseline_mean)} on {counted(self.scores.n, 'example')}"
            kept = "nothing proved better than the given program on validation, it is kept"
            text = f"{self.scores.verdict}: {kept}; test {scored}"
        if not self.failed_share:
            return text
        return f"{text}; {self.failed_before} → {self.failed_after} of {self.scores.n} predictions failed, counted as 0"


@dataclass(frozen=True)
class Stop:
    """Why the search ended."""

    kind: StopKind = StopKind.FINISHED
    reason: str = "the optimizer finished"
    scored: bool = True  # a limit that leaves nothing scored completes nothing

    @property
    def state(self) -> JobState:
        """The state that the run ends in."""
        if not self.scored:
            return JobState.FAILED
        completed = dict.fromkeys((StopKind.FINISHED, StopKind.BUDGET), JobState.COMPLETED)
        ends = completed | {StopKind.CANCELLED: JobState.CANCELLED}
        return ends.get(self.kind, JobState.FAILED)

    @property
    def may_score(self) -> bool:
        """Whether the result can still be scored: a person, a dead model or a bad metric forbid it."""
        return self.kind in {StopKind.FINISHED, StopKind.BUDGET, StopKind.ERROR}


def result_of(
    stop: Stop,
    program: Program,
    baseline: Mapping[Split, float],
    best: Mapping[Split, float],
    compared: Comparison | None,
    ledger: Ledger,
    trials: int,
    unread: str,
) -> RunResult:
    """Put together what a run came to: `baseline` and `best` are scores by split, `unread` tells of lost answers."""
    totals = ledger.totals
    result = RunResult(
        program=program,
        state=stop.state,
        stop_kind=stop.kind,
        stop_reason=stop.reason,
        baseline_score=baseline.get("val"),
        best_score=best.get("val"),
        lm_calls=totals.calls,
        cached_calls=totals.cached,
        cost_usd=totals.cost_usd,
        wall_s=ledger.elapsed_s,
        summary=f"{stop.reason.removesuffix('.')}, best of {counted(trials, 'trial')}; not tested",
    )
    if compared is not None:
        scores = compared.scores
        result = replace(
            result,
            test_baseline=scores.baseline_mean,
            test_score=scores.candidate_mean,
            test_delta=scores.delta,
            test_delta_interval=(scores.low, scores.high),
            p_value=scores.p_value,
            verdict=scores.verdict,
            failed_share=compared.failed_share,
            summary=compared.sentence(),
        )
    return replace(result, summary=f"{result.summary}; {unread}") if unread else result


def caveats(unread: str, test: Sequence[Example], program: Program) -> str:
    """Say what the verdict suffers from: answers that could not be read, test rows without a value it rests on."""
    return "; ".join(filter(None, [unread, told_of_blanks("test", test, but=may_be_blank(program, test))]))


def recorded(result: RunResult, best_program_id: str, unread: str) -> Result:
    """Make the event that keeps a result, of which the program is kept apart."""
    low, high = result.test_delta_interval or (None, None)
    return Result(
        baseline_score=result.baseline_score,
        best_score=result.best_score,
        test_baseline=result.test_baseline,
        test_score=result.test_score,
        test_delta=result.test_delta,
        test_delta_low=low,
        test_delta_high=high,
        p_value=result.p_value,
        verdict=result.verdict,
        failed_share=result.failed_share,
        best_program_id=best_program_id,
        summary=result.summary,
        unread=unread,
        test_low=result.test_interval[0] if result.test_interval else None,
        test_high=result.test_interval[1] if result.test_interval else None,
    )
