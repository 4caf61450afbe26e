"""Golden sets: examples that never change, with what a version of a program answered to them and its scores.

They are what quality is checked against later.  The version is asked twice, its cache left aside: the first answers are
the reference, the second tell how far two askings of the same program differ by themselves.  What a later check can
see through that is known before anything is bought for it.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from skillfleet_nb.config import Settings
from skillfleet_nb.data.identity import content_hash, example_id
from skillfleet_nb.errors import InputError, JobError, LMError, NotFoundError, unknown
from skillfleet_nb.events.monitoring import GOLDEN, GoldenAdded, GoldenAsked, GoldenRow
from skillfleet_nb.example import in_words
from skillfleet_nb.format import counted, points
from skillfleet_nb.html import Readable, fill, table, text_table
from skillfleet_nb.messages import as_typed
from skillfleet_nb.monitoring.stream import writing
from skillfleet_nb.power import rows_needed, smallest_difference
from skillfleet_nb.programs.registry import NEWEST, Registry, check_name, parse
from skillfleet_nb.reports.golden import changed_fields
from skillfleet_nb.runs.outputs import output_json
from skillfleet_nb.store import follow, queries
from skillfleet_nb.store.people import person

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    import dspy
    import pandas as pd

    from skillfleet_nb.programs.registry import ProgramVersion
    from skillfleet_nb.reports.registered import Registered
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.runs.task import CheckedTask
    from skillfleet_nb.store import Store
    from skillfleet_nb.typing import Metric, Model, Rows

LEAST, MOST = 5, 1000
"""Examples of a golden set."""
_EFFECT = 0.05  # a drop of quality that rows are told for
_SHOWN, _WIDE = 10, 70  # rows, and characters of a cell
_TOLERATED = 0.1  # share of examples that no model answered, up to which a set counts as asked
_RULE_OF_THREE = 3.0  # none of n examples differed: with 95% confidence fewer than 3 in n do


class Asked(NamedTuple):
    """What a program answered to a golden set: outputs and scores in its order, None and 0 where it failed."""

    outputs: Sequence[dict[str, Any] | None]
    scores: Sequence[float]
    calls: int
    cost_usd: float | None


@dataclass(frozen=True, repr=False)
class GoldenSet(Readable):
    """A version of a golden set.

    Attributes
    ----------
    kept
        What is kept of it: `name`, `version`, `rows`, the version `ref` they were answered by, `lm`, `metric`.
    at
        When it was made (UTC).
    """

    kept: GoldenAdded
    at: datetime

    @property
    def ref(self) -> str:
        """What it is called: ``name@version``."""
        return f"{self.kept.name}@{self.kept.version}"

    @property
    def rows(self) -> Sequence[GoldenRow]:
        """Its examples."""
        return self.kept.rows

    @property
    def is_scored(self) -> bool:
        """Whether a version of a program answered it, and was scored."""
        return self.kept.ref is not None

    @property
    def scores(self) -> list[float]:
        """The scores of the reference answers, in [0, 1]; none where it is not scored."""
        return [row.score or 0.0 for row in self.rows] if self.is_scored else []

    @property
    def differing(self) -> int:
        """Examples that the same program answered otherwise when it was asked again at once."""
        return sum(row.same is False for row in self.rows)

    @property
    def noise(self) -> float:
        """Variance of the difference of an example's score between two askings; where none differed, what it may be."""
        variance = sum(((row.score or 0.0) - (row.again or 0.0)) ** 2 for row in self.rows) / len(self.rows)
        return variance or min(1.0, _RULE_OF_THREE / len(self.rows))

    @property
    def smallest_gain(self) -> float | None:
        """The smallest gain of the mean that is told in 8 of 10 cases, in [0, 1]; None where none is."""
        return smallest_difference(len(self.rows), self.noise)

    @property
    def smallest(self) -> float | None:
        """The smallest drop of the mean that a check tells in 8 of 10 cases, in [0, 1]; None where it tells none."""
        drop = self.smallest_gain
        return drop if drop is not None and drop <= self.mean else None

    @property
    def mean(self) -> float:
        """Mean score of the reference answers, in [0, 1]; 0 where it is not scored."""
        return sum(self.scores) / len(self.rows)

    def examples(self) -> list[dspy.Example]:
        """Return its examples, their inputs set."""
        import dspy

        return [dspy.Example(**row.inputs, **row.expected).with_inputs(*row.inputs) for row in self.rows]

    def sentence(self) -> str:
        """Say in one line what it is, and what it can tell."""
        n = counted(self.rows, "example")
        if not self.is_scored:
            score = as_typed(f"golden add {self.kept.name} --score-now")
            return f"golden set {self.ref}: {n}, not answered by any version yet: {score} has one answer them"
        by = f"{self.kept.ref} scores {points(self.mean)} with {self.kept.lm}"
        seen = "no drop" if self.smallest is None else f"drops from {points(self.smallest)} points"
        needed = rows_needed(_EFFECT, self.noise)
        more = "" if needed <= len(self.rows) else f"; {points(_EFFECT)} points take {counted(needed, 'example')}"
        return f"golden set {self.ref}: {n}; {by}; asked again, {self.differing} differ; it can show {seen}{more}"

    def _table(self) -> list[list[str]]:
        return [
            [
                in_words(row.inputs or {}, _WIDE),
                in_words(row.expected or {}, _WIDE),
                in_words(row.output or {}, _WIDE),
                points(row.score),
            ]
            for row in self.rows[:_SHOWN]
        ]

    def text(self) -> str:
        """Return it as text."""
        head = ("asked", "expected", "answered", "score")
        left = len(self.rows) - _SHOWN
        more = f"\n… {left:,} more" if left > 0 else ""
        return f"{self.sentence()}\n\n{text_table(head, self._table(), numeric=[3])}{more}"

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Return it as HTML."""
        left = len(self.rows) - _SHOWN
        shown = table(("asked", "expected", "answered", "score"), self._table(), numeric=[3])
        return fill("<div>{}</div>{}<div>{}</div>", self.sentence(), shown, f"… {left:,} more" if left > 0 else "")


class GoldenSets:
    """The golden sets of a home.  Reached as ``fleet.golden_sets``.

    Parameters
    ----------
    store
        Of the home.
    registered
        Its registered programs.
    job
        Finds a job.
    """

    def __init__(self, store: Store, registered: Registered, job: Callable[[str], Job]) -> None:
        self._store, self._registered, self._job = store, registered, job
        self._registry = Registry(store.home)
        self._follower, self._reading = follow(store.home, GOLDEN), threading.Lock()
        self._sets: dict[str, list[GoldenSet]] = {}

    @property
    def names(self) -> list[str]:
        """Names of all sets."""
        return sorted(self._up_to_date())

    def find(self, name: str) -> GoldenSet:
        """Find a set, ``name@version``, or the last version of a name; raises `NotFoundError` where there is none."""
        name, version = parse(name)
        sets = self._up_to_date()
        if name not in sets:
            raise unknown("golden set", name, sets, hint=f"{as_typed('golden add NAME --from DATA')} makes one.")
        versions = sets[name]
        if version == NEWEST:
            return versions[-1]
        if not version.isdecimal() or not 1 <= int(version) <= len(versions):
            raise NotFoundError(f"golden set {name!r} has no version {version}: its versions are 1 to {len(versions)}.")
        return versions[int(version) - 1]

    def add(
        self,
        name: str,
        rows: Rows | None = None,
        *,
        program: str | None = None,
        metric: Metric | None = None,
        lm: Model | None = None,
        score: bool = False,
    ) -> GoldenSet:
        """Keep examples as the next version of a set; the same ones, answered the same, stay the version they are.

        Parameters
        ----------
        name
            What it is called: by custom as the registered program it is for.
        rows
            The examples; by default those of the last version, to be scored anew.
        program
            The registered program; by default ``name@production``, or the last version of `name`.
        metric, lm
            By default those of the program's job.
        score
            Whether the program answers now, twice, and is scored: calls are bought for it.

        Raises
        ------
        InputError, NotFoundError
            If there are too few rows or too many, a row lacks an input or holds what is no JSON, or there is no such
            program.
        LMError
            If there is no model to score with, or it does not answer.
        """
        check_name(name, "name")
        version = self.version_for(name, program)
        kept = tuple(self.find(name).rows) if rows is None else _rows(self._registered, version, rows)
        bare = tuple(GoldenRow(example_id=r.example_id, inputs=r.inputs, expected=r.expected) for r in kept)
        fields: dict[str, Any] = {"name": name, "rows": bare, "content": content_hash([r.example_id for r in bare])}
        if score:
            fields |= self._scored(bare, version, metric, lm)
        with writing(self._store.home, GOLDEN, "keeping golden sets") as journal:
            earlier = self._up_to_date().get(name, [])
            last = earlier[-1].kept if earlier else None
            new = fields if score else {"content": fields["content"]}
            if last is None or any(getattr(last, field) != value for field, value in new.items()):
                journal.append(GoldenAdded(version=len(earlier) + 1, by=person(), **fields), sync=True)
        return self.find(name)

    def version_for(self, name: str, program: str | None = None) -> ProgramVersion:
        """Find the registered version that a set of a name is for."""
        if program is None and name in self._registered.names:
            production = "production" in self._registered.aliases(name)
            program = f"{name}@production" if production else name
        return self._registry.find(program or name)

    def task(self, golden: GoldenSet, version: ProgramVersion, metric: Metric | None, lm: Model | None) -> CheckedTask:
        """Put a set before a version, checked, with nothing asked yet; raises as :meth:`add` does."""
        return self._task(golden.examples(), version, metric, lm)

    def ask(self, golden: GoldenSet, task: CheckedTask, version: ProgramVersion, why: str) -> Asked:
        """Have a version answer a set anew, and count that as a use.

        Raises
        ------
        InputError
            If the set was scored by another metric.
        LMError
            If the model does not answer.
        """
        if golden.kept.metric_hash not in {None, task.metric_hash}:
            raise InputError(
                f"golden set {golden.ref} was scored by another metric, {golden.kept.metric}: give that one, or score "
                f"it anew: {as_typed(f'golden add {golden.kept.name} --score-now --metric METRIC')}"
            )
        (answered,) = self._asked(task, 1)
        changed = sum(differ(row.output, now) for row, now in zip(golden.rows, answered.outputs, strict=True))
        ids = [row.example_id for row in golden.rows]
        event = GoldenAsked(
            name=golden.kept.name, version=golden.kept.version, why=why, ref=version.ref, program_id=version.program_id,
            lm=str(task.lm.model), changed=changed if golden.is_scored else 0,
            scores=dict(zip(ids, answered.scores, strict=True)),
        )  # fmt: skip
        with writing(self._store.home, GOLDEN, "keeping golden sets") as journal:
            journal.append(event, sync=True)
        return answered

    def listing(self) -> pd.DataFrame:
        """List sets and how often they were used, the newest first."""
        return queries.golden_sets(self._store)

    def history(self, name: str | None = None) -> pd.DataFrame:
        """List how sets were made and used, the oldest first: the relation ``golden_history``."""
        uses = queries.golden_history(self._store)
        return uses if name is None else uses[uses.name == self.find(name).kept.name].reset_index(drop=True)

    def _scored(
        self, rows: Sequence[GoldenRow], version: ProgramVersion, metric: Metric | None, lm: Model | None
    ) -> dict[str, Any]:
        import dspy

        examples = [dspy.Example(**row.inputs, **row.expected).with_inputs(*row.inputs) for row in rows]
        task = self._task(examples, version, metric, lm)
        first, again = self._asked(task, 2)
        answers = zip(rows, first.outputs, first.scores, again.outputs, again.scores, strict=True)
        scored = tuple(
            row.model_copy(update={"output": a, "score": x, "again": y, "same": not differ(a, b)})
            for row, a, x, b, y in answers
        )
        name = None if task.metric is None else task.metric.name
        how = {"metric": name, "metric_hash": task.metric_hash, "dspy": dspy.__version__, "lm": str(task.lm.model)}
        return {"rows": scored, "ref": version.ref, "program_id": version.program_id, **how}

    def _task(
        self, examples: Sequence[dspy.Example], version: ProgramVersion, metric: Metric | None, lm: Model | None
    ) -> CheckedTask:
        import dspy

        from skillfleet_nb.runs.evaluation import EvaluateRequest, whole
        from skillfleet_nb.runs.task import check_task

        onto = None
        if version.job_id is not None and (metric is None or lm is None):
            with suppress(JobError, NotFoundError):  # its set-up was not kept, or it was deleted
                job = self._job(version.job_id)
                lm = lm or dspy.settings.lm or job.model()
                request = job.parcel().request
                metric, onto = metric or request.metric, request.program
        if metric is None:
            raise InputError(f"{version.ref} comes from no job whose metric was kept: give one, --metric METRIC")
        program = self._registered.load(version.ref, onto, check=False)
        asked = EvaluateRequest(program, list(examples), metric, lm=lm)
        return check_task(asked.run(), Settings.load(self._store.home.config), cut=whole)

    def _asked(self, task: CheckedTask, times: int) -> list[Asked]:
        from skillfleet_nb.advice.answers import answers_of
        from skillfleet_nb.lm.faults import in_short
        from skillfleet_nb.lm.session import Session

        anew, home, asked = task.anew(), self._store.home, []
        with Session.opened(home, task.settings, "golden-answers", task.lms) as session:
            for _ in range(times):
                calls, usd = session.ledger.totals.calls, session.ledger.totals.cost_usd or 0.0
                before, examples = session.ledger.unanswered, task.splits.test
                answers = answers_of(session, session.gate(), anew, anew.program, examples)
                failed = len(examples) - sum(answer.prediction is not None for answer in answers)
                unanswered = min(session.ledger.unanswered - before, failed)
                if failed == len(examples) or unanswered > _TOLERATED * len(examples):
                    # scored, they would read as wrong answers
                    failure = session.ledger.last_failure
                    why = in_short(failure) if failure else "no answer"
                    whose = (
                        "the program answers none of" if failed == len(examples) else f"{unanswered} got no answer of"
                    )
                    raise LMError(f"{whose} {counted(examples, 'example')}: {why}")
                outputs = [_output(answer.prediction) for answer in answers]
                scores, spent = [a.score or 0.0 for a in answers], session.ledger.totals
                cost = None if spent.cost_usd is None else spent.cost_usd - usd
                asked.append(Asked(outputs, scores, spent.calls - calls, cost))
        return asked

    def _up_to_date(self) -> dict[str, list[GoldenSet]]:
        with self._reading:
            for event in self._follower.read():
                if isinstance(event.payload, GoldenAdded):
                    self._sets.setdefault(event.payload.name, []).append(GoldenSet(event.payload, event.at))
        return self._sets


def _rows(registered: Registered, version: ProgramVersion, rows: Rows) -> tuple[GoldenRow, ...]:
    from skillfleet_nb.data import to_examples
    from skillfleet_nb.runs.task import input_fields

    names = input_fields(registered.load(version.ref, check=False))
    made = {}
    for place, example in enumerate(to_examples(rows, input_fields=names, name="golden")):
        inputs, expected = dict(example.inputs()), dict(example.labels())
        for field, value in {**inputs, **expected}.items():
            if not _is_json(value):
                kind = type(value).__name__
                raise InputError(f"golden row {place}: {field} is a {kind}: a golden set keeps what JSON can hold.")
        key = example_id(inputs, expected)
        made[key] = GoldenRow(example_id=key, inputs=inputs, expected=expected)  # one that comes twice is kept once
    if not LEAST <= len(made) <= MOST:
        raise InputError(f"a golden set of {counted(made, 'different example')}: give {LEAST} to {MOST:,}.")
    return tuple(made.values())


def _output(prediction: dspy.Prediction | None) -> dict[str, Any] | None:
    return None if prediction is None else orjson.loads(output_json(prediction) or "{}")


def differ(was: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> bool:
    """Tell whether two answers differ; None is one that failed."""
    return (was is None) != (now is None) or bool(changed_fields(was or {}, now or {}))


def _is_json(value: object) -> bool:
    try:
        return bool(orjson.loads(orjson.dumps(value)) == value)
    except (TypeError, ValueError):
        return False
