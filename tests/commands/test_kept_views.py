"""What a notebook keeps of a view: its HTML, and never so much that the notebook grows by it."""

from __future__ import annotations

from skillfleet_nb.widgets.twin import kept


def test_a_view_is_kept_as_html_and_a_large_one_as_the_beginning_of_its_text() -> None:
    assert "<b>few</b>" in kept("<b>few</b>", "few")
    large = kept("<i>x</i>" * 100_000, "<é>" * 200_000)
    assert "<i>" not in large
    assert "&lt;é&gt;" in large
    assert len(large.encode()) < 300_000
