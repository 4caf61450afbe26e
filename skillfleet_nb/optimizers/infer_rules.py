"""``dspy.teleprompt.InferRules``: rules in words, induced from the examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.optimizers.base import Optimizer, Preset, Proposals, Task
from skillfleet_nb.optimizers.bootstrap_fewshot import BootstrapFewShotParams
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, rehearsed
from skillfleet_nb.optimizers.rehearsal.demos import infer_rules

if TYPE_CHECKING:
    import dspy


class InferRulesParams(BootstrapFewShotParams):
    """Parameters of ``dspy.InferRules``."""

    num_candidates: int = Field(10, ge=1, description="rule sets induced and scored")
    num_rules: int = Field(10, ge=1, description="rules per set")


class InferRules(Optimizer):
    """Induce rules in words from the training examples and keep the set that scores best."""

    name = "infer_rules"
    summary = "rules induced from the examples, with bootstrapped demos"
    changes = frozenset({"instructions", "demos"})
    builds_on = frozenset({"instructions"})
    takes_maximum = True
    presets = (Preset(params={"num_candidates": 4}, prior_gain=0.144),)
    Params = InferRulesParams
    params: InferRulesParams
    proposals = Proposals(template=260, answer=30, answer_label=95, instruction=30, instruction_label=97)

    @override
    def calls(self, shape: Shape) -> Calls:
        bootstrap, candidates = self.params.bootstrap(), self.params.num_candidates
        return rehearsed(shape, lambda run: infer_rules(run, bootstrap, candidates=candidates))

    @override
    def build(self, task: Task) -> Any:
        from dspy.teleprompt import InferRules as Teleprompter

        class OwnSignatures(Teleprompter):  # type: ignore[misc]  # dspy is untyped
            """Gives every candidate a signature class of its own.

            DSPy 3.4.1 writes the rules into the class all candidates share, which is the user's own:
            it would be changed, and the returned program would carry the last candidate's rules.
            """

            def update_program_instructions(self, predictor: dspy.Predict, natural_language_rules: str) -> None:
                predictor.signature = predictor.signature.with_instructions(predictor.signature.instructions)
                super().update_program_instructions(predictor, natural_language_rules)

        return OwnSignatures(
            metric=task.metric,
            num_threads=task.num_threads,
            teacher_settings={"lm": task.prompt_lm},
            **self.params.model_dump(),
        )
