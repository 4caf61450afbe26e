"""``dspy.BootstrapFewShot``: the program's own successful traces as demos."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.optimizers.base import Optimizer, OptimizerParams, Preset, Task, Tier
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, rehearsed
from skillfleet_nb.optimizers.rehearsal.demos import Bootstrap, bootstrap_fewshot


class BootstrapFewShotParams(OptimizerParams):
    """Parameters of ``dspy.BootstrapFewShot``."""

    max_bootstrapped_demos: int = Field(4, ge=0, description="demos made by running the program")
    max_labeled_demos: int = Field(16, ge=0, description="demos copied from the training set")
    max_rounds: int = Field(1, ge=1, description="attempts per training example")
    metric_threshold: float | None = Field(None, ge=0, le=1, description="score a bootstrapped demo must reach")

    def bootstrap(self) -> Bootstrap:
        """Return what a rehearsal needs to know."""
        return Bootstrap(self.max_bootstrapped_demos, self.max_labeled_demos, self.max_rounds)


class BootstrapFewShot(Optimizer):
    """Run the program on training examples and keep the successful traces as demos."""

    name = "bootstrap_fewshot"
    summary = "demos from the program's own successful runs"
    changes = frozenset({"demos"})
    builds_on = frozenset({"instructions"})
    presets = (Preset(prior_gain=0.105, tier=Tier.MINIMAL),)
    Params = BootstrapFewShotParams
    params: BootstrapFewShotParams

    @override
    def calls(self, shape: Shape) -> Calls:
        return rehearsed(shape, lambda run: bootstrap_fewshot(run, self.params.bootstrap()))

    @override
    def build(self, task: Task) -> Any:
        import dspy

        return dspy.BootstrapFewShot(metric=task.metric, **self.params.model_dump())

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        return {"trainset": list(task.train)}
