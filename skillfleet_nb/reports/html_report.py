"""A report of jobs as one file: it opens anywhere, asks for nothing, and holds no key.

Charts are pictures in the page, and its own script makes them interactive.  A policy in the page
forbids every request, so what a model wrote cannot make it ask for anything either.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, SkillfleetError
from skillfleet_nb.format import money, points
from skillfleet_nb.html import items, preformatted, table
from skillfleet_nb.lm.keys import scrubbed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from skillfleet_nb.charts import Chart, Charts
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Store

_HERE = Path(__file__).parent
_OF_A_JOB = ("convergence", "outcomes", "scores", "lineage", "difficulty", "costs", "latency")
_OF_SEVERAL = ("convergence", "optimizers", "pareto")
_MOST_TRIALS, _MOST_ERRORS, _LONGEST = 300, 20, 400
_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"


def write_report(jobs: Sequence[Job], charts: Charts, store: Store, path: str | Path) -> Path:
    """Write a report of jobs as one HTML file.

    Parameters
    ----------
    jobs
        At least one; of several, a part that compares them comes first.
    charts, store
        Of the jobs' home.
    path
        Ends in .html.

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
        target.write_text(_page(jobs, charts, store), "utf-8")
    except OSError as exc:
        raise InputError(f"cannot write {str(target)!r}: {exc.strerror}; write it elsewhere") from exc
    return target


def _page(jobs: Sequence[Job], charts: Charts, store: Store) -> str:
    from importlib.metadata import version

    import vl_convert

    names = [job.name for job in jobs]
    title = f"Report of {names[0]}" if len(jobs) == 1 else f"Report of {len(jobs)} jobs"
    made = f"Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by skillfleet-nb {version('skillfleet-nb')}."
    parts = [_several(jobs, charts)] if len(jobs) > 1 else []
    parts += [_job(job, charts, store) for job in jobs]
    # The script is not scrubbed: it is none of ours and holds what looks like anything.
    body = scrubbed(f"<header><h1>{escape(title)}</h1><p>{escape(made)}</p>{_contents(jobs)}</header>{''.join(parts)}")
    script = vl_convert.javascript_bundle((_HERE / "report.js").read_text("utf-8"))
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<meta name='color-scheme' content='light dark'><title>{escape(scrubbed(title))}</title>"
        f"<style>{(_HERE / 'report.css').read_text('utf-8')}</style></head>\n<body>{body}\n"
        f"<script>{script.replace('</script', chr(60) + chr(92) + '/script')}</script></body></html>\n"
    )


def _contents(jobs: Sequence[Job]) -> str:
    if len(jobs) == 1:
        return ""
    listed = "".join(f"<li><a href='#{escape(j.id)}'>{escape(j.name)}</a></li>" for j in jobs)
    return f"<nav aria-label='jobs'><ul>{listed}</ul></nav>"


def _several(jobs: Sequence[Job], charts: Charts) -> str:
    drawn = "".join(_figure(charts.plot(kind, *jobs), f"all-{kind}") for kind in _OF_SEVERAL)
    return f"<section><h2>Side by side</h2>{drawn}</section>"


def _job(job: Job, charts: Charts, store: Store) -> str:
    p = job.progress
    verdict = (p.result or {}).get("summary") or p.error or p.state_in_words
    drawn = "".join(_figure(charts.plot(kind, job), f"{job.id}-{kind}") for kind in _OF_A_JOB)
    parts = {
        "Summary": f"<p class='verdict'>{escape(str(verdict))}</p>{job._repr_html_()}",
        "What changed in the prompts": _diff(job),
        "Charts": drawn,
        "Trials": _trials(store, job.id),
        "Failures": _failures(job, store),
        "Set-up": _setup(p.spec),
        "Environment": _environment(p.spec),
    }
    told = "".join(f"<h3>{title}</h3>{html}" for title, html in parts.items())
    return f"<section id='{escape(job.id)}'><h2>{escape(p.name or job.id)}</h2>{told}</section>"


def _figure(chart: Chart, name: str) -> str:
    """Put a picture into the page, and beside it what the page's script makes an interactive one of."""
    if chart.data.empty:
        return f"<p class='missing'>{escape(chart.spec['description'])}</p>"
    spec = json.dumps(chart.spec).replace("<", "\\u003c")
    return (
        f"<figure data-chart='{escape(name)}' role='group' aria-label='{escape(chart.title, quote=True)}'>"
        f"<div class='picture'>{chart.svg}</div><script type='application/json'>{spec}</script></figure>"
    )


def _diff(job: Job) -> str:
    try:
        return job.diff()._repr_html_()
    except SkillfleetError as exc:
        return f"<p class='missing'>{escape(str(exc))}</p>"


def _trials(store: Store, job_id: str) -> str:
    frame = store.frame(
        """select trial, split, full_eval, n_examples, score, best_so_far, program_id, parent_ids, lm_calls, cost_usd
        from trials where job_id = ? order by trial limit ?""",
        [job_id, _MOST_TRIALS + 1],
    )
    if frame.empty:
        return "<p class='missing'>No candidate has been scored yet.</p>"
    more = len(frame) > _MOST_TRIALS
    header = ["trial", "scored on", "score", "best so far", "candidate", "made from", "calls", "cost"]
    rows = [_trial(row) for row in _rows(frame.head(_MOST_TRIALS))]
    shown = table(header, rows, numeric=[0, 2, 3, 6, 7])
    rest = f", the first {_MOST_TRIALS}" if more else ""
    return f"<details><summary>{len(rows)} trials{rest}</summary>{shown}</details>"


def _trial(row: dict[str, Any]) -> list[str]:
    on = f"{'all of ' if row['full_eval'] else ''}{row['split']}, {row['n_examples']} examples"
    parents = ", ".join(str(p)[:12] for p in row["parent_ids"])
    return [
        str(row["trial"]),
        on,
        points(row["score"]),
        points(row["best_so_far"]),
        str(row["program_id"] or "")[:12],
        parents,
        f"{row['lm_calls']:,}",
        money(row["cost_usd"]),
    ]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _failures(job: Job, store: Store) -> str:
    p = job.progress
    errors = store.frame(
        """select error, count(*) as n from lm_calls where job_id = ? and error is not null
        group by error order by n desc, error limit ?""",
        [job.id, _MOST_ERRORS],
    )
    unanswered = store.frame(
        """select t.trial, t.split, count(*) as n from scores s join trials t using (job_id, trial)
        where job_id = ? and s.score is null group by all order by all limit ?""",
        [job.id, _MOST_ERRORS],
    )
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
    return "".join(parts) or "<p class='missing'>None.</p>"


_WORDS = {
    "program": "program", "metric": "metric", "optimizer": "optimizer", "lm": "LM", "prompt_lm": "LM that proposes",
    "fallback_lms": "fallback LMs", "seed": "seed", "num_threads": "threads", "cached": "cache on",
}  # fmt: skip


def _setup(spec: dict[str, Any]) -> str:
    if not spec:
        return "<p class='missing'>Not recorded.</p>"
    budget = {k: v for k, v in (spec.get("budget") or {}).items() if v is not None}
    hashes = {"program": spec.get("program_hash"), "metric": spec.get("metric_hash"), **spec.get("data_hashes", {})}
    rows = [[word, _said(spec[key])] for key, word in _WORDS.items() if spec.get(key) not in (None, [], ())]
    rows.append(["budget", ", ".join(f"{k} {v:g}" for k, v in budget.items()) or "none"])
    rows += [[parameter, _said(value)] for parameter, value in spec.get("params", {}).items()]
    rows += [[f"hash of {what}", str(content)] for what, content in hashes.items() if content]
    return table([], rows) + preformatted(str(spec.get("splits", "")), title="Splits")


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "default" if value is None else str(value)


def _environment(spec: dict[str, Any]) -> str:
    versions = spec.get("environment") or {}
    if not versions:
        return "<p class='missing'>Not recorded: the job was made by an older version.</p>"
    return table([], [[name, version] for name, version in versions.items()])
