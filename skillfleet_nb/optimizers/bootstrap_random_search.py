"""``dspy.BootstrapFewShotWithRandomSearch``: the best of many bootstrapped sets of demos."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.optimizers.base import Optimizer, Preset, Task
from skillfleet_nb.optimizers.bootstrap_fewshot import BootstrapFewShotParams
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, rehearsed
from skillfleet_nb.optimizers.rehearsal.demos import random_search


class BootstrapRandomSearchParams(BootstrapFewShotParams):
    """Parameters of ``dspy.BootstrapFewShotWithRandomSearch``."""

    max_bootstrapped_demos: int = Field(4, ge=1, description="demos made by running the program; at least one is tried")
    num_candidate_programs: int = Field(16, ge=1, description="candidate demo sets beyond the three fixed ones")
    stop_at_score: float | None = Field(None, ge=0, le=1, description="stop once a candidate reaches this score")


class BootstrapRandomSearch(Optimizer):
    """Bootstrap many demo sets and keep the one that scores best on validation."""

    name = "bootstrap_random_search"
    summary = "the best of many bootstrapped demo sets"
    changes = frozenset({"demos"})
    builds_on = frozenset({"instructions"})
    takes_maximum = True
    presets = (Preset(params={"num_candidate_programs": 8}, prior_gain=0.155),)
    Params = BootstrapRandomSearchParams
    params: BootstrapRandomSearchParams

    @override
    def calls(self, shape: Shape) -> Calls:
        p, bootstrap = self.params, self.params.bootstrap()
        return rehearsed(
            shape,
            lambda run: random_search(run, bootstrap, candidates=p.num_candidate_programs, stop_at=p.stop_at_score),
        )

    @override
    def build(self, task: Task) -> Any:
        import dspy

        arguments = self.params.model_dump()
        if arguments["stop_at_score"] is not None:
            arguments["stop_at_score"] *= 100  # DSPy's scale
        return dspy.BootstrapFewShotWithRandomSearch(metric=task.metric, num_threads=task.num_threads, **arguments)
