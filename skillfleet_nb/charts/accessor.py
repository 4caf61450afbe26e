"""``fleet.charts``: every chart by name, from a job's name to a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts import facts
from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.style import shortened
from skillfleet_nb.errors import InputError, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import pandas as pd

    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Store

KINDS: Mapping[str, str] = {
    "convergence": "score by trial and the best so far; of several jobs the best so far of each",
    "pareto": "score against cost, with the Pareto front; of all jobs, or those named",
    "outcomes": "examples by candidates: fixed and broken against the program as given",
    "optimizers": "gain on the sealed test with its interval; of all jobs, or those named",
    "costs": "what each role and model cost",
    "latency": "how long answers took",
    "scores": "scores of examples: the program as given against the best",
    "lineage": "candidates with their parents, and the way to the best",
    "difficulty": "how hard candidates found the examples",
}
"""Every kind of chart, and what it shows."""

_OF_ALL = {"pareto", "optimizers"}
_OF_ONE = {"outcomes", "lineage"}
_MOST_JOBS = 30


class Charts:
    """Charts of a home's jobs; each takes jobs, or their names or ids, and returns a :class:`Chart`.

    Reached as ``fleet.charts``.

    Parameters
    ----------
    store
        Where the facts are.
    find
        Finds a job by name or id.

    Examples
    --------
    >>> import tempfile, skillfleet_nb as sf
    >>> print(sf.Fleet(tempfile.mkdtemp()).charts.optimizers())
    Gain of 0 optimizers in 0 jobs
    Nothing to compare: none of these jobs has scored its best program on the sealed test.
    """

    def __init__(self, store: Store, find: Callable[[str], Job]) -> None:
        self._store, self._find = store, find

    def plot(self, kind: str, *jobs: Job | str, **options: Any) -> Chart:
        """Make a chart by the name of its kind.

        Parameters
        ----------
        kind
            One of :data:`KINDS`.
        jobs
            As that chart takes them.
        options
            As that chart takes them.

        Raises
        ------
        NotFoundError
            If there is no such kind, or no such job.
        InputError
            If it needs a job and none is named, or takes only one, or has no such option.
        """
        if kind not in KINDS:
            raise unknown("chart", kind, KINDS)
        if not jobs and kind not in _OF_ALL:
            raise InputError(f"the chart {kind!r} needs a job: name {'one' if kind in _OF_ONE else 'one or more'}")
        if len(jobs) > 1 and kind in _OF_ONE:
            raise InputError(f"the chart {kind!r} shows one job and {len(jobs)} are named: plot them one by one")
        given = {k: v for k, v in options.items() if v is not None}
        if given and kind != "pareto":
            raise InputError(f"the chart {kind!r} has no option {next(iter(given))!r}: only 'pareto' has, by and on")
        made: Chart = getattr(self, kind)(*jobs, **given)
        return made

    def convergence(self, *jobs: Job | str) -> Chart:
        """Plot the learning curve of a job, or the best so far of several."""
        from skillfleet_nb.charts.convergence import convergence, convergence_data

        labels, left = self._labels(jobs)
        trials = facts.curves(self._store, labels)
        data = convergence_data(trials)
        title = f"Learning curve{'s' * (len(labels) != 1)} of {_of(labels)}"
        seen = int((trials.split != "test").sum())
        thin = f"{len(data):,} of {seen:,} trials, the lowest and highest of each stretch." if seen > len(data) else ""
        return Chart(title, data, convergence(data, title=title, note=f"{thin} {left}".strip()))

    def pareto(self, *jobs: Job | str, by: str | None = None, on: str | None = None) -> Chart:
        """Plot score against cost, with the Pareto front.

        Parameters
        ----------
        jobs
            By default all.
        by
            Cost in ``"usd"``, ``"calls"`` or ``"minutes"``; by default USD where any job cost some.
        on
            Score on ``"test"`` or ``"validation"``; by default the sealed test where there is one.
        """
        from skillfleet_nb.charts.pareto import COSTS, SCORES, pareto, pareto_data

        for name, value, allowed in (("by", by, COSTS), ("on", on, SCORES)):
            if value is not None and value not in allowed:
                raise unknown(name, value, allowed)
        frame = self._jobs(jobs)
        data = pareto_data(frame, by=by, on=on)
        title = f"Score against cost of {_count(len(data), 'job')}"
        out = len(frame) - len(data)
        note = f"{_count(out, 'job')} without a score or a known cost left out." if out else ""
        return Chart(title, data, pareto(data, title=title, note=note))

    def outcomes(self, job: Job | str) -> Chart:
        """Map which examples the best candidates of a job fixed and broke."""
        from skillfleet_nb.charts.outcomes import outcome_data, outcome_map, shown_trials

        labels, _ = self._labels([job])
        job_id = next(iter(labels))
        shown = shown_trials(facts.trials(self._store, job_id))
        found = facts.outcomes(self._store, job_id, shown.trial.tolist())
        counts = {str(k): int(v) for k, v in found.groupby("split")["example_id"].nunique().items()}
        title = f"Examples fixed and broken by {_of(labels)}"
        data = outcome_data(found, shown)
        return Chart(title, data, outcome_map(data, title=title, counts=counts))

    def optimizers(self, *jobs: Job | str) -> Chart:
        """Plot the gain of each job on the sealed test with its interval, by optimizer."""
        from skillfleet_nb.charts.optimizers import optimizer_data, optimizers

        frame = self._jobs(jobs)
        data = optimizer_data(frame)
        title = f"Gain of {_count(data['optimizer'].nunique(), 'optimizer')} in {_count(len(data), 'job')}"
        out = len(frame) - len(data)
        note = f"{_count(out, 'job')} older or not tested left out." if out else ""
        return Chart(title, data, optimizers(data, title=title, note=note))

    def costs(self, *jobs: Job | str) -> Chart:
        """Plot what each role and model cost."""
        from skillfleet_nb.charts.calls import cost_data, costs

        labels, _ = self._labels(jobs)
        data = cost_data(facts.calls(self._store, labels))
        title = f"Cost by role and model of {_of(labels)}"
        return Chart(title, data, costs(data, title=title))

    def latency(self, *jobs: Job | str) -> Chart:
        """Plot how long answers took, by role and model."""
        from skillfleet_nb.charts.calls import latencies, latency_data

        labels, _ = self._labels(jobs)
        data = latency_data(facts.latencies(self._store, labels))
        title = f"Latency of LM calls of {_of(labels)}"
        return Chart(title, data, latencies(data, title=title))

    def scores(self, *jobs: Job | str) -> Chart:
        """Plot the scores of examples: the program as given against the best."""
        from skillfleet_nb.charts.scores import score_data, scores

        labels, _ = self._labels(jobs)
        data = score_data(facts.example_scores(self._store, labels))
        title = f"Scores of examples, given against best, of {_of(labels)}"
        out = len(labels) - data["job"].nunique()
        note = f"{_count(out, 'job')} left out: not scored yet, or beyond the first six." if out else ""
        return Chart(title, data, scores(data, title=title, note=note))

    def lineage(self, job: Job | str) -> Chart:
        """Plot the candidates of a job with their parents."""
        from skillfleet_nb.charts.lineage import lineage, lineage_data

        labels, _ = self._labels([job])
        trials = facts.trials(self._store, next(iter(labels)))
        data = lineage_data(trials)
        title = f"Lineage of the candidates of {_of(labels)}"
        total = trials[trials.split != "test"].program_id.nunique()
        return Chart(title, data, lineage(data, title=title, total=total))

    def difficulty(self, *jobs: Job | str) -> Chart:
        """Plot how hard candidates found the examples, and the hardest ones."""
        from skillfleet_nb.charts.scores import difficulty, difficulty_data

        labels, _ = self._labels(jobs)
        data = difficulty_data(facts.examples(self._store, labels))
        title = f"Difficulty of the examples of {_of(labels)}"
        return Chart(title, data, difficulty(data, title=title))

    def _jobs(self, jobs: tuple[Job | str, ...]) -> pd.DataFrame:
        known = facts.jobs(self._store, dict.fromkeys(self._ids(jobs), "") if jobs else None)
        return known.assign(job=_told_apart(known))

    def _labels(self, jobs: Any) -> tuple[dict[str, str], str]:
        """Name jobs, in the order given, and say which are left out."""
        if not jobs:
            raise InputError("this chart needs a job: give its name, for example fleet.charts.convergence('intents')")
        ids = self._ids(jobs)
        shown = ids[:_MOST_JOBS]
        frame = facts.jobs(self._store, dict.fromkeys(shown, ""))
        named = dict(zip(frame["job_id"], _told_apart(frame), strict=True))
        left = f"{len(ids) - len(shown)} further jobs are left out." if len(ids) > len(shown) else ""
        return {job_id: str(named.get(job_id, job_id)) for job_id in shown}, left

    def _ids(self, jobs: Iterable[Job | str]) -> list[str]:
        known = set(self._store.frame("select job_id from jobs")["job_id"])  # one question for any number of jobs
        found = (job.id if not isinstance(job, str) else job if job in known else self._find(job).id for job in jobs)
        return list(dict.fromkeys(found))


def _told_apart(jobs: pd.DataFrame) -> pd.Series[str]:
    """Names of jobs; those that share one get the end of their id as well."""
    same = jobs["name"].duplicated(keep=False)
    return jobs["name"].where(~same, jobs["name"] + " (" + jobs["job_id"].str[-6:] + ")")


def _of(labels: Mapping[str, str]) -> str:
    return shortened([next(iter(labels.values()))]).popitem()[1] if len(labels) == 1 else f"{len(labels)} jobs"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"
