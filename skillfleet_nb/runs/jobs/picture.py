"""What a live view shows of a job: one picture of it, and the follower that all views of a job share.

A picture is plain data, so any page can draw it.  Views are offered the newest picture every 100 ms and
take it when they can: nobody queues, and the run, which only writes its journal, waits for no view.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.events import READ, Result, Trial
from skillfleet_nb.format import counted, duration, money, points
from skillfleet_nb.html import fill
from skillfleet_nb.messages import as_typed
from skillfleet_nb.programs.diff import diff_programs
from skillfleet_nb.runs.jobs.cards import cards
from skillfleet_nb.runs.jobs.steps import steps
from skillfleet_nb.runs.spec import CREATE_SKILL, EVALUATE
from skillfleet_nb.stats import p_in_words
from skillfleet_nb.store import load_program

if TYPE_CHECKING:
    from collections.abc import Callable

    from markupsafe import Markup

    from skillfleet_nb.runs.jobs.progress import Progress
    from skillfleet_nb.store import Home

Picture = dict[str, Any]

_TICK_S = 0.1
_NOTES = 20  # warnings shown, the newest
_MOST_TOOLS = 4  # named, those called most
_LONGEST_DIFF = 60_000  # characters of HTML: it is kept in the notebook


def picture(p: Progress, last: Picture | None = None) -> Picture:
    """Draw up what a view shows; scores are points in [0, 100], times seconds.

    Parameters
    ----------
    p
        Where the job is.
    last
        The picture before, which is returned while nothing is new but some tenths of a second.

    Returns
    -------
    dict
        Of plain values that JSON can hold:

        - `seen` (events taken in), `job`, `name`, `optimizer`, `engine`, `phase`;
        - `state`, `told` (the same in words), `finished`, `paused`, and whether it `has_best`, which a stop keeps;
        - `elapsed_s`, `eta_s` (an interval or None), `share` (of the calls expected, in [0, 1] or None);
        - `trials`, `baseline`, `best`, `target`, and `curve`: the points of each kind as (trial, score), the `axis` of
          scores as (low, high, step), and the `last` trial;
        - `used`: what has a meter, and the tools that were called, each with `what`, `used`, `limit` (None: unbounded)
          and `text`;
        - `failures` as (kind, count), `unread` as (what could not be read, count), `repeats`, `notes`;
        - `lanes`: of several searches at the same time each one's `name`, `state`, `trials`, `best` and `why`;
        - `steps`: of a job that creates a skill each step's name, state, calls and cost, as text;
        - `cards`: of a job that creates a skill what is known of it, each with `name`, `title`, `facts` as
          (word, text), `text`, `score` (points or None) and `findings` (None where nothing was judged);
        - `tried`: the newest candidate, in words, and the programs to compare;
        - `result`: the verdict in words, once there is one;
        - `question`: what the run asks of a person, as in :class:`~skillfleet_nb.events.ReviewAsked`, None
          where it asks nothing.
    """
    if last is not None and (p.seen, p.state) == (last["seen"], last["state"]) and p.elapsed_s < last["elapsed_s"] + 1:
        return last
    finished = p.state.is_finished()
    eta = None if finished or p.optimizer == CREATE_SKILL else p.eta_s  # its calls are not known before
    return {
        "seen": p.seen,
        "job": p.job_id,
        "name": p.name or p.job_id,
        "optimizer": p.optimizer,
        "engine": p.engine,
        "state": str(p.state),
        "told": p.state_in_words,
        "finished": finished,
        "paused": p.paused,
        "has_best": p.has_best,
        "phase": "" if finished else p.doing,
        "elapsed_s": round(p.elapsed_s, 2),
        "eta_s": None if eta is None else [round(eta[0], 1), round(eta[1], 1)],
        "share": p.share_done,
        "trials": p.trials,
        "baseline": _points(p.baseline),
        "best": _points(p.best),
        "target": _points(p.spec.get("target")),
        "curve": _curve(p),
        "used": _used(p),
        "failures": p.failures.most_common(),
        "unread": [(READ[role], n) for role, n in p.unread.most_common()],
        "repeats": p.totals.retries,
        "notes": p.warnings[-_NOTES:],
        "lanes": _lanes(p),
        "steps": [list(step) for step in steps(p)],
        "cards": [card._asdict() for card in cards(p)],
        "tried": _tried(p),
        "result": _result(p),
        "error": p.error,
        "question": p.question.model_dump() if p.question is not None and not finished else None,
    }


def _curve(p: Progress) -> dict[str, Any]:
    lines = [line for line in (p.baseline, p.spec.get("target")) if line is not None]
    drawn = {"full": p.curve.full, "part": p.curve.part, "pruned": p.curve.pruned, "best": p.curve.best}
    points = {kind: [[trial, round(100 * score, 2)] for trial, score in line] for kind, line in drawn.items()}
    return {**points, "axis": list(p.curve.axis(lines)), "last": max(1, p.curve.last)}


def _lanes(p: Progress) -> list[dict[str, Any]]:
    return [
        {"name": name, "state": lane.state, "trials": lane.trials, "best": _points(lane.best),
         "why": "" if lane.share is None or p.state.is_finished() else lane.share.reason}
        for name, lane in p.lanes.items()
    ]  # fmt: skip


def _points(score: float | None) -> float | None:
    return None if score is None else round(100 * score, 2)


def _used(p: Progress) -> list[dict[str, Any]]:
    budget = p.spec.get("budget") or {}
    minutes = p.elapsed_s / 60
    limits = {
        "cost": (p.cost_usd, budget.get("usd"), money),
        "calls": (p.calls, budget.get("calls"), "{:,.0f}".format),
        "tokens": (p.totals.tokens, budget.get("tokens"), "{:,.0f}".format),
        "time": (minutes, budget.get("minutes"), lambda m: duration(60 * m)),
    }
    bars = []
    for what, (used, limit, words) in limits.items():
        if limit is None and what == "time":
            continue  # it is shown anyway
        text = words(used)
        if limit is not None:
            text += f" of {limit:g} min" if what == "time" else f" of {words(limit)}"
        if what == "calls" and p.cached:
            text += f", {p.cached:,} cached"
        bars.append({"what": what, "used": used, "limit": limit, "text": text})
    if p.tools:
        bars.append({"what": "tools", "used": p.tools.total(), "limit": None, "text": _tools(p)})
    return bars


def _tools(p: Progress) -> str:
    words = [
        f"{name} {n:,}" + (f" ({failed:,} failed)" if (failed := p.failed_tools[name]) else "")
        for name, n in p.tools.most_common(_MOST_TOOLS)
    ]
    more = len(p.tools) - len(words)
    return ", ".join(words) + (f" and {more} more" if more else "")


def _tried(p: Progress) -> dict[str, Any] | None:
    t = p.trying or p.tried
    if t is None or p.state.is_finished():
        return None
    split = {"val": "validation", "train": "training"}.get(t.split, t.split)
    whole = f"{'all ' * t.full_eval}{counted(t.n_examples, f'{split} example')}"
    trial = f"trial {t.trial}: {points(t.score)} on {whole}" if isinstance(t, Trial) else ""
    if isinstance(t, Trial) and t.bound is not None:
        trial = f"trial {t.trial}: pruned after {counted(t.n_examples, f'{split} example')}, at most {points(t.bound)}"
    text = trial or f"trying a candidate on {whole}"
    is_best = t.program_id == p.best_program
    before = p.first_program if is_best else p.best_program
    return {
        "text": f"{text}, the best so far" if is_best else text,
        "against": "the given program" if is_best else "the best so far",
        "programs": [before, t.program_id] if before and before != t.program_id else None,
    }


def _result(p: Progress) -> dict[str, Any] | None:
    if not p.state.is_finished():
        return None
    r = p.result or Result()
    changed = p.first_program is not None and p.best_program not in {None, p.first_program}
    fields: dict[str, Any] = {
        "verdict": r.verdict,
        "unread": r.unread,
        "summary": r.summary or p.error or p.stop_reason or "",
        "kept": p.optimizer != EVALUATE and p.best_program is not None and p.best_program == p.first_program,
        "score": None if r.test_low is None else [_points(s) for s in (r.test_score, r.test_low, r.test_high)],
        "programs": [p.first_program, p.best_program] if changed else None,
    }
    if r.verdict and r.p_value is not None:
        fields |= {
            "test": [_points(r.test_baseline), _points(r.test_score)],
            "delta": [_points(r.test_delta), _points(r.test_delta_low), _points(r.test_delta_high)],
            "p": p_in_words(r.p_value),
            "on": counted(int(p.spec.get("sizes", {}).get("test", 0)), "row")
            if p.optimizer == EVALUATE
            else "the sealed test",
        }
    return fields


def changes(home: Home, before: str, after: str) -> Markup:
    """Compare two kept programs, as HTML; a few words where that cannot be done."""
    try:
        html = diff_programs(load_program(home, before), load_program(home, after)).html()
    except SkillfleetError:
        return fill("<p>one of the programs is not kept</p>")
    return html if len(html) <= _LONGEST_DIFF else fill("<p>too long to show here: {} shows it</p>", as_typed("diff"))


class Feed:
    """Follows a job on one thread, for every view of it in this process.

    Parameters
    ----------
    draw
        Draws a picture of where the job is now, given the last one.
    name
        Of the thread.
    """

    def __init__(self, draw: Callable[[Picture | None], Picture], name: str = "skillfleet-follow") -> None:
        self._draw, self._name = draw, name
        self._views: list[Callable[[Picture], None]] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def subscribe(self, view: Callable[[Picture], None]) -> None:
        """Offer the newest picture to `view` every 100 ms, the last one once the job is finished.

        The same picture is the same object.  `view` runs on the follower's thread and must not wait;
        one that raises is dropped.
        """
        with self._lock:
            self._views.append(view)
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name=self._name, daemon=True)
                self._thread.start()

    def unsubscribe(self, view: Callable[[Picture], None]) -> None:
        """Offer `view` nothing more."""
        with self._lock:
            if view in self._views:
                self._views.remove(view)

    def _follow(self) -> None:
        nap = threading.Event()
        newest: Picture | None = None
        while True:
            try:
                newest = self._draw(newest)
            except (SkillfleetError, OSError):  # the home is gone: so are its views
                with self._lock:
                    self._views, self._thread = [], None
                return
            with self._lock:
                views = list(self._views)
            for view in views:
                try:
                    view(newest)
                except Exception:  # noqa: BLE001  a page that is gone is no matter of the other views
                    self.unsubscribe(view)
            with self._lock:
                if newest["finished"]:
                    self._views = [v for v in self._views if v not in views]
                if not self._views:
                    self._thread = None
                    return
            nap.wait(_TICK_S)
