"""The learning curve: its data, its text and its picture."""

from __future__ import annotations

import pandas as pd
import pytest

from skillfleet_nb.charts import convergence, convergence_data, sparkline, to_svg

TRIALS = pd.DataFrame(
    [
        (2, "train", True, 0.9),
        (0, "val", True, 0.4),
        (1, "val", False, 0.8),
        (3, "val", True, 0.6),
        (4, "val", True, 0.5),
        (5, "test", True, 1.0),
    ],
    columns=["trial", "split", "full_eval", "score"],
)


def test_best_is_that_of_full_evaluations_on_validation_so_far() -> None:
    data = convergence_data(TRIALS)
    assert data.trial.tolist() == [0, 1, 2, 3, 4], "in order, the sealed test left out"
    assert data.score.tolist() == pytest.approx([40, 80, 90, 60, 50])
    assert data.best.tolist() == pytest.approx([40, 40, 40, 60, 60])
    assert data.kind.eq("validation, all").tolist() == [True, False, False, True, True]
    assert TRIALS.trial.tolist() == [2, 0, 1, 3, 4, 5], "the given frame is not changed"


def test_no_trials_make_no_curve() -> None:
    assert len(convergence_data(TRIALS.head(0))) == 0
    assert sparkline([]) == ""


def test_text_and_picture() -> None:
    data = convergence_data(TRIALS)
    assert sparkline(data.best.tolist()) == "▁▁▁██"
    assert sparkline([0.5, 0.5]) == "▁▁"
    svg = to_svg(convergence(data, title="<b>curve</b>"))
    assert svg.startswith("<svg")
    assert "<b>" not in svg
    assert "trial" in svg
    for outside in ("http://", "https://"):
        assert outside not in svg.replace("http://www.w3.org/", "")
