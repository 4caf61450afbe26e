"""``dspy.MIPROv2``: instructions and demos together, by Bayesian search."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator
from typing_extensions import override

from skillfleet_nb.optimizers.base import (
    AUTO_CANDIDATES,
    Auto,
    Optimizer,
    OptimizerParams,
    Preset,
    Proposals,
    Task,
    Tier,
)
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, rehearsed
from skillfleet_nb.optimizers.rehearsal.miprov2 import Plan, miprov2

if TYPE_CHECKING:
    from collections.abc import Callable

    import dspy

    from skillfleet_nb.typing import Program

_AUTO_VAL = {"light": 100, "medium": 300, "heavy": 1000}  # dspy 3.4.1, AUTO_RUN_SETTINGS
_MINIBATCH_ABOVE = 50  # under auto, validation examples from which on DSPy scores trials on a part of them


class MIPROv2Params(OptimizerParams):
    """Parameters of ``dspy.MIPROv2``; `auto` sets the number of candidates and trials."""

    auto: Auto | None = Field("light", description="size of the search; none when num_candidates is given")
    num_candidates: int | None = Field(None, ge=2, description="instructions and demo sets to choose from")
    num_trials: int | None = Field(None, ge=1, description="combinations tried")
    max_bootstrapped_demos: int = Field(4, ge=0)
    max_labeled_demos: int = Field(4, ge=0)
    metric_threshold: float | None = Field(None, ge=0, le=1)
    init_temperature: float = Field(1.0, gt=0)
    minibatch: bool = Field(default=True, description="score trials on a part of validation")
    minibatch_size: int = Field(35, ge=1)
    minibatch_full_eval_steps: int = Field(5, ge=1, description="trials between full evaluations")

    @model_validator(mode="before")
    @classmethod
    def _own_size(cls, values: dict[str, Any]) -> dict[str, Any]:
        # Giving a size means not taking an automatic one; both at once is refused below.
        if values.get("num_candidates") is not None and "auto" not in values:
            return {**values, "auto": None}
        return values

    @model_validator(mode="after")
    def _one_size(self) -> MIPROv2Params:
        own = self.num_candidates is not None and self.num_trials is not None
        if own == (self.auto is not None):
            raise ValueError("give auto, or num_candidates and num_trials together")
        return self

    @model_validator(mode="after")
    def _demos_or_none(self) -> MIPROv2Params:
        if self.max_labeled_demos and not self.max_bootstrapped_demos:  # DSPy draws from an empty range
            raise ValueError("max_bootstrapped_demos = 0 needs max_labeled_demos = 0: instructions alone are searched")
        return self


class MIPROv2(Optimizer):
    """Bootstrap demos, propose instructions from data and program, search both with a Bayesian sampler."""

    name = "miprov2"
    summary = "instructions and demos together, by Bayesian search"
    changes = frozenset({"instructions", "demos"})
    builds_on = frozenset({"instructions"})
    presets = (
        Preset("light", {"auto": "light"}, prior_gain=0.197, tier=Tier.LIGHT),
        Preset("medium", {"auto": "medium"}, prior_gain=0.213, tier=Tier.MEDIUM),
        Preset("heavy", {"auto": "heavy"}, prior_gain=0.229, tier=Tier.HEAVY),
    )
    min_train = 2
    Params = MIPROv2Params
    params: MIPROv2Params
    proposals = Proposals(
        template=380, per_example=1.3, answer=60, answer_label=42, instruction=60, instruction_label=92
    )

    def _plan(self, shape: Shape) -> Plan:
        """Decide on sizes, as ``compile`` does."""
        p = self.params
        zero_shot = p.max_bootstrapped_demos == 0 and p.max_labeled_demos == 0
        trials = p.num_trials or 0
        if p.auto is None:
            candidates, val = p.num_candidates or 0, shape.val
            instructions, minibatch = candidates, p.minibatch and p.minibatch_size <= val
        else:
            candidates, val = AUTO_CANDIDATES[p.auto], min(shape.val, _AUTO_VAL[p.auto])
            instructions, minibatch = candidates if zero_shot else candidates // 2, val > _MINIBATCH_ABOVE
            variables = shape.predictors * (1 if zero_shot else 2)
            trials = int(max(2 * variables * math.log2(candidates), 1.5 * candidates))
        return Plan(
            instructions=instructions,
            sets=candidates,
            bootstrapped=p.max_bootstrapped_demos,
            labeled=p.max_labeled_demos,
            zero_shot=zero_shot,
            trials=trials,
            val=val,
            batch=min(p.minibatch_size, val) if minibatch else val,
            minibatch=minibatch,
            full_every=p.minibatch_full_eval_steps,
        )

    @override
    def calls(self, shape: Shape) -> Calls:
        plan = self._plan(shape)
        return rehearsed(shape, lambda run: miprov2(run, plan))

    @override
    def build(self, task: Task) -> Any:
        p = self.params
        return _teleprompter()(
            say=task.say,
            metric=task.metric,
            prompt_model=task.prompt_lm,
            task_model=task.lm,
            auto=p.auto,
            num_candidates=p.num_candidates,
            num_threads=task.num_threads,
            max_bootstrapped_demos=p.max_bootstrapped_demos,
            max_labeled_demos=p.max_labeled_demos,
            metric_threshold=p.metric_threshold,
            init_temperature=p.init_temperature,
            # Given here and not to compile(), which reads a seed of 0 as no seed and runs with 9.
            seed=task.seed,
        )

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        p = self.params
        return {
            **super().compile_args(task),
            "num_trials": p.num_trials,
            "minibatch": p.minibatch and (p.auto is not None or p.minibatch_size <= len(task.val)),
            # Under `auto` the size of validation decides whether there are minibatches at all.
            "minibatch_size": min(p.minibatch_size, len(task.val)),
            "minibatch_full_eval_steps": p.minibatch_full_eval_steps,
        }


@cache
def _teleprompter() -> type:
    """Make DSPy's optimizer one that tells its steps, for which DSPy has no events."""
    import dspy
    from dspy.utils.callback import BaseCallback

    class CountProposals(BaseCallback):  # type: ignore[misc]  # dspy is untyped
        """Counts the instructions that are asked for."""

        def __init__(self, say: Callable[[str], None], expected: int) -> None:
            self._say, self._n, self._expected = say, 0, expected

        def on_module_start(self, call_id: str, instance: dspy.Module, inputs: dict[str, object]) -> None:
            del call_id, inputs
            if type(instance).__name__ == "GenerateModuleInstruction":
                self._n += 1
                self._say(f"proposing instructions, {self._n} of {max(self._n, self._expected)}")

    class MIPROv2(dspy.MIPROv2):  # type: ignore[misc]  # dspy is untyped
        def __init__(self, *, say: Callable[[str], None], **kwargs: object) -> None:
            super().__init__(**kwargs)
            self._say = say

        def _bootstrap_fewshot_examples(self, *args: object, **kwargs: object) -> Any:
            self._say("bootstrapping demos")
            return super()._bootstrap_fewshot_examples(*args, **kwargs)

        def _propose_instructions(self, program: Program, *args: object, **kwargs: Any) -> Any:
            self._say("looking at data and program, to propose instructions")
            expected = kwargs.get("num_instruct_candidates", 0) * len(program.predictors())
            counting = CountProposals(self._say, expected)
            with dspy.context(callbacks=[*dspy.settings.callbacks, counting]):
                return super()._propose_instructions(program, *args, **kwargs)

        def _optimize_prompt_parameters(self, *args: object, **kwargs: object) -> Any:
            self._say("trying combinations of instructions and demos")
            return super()._optimize_prompt_parameters(*args, **kwargs)

    return MIPROv2
