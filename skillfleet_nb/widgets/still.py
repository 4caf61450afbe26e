"""A still of the run monitor: what a saved notebook, an export or a page without widgets shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from skillfleet_nb.format import duration
from skillfleet_nb.html import NO_MATH, fill, items, join, progress_bar, render, table

if TYPE_CHECKING:
    from markupsafe import Markup

    from skillfleet_nb.runs.jobs.picture import Picture

BLUE, ORANGE, GREEN = "#0072b2", "#e69f00", "#009e73"  # Okabe and Ito: told apart by colour-blind readers
_W, _H, _LEFT, _BOTTOM, _TOP, _RIGHT = 560, 190, 36, 30, 8, 10


def still(picture: Picture, diff: Markup | None = None, hint: str = "") -> Markup:
    """Draw a picture of a job as HTML that needs no script; `diff` is HTML, `hint` a text below.

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
    p = picture
    head = " · ".join(t for t in (p["name"], p["optimizer"], "" if p["finished"] else p["phase"]) if t)
    facts = [f"{used['what']} {used['text']}" for used in p["used"]]
    if all(used["what"] != "time" for used in p["used"]):
        facts.append(f"time {duration(p['elapsed_s'])}")
    if p["failures"]:
        facts.append("failed calls: " + ", ".join(f"{n} {kind}" for kind, n in p["failures"]))
    if p["unread"]:
        facts.append("could not be read: " + ", ".join(f"{n:,} {what}" for what, n in p["unread"]))
    parts = [
        fill("<div><b>{}</b> · {}</div>", head, p["told"]),
        _verdict(p),
        progress_bar(score_in_words(p), None if p["finished"] else p["share"]),
        svg(p) if p["trials"] or p["curve"]["full"] else "",
        fill("<div>{}</div>", " · ".join(facts)),
        table(LANES, lane_rows(p), numeric=[2, 3]) if p["lanes"] else "",
        items(p["notes"], title=f"{len(p['notes'])} notes", fold=True) if p["notes"] else "",
        fill("<details><summary>What changed in the prompts</summary>{}</details>", diff) if diff else "",
        fill("<div style='opacity:.75'>{}</div>", hint) if hint else "",
    ]
    return fill("<div class='{}' style='max-width:60em;overflow-wrap:anywhere'>{}</div>", NO_MATH, join(parts))


LANES = ["search", "state", "trials", "best", "why"]


def lane_rows(p: Picture) -> list[list[str]]:
    """Tell the searches of a job side by side, as rows of :data:`LANES`."""
    return [
        [lane["name"], lane["state"], f"{lane['trials']:,}", "" if lane["best"] is None else f"{lane['best']:.1f}",
         lane["why"]]
        for lane in p["lanes"]
    ]  # fmt: skip


def score_in_words(p: Picture) -> str:
    """Tell the best score and the trials it took."""
    trials = f"{p['trials']:,} trial{'s' * (p['trials'] != 1)} after the baseline"
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
    if not r["verdict"]:
        return fill("<div>{}</div>", r["summary"])
    (before, after), (delta, low, high) = r["test"], r["delta"]
    told = (
        f": {delta:+.1f} points on the sealed test ({before:.1f} → {after:.1f}), "
        f"95% interval {low:+.1f} to {high:+.1f}, {r['p']}"
    ) + (f"; {r['unread']}" if r["unread"] else "")
    return fill("<div style='margin:4px 0'><b>{}</b>{}</div>", r["verdict"], told)


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
        return f"<text x='{at_x}' y='{at_y}' text-anchor='{anchor}' fill='currentColor' font-size='11'>{said}</text>"

    def across(score: float, style: str) -> str:
        return f"<path d='M{_LEFT} {y(score)}H{_W - _RIGHT}' fill='none' {style}/>"

    parts = []
    for n in range(round((high - low) / step) + 1):
        score = low + n * step
        parts.append(across(score, "stroke='currentColor' stroke-opacity='.15'"))
        parts.append(text(_LEFT - 5, y(score) + 4, f"{score:g}", "end"))
    every = max(1, math.ceil(last / 8))
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
    part = "".join(f"M{x(t)} {y(s) - 4}l4 4-4 4-4-4z" for t, s in curve["part"])
    full, pruned = (
        "".join(f"M{x(t) - 4} {y(s)}a4 4 0 1 0 8 0a4 4 0 1 0-8 0z" for t, s in curve[kind])
        for kind in ("full", "pruned")
    )
    parts.append(f"<path d='{pruned}' fill='none' stroke='currentColor' stroke-opacity='.35'/>")
    parts.append(f"<path d='{part}' fill='{ORANGE}' fill-opacity='.85'/><path d='{full}' fill='{BLUE}'/>")
    key = [("●", BLUE, "all of validation"), ("◆", ORANGE, "a part, or train"), ("―", BLUE, "best so far")]
    key += [("○", "inherit", "pruned, at most")] if curve["pruned"] else []
    key += [("╌", "inherit", "baseline")] if p["baseline"] is not None else []
    key += [("┈", GREEN, f"target {p['target']:g}")] if p["target"] is not None else []
    return render("curve.html", width=_W, height=_H, label=f"learning curve: {score_in_words(p)}", parts=parts, key=key)
