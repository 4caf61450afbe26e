"""``fleet.charts``: every chart by name, from a job's name to a picture."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from skillfleet_nb.charts.jobs import Jobs
from skillfleet_nb.charts.kind import Takes, kinds
from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.charts.chart import Chart
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Store


class Charts:
    """Charts of a home's jobs; each takes jobs, or their names or ids, and returns a :class:`Chart`.

    Reached as ``fleet.charts``.  Every kind that :func:`~skillfleet_nb.charts.kind.kinds` lists is a method.

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

    def __init__(self, store: Store, find: Callable[[Job | str], Job]) -> None:
        self._store, self._find = store, find

    def __getattr__(self, name: str) -> Callable[..., Chart]:
        one = None if name.startswith("_") else kinds().get(name)
        if one is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def plot(*jobs: Job | str, **options: str | None) -> Chart:
            return self.plot(name, *jobs, **options)

        parameters = inspect.signature(one.draw).parameters.values()
        jobs = inspect.Parameter("jobs", inspect.Parameter.VAR_POSITIONAL)
        plot.__name__, plot.__doc__ = name, one.draw.__doc__
        vars(plot)["__signature__"] = inspect.Signature([jobs, *(p for p in parameters if p.name in one.options)])
        return plot

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *kinds()]

    def plot(self, kind: str, *jobs: Job | str, **options: str | None) -> Chart:
        """Make a chart by the name of its kind.

        Parameters
        ----------
        kind
            One of :func:`~skillfleet_nb.charts.kind.kinds`.
        jobs
            As that chart takes them.
        options
            As that chart has them.

        Raises
        ------
        NotFoundError
            If there is no such kind, no such job, or no such value of an option.
        InputError
            If it needs a job and none is named, or takes only one, or has no such option.
        """
        every = kinds()
        if kind not in every:
            raise unknown("chart", kind, every)
        one = every[kind]
        if not jobs and one.takes is not Takes.ALL:
            raise InputError(f"the chart {kind!r} needs a job: name {one.takes.value}")
        if len(jobs) > 1 and one.takes is Takes.ONE:
            raise InputError(f"the chart {kind!r} shows one job and {len(jobs)} are named: plot them one by one")
        chosen = {name: value for name, value in options.items() if value is not None}
        for name, value in chosen.items():
            if name not in one.options:
                raise InputError(f"the chart {kind!r} has no option {name!r}: it has {_listed(list(one.options))}")
            if value not in one.options[name].values:
                raise unknown(name, value, one.options[name].values)
        return one.draw(Jobs(self._store, self._ids(jobs) if jobs else None), **chosen)

    def _ids(self, jobs: tuple[Job | str, ...]) -> tuple[str, ...]:
        existing = set(queries.job_names(self._store)["job_id"])  # one question for any number of jobs
        ids = (job if isinstance(job, str) and job in existing else self._find(job).id for job in jobs)
        return tuple(dict.fromkeys(ids))


def _listed(names: list[str]) -> str:
    return " and ".join(names) or "none"
