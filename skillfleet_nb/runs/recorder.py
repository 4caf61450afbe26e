"""Records every scoring of a candidate during a run as a trial, and keeps the best.

How it hears of them is in ``trial_hooks``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skillfleet_nb.events import CandidateDecided, ExampleScore, IndividualTold, Split, Trial, Trying
from skillfleet_nb.example import is_answer
from skillfleet_nb.lm.calls import digest
from skillfleet_nb.lm.shares import search
from skillfleet_nb.runs.jobs.attempts import trial_key
from skillfleet_nb.runs.outputs import output_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.lm.meter import Ledger
    from skillfleet_nb.optimizers import Bred, Decision
    from skillfleet_nb.optimizers.base import Named
    from skillfleet_nb.runs.jobs.attempts import EarlierAttempts
    from skillfleet_nb.typing import Example, Prediction, Program

_OF_BRED = ("generation", "operator", "score", "screened", "tokens", "length", "front", "survives")
_TOLERATED = 0.1  # share of unanswered rows up to which a scoring of all examples still counts as one


@dataclass
class Candidate:
    """A program with what is known of its score; `scores` maps a split to its mean over all of it.

    `failed` maps it to the share of predictions that failed.
    The program itself is held while it is the best, or `chosen`: a long search tries thousands.
    """

    program_id: str
    program: Any = None
    scores: dict[Split, float] = field(default_factory=dict)
    failed: dict[Split, float] = field(default_factory=dict)
    chosen: bool = False


class Recorder:
    """Records trials.

    Parameters
    ----------
    emit
        Receives each :class:`~skillfleet_nb.events.Trying`, :class:`~skillfleet_nb.events.Trial`,
        :class:`~skillfleet_nb.events.CandidateDecided` and :class:`~skillfleet_nb.events.IndividualTold`.
    keep
        Stores a program's state and returns its id.
    ids
        Identity of each example object (by ``id()``), and the split it belongs to.
    sizes
        Number of examples of each split: a scoring of all of them is a full evaluation.
    ledger
        Tells what was bought up to a trial, and whether texts may be recorded.
    history
        What earlier attempts recorded; a trial that is replayed is not recorded again.
    on_scored
        Told of each scoring on all of validation: the program, its id, the rows, the mean or what it is at most, and
        whether a race ended it.

    Attributes
    ----------
    taken
        The last candidate that an optimizer with a rule of its own took; None before.
    """

    def __init__(
        self,
        *,
        emit: Callable[[Trying | Trial | CandidateDecided | IndividualTold], object],
        keep: Callable[[Program], str],
        ids: Mapping[int, tuple[str, Split]],
        sizes: Mapping[str, int],
        ledger: Ledger,
        history: EarlierAttempts,
        on_scored: Callable[..., None] = lambda *_, **__: None,
    ) -> None:
        self._on_scored = on_scored
        self._emit, self._keep, self._ids, self._sizes, self._ledger = emit, keep, ids, sizes, ledger
        self._distinct = {split: len({e for e, s in ids.values() if s == split}) for split in sizes}
        self._lock = threading.Lock()
        self._history, self._replayed = history, history.trials.copy()
        self._trials = history.next_trial
        self._best: dict[Split, float] = {}
        self._tolerated: dict[Split, int] = {}
        self._tops: dict[Split, Candidate] = {}
        self._lineage: dict[str | frozenset[tuple[str, str]], tuple[str, ...]] = {}
        self._by_instructions: dict[frozenset[tuple[str, str]], str] = {}
        self._decided = set(history.decided)
        self.taken: Candidate | None = None
        self.candidates: dict[str, Candidate] = {}
        self.last_failure: BaseException | None = None
        self.predictions = self.failed = 0

    @property
    def unanswered(self) -> int:
        """Number of requests so far that no model answered."""
        return self._ledger.unanswered

    @property
    def trials(self) -> int:
        """Number of trials of the job so far."""
        return self._trials

    def descends(self, child: Named, parents: Sequence[Named]) -> None:
        """Note the parents of a candidate: each a program, or known by its instructions by predictor."""
        parent_ids = (
            self._by_instructions.get(frozenset(p.items())) if isinstance(p, dict) else self._keep(p) for p in parents
        )
        key = frozenset(child.items()) if isinstance(child, dict) else self._keep(child)
        self._lineage[key] = tuple(p for p in parent_ids if p)

    def bred(self, bred: Bred) -> None:
        """Record how a program stands in a generation."""
        self._emit(
            IndividualTold(
                program_id=self._keep(bred.program),
                parent_ids=tuple(self._keep(parent) for parent in bred.parents),
                member=search(),
                **{name: getattr(bred, name) for name in _OF_BRED},
            )
        )

    def decided(self, decision: Decision) -> None:
        """Record what an optimizer came to on a candidate, and hold the program that it took."""
        program_id, parent_id = self._keep(decision.program), self._keep(decision.parent)
        if decision.accepted:
            self.taken = self.candidates.setdefault(program_id, Candidate(program_id))
            self.taken.program, self.taken.chosen = decision.program, True
        if (program_id, parent_id) not in self._decided:  # a replayed one is not recorded again
            self._decided.add((program_id, parent_id))
            verdict = {"accepted": decision.accepted, "reasons": decision.reasons, "evidence": decision.evidence}
            self._emit(CandidateDecided(program_id=program_id, parent_id=parent_id, **verdict))

    def begin(self, program: Program, examples: Sequence[Example]) -> Trying | None:
        """Tell that `program` is being scored on these examples; None where they are not the run's."""
        identities = [identity for e in examples if (identity := self.identity(e))]
        if not identities:
            return None
        program_id, split = self._keep(program), identities[0][1]
        full = len({example_id for example_id, _ in identities}) >= self._distinct[split]
        trying = Trying(program_id=program_id, split=split, full_eval=full, n_examples=len(identities))
        self._emit(trying)
        return trying

    def record(
        self,
        program: Program,
        rows: Sequence[ExampleScore],
        split: Split,
        program_id: str | None = None,
        unanswered: int = 0,
        bound: float | None = None,
    ) -> Candidate:
        """Record one scoring of `program`, kept as `program_id` if it is already, on examples of `split`.

        With a `bound` it was ended by a race: the rows are those it got to.

        So many of its failed rows as went `unanswered` say nothing of the program, and are left out of its score.
        Where they are many more than of the given program, what is left is no full evaluation.
        """
        program_id = program_id or self._keep(program)
        instructions = frozenset((name, p.signature.instructions) for name, p in program.named_predictors())
        failed = sum(r.score is None for r in rows)
        score = sum(r.score or 0.0 for r in rows) / max(1, len(rows) - min(unanswered, failed))
        # rows may repeat
        full = bound is None and len({r.example_id for r in rows}) >= self._distinct[split]
        if full:
            tolerated = self._tolerated.setdefault(split, max(unanswered, int(_TOLERATED * len(rows))))
            full = unanswered <= tolerated
        if not full and split != "test":  # of the test split, a budget may leave a part
            rows = [r._replace(output=None) for r in rows]
        if split == "val" and (full or bound is not None):
            self._on_scored(program, program_id, rows, score if bound is None else bound, pruned=bound is not None)
        with self._lock:
            candidate = self.candidates.setdefault(program_id, Candidate(program_id))
            self._by_instructions.setdefault(instructions, program_id)
            if full:
                candidate.scores[split] = score
                candidate.failed[split] = failed / len(rows)
                self._hold(candidate, program, split)
                self._best[split] = max(score, self._best.get(split, 0.0))
            totals = self._ledger.totals
            trial = Trial(
                trial=self._trials,
                split=split,
                full_eval=full,
                n_examples=len(rows),
                score=score,
                best_so_far=self._best.get(split),
                bound=bound,
                member=search(),
                program_id=program_id,
                parent_ids=self._lineage.get(program_id, self._lineage.get(instructions, ())),
                lm_calls=totals.calls,
                cost_usd=totals.cost_usd,
                full_cost_usd=totals.full_cost_usd,
                scores=tuple(rows),
            )
            key = trial_key(trial)
            if self._replayed[key]:
                self._replayed[key] -= 1
                return candidate
            self._trials += 1
            self._emit(trial)
        return candidate

    def rows(self, results: Sequence[tuple[Example, Prediction | None, float]]) -> tuple[list[ExampleScore], Split]:
        """Turn rows of ``dspy.Evaluate``, of one split, into scores; a failed prediction scores None."""
        scores: list[ExampleScore] = []
        split: Split = "train"
        for example, prediction, score in results:
            example_id, split = self._ids[id(example)]
            failed = not is_answer(prediction)
            value = None if failed else float(getattr(score, "score", score))
            output = None if failed or split == "train" else output_json(prediction)
            if output is not None and not self._ledger.record_prompts:
                output = digest(output)
            scores.append(ExampleScore(example_id, value, getattr(score, "feedback", None), output))
        with self._lock:
            self.predictions += len(scores)
            self.failed += sum(r.score is None for r in scores)
        return scores, split

    def best(self, split: Split) -> Candidate | None:
        """Return the candidate with the best full evaluation on `split`; of equals, the first."""
        return self._tops.get(split)

    def ahead(self, *, decides: bool) -> str | None:
        """Return the program by which earlier attempts are ahead of this one; None where they are not.

        It is the best on validation; of an optimizer that `decides`, what it took last.
        """
        before, top = self._history, self._tops.get("val")
        if decides:
            last = before.accepted[-1] if before.accepted else None
            is_past = self.taken is not None and self.taken.program_id not in before.accepted[:-1]
            return None if is_past else last
        best = before.best
        is_reached = best is None or (top is not None and top.scores["val"] >= before.validated[best].score)
        return None if is_reached else best

    def remember(self, program_id: str, program: Program) -> Candidate:
        """Hold a program of earlier attempts, with what it came to there."""
        with self._lock:
            candidate = self.candidates.setdefault(program_id, Candidate(program_id))
            candidate.program, candidate.chosen = program, True
            if (validated := self._history.validated.get(program_id)) is not None:
                candidate.scores["val"], candidate.failed["val"] = validated
                self._hold(candidate, program, "val")
        return candidate

    def _hold(self, candidate: Candidate, program: Program, split: Split) -> None:
        """Hold the program of a candidate that is the best, and let that go which was it before."""
        top = self._tops.get(split)
        if top is not None and top is not candidate and candidate.scores[split] <= top.scores[split]:
            return
        candidate.program = program if candidate.program is None else candidate.program
        self._tops[split] = candidate
        if top is not None and not top.chosen and all(top is not held for held in self._tops.values()):
            top.program = None

    def identity(self, example: Example) -> tuple[str, Split] | None:
        """Identity and split of an example object of this run."""
        return self._ids.get(id(example))

    def size(self, split: Split) -> int:
        """Number of examples of `split`."""
        return self._sizes[split]

    def is_recorded(self, program: Program) -> bool:
        """Tell whether a program with this content has had a trial."""
        return self._keep(program) in self.candidates
