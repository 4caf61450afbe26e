"""``dspy.BetterTogether``: several optimizers in sequence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field, field_validator
from typing_extensions import override

from skillfleet_nb.errors import InputError
from skillfleet_nb.optimizers.base import Optimizer, OptimizerParams, Preset, Task, Tier
from skillfleet_nb.optimizers.registry import create
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, Use, together, uses


class BetterTogetherParams(OptimizerParams):
    """Parameters of ``dspy.BetterTogether``."""

    steps: tuple[str, ...] = Field(
        ("bootstrap_random_search", "gepa"), min_length=1, description="optimizers, one after the other"
    )

    @field_validator("steps", mode="before")
    @classmethod
    def _split(cls, steps: object) -> object:
        return [s.strip() for s in steps.replace("->", ",").split(",")] if isinstance(steps, str) else steps


class BetterTogether(Optimizer):
    """Run several optimizers in sequence, each starting from the last one's program."""

    name = "better_together"
    summary = "several optimizers in sequence, the best program kept"
    changes = frozenset({"instructions", "demos"})
    presets = (Preset(params={"steps": ["bootstrap_random_search", "infer_rules"]}, prior_gain=0.196, tier=Tier.LIGHT),)
    Params = BetterTogetherParams
    params: BetterTogetherParams

    def _steps(self) -> dict[str, Optimizer]:
        return {step: create(step) for step in dict.fromkeys(self.params.steps)}

    @override
    def check(self, task: Task) -> None:
        super().check(task)
        for step, optimizer in self._steps().items():
            if step in {self.name, "knn_fewshot"}:
                raise InputError(f"better_together: {step!r} cannot be a step: choose optimizers that return a program")
            optimizer.try_check(task)

    @override
    def calls(self, shape: Shape) -> Calls:
        optimizers = [self._steps()[step] for step in self.params.steps]
        steps = [uses(optimizer.expected_calls(shape)) for optimizer in optimizers]
        per_run = shape.per_run or shape.predictors
        runs = []
        for parts in zip(*steps, strict=True):
            # It scores the given program and each step's, most of which the step itself has scored.
            whole = Use(task_cached=shape.val * per_run)
            for optimizer, own in zip(optimizers, parts, strict=True):
                part = own
                if "demos" not in optimizer.changes:  # it works on the demos of the step before
                    part = replace(own, demos=whole.demos, task_demos=own.task * whole.demos)
                scored = part.unscored * per_run
                whole = together(whole, part)
                whole.task += scored
                whole.task_demos += scored * part.demos
                whole.task_rewritten += scored * part.rewritten
                whole.task_cached += (shape.val - part.unscored) * per_run
            runs.append(whole)
        return Calls.of(runs)

    @override
    def build(self, task: Task) -> Any:
        import dspy

        return dspy.BetterTogether(
            metric=task.metric, **{step: optimizer.build(task) for step, optimizer in self._steps().items()}
        )

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        task.program.set_lm(task.lm)  # BetterTogether requires every predictor to have its own
        return {
            **super().compile_args(task),
            "strategy": " -> ".join(self.params.steps),
            "num_threads": task.num_threads,
            "seed": task.seed,  # without one it shuffles differently every time
            "optimizer_compile_args": {
                step: {k: v for k, v in optimizer.compile_args(task).items() if k not in {"trainset", "valset"}}
                for step, optimizer in self._steps().items()
            },
        }
