"""What a job came to, in the rows of its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.format import points, points_change
from skillfleet_nb.runs.spec import EVALUATE
from skillfleet_nb.stats import p_in_words

if TYPE_CHECKING:
    from skillfleet_nb.runs.jobs.progress import Progress


def result_rows(p: Progress) -> list[tuple[str, str]]:
    """Tell what a job came to, as pairs of a word and its value."""
    r = p.result
    if r is None:
        return []
    if r.verdict is None or r.p_value is None:
        return [("verdict", "not tested") if r.test_score is None else ("score", r.summary)]
    interval = f"{points_change(r.test_delta_low)} to {points_change(r.test_delta_high)}"
    delta = f"{points_change(r.test_delta)} points, 95% interval {interval}, {p_in_words(r.p_value)}"
    if p.best_program == p.first_program:
        delta = "none: nothing proved better than the given program on validation, it is kept"
    failed = f"; {r.failed_share:.0%} of the predictions failed, counted as 0" if r.failed_share else ""
    scored = "score" if p.optimizer == EVALUATE else "test (sealed)"
    return [
        (scored, f"{points(r.test_baseline)} → {points(r.test_score)}"),
        ("difference", delta),
        ("verdict", f"{r.verdict}{failed}" + (f"; {r.unread}" if r.unread else "")),
    ]
