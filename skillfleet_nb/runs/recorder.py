"""Sees every scoring of a candidate during a run, records it as a trial, keeps the best.

DSPy has no event for a trial.  Most optimizers score candidates with ``dspy.Evaluate``, whose
callbacks name the program and give its rows; the program is copied as the evaluation starts, for
COPRO goes on changing the one it scores.  SIMBA scores outside ``Evaluate``: there the program that
ran last on a thread is joined with the metric's next call on it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from skillfleet_nb.events import ExampleScore, Split, Trial, Trying
from skillfleet_nb.lm.calls import digest
from skillfleet_nb.runs.jobs.attempts import trial_key
from skillfleet_nb.runs.outputs import output_json
from skillfleet_nb.runs.running_program import Watch, unwatched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.lm.meter import Ledger
    from skillfleet_nb.runs.jobs.attempts import History


@dataclass
class Candidate:
    """A program with what is known of its score; `scores` maps a split to its mean over all of it.

    The program itself is held from its first full evaluation on: of what a search tries, most never has one.
    """

    program_id: str
    program: Any = None
    scores: dict[Split, float] = field(default_factory=dict)


class Recorder:
    """Records trials; its :meth:`callback` goes into DSPy's settings.

    Parameters
    ----------
    emit
        Receives each :class:`~skillfleet_nb.events.Trying` and :class:`~skillfleet_nb.events.Trial`.
    keep
        Stores a program's state and returns its id.
    ids
        Identity of each example object (by ``id()``), and the split it belongs to.
    sizes
        Number of examples of each split: a scoring of all of them is a full evaluation.
    ledger
        Tells what was bought up to a trial, and whether texts may be recorded.
    history
        Trials of earlier attempts; one that is replayed is not recorded again.
    """

    def __init__(
        self,
        *,
        emit: Callable[[Trying | Trial], Any],
        keep: Callable[[Any], str],
        ids: Mapping[int, tuple[str, Split]],
        sizes: Mapping[str, int],
        ledger: Ledger,
        history: History,
    ) -> None:
        self._emit, self._keep, self._ids, self._sizes, self._ledger = emit, keep, ids, sizes, ledger
        self._distinct = {split: len({e for e, s in ids.values() if s == split}) for split in sizes}
        self._lock = threading.Lock()
        self._replayed = history.trials.copy()
        self._trials = history.next_trial
        self._best: dict[Split, float] = {}
        self._lineage: dict[frozenset[tuple[str, str]], tuple[str, ...]] = {}
        self._by_instructions: dict[frozenset[tuple[str, str]], str] = {}
        self.candidates: dict[str, Candidate] = {}
        self.last_failure: BaseException | None = None
        self.predictions = self.failed = 0

    @property
    def trials(self) -> int:
        """Number of trials of the job so far."""
        return self._trials

    def descends(self, instructions: dict[str, str], parents: Sequence[dict[str, str]]) -> None:
        """Note the parents of the candidate with these instructions, by predictor."""
        found = (self._by_instructions.get(frozenset(p.items())) for p in parents)
        self._lineage[frozenset(instructions.items())] = tuple(p for p in found if p)

    def begin(self, program: Any, examples: Sequence[Any]) -> str | None:
        """Tell that `program` is being scored on these examples; return its id, None where they are not the run's."""
        known = [found for e in examples if (found := self.known(e))]
        if not known:
            return None
        program_id, split = self._keep(program), known[0][1]
        full = len({example_id for example_id, _ in known}) >= self._distinct[split]
        self._emit(Trying(program_id=program_id, split=split, full_eval=full, n_examples=len(known)))
        return program_id

    def record(
        self, program: Any, rows: Sequence[ExampleScore], split: Split, program_id: str | None = None
    ) -> Candidate:
        """Record one scoring of `program`, kept as `program_id` if it is already, on examples of `split`."""
        program_id = program_id or self._keep(program)
        instructions = frozenset((name, p.signature.instructions) for name, p in program.named_predictors())
        score = sum(r.score or 0.0 for r in rows) / len(rows)
        full = len({r.example_id for r in rows}) >= self._distinct[split]  # rows may repeat
        if not full and split != "test":  # of the test split, a budget may leave a part
            rows = [r._replace(output=None) for r in rows]
        with self._lock:
            candidate = self.candidates.setdefault(program_id, Candidate(program_id))
            self._by_instructions.setdefault(instructions, program_id)
            if full:
                candidate.program = program if candidate.program is None else candidate.program
                candidate.scores[split] = score
                self._best[split] = max(score, self._best.get(split, 0.0))
            totals = self._ledger.totals
            trial = Trial(
                trial=self._trials,
                split=split,
                full_eval=full,
                n_examples=len(rows),
                score=score,
                best_so_far=self._best.get(split),
                program_id=program_id,
                parent_ids=self._lineage.get(instructions, ()),
                lm_calls=totals.calls,
                cost_usd=totals.cost_usd,
                scores=tuple(rows),
            )
            key = trial_key(trial)
            if self._replayed[key]:
                self._replayed[key] -= 1
                return candidate
            self._trials += 1
            self._emit(trial)
        return candidate

    def rows(self, results: Sequence[tuple[Any, Any, Any]]) -> tuple[list[ExampleScore], Split]:
        """Turn rows of ``dspy.Evaluate``, of one split, into scores; a failed prediction scores None."""
        told: list[ExampleScore] = []
        split: Split = "train"
        for example, prediction, score in results:
            example_id, split = self._ids[id(example)]
            failed = prediction is None or (hasattr(prediction, "keys") and not list(prediction.keys()))
            value = None if failed else float(getattr(score, "score", score))
            output = None if failed or split == "train" else output_json(prediction)
            if output is not None and not self._ledger.record_prompts:
                output = digest(output)
            told.append(ExampleScore(example_id, value, getattr(score, "feedback", None), output))
        with self._lock:
            self.predictions += len(told)
            self.failed += sum(r.score is None for r in told)
        return told, split

    def best(self, split: Split) -> Candidate | None:
        """Return the candidate with the best full evaluation on `split`; of equals, the first."""
        scored = [c for c in self.candidates.values() if split in c.scores]
        return max(scored, key=lambda c: c.scores[split], default=None)

    def callback(self, watch_metric: int | None = None) -> Any:
        """Make the DSPy callback.

        Parameters
        ----------
        watch_metric
            For an optimizer that scores outside ``dspy.Evaluate``: the number of scores that make
            a trial of a program.  DSPy then need not be given the callback, which would slow every call.
        """
        from dspy.utils.callback import BaseCallback

        return type("Callback", (_Watcher, BaseCallback), {})(self, watch_metric)

    def known(self, example: Any) -> tuple[str, Split] | None:
        """Identity and split of an example object of this run."""
        return self._ids.get(id(example))

    def size(self, split: Split) -> int:
        """Number of examples of `split`."""
        return self._sizes[split]

    def is_recorded(self, program: Any) -> bool:
        """Tell whether a program with this content has had a trial."""
        return self._keep(program) in self.candidates


class _Watcher:
    """DSPy's callback; mixed in before ``BaseCallback`` when DSPy is loaded."""

    def __init__(self, recorder: Recorder, watch_metric: int | None) -> None:
        self._recorder = recorder
        self._batch = watch_metric
        # Programs being evaluated, their ids, and the list left, by call.
        self._open: dict[str, tuple[Any, str | None, list[Any]]] = {}
        self._loose: WeakKeyDictionary[Any, list[ExampleScore]] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._watch = Watch()

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        import dspy

        active, program = dspy.settings.callbacks, _snapshot(inputs["program"])
        program_id = self._recorder.begin(program, inputs.get("devset") or instance.devset)
        self._open[call_id] = program, program_id, active
        # A callback makes every call inside a third slower: it leaves the list that all threads look at.
        if self in active:
            active.remove(self)

    def on_evaluate_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        if call_id not in self._open:
            return
        program, program_id, active = self._open.pop(call_id)
        active.append(self)
        if exception is not None or outputs is None:
            return
        results = [row for row in outputs.results if self._recorder.known(row[0])]
        if results:
            self._recorder.record(program, *self._recorder.rows(results), program_id)

    def over(self, program: Any) -> Any:
        """Watch a program that is scored outside ``dspy.Evaluate``, and all copies of it."""
        return program if self._batch is None else self._watch.over(program)

    def on_score(self, example: Any, pred: Any, score: float) -> None:
        """Join a score with the program that made the prediction (see the module's text)."""
        del pred
        program, known = self._watch.program, self._recorder.known(example)
        if self._batch is None or program is None or known is None:
            return
        with self._lock:
            rows = self._loose.setdefault(program, [])
            rows.append(ExampleScore(known[0], float(score), getattr(score, "feedback", None)))
            n = len(rows)
        # The final scoring on all examples passes the size of a batch on its way: no trial of its own.
        whole = n == self._recorder.size("train")
        if whole or (n == self._batch and not self._recorder.is_recorded(program)):
            self._recorder.record(_snapshot(program), list(rows), "train")


def _snapshot(program: Any) -> Any:
    """Copy a program as it is now, without the forward that DSPy puts on it to capture traces."""
    copied = unwatched(program.deepcopy())
    forward = vars(copied).get("forward")
    if getattr(forward, "__module__", "") == "dspy.teleprompt.bootstrap_trace":
        del copied.forward
    return copied
