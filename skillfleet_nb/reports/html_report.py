"""A report of jobs as one file: it opens anywhere, asks for nothing, and holds no key.

Charts are pictures in the page, and its own script makes them interactive.  A policy in the page
forbids every request, so what a model wrote cannot make it ask for anything either.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts import to_live, to_script
from skillfleet_nb.errors import InputError, SkillfleetError
from skillfleet_nb.format import counted, is_missing, money, points
from skillfleet_nb.html import fill, in_script, items, join, preformatted, render, table
from skillfleet_nb.reports.after_run import failing, failing_html
from skillfleet_nb.security import Redactor
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from markupsafe import Markup

    from skillfleet_nb.charts import Chart, Charts
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Store

_HERE = Path(__file__).parent
_OF_A_JOB = ("convergence", "outcomes", "scores", "lineage", "difficulty", "costs", "latency")
_OF_SEVERAL = ("convergence", "optimizers", "pareto")
_MOST_TRIALS, _MOST_ERRORS, _LONGEST = 300, 20, 400
_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"


def write_report(
    jobs: Sequence[Job],
    charts: Charts,
    store: Store,
    path: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a report of jobs as one HTML file.

    Parameters
    ----------
    jobs
        At least one; of several, a part that compares them comes first.
    charts, store
        Of the jobs' home.
    path
        Ends in .html.
    progress
        Called with how many charts are drawn, and of how many.

    Raises
    ------
    InputError
        If there are no jobs, the name ends otherwise, or the file cannot be written.
    """
    target = Path(path)
    if not jobs:
        raise InputError("a report needs a job: name one or more")
    if target.suffix.lower() not in {".html", ".htm"}:
        raise InputError(f"a report is a page and {target.name!r} ends otherwise: name it {target.stem}.html")
    if not target.parent.is_dir():  # before the work is done
        raise InputError(f"cannot write {str(target)!r}: there is no such folder; make it, or name another")
    try:
        target.write_text(_page(jobs, _Drawing(charts, progress, jobs), store), "utf-8")
    except OSError as exc:
        raise InputError(f"cannot write {str(target)!r}: {exc.strerror}; write it elsewhere") from exc
    return target


class _Drawing:
    """Draws charts, and counts them."""

    def __init__(self, charts: Charts, progress: Callable[[int, int], None] | None, jobs: Sequence[Job]) -> None:
        self._charts, self._progress, self._drawn = charts, progress, 0
        self._all = len(jobs) * len(_OF_A_JOB) + (len(_OF_SEVERAL) if len(jobs) > 1 else 0)

    def plot(self, kind: str, *jobs: Job) -> Chart:
        chart = self._charts.plot(kind, *jobs)
        if not chart.data.empty:
            _ = chart.svg  # drawn now, for the count to be true
        self._drawn += 1
        if self._progress is not None:
            self._progress(self._drawn, self._all)
        return chart


def _page(jobs: Sequence[Job], charts: _Drawing, store: Store) -> str:
    from importlib.metadata import version

    title = f"Report of {jobs[0].name}" if len(jobs) == 1 else f"Report of {len(jobs)} jobs"
    body = render(
        "report.html",
        title=title,
        made=f"Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by skillfleet-nb {version('skillfleet-nb')}.",
        together=[(f"all-{kind}", charts.plot(kind, *jobs)) for kind in _OF_SEVERAL] if len(jobs) > 1 else [],
        jobs=[_job(job, charts, store) for job in jobs],
        json=lambda spec: in_script(to_live(spec)),
    )
    redactor = Redactor()
    return render(
        "report_page.html",
        title=redactor.text(title),
        policy=_POLICY,
        css=(_HERE / "report.css").read_text("utf-8"),
        # A key that may break within is none that the redactor knows.  The script is left as it is: it is none of ours
        # and holds what looks like anything.
        body=redactor.text(str(body).replace("<wbr>", "")),
        script=_script(),
    )


@cache  # to put it together takes more than a second
def _script() -> str:
    script = to_script((_HERE / "report.js").read_text("utf-8"))
    return script.replace("</script", "<\\/script")


def _job(job: Job, charts: _Drawing, store: Store) -> dict[str, object]:
    p = job.progress
    return {
        "id": job.id,
        "name": job.name,
        "verdict": (p.result.summary if p.result else "") or p.error or p.state_in_words,
        "summary": table([], job.summary()),
        "diff": _diff(job),
        "failing": _failing(job),
        "charts": [(f"{job.id}-{kind}", charts.plot(kind, job)) for kind in _OF_A_JOB],
        "trials": _trials(store, job.id),
        "failures": _failures(job, store),
        "setup": _setup(p.spec),
        "environment": _environment(p.spec),
    }


def _missing(why: str) -> Markup:
    return fill("<p class='missing'>{}</p>", why)


def _diff(job: Job) -> Markup:
    try:
        return job.diff().html()
    except SkillfleetError as exc:
        return _missing(str(exc))


def _failing(job: Job) -> Markup:
    worst, n = failing(job)
    return failing_html(worst, n) if worst else _missing("None that is known.")


def _trials(store: Store, job_id: str) -> Markup:
    frame = queries.trials(store, [job_id], limit=_MOST_TRIALS + 1)
    if frame.empty:
        return _missing("No candidate has been scored yet.")
    more = len(frame) > _MOST_TRIALS
    header = ["trial", "scored on", "score", "best so far", "candidate", "made from", "calls", "cost"]
    rows = [_trial(row) for row in _rows(frame.head(_MOST_TRIALS))]
    shown = table(header, rows, numeric=[0, 2, 3, 6, 7])
    rest = f", the first {_MOST_TRIALS}" if more else ""
    return fill("<details><summary>{} trials{}</summary>{}</details>", len(rows), rest, shown)


def _trial(row: dict[str, Any]) -> list[str]:
    on = f"{'all of ' if row['full_eval'] else ''}{row['split']}, {counted(row['n_examples'], 'example')}"
    parents = ", ".join(str(p)[:12] for p in row["parent_ids"])
    return [
        str(row["trial"]),
        on,
        points(row["score"]),
        points(row["best_so_far"]),
        "" if is_missing(row["program_id"]) else str(row["program_id"])[:12],
        parents,
        f"{row['lm_calls']:,}",
        money(row["cost_usd"]),
    ]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _failures(job: Job, store: Store) -> Markup:
    p = job.progress
    errors = queries.failed_calls(store, job.id, limit=_MOST_ERRORS)
    unanswered = queries.failed_examples(store, job.id, limit=_MOST_ERRORS)
    parts = [preformatted(p.error, title="What broke the job")] if p.error else []
    if p.warnings:
        parts.append(items(p.warnings, title="Notes"))
    if len(errors):
        rows = [[f"{r['n']:,}", str(r["error"])[:_LONGEST]] for r in _rows(errors)]
        parts.append(table(["calls", "error"], rows, title="Failed LM calls", numeric=[0]))
    if len(unanswered):
        rows = [[str(r["trial"]), str(r["split"]), f"{r['n']:,}"] for r in _rows(unanswered)]
        title = "Examples on which a candidate failed"
        parts.append(table(["trial", "split", "examples"], rows, title=title, numeric=[0, 2]))
    return join(parts) or _missing("None.")


_WORDS = {
    "program": "program", "metric": "metric", "optimizer": "optimizer", "lm": "LM", "prompt_lm": "LM that proposes",
    "fallback_lms": "fallback LMs", "seed": "seed", "num_threads": "threads", "cached": "cache on",
}  # fmt: skip


def _setup(spec: dict[str, Any]) -> Markup:
    if not spec:
        return _missing("Not recorded.")
    budget = {k: v for k, v in (spec.get("budget") or {}).items() if v is not None}
    hashes = {"program": spec.get("program_hash"), "metric": spec.get("metric_hash"), **spec.get("data_hashes", {})}
    rows = [[word, _said(spec[key])] for key, word in _WORDS.items() if spec.get(key) not in (None, [], ())]
    rows.append(["budget", ", ".join(f"{k} {v:g}" for k, v in budget.items()) or "none"])
    rows += [[parameter, _said(value)] for parameter, value in spec.get("params", {}).items()]
    rows += [[f"hash of {what}", str(content)] for what, content in hashes.items() if content]
    return join([table([], rows), preformatted(str(spec.get("splits", "")), title="Splits")])


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "default" if value is None else str(value)


def _environment(spec: dict[str, Any]) -> Markup:
    versions = spec.get("environment") or {}
    if not versions:
        return _missing("Not recorded: the job was made by an older version.")
    return table([], [[name, version] for name, version in versions.items()])
