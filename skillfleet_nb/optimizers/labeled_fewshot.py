"""``dspy.LabeledFewShot``: training examples as demos."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.optimizers.base import Optimizer, OptimizerParams, Preset, Task, Tier
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, rehearsed


class LabeledFewShotParams(OptimizerParams):
    """Parameters of ``dspy.LabeledFewShot``."""

    k: int = Field(16, ge=1, description="demos put into the prompt")


class LabeledFewShot(Optimizer):
    """Put `k` training examples into the prompt, drawn at random once."""

    name = "labeled_fewshot"
    summary = "k training examples as demos; no calls"
    changes = frozenset({"demos"})
    presets = (Preset(prior_gain=0.078, tier=Tier.MINIMAL),)
    Params = LabeledFewShotParams
    params: LabeledFewShotParams

    @override
    def calls(self, shape: Shape) -> Calls:
        k = min(self.params.k, shape.train)
        return rehearsed(shape, lambda run: run.offered(demos=k))

    @override
    def build(self, task: Task) -> Any:
        del task
        import dspy

        return dspy.LabeledFewShot(k=self.params.k)

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        return {"trainset": list(task.train)}
