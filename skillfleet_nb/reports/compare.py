"""Runs side by side: what was set differently, which did better and whether that is real, and where they disagree.

Runs that scored the same test rows are compared pair by pair; others by their means, which tells far
less.  With more than two, each is compared with the first, and the intervals hold together at 95%.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from skillfleet_nb.errors import InputError
from skillfleet_nb.example import in_words
from skillfleet_nb.format import counted, is_missing, one_line
from skillfleet_nb.messages import as_typed
from skillfleet_nb.reports.comparison import NONE, Comparison, Difference, Run
from skillfleet_nb.stats import paired_comparison, unpaired_comparison
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from skillfleet_nb.config import Settings
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.stats import PairedComparison, UnpairedComparison
    from skillfleet_nb.store import Store

_SPLITS: tuple[Literal["test", "val"], ...] = ("test", "val")
_LABEL = 36  # characters of a name: it heads a column
_DERIVED = {"expected_calls", "predictors", "splits"}  # follows from the rest


def compare(store: Store, settings: Settings, jobs: Sequence[Job], named: Sequence[str]) -> Comparison:
    """Compare jobs with the first of them; `named` is how the person called them.

    Raises
    ------
    InputError
        If there are fewer than two different ones.
    """
    if len(jobs) < 2:  # noqa: PLR2004  a comparison takes two
        raise InputError(f"compare takes at least two jobs, {', '.join(named) or 'none'} given: name another")
    ids = [job.id for job in jobs]
    for place, job_id in enumerate(ids):
        if job_id in ids[:place]:
            raise _same_job(store, named[ids.index(job_id)], named[place], job_id)
    runs = _runs(store, jobs)
    scores = queries.best_scores(store, ids)
    split, notes = _split(runs, scores)
    by_job = [scores[(scores.job_id == i) & (scores.split == split)].set_index("example_id") for i in ids]
    differences = _differences(runs, by_job, split, notes)
    disagreements, agreed = _disagreements(runs, by_job)
    return Comparison(runs, differences, disagreements, split, agreed, tuple(notes), store, settings)


def _same_job(store: Store, one: str, other: str, job_id: str) -> InputError:
    same = f"{one!r} and {other!r} are the same job" if one != other else f"{one!r} is given twice"
    names = queries.job_names(store)
    namesakes = names.job_id[(names.name == one) & (names.job_id != job_id)].tolist()
    if namesakes:
        return InputError(f"{same}: an earlier one of that name is {namesakes[0]}, compare by id")
    return InputError(f"{same}: name another; {as_typed(f'job {one}')} compares its best program with the given one")


def _runs(store: Store, jobs: Sequence[Job]) -> tuple[Run, ...]:
    ids = [job.id for job in jobs]
    frame = queries.jobs(store, ids=ids)
    facts = {row["job_id"]: {str(k): _known(v) for k, v in row.items()} for row in frame.to_dict("records")}
    setups: dict[str, dict[str, Any]] = {}
    for job_id, kind, payload in queries.job_setups(store, ids).itertuples(index=False, name=None):
        event = json.loads(payload)
        if kind == "job_created":
            setups[job_id] = {**event["spec"], "engine": event["engine"]}
        else:
            setups[job_id]["budget"] = event["budget"]
    short = {i: one_line(facts[i]["name"], _LABEL) for i in ids}
    times = Counter(short.values())
    labels = {i: f"{name} ({i[-6:]})" if times[name] > 1 else name for i, name in short.items()}
    return tuple(Run(job, labels[job.id], _setup(setups[job.id]), facts[job.id]) for job in jobs)


def _setup(spec: dict[str, Any]) -> dict[str, str]:
    """Tell a set-up in words; hashes stand for content."""
    spec = {k: v for k, v in spec.items() if k not in _DERIVED}
    setup: dict[str, str] = {}
    for what in ("program", "metric"):
        setup[what] = f"{spec.pop(what, NONE)} ({spec.pop(f'{what}_hash', '')[:8]})"
    sizes, origins = spec.pop("sizes", {}), spec.pop("origins", {})
    for split, digest in spec.pop("data_hashes", {}).items():
        rows = f"{counted(sizes[split], 'row')} " if split in sizes else ""
        setup[split] = f"{rows}{origins.get(split, '')}".strip() + f" ({digest[:8]})"
    setup["optimizer"] = spec.pop("optimizer", NONE)
    setup |= {f"set: {name}": str(value) for name, value in spec.pop("params", {}).items() if value is not None}
    limits = spec.pop("budget", {})
    setup |= {f"budget: {name}": f"{value:g}" for name, value in limits.items() if value is not None}
    for name, value in spec.items():
        if isinstance(value, dict):
            setup |= {f"{name.replace('_', ' ')}: {part}": str(one) for part, one in value.items() if one is not None}
            continue
        words = ", ".join(map(str, value)) if isinstance(value, list | tuple) else "" if value is None else str(value)
        setup[name.replace("_", " ")] = words
    return {word: value for word, value in setup.items() if value}


def _split(runs: tuple[Run, ...], scores: pd.DataFrame) -> tuple[Literal["test", "val"] | None, list[str]]:
    """Choose the split on which all, or else the most runs, can be compared."""
    notes = []
    having = {split: set(scores[scores.split == split].job_id) for split in _SPLITS}
    for run in runs:
        if run.job.id not in having["test"]:
            why = run.facts["error"] or run.facts["stop_reason"] or ""
            state = f"{run.facts['state']}{f': {why}' if why and why != run.facts['state'] else ''}"
            notes.append(f"{run.label} has no test score ({state})")
    for split in _SPLITS:
        if len(having[split]) == len(runs):
            return split, notes
    first = runs[0].job.id
    widest = max(_SPLITS, key=lambda s: (first in having[s], len(having[s])))
    return (widest if len(having[widest]) > 1 and first in having[widest] else None), notes


def _differences(
    runs: tuple[Run, ...], by_job: list[pd.DataFrame], split: Literal["test", "val"] | None, notes: list[str]
) -> tuple[Difference, ...]:
    if split is None:
        notes.append("no two of them have scores to compare")
        return ()
    others = [place for place in range(1, len(runs)) if len(by_job[place])]
    confidence = _together(len(others))
    differences = []
    for place in others:
        one, other = by_job[0].score, by_job[place].score
        shared = one.index.intersection(other.index)
        if runs[0].setup["metric"] != runs[place].setup["metric"]:
            notes.append(
                f"{runs[0].label} and {runs[place].label} were scored by different metrics: "
                "a difference between their scores may be the metrics'"
            )
        by: PairedComparison | UnpairedComparison
        if 2 * len(shared) >= min(len(one), len(other)):
            by = paired_comparison(one[shared].tolist(), other[shared].tolist(), confidence=confidence)
            if len(shared) < max(len(one), len(other)):
                rows = f"{len(one):,} and {len(other):,} rows, and are compared on the {len(shared):,} that both did"
                notes.append(f"{runs[0].label} and {runs[place].label} scored {rows}")
        else:
            by = unpaired_comparison(one.tolist(), other.tolist(), confidence=confidence)
            notes.append(
                f"{runs[0].label} and {runs[place].label} were scored on different rows ({len(shared):,} shared): the "
                "difference is unpaired and may be the rows'; one seed and one data set give the same rows"
            )
        differences.append(Difference(runs[place].label, runs[0].label, split, by))
    if len(others) > 1:
        notes.append(f"each interval is at {100 * confidence:g}%, so that all {len(others)} hold together at 95%")
    return tuple(differences)


def _together(comparisons: int) -> float:
    """Return the confidence of each of several intervals that hold together at 95% (Bonferroni)."""
    return 1 - math.floor(0.05 / max(1, comparisons) * 10_000) / 10_000


def _disagreements(runs: tuple[Run, ...], by_job: list[pd.DataFrame]) -> tuple[pd.DataFrame, tuple[int, int]]:
    import pandas as pd

    there = [i for i, frame in enumerate(by_job) if len(frame)]
    columns = {f"{what} {i + 1}": by_job[i][what] for i in there for what in ("score", "output")}
    if len(there) < 2:  # noqa: PLR2004  a disagreement takes two
        return pd.DataFrame(columns=["example_id", "input", "expected"]), (0, 0)
    joined = pd.DataFrame(columns).dropna(subset=[f"score {i + 1}" for i in there])
    scores = joined[[f"score {i + 1}" for i in there]]
    spread = scores.max(axis=1) - scores.min(axis=1)
    apart = spread > 1e-9  # noqa: PLR2004  more than rounding
    outputs = joined[[f"output {i + 1}" for i in there]].itertuples(index=False, name=None)
    answered = pd.Series([len({o for o in row if isinstance(o, str)}) > 1 for row in outputs], joined.index, dtype=bool)
    order = spread[apart].sort_values(ascending=False, kind="stable").index
    frame = joined.loc[order].rename_axis("example_id").reset_index()
    examples: dict[str, Any] = {}
    for i in there:
        if not set(frame.example_id) <= examples.keys():
            examples |= runs[i].job.examples()
    for place, (column, method) in enumerate((("input", "inputs"), ("expected", "labels")), 1):
        values = [getattr(examples[e], method)().toDict() if e in examples else {} for e in frame.example_id]
        frame.insert(place, column, [in_words(v) if v else "" for v in values])
    return frame, (int((~apart).sum()), int((answered & ~apart).sum()))


def _known(value: Any) -> Any:
    """Return a value of a frame, None where it is missing, a list for an array."""
    if getattr(value, "ndim", 0):
        return list(value)
    return None if is_missing(value) else value
