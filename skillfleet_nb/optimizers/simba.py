"""``dspy.SIMBA``: demos and rules from contrasted trajectories."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted
from skillfleet_nb.optimizers.base import Optimizer, OptimizerParams, Preset, Proposals, Task
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, rehearsed
from skillfleet_nb.optimizers.rehearsal.simba import simba


class SIMBAParams(OptimizerParams):
    """Parameters of ``dspy.SIMBA``."""

    bsize: int | None = Field(None, ge=1, description="examples per step; 32, or all where there are fewer")
    num_candidates: int = Field(6, ge=1, description="programs sampled and built per step")
    max_steps: int = Field(8, ge=1)
    max_demos: int = Field(4, ge=0)


class SIMBA(Optimizer):
    """Sample trajectories, contrast good with bad ones, add a demo or a rule."""

    name = "simba"
    summary = "demos and self-reflected rules from contrasted trajectories"
    changes = frozenset({"instructions", "demos"})
    builds_on = frozenset({"instructions", "demos"})
    presets = (Preset(params={"num_candidates": 4, "max_steps": 4}, prior_gain=0.109, few_shot=False),)
    min_train = 4
    Params = SIMBAParams
    params: SIMBAParams
    proposals = Proposals(template=4300, answer=140, instruction=120)

    @override
    def trial_size(self, n_train: int) -> int:
        return min(self.params.bsize or 32, n_train)

    @override
    def calls(self, shape: Shape) -> Calls:
        p, batch = self.params, self.trial_size(shape.train)
        return rehearsed(
            shape,
            lambda run: simba(run, batch=batch, candidates=p.num_candidates, steps=p.max_steps, max_demos=p.max_demos),
        )

    @override
    def check(self, task: Task) -> None:
        super().check(task)
        if (self.params.bsize or 0) > len(task.train):
            raise InputError(
                f"simba: bsize = {self.params.bsize} exceeds the {counted(task.train, 'training example')}"
            )

    @override
    def build(self, task: Task) -> Any:
        import dspy

        p = self.params
        return dspy.SIMBA(
            metric=task.metric.feedback,
            bsize=self.trial_size(len(task.train)),
            num_candidates=p.num_candidates,
            max_steps=p.max_steps,
            max_demos=p.max_demos,
            prompt_model=task.prompt_lm,
            num_threads=task.num_threads,
        )

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        return {"trainset": list(task.train), "seed": task.seed}
