"""Training sets of a home: analysed with what its runs recorded, and recorded in turn."""

from __future__ import annotations

import json
import math
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from skillfleet_nb.data import analyze, to_examples
from skillfleet_nb.data.example_history import ExampleHistory, gather
from skillfleet_nb.data.influence import estimate
from skillfleet_nb.data.scoring import relevance_to
from skillfleet_nb.errors import InputError
from skillfleet_nb.events import ExampleRated, ExamplesAnalysed
from skillfleet_nb.reports.influence import candidates
from skillfleet_nb.reports.judge import task_of
from skillfleet_nb.runs.metric import RunMetric
from skillfleet_nb.runs.task import checked_program, input_fields
from skillfleet_nb.skills.plan_rows import PLAN_ROLES, STYLE_FIELD
from skillfleet_nb.store import Journal, new_stream, queries
from skillfleet_nb.store.arrays import ArrayCache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.data import TrainsetReport
    from skillfleet_nb.data.dataset import Dataset
    from skillfleet_nb.events import Payload
    from skillfleet_nb.lm.embed import Embedder
    from skillfleet_nb.reports.judge import Judge
    from skillfleet_nb.store import Home, Store
    from skillfleet_nb.typing import Metric, Program

_ROWS_AN_EVENT = 2_000
_PROBED = 1_000  # rows whose own answer a metric is tried on
_DIGITS = 6
_RECORDED = [
    "example_id", "row", "category", "intrinsic", "relevance", "diversity", "suspicion", "judged",
    "influence", "influence_low", "influence_high",
]  # fmt: skip


def analyse(
    home: Home,
    store: Store,
    embed: Embedder,
    train: object,
    *,
    metric: Metric | None = None,
    program: Program | None = None,
    style: str | None = None,
    judge: Judge | None = None,
    name: str = "train",
    seed: int = 0,
    **options: Any,
) -> TrainsetReport:
    """Analyse a set with what runs and people said of its examples, and record the outcome.

    Parameters are those of ``fleet.data.analyse``; `options` go to
    :func:`~skillfleet_nb.data.analyze`.
    """
    outputs: dict[str, Sequence[str] | None] = {}
    if program is not None:
        checked_program(program)
        outputs = _outputs(program)
        options["input_fields"] = options.get("input_fields") or input_fields(program)
    report = analyze(
        train,
        embed=embed,
        roles=(PLAN_ROLES,),
        name=name,
        past=past(store),
        ratings=queries.ratings(store),
        relevance=_relevance(program, outputs, style) if program is not None or style is not None else None,
        expected={field: values for field, values in outputs.items() if values},
        judge=(lambda rows: judge.grade(home, store, rows, task_of(rows, program), seed)) if judge else None,
        influence=lambda rows: estimate(candidates(store, rows)),
        cache=ArrayCache(home.derived / "vectors" / "trainsets"),
        seed=seed,
        **options,
    )
    if metric is not None:
        _try(metric, report)
    record(home, store, report)
    return report


def past(store: Store) -> dict[str, ExampleHistory]:
    """Return what finished runs came to by example id, on train and validation."""
    frame = queries.example_history(store)[["example_id", "mean_score", "best_score", "trials", "solved"]]
    return gather(
        (str(e), float(m), float(b), int(t), int(s)) for e, m, b, t, s in frame.itertuples(index=False, name=None)
    )


def rate(home: Home, example_id: str, rating: float | None) -> None:
    """Record a person's rating of an example, in [0, 1]; None takes it back.

    Raises
    ------
    InputError
        If it is out of range.
    """
    if rating is not None and not (isinstance(rating, int | float) and 0 <= rating <= 1):
        raise InputError(f"rating = {rating!r}: give a number in [0, 1], or none to take it back.")
    _append(home, "rating", [ExampleRated(example_id=example_id, rating=None if rating is None else float(rating))])


def record(home: Home, store: Store, report: TrainsetReport) -> None:
    """Record an analysis in the journal, unless the set's last one came to the same."""
    ordered = report.examples.sort_values("row")[_RECORDED].rename(columns={"intrinsic": "quality"})
    rows = [{k: _plain(v) for k, v in r.items()} for r in ordered.to_dict("records")]
    key = sha256(json.dumps([report.name, rows]).encode()).hexdigest()[:16]
    if queries.last_analysis(store, report.name) != key:
        parts = [rows[start : start + _ROWS_AN_EVENT] for start in range(0, len(rows), _ROWS_AN_EVENT)]
        _append(home, "examples", [ExamplesAnalysed(dataset=report.name, key=key, rows=tuple(p)) for p in parts])


def _append(home: Home, what: str, payloads: Sequence[Payload]) -> None:
    with Journal(home, new_stream(what)) as journal:
        journal.append_many(payloads, sync=True)


def _plain(value: object) -> object:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, _DIGITS)
    return value


def _outputs(program: Program) -> dict[str, Sequence[str] | None]:
    """Name the outputs of a program, each with the values it may take, None where any will do."""
    outputs: dict[str, Sequence[str] | None] = {}
    for predictor in program.predictors():
        for name, field in predictor.signature.output_fields.items():
            literal = get_origin(field.annotation) is Literal
            outputs[name] = [str(v) for v in get_args(field.annotation)] if literal else None
    return outputs


def _relevance(
    program: Program | None, outputs: Mapping[str, Sequence[str] | None], style: str | None
) -> Callable[[Dataset], Sequence[float]]:
    inputs = input_fields(program) if program is not None else []
    wanted = {} if style is None else {STYLE_FIELD: style}
    return lambda rows: relevance_to(rows, inputs, outputs, wanted)


def _try(metric: Metric, report: TrainsetReport) -> None:
    """Score each row's own answer, which should be right; rows where it is not are told in the report."""
    judge = RunMetric(metric)
    rows = report.examples["row"].tolist()[:_PROBED]
    examples = to_examples(report.given(rows), input_fields=report.inputs, name=report.name)
    scores = [judge.own_score(example) for example in examples]
    wrong = [row for row, score in zip(rows, scores, strict=True) if score is not None and score < 1]
    if wrong:
        shown = ", ".join(map(str, sorted(wrong)[:5]))
        report.recommendations.append(
            f"{len(wrong):,} of {len(rows):,} examples whose own answer {judge.name!r} scores below 1: see "
            f"{'row' if len(wrong) == 1 else 'rows'} {shown}"
        )
