"""Optimizers that run others, or train weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field, field_validator
from typing_extensions import override

from skillfleet_nb.errors import InputError
from skillfleet_nb.optimizers.base import Optimizer, OptimizerParams, Preset, Task, Tier
from skillfleet_nb.optimizers.calls import Calls, Rehearsal, Shape, Use, rehearsed, together, uses


class BetterTogetherParams(OptimizerParams):
    """Parameters of ``dspy.BetterTogether``."""

    steps: tuple[str, ...] = Field(
        ("bootstrap_random_search", "gepa"), min_length=1, description="optimizers, one after the other"
    )

    @field_validator("steps", mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        return [s.strip() for s in given.replace("->", ",").split(",")] if isinstance(given, str) else given


class BetterTogether(Optimizer):
    """Run several optimizers in sequence, each starting from the last one's program."""

    name = "better_together"
    summary = "several optimizers in sequence, the best program kept"
    changes = frozenset({"instructions", "demos"})
    presets = (Preset(params={"steps": ["bootstrap_random_search", "infer_rules"]}, prior_gain=0.25, tier=Tier.LIGHT),)
    Params = BetterTogetherParams

    def _steps(self) -> dict[str, Optimizer]:
        from skillfleet_nb.optimizers.registry import create

        return {step: create(step) for step in dict.fromkeys(self.params.steps)}

    @override
    def check(self, task: Task) -> None:
        super().check(task)
        for step, optimizer in self._steps().items():
            if step in {self.name, "knn_fewshot"}:
                raise InputError(f"better_together: {step!r} cannot be a step: choose optimizers that return a program")
            optimizer.check(task)

    @override
    def calls(self, shape: Shape) -> Calls:
        optimizers = [self._steps()[step] for step in self.params.steps]
        steps = [uses(optimizer.expected_calls(shape)) for optimizer in optimizers]
        per_run = shape.per_run or shape.predictors
        runs = []
        for parts in zip(*steps, strict=True):
            # It scores the given program and each step's, most of which the step itself has scored.
            whole = Use(task_cached=shape.val * per_run)
            for optimizer, made in zip(optimizers, parts, strict=True):
                part = made
                if "demos" not in optimizer.changes:  # it works on the demos that the step before found
                    part = replace(made, demos=whole.demos, task_demos=made.task * whole.demos)
                scored = part.unscored * per_run
                whole = together(whole, part)
                whole.task += scored
                whole.task_demos += scored * part.demos
                whole.task_rewritten += scored * part.rewritten
                whole.task_cached += (shape.val - part.unscored) * per_run
            runs.append(whole)
        issued = [run.issued for run in runs]
        return Calls(int(min(issued)), -int(-max(issued) // 1), tuple(runs))

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


class BootstrapFinetune(Optimizer):
    """Fine-tune the model's weights on the program's own successful traces."""

    name = "bootstrap_finetune"
    summary = "fine-tuned weights from successful traces"
    changes = frozenset({"weights"})
    needs: ClassVar[str] = "a model whose provider DSPy can fine-tune"
    presets = (Preset(prior_gain=0.34, tier=Tier.FINETUNE),)

    @override
    def check(self, task: Task) -> None:
        super().check(task)
        if not getattr(getattr(task.lm, "provider", None), "finetunable", False):
            raise InputError(
                f"bootstrap_finetune needs a model that DSPy can fine-tune, and {task.lm.model!r} is none: "
                "use an OpenAI, Databricks or local (LocalProvider) model, or choose an optimizer of prompts"
            )

    @override
    def calls(self, shape: Shape) -> Calls:
        def play(run: Rehearsal) -> None:
            run.evaluate(run.start, "train", shape.train)
            run.chosen(unscored=shape.val)

        return rehearsed(shape, play)

    @override
    def build(self, task: Task) -> Any:
        import dspy

        return dspy.BootstrapFinetune(metric=task.metric, num_threads=task.num_threads)

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        task.program.set_lm(task.lm)
        return {"trainset": list(task.train)}
