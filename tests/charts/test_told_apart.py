"""What charts must not hide: scores on a part of validation, and the line of alarm of a single check."""

from __future__ import annotations

import pandas as pd

from skillfleet_nb.charts.convergence import FULL, PART
from skillfleet_nb.charts.lineage import lineage
from skillfleet_nb.monitoring.drift_chart import drift


def test_candidates_scored_on_a_part_are_pale_in_the_lineage_and_it_says_so() -> None:
    def drawn(*scored: str) -> str:
        rows = [
            {"program": f"p{n}", "trial": n, "score": 50.0, "scored": how, "kind": "candidate", "parents": []}
            for n, how in enumerate(scored)
        ]
        return str(lineage(pd.DataFrame(rows)).to_json())

    assert "Pale: scored on a part" in drawn(FULL, PART)
    assert f"datum.scored === '{FULL}'" in drawn(FULL, PART)
    assert "Pale" not in drawn(FULL, FULL)


def test_one_check_of_drift_has_its_line_of_alarm() -> None:
    check = {"look": 1, "at": pd.Timestamp("2026-11-30"), "kind": "input", "p_value": 1e-5, "spent": 1e-4,
             "divergence": 0.1, "n": 60, "alarm": True}  # fmt: skip
    line = drift(pd.DataFrame([check])).to_dict()["vconcat"][0]["layer"][0]
    assert (line["mark"]["type"], line["encoding"]["y"]["field"]) == ("tick", "spent")
    assert line["mark"]["size"] > 100  # pixels
