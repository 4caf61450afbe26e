from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import dspy
from made_up import Data, counted_lm, told

from skillfleet_nb import Fleet

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Chatty(dspy.Module):
    """Draws a progress bar, prints a line in parts, and leaves another unfinished."""

    def __init__(self) -> None:
        super().__init__()
        self.label = dspy.Predict("text -> intent")

    def forward(self, text: str) -> Any:
        sys.stdout.write("\r  0%|          |")
        sys.stdout.write("\r 50%|#####     |")
        sys.stdout.write("\r100%|##########|\n")
        sys.stdout.write("said ")
        sys.stdout.write("in parts\n")
        answer = self.label(text=text)
        sys.stdout.write("unfinished")
        return answer


def test_the_log_holds_lines_as_they_are_seen_in_the_end(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lm, _ = counted_lm()
    job = Fleet(tmp_path / "home").optimize(
        Chatty(), metric=told, optimizer="labeled_fewshot", **Data().splits(),
        lm=lm, num_threads=1,
    )  # fmt: skip
    job.result()
    lines = job.log().splitlines()
    assert "100%|##########|" in lines[0]
    assert "said in parts" in lines
    assert lines[-1].startswith("unfinished")
    assert "50%" not in job.log()
    assert "\r" not in job.log()
    assert "said" not in capsys.readouterr().out
