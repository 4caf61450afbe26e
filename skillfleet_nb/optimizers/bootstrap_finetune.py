"""``dspy.BootstrapFinetune``: weights trained on the program's own successful traces."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from skillfleet_nb.errors import InputError
from skillfleet_nb.optimizers.base import Optimizer, Preset, Task, Tier
from skillfleet_nb.optimizers.rehearsal import Calls, Rehearsal, Shape, rehearsed


class BootstrapFinetune(Optimizer):
    """Fine-tune the model's weights on the program's own successful traces."""

    name = "bootstrap_finetune"
    summary = "fine-tuned weights from successful traces"
    changes = frozenset({"weights"})
    needs = "a model whose provider DSPy can fine-tune"
    presets = (Preset(prior_gain=0.273, tier=Tier.FINETUNE),)

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
