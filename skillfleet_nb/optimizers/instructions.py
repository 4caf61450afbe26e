"""Optimizers that write instructions, some of them choosing demos as well."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from skillfleet_nb.errors import InputError
from skillfleet_nb.optimizers.base import Calls, Changes, Optimizer, OptimizerParams, Shape, Task
from skillfleet_nb.optimizers.demos import BootstrapFewShotParams

Auto = Literal["light", "medium", "heavy"]
_INSTRUCTIONS: frozenset[Changes] = frozenset({"instructions"})
_BOTH: frozenset[Changes] = frozenset({"instructions", "demos"})
_AUTO_CANDIDATES = {"light": 6, "medium": 12, "heavy": 18}  # dspy 3.4.1, AUTO_RUN_SETTINGS
_AUTO_VAL = {"light": 100, "medium": 300, "heavy": 1000}


class COPROParams(OptimizerParams):
    """Parameters of ``dspy.COPRO``."""

    breadth: int = Field(10, ge=2, description="instructions tried per round")
    depth: int = Field(3, ge=1, description="rounds, each learning from the last one's scores")
    init_temperature: float = Field(1.4, gt=0, description="sampling temperature of the proposals")


class COPRO(Optimizer):
    """Propose instructions, score them, propose again from the scores."""

    name = "copro"
    summary = "instructions by coordinate ascent on their scores"
    changes = _INSTRUCTIONS
    Params = COPROParams

    @override
    def calls(self, shape: Shape) -> Calls:
        p = self.params
        scored = p.depth * p.breadth * shape.train * shape.predictors
        if shape.predictors > 1:  # every proposal so far is scored again in each round
            scored = sum(range(1, p.depth + 1)) * p.breadth * shape.train * shape.predictors
        proposed = (p.breadth * p.depth - 1) * shape.predictors
        return Calls(scored * shape.predictors // 2 + proposed, scored * shape.predictors + proposed)

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
    def _own_size(cls, given: dict[str, Any]) -> dict[str, Any]:
        # Giving a size means not taking an automatic one; both at once is refused below.
        if given.get("num_candidates") is not None and "auto" not in given:
            return {**given, "auto": None}
        return given

    @model_validator(mode="after")
    def _one_size(self) -> MIPROv2Params:
        own = self.num_candidates is not None and self.num_trials is not None
        if own == (self.auto is not None):
            raise ValueError("give auto, or num_candidates and num_trials together")
        return self


class MIPROv2(Optimizer):
    """Bootstrap demos, propose instructions from data and program, search both with a Bayesian sampler."""

    name = "miprov2"
    summary = "instructions and demos together, by Bayesian search"
    changes = _BOTH
    min_train = 2
    Params = MIPROv2Params

    def _trials(self, shape: Shape) -> int:
        p = self.params
        if p.num_trials is not None:
            return int(p.num_trials)
        zero_shot = p.max_bootstrapped_demos == 0 and p.max_labeled_demos == 0
        variables = shape.predictors * (1 if zero_shot else 2)
        n = _AUTO_CANDIDATES[p.auto]
        return int(max(2 * variables * math.log2(n), 1.5 * n))

    @override
    def calls(self, shape: Shape) -> Calls:
        p = self.params
        n = p.num_candidates or _AUTO_CANDIDATES[p.auto]
        val = min(shape.val, _AUTO_VAL[p.auto]) if p.auto else shape.val
        trials = self._trials(shape)
        if p.minibatch and (val > 50 or not p.auto):  # noqa: PLR2004  dspy's MIN_MINIBATCH_SIZE
            full = trials // p.minibatch_full_eval_steps + 2
            scored = trials * min(p.minibatch_size, val) + full * val
        else:
            scored = (trials + 1) * val
        proposals = 4 + math.ceil(shape.train / 10) + 3 * n * shape.predictors
        boot = (n - 2) * p.max_bootstrapped_demos
        low = scored * shape.predictors + proposals // 2
        return Calls(low, low + (boot * 4 * shape.predictors) + proposals)

    @override
    def build(self, task: Task) -> Any:
        import dspy

        p = self.params
        return dspy.MIPROv2(
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
    changes = _BOTH
    min_train = 4
    Params = SIMBAParams

    @override
    def trial_size(self, n_train: int) -> int:
        return min(self.params.bsize or 32, n_train)

    @override
    def calls(self, shape: Shape) -> Calls:
        p, batch = self.params, self.trial_size(shape.train)
        sampled = p.max_steps * batch * p.num_candidates
        scored = p.max_steps * batch * (p.num_candidates + 1) + (p.num_candidates + 1) * shape.train
        low = (sampled + scored // 2) * shape.predictors
        return Calls(low, (sampled + scored) * shape.predictors + p.max_steps * (p.num_candidates + 1))

    @override
    def check(self, task: Task) -> None:
        super().check(task)
        if (self.params.bsize or 0) > len(task.train):
            raise InputError(f"simba: bsize = {self.params.bsize} exceeds the {len(task.train)} training examples")

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


class InferRulesParams(BootstrapFewShotParams):
    """Parameters of ``dspy.InferRules``."""

    num_candidates: int = Field(10, ge=1, description="rule sets induced and scored")
    num_rules: int = Field(10, ge=1, description="rules per set")


class InferRules(Optimizer):
    """Induce rules in words from the training examples and keep the set that scores best."""

    name = "infer_rules"
    summary = "rules induced from the examples, with bootstrapped demos"
    changes = _BOTH
    Params = InferRulesParams

    @override
    def calls(self, shape: Shape) -> Calls:
        p = self.params
        scored = p.num_candidates * (shape.val + 1) * shape.predictors
        demos = min(p.max_bootstrapped_demos, shape.train)
        return Calls(scored + demos, scored + shape.train * p.max_rounds * shape.predictors)

    @override
    def build(self, task: Task) -> Any:
        from dspy.teleprompt import InferRules as Teleprompter

        class OwnSignatures(Teleprompter):  # type: ignore[misc]  # dspy is untyped
            """Gives every candidate a signature class of its own.

            DSPy 3.4.1 writes the rules into the class all candidates share, which is the user's own:
            it would be changed, and the returned program would carry the last candidate's rules.
            """

            def update_program_instructions(self, predictor: Any, natural_language_rules: str) -> None:
                predictor.signature = predictor.signature.with_instructions(predictor.signature.instructions)
                super().update_program_instructions(predictor, natural_language_rules)

        return OwnSignatures(
            metric=task.metric,
            num_threads=task.num_threads,
            teacher_settings={"lm": task.prompt_lm},
            **self.params.model_dump(),
        )


class GEPAParams(OptimizerParams):
    """Parameters of ``dspy.GEPA``; exactly one of the three budgets, light by default."""

    auto: Auto | None = Field(None, description="size of the search; light when no budget is given")
    max_full_evals: int | None = Field(None, ge=1)
    max_metric_calls: int | None = Field(None, ge=1)
    reflection_minibatch_size: int = Field(3, ge=1)
    candidate_selection_strategy: Literal["pareto", "current_best"] = "pareto"
    use_merge: bool = True
    max_merge_invocations: int = Field(5, ge=0)
    stop_at_perfect: bool = Field(default=True, description="stop once validation is perfect: nothing can beat it")

    @model_validator(mode="before")
    @classmethod
    def _light_by_default(cls, given: dict[str, Any]) -> dict[str, Any]:
        if all(given.get(k) is None for k in ("auto", "max_full_evals", "max_metric_calls")):
            return {**given, "auto": "light"}
        return given

    @model_validator(mode="after")
    def _one_budget(self) -> GEPAParams:
        if sum(b is not None for b in (self.auto, self.max_full_evals, self.max_metric_calls)) != 1:
            raise ValueError("give one of auto, max_full_evals and max_metric_calls")
        return self


class GEPA(Optimizer):
    """Reflect on feedback to rewrite instructions, keeping a Pareto front of candidates."""

    name = "gepa"
    summary = "instructions evolved by reflection on feedback"
    changes = _INSTRUCTIONS
    needs: ClassVar[str] = "best with a metric that returns dspy.Prediction(score, feedback)"
    prompt_role = "reflection"
    Params = GEPAParams

    @override
    def calls(self, shape: Shape) -> Calls:
        p = self.params
        if p.auto is not None:
            n = _AUTO_CANDIDATES[p.auto]
            trials = int(max(4 * shape.predictors * math.log2(n), 1.5 * n))
            metric_calls = shape.val + 5 * n + 35 * trials + ((trials + 1) // 5 + 1 + (trials < 5)) * shape.val  # noqa: PLR2004
        elif p.max_full_evals is not None:
            metric_calls = p.max_full_evals * (shape.train + shape.val)
        else:
            metric_calls = p.max_metric_calls
        reflections = metric_calls // (2 * p.reflection_minibatch_size + shape.val // 3)
        high = metric_calls * shape.predictors + reflections
        return Calls((shape.val if p.stop_at_perfect else metric_calls) * shape.predictors, high)

    @override
    def build(self, task: Task) -> Any:
        import dspy
        from gepa.utils import ScoreThresholdStopper

        p = self.params
        options: dict[str, Any] = {"callbacks": [_Lineage(task)]}
        if p.stop_at_perfect:
            options["stop_callbacks"] = [ScoreThresholdStopper(1.0)]
        return dspy.GEPA(
            metric=task.metric.feedback,
            reflection_lm=task.prompt_lm,
            num_threads=task.num_threads,
            seed=task.seed,
            gepa_kwargs=options,
            **p.model_dump(exclude={"stop_at_perfect"}),
        )


class _Lineage:
    """Hears from GEPA which candidate came from which, and what it is doing."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._parent: dict[str, str] = {}

    def on_proposal_start(self, event: Any) -> None:
        self._parent = dict(event["parent_candidate"])
        self._task.say(f"reflecting, iteration {event['iteration']}")

    def on_proposal_end(self, event: Any) -> None:
        self._task.lineage({**self._parent, **event["new_instructions"]}, [self._parent])
