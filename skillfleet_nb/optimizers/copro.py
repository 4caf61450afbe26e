"""``dspy.COPRO``: instructions by coordinate ascent on their scores."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.optimizers.base import Optimizer, OptimizerParams, Preset, Proposals, Task
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, rehearsed
from skillfleet_nb.optimizers.rehearsal.copro import copro


class COPROParams(OptimizerParams):
    """Parameters of ``dspy.COPRO``."""

    breadth: int = Field(10, ge=2, description="instructions tried per round")
    depth: int = Field(3, ge=1, description="rounds, each learning from the last one's scores")
    init_temperature: float = Field(1.4, gt=0, description="sampling temperature of the proposals")


class COPRO(Optimizer):
    """Propose instructions, score them, propose again from the scores."""

    name = "copro"
    summary = "instructions by coordinate ascent on their scores"
    changes = frozenset({"instructions"})
    builds_on = frozenset({"instructions", "demos"})
    presets = (Preset(params={"breadth": 4, "depth": 2}, prior_gain=0.084, few_shot=False),)
    Params = COPROParams
    params: COPROParams
    proposals = Proposals(template=400, answer=47, instruction=15)

    @override
    def calls(self, shape: Shape) -> Calls:
        return rehearsed(shape, lambda run: copro(run, breadth=self.params.breadth, depth=self.params.depth))

    @override
    def build(self, task: Task) -> Any:
        import dspy

        return dspy.COPRO(prompt_model=task.prompt_lm, metric=task.metric, **self.params.model_dump())

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        return {
            "trainset": list(task.train),
            "eval_kwargs": {"num_threads": task.num_threads, "display_progress": False},
        }
