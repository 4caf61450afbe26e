"""A still of the run monitor: what a saved notebook, an export or a page without widgets shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.design import BLUE, GREEN, ORANGE, SMALL, VERMILION
from skillfleet_nb.format import counted, duration
from skillfleet_nb.html import NO_MATH, fill, items, join, progress_bar, render, table
from skillfleet_nb.reports.after_run import failing_html
from skillfleet_nb.reports.skill_cards import cards_html
from skillfleet_nb.runs.jobs.steps import Step
from skillfleet_nb.runs.spec import CREATE_SKILL, EVALUATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from skillfleet_nb.example import Read
    from skillfleet_nb.reports.after_run import Failing
    from skillfleet_nb.runs.jobs.picture import Picture

_W, _H, _LEFT, _BOTTOM, _TOP, _RIGHT = 440, 190, 38, 32, 8, 10  # a narrow page, on which its text is not made smaller


class After(NamedTuple):
    """What is known of a job once it is over: examples it fails on, and what to do next."""

    failing: Sequence[Failing] = ()
    n_failing: int = 0
    steps: Sequence[str] = ()
    read: Read | None = None  # finds the images and sounds of examples


def still(
    picture: Picture, diff: Markup | None = None, hint: str = "", after: After | None = None, note: str = ""
) -> Markup:
    """Draw a picture of a job as HTML that needs no script.

    Parameters
    ----------
    picture
        Of the job.
    diff
        What changed in the prompts, as HTML.
    hint
        A text below.
    after
        What is known once the job is over.
    told
        A note of what was just done with it.

    Examples
    --------
    >>> from skillfleet_nb.runs.jobs.picture import picture
    >>> from skillfleet_nb.runs.jobs.progress import Progress
    >>> from skillfleet_nb.store import Home
    >>> progress = Progress(Home.find(), "job-1")
    >>> progress.name = "a <b> c"
    >>> "a &lt;b&gt; c" in still(picture(progress))
    True
    """
    p, after = picture, after or After()
    head = " · ".join(t for t in (p["name"], p["optimizer"], "" if p["finished"] else p["phase"]) if t)
    facts = [
        used["text"] if used["text"].startswith(used["what"]) else f"{used['what']} {used['text']}"
        for used in p["used"]
    ]
    if all(used["what"] != "time" for used in p["used"]):
        facts.append(f"time {duration(p['elapsed_s'])}")
    if p["failures"]:
        facts.append("failed calls: " + ", ".join(f"{n} {kind}" for kind, n in p["failures"]))
    if p["unread"]:
        facts.append("could not be read: " + ", ".join(f"{n:,} {what}" for what, n in p["unread"]))
    question = fill("<div><b>asks</b>: {}</div>", p["question"]["question"]) if p["question"] else ""
    parts = [
        fill("<div><b>{}</b> · {}</div>", head, p["told"]),
        fill("<div>{}</div>", note) if note else "",
        _verdict(p),
        items(after.steps, title="What to do next") if after.steps else "",
        question,
        ""
        if p["finished"] and p["optimizer"] in {EVALUATE, CREATE_SKILL}
        else progress_bar(score_in_words(p), None if p["finished"] else p["share"]),
        svg(p) if p["trials"] or p["curve"]["full"] else "",
        fill("<div>{}</div>", " · ".join(facts)),
        _lanes(p) if p["lanes"] else "",
        table(Step.header(), p["steps"], numeric=[2, 3]) if p["steps"] else "",
        cards_html(p["cards"], [] if p["finished"] else [card["name"] for card in p["cards"][-1:]]),
        items(p["notes"], title=counted(p["notes"], "note"), fold=True) if p["notes"] else "",
        _changes(diff, is_open=p["finished"]) if diff else "",
        failing_html(after.failing, after.n_failing, after.read) if after.failing else "",
        fill("<div style='opacity:.8'>{}</div>", hint) if hint else "",
    ]
    return fill("<div class='{}' style='max-width:60em;overflow-wrap:break-word'>{}</div>", NO_MATH, join(parts))


def _changes(diff: Markup, *, is_open: bool) -> Markup:
    box = "max-height:26em;overflow:auto;border:1px solid rgba(128,128,128,.35);border-radius:4px;padding:2px 10px"
    return fill(
        "<details{}><summary>What changed in the prompts</summary><div style='{}' tabindex='0' role='region' "
        "aria-label='what changed in the prompts'>{}</div></details>",
        join([fill(" open")] if is_open else []), box, diff,
    )  # fmt: skip


LANES = ["search", "state", "trials", "best", "why"]


def _lanes(p: Picture) -> Markup:
    rows, has_reasons = lane_rows(p), any(lane["why"] for lane in p["lanes"])
    header = LANES if has_reasons else LANES[:-1]
    return table(header, [row[: len(header)] for row in rows], numeric=[2, 3])


def lane_rows(p: Picture) -> list[list[str]]:
    """Tell the searches of a job side by side, as rows of :data:`LANES`."""
    return [
        [lane["name"], lane["state"], f"{lane['trials']:,}", "" if lane["best"] is None else f"{lane['best']:.1f}",
         lane["why"]]
        for lane in p["lanes"]
    ]  # fmt: skip


def score_in_words(p: Picture) -> str:
    """Tell the best score and the trials it took; of a creation, which has none, how far it is."""
    if p["optimizer"] == CREATE_SKILL:
        return "" if p["share"] is None else f"{p['share']:.0%} of the calls expected"
    trials = f"{counted(p['trials'], 'trial')} after the baseline"
    if p["best"] is None:
        unscored = "no score on validation" if p["finished"] else "no score on validation yet"
        return unscored if p["baseline"] is None else f"baseline {p['baseline']:.1f}"
    if p["baseline"] is None:
        return f"validation: best {p['best']:.1f}, {trials}"
    change = f"{p['best'] - p['baseline']:+.1f}"
    return f"validation: best {p['best']:.1f}, baseline {p['baseline']:.1f} ({change} points), {trials}"


def _verdict(p: Picture) -> Markup:
    r = p["result"]
    if r is None:
        return join([])
    unread = f"; {r['unread']}" if r["unread"] else ""
    if r["score"]:
        score, low, high = r["score"]
        return fill(
            "<div style='margin:6px 0'>{} {}</div>", interval_svg(score, low, high, 0, 100, zero=None), r["summary"]
        )  # fmt: skip
    if not r["verdict"] and r["summary"] in p["told"]:
        return join([])  # the line above says why it ended
    if not r["verdict"] or "delta" not in r:
        return fill("<div style='margin:6px 0'>{}</div>", r["summary"])
    (before, after), (delta, low, high) = r["test"], r["delta"]
    if r["kept"]:
        kept = "nothing proved better than the given program on validation"
        return fill(
            "<div style='margin:6px 0'><b>kept yours</b>: {}, so it is the result; {} on the sealed test{}</div>",
            kept, f"{before:.1f}", unread,
        )  # fmt: skip
    span = max(abs(low), abs(high), abs(delta), 5.0) * 1.1
    drawn = interval_svg(delta, low, high, -span, span)
    sentence = (
        f"{delta:+.1f} points on {r['on']} ({before:.1f} → {after:.1f}), "
        f"95% interval {low:+.1f} to {high:+.1f}, {r['p']}{unread}"
    )
    return fill("<div style='margin:6px 0'><b>{}</b>: {}<br>{}</div>", r["verdict"], sentence, drawn)


def interval_svg(
    value: float, low: float, high: float, left: float, right: float, *, zero: float | None = 0.0
) -> Markup:
    """Draw a value with its interval on an axis from `left` to `right`, with a line at `zero`."""
    width, height, edge = 300, 24, 6

    def x(value: float) -> float:
        return round(edge + (width - 2 * edge) * (value - left) / (right - left), 1)

    colour = GREEN if zero is None or low > zero else VERMILION if high < zero else BLUE
    line = "" if zero is None else f"<path d='M{x(zero)} 1V{height - 1}' stroke='currentColor' stroke-dasharray='3 2'/>"
    parts = [
        f"<path d='M{edge} 12H{width - edge}' stroke='currentColor' stroke-opacity='.25'/>", line,
        f"<path d='M{x(low)} 12H{x(high)}M{x(low)} 7v10M{x(high)} 7v10' stroke='{colour}' stroke-width='2'/>",
        f"<circle cx='{x(value)}' cy='12' r='5' fill='{colour}'/>",
    ]  # fmt: skip
    label = (
        f"{value:+.1f}, 95% interval {low:+.1f} to {high:+.1f}"
        if zero is not None
        else (f"{value:.1f}, 95% interval {low:.1f} to {high:.1f}")
    )
    return render("curve.html", width=width, height=height, label=label, parts=parts, key=[])


def svg(p: Picture) -> Markup:
    """Draw the learning curve: circles are full evaluations, rings pruned ones, diamonds any other."""
    curve = p["curve"]
    low, high, step = map(float, curve["axis"])
    last = int(curve["last"])

    def x(trial: int) -> float:
        return round(_LEFT + (_W - _LEFT - _RIGHT) * trial / last, 1)

    def y(score: float) -> float:
        return round(_TOP + (_H - _TOP - _BOTTOM) * (high - score) / (high - low), 1)

    def text(at_x: float, at_y: float, said: str, anchor: str) -> str:
        return (
            f"<text x='{at_x}' y='{at_y}' text-anchor='{anchor}' fill='currentColor' font-size='{SMALL}'>{said}</text>"
        )

    def across(score: float, style: str) -> str:
        return f"<path d='M{_LEFT} {y(score)}H{_W - _RIGHT}' fill='none' {style}/>"

    parts = []
    for n in range(round((high - low) / step) + 1):
        score = low + n * step
        parts.append(across(score, "stroke='currentColor' stroke-opacity='.15'"))
        parts.append(text(_LEFT - 9, y(score) + 4, f"{score:g}", "end"))
    every = max(1, math.ceil(last / 6))
    parts += [text(x(t), _H - _BOTTOM + 14, f"{t:,}", "middle") for t in range(0, last + 1, every)]
    parts.append(text((_LEFT + _W - _RIGHT) / 2, _H - 3, "trial", "middle"))
    if p["baseline"] is not None:
        parts.append(across(p["baseline"], "stroke='currentColor' stroke-opacity='.6' stroke-dasharray='5 4'"))
    if p["target"] is not None:
        parts.append(across(p["target"], f"stroke='{GREEN}' stroke-width='1.5' stroke-dasharray='2 3'"))
    if curve["best"]:
        steps = "".join(f"H{x(t)}V{y(s)}" for t, s in curve["best"][1:])
        t, s = curve["best"][0]
        parts.append(f"<path d='M{x(t)} {y(s)}{steps}H{x(last)}' fill='none' stroke='{BLUE}' stroke-width='2'/>")
    part = "".join(f"M{x(t)} {y(s) - 2.5}l2.5 2.5-2.5 2.5-2.5-2.5z" for t, s in curve["part"])
    full, pruned = (
        "".join(f"M{x(t) - 4} {y(s)}a4 4 0 1 0 8 0a4 4 0 1 0-8 0z" for t, s in curve[kind])
        for kind in ("full", "pruned")
    )
    parts.append(f"<path d='{pruned}' fill='none' stroke='currentColor' stroke-opacity='.35'/>")
    parts.append(f"<path d='{part}' fill='{ORANGE}' fill-opacity='.45'/><path d='{full}' fill='{BLUE}'/>")
    key = [("●", BLUE, "all of validation"), ("―", BLUE, "best so far")]
    key += [("◆", ORANGE, "a part of it, or train")] if curve["part"] else []
    key += [("○", "inherit", "pruned, at most")] if curve["pruned"] else []
    key += [("╌", "inherit", "baseline")] if p["baseline"] is not None else []
    key += [("┈", GREEN, f"target {p['target']:g}")] if p["target"] is not None else []
    return render("curve.html", width=_W, height=_H, label=f"learning curve: {score_in_words(p)}", parts=parts, key=key)
