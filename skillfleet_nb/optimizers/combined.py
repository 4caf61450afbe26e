"""Optimizers that run others, or train weights."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, field_validator
from typing_extensions import override

from skillfleet_nb.errors import InputError
from skillfleet_nb.optimizers.base import Calls, Optimizer, OptimizerParams, Shape, Task


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
        parts = [self._steps()[step].calls(shape) for step in self.params.steps]
        scored = (len(parts) + 1) * shape.val * shape.predictors
        return Calls(sum(p.low for p in parts) + scored, sum(p.high for p in parts) + scored)

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
        return Calls(shape.train * shape.predictors, shape.train * shape.predictors)

    @override
    def build(self, task: Task) -> Any:
        import dspy

        return dspy.BootstrapFinetune(metric=task.metric, num_threads=task.num_threads)

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        task.program.set_lm(task.lm)
        return {"trainset": list(task.train)}
