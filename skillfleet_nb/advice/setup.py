"""A task as advice sees it: checked like a run, sized like a run, and nothing of it started."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.advice.forecast import Workload
from skillfleet_nb.advice.sizing import Sizing, categories, checked_probe, probe, read_sizes
from skillfleet_nb.errors import InputError, MissingExtraError
from skillfleet_nb.events import Landmarked
from skillfleet_nb.lm.prices import price_of, stay_offline
from skillfleet_nb.runs.fingerprint import program_content
from skillfleet_nb.runs.metric import RunMetric
from skillfleet_nb.runs.prepare import check_metric, checked_lm, checked_program, checked_splits, input_fields, label

if TYPE_CHECKING:
    from skillfleet_nb.advice.past_runs import History
    from skillfleet_nb.config import Settings
    from skillfleet_nb.data import Splits
    from skillfleet_nb.data.landmarks import Landmarks
    from skillfleet_nb.lm.embed import Embedder
    from skillfleet_nb.runs.request import TaskRequest
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Example, Model, Program

FEWEST = 5


@dataclass(frozen=True)
class Setup:
    """A checked task.

    Attributes
    ----------
    request
        What the person gave, to start a run with.
    program, splits, metric, lm, prompt_lm
        As a run would use them; `metric` is None where none was given.
    key
        What is the same for the same program, data and model.
    """

    request: TaskRequest
    program: Program
    splits: Splits[Example]
    metric: RunMetric | None
    lm: Model
    prompt_lm: Model
    settings: Settings
    threads: int
    key: str

    @property
    def features(self) -> dict[str, Any]:
        """What advice goes by: sizes, categories, predictors, and the names of program and model."""
        train, val, test = (len(s) for s in (self.splits.train, self.splits.val, self.splits.test))
        return {
            "task": self.key, "program": label(self.program), "lm": str(self.lm.model), "n": train + val,
            "train": train, "val": val, "test": test, "predictors": len(self.program.predictors()),
            "labels": categories(self.program, self.splits.train),
        }  # fmt: skip

    def workload(self, sizing: Sizing) -> Workload:
        """Put together what a forecast needs."""
        cached = bool(getattr(self.lm, "cache", False))
        return Workload(
            sizes=(len(self.splits.train), len(self.splits.val), len(self.splits.test)),
            sizing=sizing,
            predictors=len(self.program.predictors()),
            price=price_of(self.lm, self.settings.prices),
            prompt_price=price_of(self.prompt_lm, self.settings.prices),
            threads=self.threads,
            cached=cached,
            repeats=1.0 if getattr(getattr(self.prompt_lm, "engine", None), "repeats_itself", False) else None,
            lm=str(self.lm.model),
            prompt_lm=str(self.prompt_lm.model),
        )


def set_up(request: TaskRequest, settings: Settings) -> Setup:
    """Check a task as a run would be, and refuse one that is too small to advise on.

    Raises
    ------
    InputError, LMError
        In one line.
    """
    stay_offline()
    import dspy

    from skillfleet_nb.data.identity import content_hash

    program, train = request.program, request.train
    checked_program(program)
    lm = checked_lm(request.lm if request.lm is not None else dspy.settings.lm)
    prompt_lm = checked_lm(request.prompt_lm) if request.prompt_lm is not None else lm
    n = len(train) if isinstance(train, Sized) else FEWEST
    if n < FEWEST:
        raise InputError(f"train holds {n} examples: advice needs {FEWEST} or more; 20 to 50 make a useful start")
    splits, _ = checked_splits(train, request.val, request.test, input_fields(program), request.seed)
    judge = RunMetric(request.metric) if request.metric is not None else None
    if judge is not None:
        check_metric(judge, program, splits.val[0])
    threads = request.num_threads or settings.num_threads or dspy.settings.num_threads or 1
    hashes = content_hash(program_content(program)), content_hash([dict(e) for e in splits.train])
    key = task_key(*hashes, str(lm.model))
    return Setup(request, program, splits, judge, lm, prompt_lm, settings, threads, key)


def task_key(program_hash: str, train_hash: str, lm: str) -> str:
    """Name a task: the same program, training data and model."""
    from skillfleet_nb.data.identity import content_hash

    return content_hash([program_hash, train_hash, lm])


def sized(
    home: Home, setup: Setup, history: History, n: int, *, budget_usd: float | None = None
) -> tuple[Sizing, bool]:
    """Size the calls of a task; return whether that took calls.

    A set-up that was probed before, on this home, is not probed again.

    Raises
    ------
    InputError, LMError
        If `n` is no number of examples, or the probe got no answer.
    """
    if checked_probe(n) == 0:
        return read_sizes(setup.program, setup.splits.train, setup.lm), False
    if history.probed is not None:
        kept = Sizing.model_validate(history.probed["sizing"])
        if kept.probed >= n:
            return kept, False
    measured = probe(
        home, setup.settings, setup.program, setup.splits.train, setup.metric, setup.lm,
        n=n, key=setup.key, budget_usd=budget_usd,
    )  # fmt: skip
    return measured, True


def landmarks_of(home: Home, setup: Setup, history: History, embedder: Embedder) -> Landmarks:
    """Try simple learners on a task's examples, once for each task; no model is asked."""
    from skillfleet_nb.data.landmarks import Landmarks, landmarks
    from skillfleet_nb.store import Journal, new_stream

    if history.landmarks is not None:
        return Landmarks(**history.landmarks)
    try:
        embedder.check()
        embed = embedder
    except MissingExtraError:
        embed = None
    measured = landmarks([*setup.splits.train, *setup.splits.val], embed)
    with Journal(home, new_stream("landmarks")) as journal:
        journal.append(Landmarked(key=setup.key, **measured._asdict()), sync=True)
    return measured
