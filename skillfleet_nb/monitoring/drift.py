"""Checks for drift: whether a program is still asked what it was made for, and still answers as well."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.data.load import to_examples
from skillfleet_nb.data.splits import check_seed
from skillfleet_nb.errors import InputError, JobError, NotFoundError, unknown
from skillfleet_nb.events.monitoring import DRIFT, DriftChecked, DriftFound
from skillfleet_nb.format import counted
from skillfleet_nb.lm.devices import CPU
from skillfleet_nb.messages import as_typed
from skillfleet_nb.monitoring.alerts import raise_alarm
from skillfleet_nb.monitoring.drift_golden import check_model, model_drift, quality_drift
from skillfleet_nb.monitoring.drift_inputs import input_drift
from skillfleet_nb.monitoring.drift_outputs import output_drift
from skillfleet_nb.monitoring.drift_report import KINDS, DriftReport, Finding
from skillfleet_nb.monitoring.stream import writing
from skillfleet_nb.monitoring.ticker import Ticker
from skillfleet_nb.programs.registry import Registry
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import dspy
    import pandas as pd

    from skillfleet_nb.charts.chart import Chart
    from skillfleet_nb.monitoring.golden_sets import Asked, GoldenSet, GoldenSets
    from skillfleet_nb.programs.registry import ProgramVersion
    from skillfleet_nb.reports.registered import Registered
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Store
    from skillfleet_nb.typing import Metric, Model, Rows

    Alert = Callable[[DriftReport], object]

_LEAST = 5
_WAIT_S = 60.0
_FIRST_LOOKS = 30


class _Sides(NamedTuple):
    """Rows of the reference and live ones, and what their fields are."""

    reference: Sequence[dspy.Example]
    live: Sequence[dspy.Example]
    inputs: list[str] | None
    outputs: Mapping[str, Any] | None  # with their types; None where the rows say which are inputs


class _Rescored(NamedTuple):
    """A golden set asked again: by the version that is checked, and by its own, where these are looked at."""

    golden: GoldenSet
    version: ProgramVersion
    now: Asked | None
    own: Asked | None
    model: str


class Drift:
    """Checks for drift, and what they came to.  Reached as ``fleet.drift``.

    Parameters
    ----------
    store
        Of the home.
    registered
        Its registered programs.
    job
        Finds a job.
    golden
        Its golden sets.
    """

    def __init__(
        self, store: Store, registered: Registered, job: Callable[[str], Job], golden: Callable[[], GoldenSets]
    ) -> None:
        self._store, self._registered, self._job, self._golden = store, registered, job, golden
        self._registry = Registry(store.home)
        self._watches: dict[str, Ticker] = {}

    def check(
        self,
        reference: Rows | str,
        live: Rows | None = None,
        *,
        kinds: Sequence[str] = KINDS[:1],
        alpha: float = 0.01,
        seed: int = 0,
        of: str | None = None,
        golden: str | None = None,
        metric: Metric | None = None,
        lm: Model | None = None,
        alert: Alert | None = None,
        progress: Callable[[int, int], None] | None = None,
        rows: Rows | None = None,
    ) -> DriftReport:
        """Look for drift; see :meth:`skillfleet_nb.Fleet.check_drift`.

        Parameters
        ----------
        rows
            The reference's rows, where a registered program's own are not meant.
        progress
            Told how many inputs are embedded.
        """
        kinds = _checked(kinds, alpha, seed)
        version = self._registry.find(reference) if isinstance(reference, str) else None
        of = of or (reference if isinstance(reference, str) else None)
        asked = self._rescored(version, golden, metric, lm, kinds)
        sides = self._sides(reference, version, live, rows, kinds)
        texts = _texts(sides) if "input" in kinds and sides is not None else None
        vectors, device = None, CPU
        if texts is not None:
            from skillfleet_nb.lm.embed import Embedder

            embedder = Embedder.of(self._store.home.ensure(), progress)
            made, device = embedder([*texts[0], *texts[1]]), embedder.device
            vectors = made[: len(texts[0])], made[len(texts[0]) :]
        answers = None if "output" not in kinds or sides is None else self._answers(sides, version)

        def tested(look: int, spending: float) -> DriftReport:
            each, findings = spending / len(kinds), dict[str, Finding]()
            more: dict[str, Any] = {}
            if texts is not None and vectors is not None:
                by_input = input_drift(texts, vectors, each, seed, device)
                findings["input"] = by_input.finding
                more |= {"moved": by_input.moved, "left": by_input.left, "vectors": vectors}
            if answers is not None:
                by_output = output_drift(*answers, each, seed)
                findings["output"], more["shares"] = by_output.finding, by_output.shares
            if asked is not None:
                findings |= _by_golden(asked, each, seed)
            return DriftReport(of, look, [findings[kind] for kind in kinds], alpha, spending, **more)

        if of is None:
            report = tested(1, alpha)
        else:
            with writing(self._store.home, DRIFT, "checking for drift", _WAIT_S) as journal:
                earlier = queries.drift_checks(self._store, of)
                look = 1 if earlier.empty else int(earlier.look.max()) + 1
                report = tested(look, spent(alpha, look))
                event = DriftChecked(
                    of=of, look=look, alpha=alpha, spent=report.spent, findings=tuple(map(_recorded, report.findings))
                )
                journal.append(event, sync=True)
        raise_alarm(self._store.home, report, alert)
        return report

    def watch(
        self, name: str, live: object = None, *, every: str | float = "1h", times: int | None = None, **options: Any
    ) -> Ticker:
        """Check a registered program again and again, in this process, until it is stopped.

        Parameters
        ----------
        name
            The registered program, as for :meth:`check`.
        live
            Rows, or a function that returns those of each time.
        every
            Seconds from one check to the next, or a text such as ``"90s"``, ``"15m"``, ``"1h"`` or ``"1d"``.
        times
            After how many checks it ends by itself; None goes on.
        options
            As for :meth:`check`.

        Raises
        ------
        JobError
            If the name is watched already.
        InputError
            If `every` is no time.
        """

        def once() -> tuple[bool, str]:
            report = self.check(name, live() if callable(live) else live, **options)
            return report.ok, report.sentence()

        running = self._watches.get(name)
        if running is not None and running.is_running:
            stop = as_typed(f"drift watch {name} --stop")
            raise JobError(f"{name} is watched already, {running.sentence()}: {stop} ends it.")
        self._registry.find(name)
        watch = self._watches[name] = Ticker(once, f"watch of {name}", "check", every, times)
        watch.start()
        return watch

    def watched(self, name: str) -> Ticker:
        """Find the watch of a name that was begun in this process; raises `NotFoundError` where there is none."""
        if name not in self._watches:
            raise unknown("watch", name, self._watches, hint="A watch lives in the process that began it.")
        return self._watches[name]

    def history(self, name: str | None = None) -> pd.DataFrame:
        """List checks, the oldest first, a row for each kind: the relation ``drift_checks``.

        Raises
        ------
        NotFoundError
            If nothing of that name was checked.
        """
        checks = queries.drift_checks(self._store)
        if name is None:
            return checks
        if name not in set(checks.name):
            raise unknown("drift check", name, set(checks.name))
        return checks[checks.name == name].reset_index(drop=True)

    def chart(self, name: str) -> Chart:
        """Draw the checks of a name over time, with the line of alarm; raises as :meth:`history` does."""
        from skillfleet_nb.monitoring.drift_chart import drift_chart

        return drift_chart(self.history(name), name)

    def _rescored(
        self,
        version: ProgramVersion | None,
        name: str | None,
        metric: Metric | None,
        lm: Model | None,
        kinds: Sequence[str],
    ) -> _Rescored | None:
        """Ask a golden set again for the kinds that need it, one time where the set's own version is checked."""
        if not {"quality", "model"} & set(kinds):
            return None
        if version is None:
            raise InputError("quality and the model are checked of a registered program: give NAME@ALIAS as reference.")
        sets = self._golden()
        golden = sets.find(name or version.name)
        if not golden.is_scored:
            raise InputError(golden.sentence())
        same = golden.kept.program_id == version.program_id
        own_version = version if same else self._registry.find(golden.kept.ref or "")
        task = sets.task(golden, own_version, metric, lm)
        model = str(task.lm.model)
        if "model" in kinds:
            check_model(golden, model)  # before anything is bought
        own = sets.ask(golden, task, own_version, "drift") if same or "model" in kinds else None
        now = own
        if not same and "quality" in kinds:
            now = sets.ask(golden, sets.task(golden, version, metric, lm), version, "drift")
        return _Rescored(golden, version, now if "quality" in kinds else None, own if "model" in kinds else None, model)

    def _sides(
        self,
        reference: Rows | str,
        version: ProgramVersion | None,
        live: Rows | None,
        rows: Rows | None,
        kinds: Sequence[str],
    ) -> _Sides | None:
        """Read the rows that are compared; None where only a golden set is asked."""
        if not {"input", "output"} & set(kinds):
            return None
        if live is None:
            raise InputError("drift of inputs and outputs is told of live rows: give them (--inputs DATA).")
        names = outputs = None
        if version is not None:
            from skillfleet_nb.runs.task import input_fields, output_types

            program = self._registered.load(version.ref, check=False)
            names, outputs = input_fields(program), output_types(program)
            rows = self._trained_on(version) if rows is None and "input" in kinds else rows
            reference = [] if rows is None else rows
        sides = [
            to_examples(source, input_fields=(names or ()) if "input" in kinds else (), name=name)
            for name, source in {"reference": reference, "live inputs": live}.items()
        ]
        return _Sides(sides[0], sides[1], names, outputs)

    def _trained_on(self, version: ProgramVersion) -> Any:
        """Return the rows that a registered version was trained on."""
        if version.job_id is not None:
            with suppress(JobError, NotFoundError):  # its data was not kept, or it was deleted
                return self._job(version.job_id).parcel().request.train
        line = as_typed(f"drift check {version.ref} --inputs LIVE --reference DATA")
        raise InputError(f"{version.ref} comes from no job whose data was kept: {line}")

    def _answers(
        self, sides: _Sides, version: ProgramVersion | None
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Mapping[str, Any]]:
        """Return answers of the reference and live ones, and their fields with their types."""
        types = sides.outputs
        if types is None:
            labels = [set(example.labels().keys()) for example in (*sides.reference, *sides.live) if _declares(example)]
            types = dict.fromkeys(sorted(set().union(*labels))) if labels else {}
            if not types:
                raise InputError(
                    "drift of outputs: say which fields are inputs, with dspy.Example(…).with_inputs(…), or give a "
                    "registered program as the reference."
                )
        live = [{name: row[name] for name in types if name in row} for row in sides.live]
        if not any(name in row for row in sides.live for name in types):
            raise InputError(f"live rows have no answers: give them with the program's outputs ({', '.join(types)}).")
        reference = [{name: row.get(name) for name in types} for row in sides.reference]
        if version is not None:
            reference = self._answered_before(version) or reference
        for name, rows in {"answers of the reference": reference, "live answers": live}.items():
            if len(rows) < _LEAST:
                raise InputError(f"{name}: {counted(rows, 'row')}; give at least {_LEAST}, better a hundred.")
        return reference, live, types

    def _answered_before(self, version: ProgramVersion) -> list[dict[str, Any]]:
        """Return what a version answered on its golden set, else in its job; nothing where neither is known."""
        import json

        with suppress(NotFoundError):
            golden = self._golden().find(version.name)
            if golden.is_scored and golden.kept.program_id == version.program_id:
                return [row.output or {} for row in golden.rows]
        if version.job_id is None:
            return []
        scored = queries.program_scores(self._store, version.job_id, version.program_id)
        return [json.loads(text) if isinstance(text, str) and text.startswith("{") else {} for text in scored.output]


def spent(alpha: float, look: int) -> float:
    """Return what the `look`-th check may spend of the risk of all checks together (alpha spending).

    The first 30 share a half, the next 60 a quarter, and so on: whatever depends on what, all of them together give
    a false alarm with a probability of `alpha` at most.

    Examples
    --------
    >>> round(sum(spent(0.05, look) for look in range(1, 31)), 6), spent(0.05, 31) < spent(0.05, 30)
    (0.025, True)
    """
    part, left, size = alpha / 2, look - 1, _FIRST_LOOKS
    while left >= size:
        left, size, part = left - size, 2 * size, part / 2
    return part / size


def _by_golden(asked: _Rescored, each: float, seed: int) -> dict[str, Finding]:
    findings = {}
    if asked.now is not None:
        findings["quality"] = quality_drift(asked.golden, asked.now, asked.version.ref, each, seed)
    if asked.own is not None:
        findings["model"] = model_drift(asked.golden, asked.own, asked.model, each)
    return findings


def _checked(kinds: Sequence[str], alpha: float, seed: int) -> list[str]:
    names = list(dict.fromkeys([kinds] if isinstance(kinds, str) else kinds))
    for kind in names:
        if kind not in KINDS:
            raise unknown("kind of drift", kind, KINDS)
    if not names:
        raise InputError(f"kinds={kinds!r}: give one or more of {', '.join(KINDS)}.")
    if not 0 < alpha < 1:
        raise InputError(f"alpha={alpha!r}: give a risk between 0 and 1, for example 0.01.")
    check_seed(seed)
    return names


def _recorded(finding: Finding) -> DriftFound:
    fields = {name: getattr(finding, name) for name in DriftFound.model_fields if name != "sentence"}
    return DriftFound.model_validate(fields | {"sentence": finding.sentence()})


def _declares(example: dspy.Example) -> bool:
    return bool(getattr(example, "_input_keys", None))


def _texts(sides: _Sides) -> tuple[list[str], list[str]]:
    """Make a text of each input; raises `InputError` where the two have different fields, or one is too small."""
    both = {"reference": sides.reference, "live inputs": sides.live}
    for name, examples in both.items():
        if len(examples) < _LEAST:
            raise InputError(f"{name}: {counted(examples, 'row')}; give at least {_LEAST}, better a hundred.")
    first, second = ([dict(e.inputs().toDict() or e.toDict()) for e in examples] for examples in both.values())
    fields = [sorted(set().union(*rows)) for rows in (first, second)]
    if sides.inputs is None and fields[0] != fields[1]:
        names = [", ".join(one) or "none" for one in fields]
        raise InputError(
            f"the reference has the fields {names[0]}, live inputs {names[1]}: give the same inputs alone."
        )
    used = sides.inputs or fields[0]
    return [_text(row, used) for row in first], [_text(row, used) for row in second]


def _text(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return "\n".join(str(row.get(name, "")) for name in names)
