"""Runs to compare, on the made-up task of the tests of runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from made_up import Data, counted_lm, program, told

from skillfleet_nb import Fleet

if TYPE_CHECKING:
    import dspy

    from skillfleet_nb import Job


@dataclass
class Lab:
    """A home with some runs in it; `again` looks at it as another process would."""

    fleet: Fleet
    lm: dspy.LM

    @property
    def again(self) -> Fleet:
        return Fleet(self.fleet.home.root)

    def run(self, name: str, optimizer: str = "labeled_fewshot", given: Any = None, **changed: Any) -> Job:
        options: dict[str, Any] = {"metric": told, "seed": 3, "lm": self.lm, "num_threads": 2, **Data().splits()}
        if optimizer == "labeled_fewshot":
            options["params"] = {"k": 4}
        job = self.fleet.optimize(given or program(), optimizer=optimizer, name=name, **{**options, **changed})
        job.wait(120)
        return job


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Make a home with two runs on the same rows, `few` and `rules`; tests may add their own."""
    made = Lab(Fleet(tmp_path_factory.mktemp("lab") / "home"), counted_lm()[0])
    made.run("few").result(0)
    made.run("rules", "infer_rules", params={"num_candidates": 2, "num_rules": 3}).result(0)
    return made


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    from chart_jobs import make

    return make(tmp_path_factory.mktemp("charts") / "home")
