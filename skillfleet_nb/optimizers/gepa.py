"""``dspy.GEPA``: instructions evolved by reflection on feedback."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from skillfleet_nb.errors import InputError
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
from skillfleet_nb.optimizers.rehearsal.gepa import gepa

if TYPE_CHECKING:
    from gepa.core.callbacks import ProposalEndEvent, ProposalStartEvent

_OF_THE_PROPOSER = {"additional_instructions", "base_instructions", "max_chars", "skills", "truncate_history_outputs"}
_FULL_EVERY, _MINIBATCH = 5, 35  # dspy 3.4.1, GEPA.auto_budget


class GEPAParams(OptimizerParams):
    """Parameters of ``dspy.GEPA``; exactly one of the three budgets, light by default."""

    auto: Auto | None = Field(None, description="size of the search; light when no budget is given")
    max_full_evals: int | None = Field(None, ge=1)
    max_metric_calls: int | None = Field(None, ge=1)
    reflection_minibatch_size: int = Field(3, ge=1)
    proposals: int = Field(
        1, ge=1, description="proposals of an iteration, of one parent, each from a minibatch of its own"
    )
    candidate_selection_strategy: Literal["pareto", "current_best"] = "pareto"
    use_merge: bool = True
    max_merge_invocations: int = Field(5, ge=0)
    component_selector: Literal["round_robin", "all"] = Field(
        "round_robin", description="predictors that a reflection rewrites: the next one in turn, or all"
    )
    add_format_failure_as_feedback: bool = Field(
        default=False, description="show the reflection answers that could not be read"
    )
    additional_instructions: str | None = Field(None, description="guidance for every proposal")
    base_instructions: str | None = Field(None, description="what the model that reflects is told, in place of DSPy's")
    skills: tuple[str, ...] = Field(
        (), description="reference material for the reflection: files, folders with a SKILL.md, or texts"
    )
    max_chars: int | None = Field(
        None, ge=1, description="most characters of an instruction; one that is longer is shortened once, at a call"
    )
    truncate_history_outputs: bool = Field(
        default=False, description="cut long outputs of tools in what is reflected on"
    )
    stop_at_perfect: bool = Field(default=True, description="stop once validation is perfect: nothing can beat it")

    @field_validator("skills", mode="before")
    @classmethod
    def _one_source(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _light_by_default(cls, values: dict[str, Any]) -> dict[str, Any]:
        if all(values.get(k) is None for k in ("auto", "max_full_evals", "max_metric_calls")):
            return {**values, "auto": "light"}
        return values

    @model_validator(mode="after")
    def _one_budget(self) -> GEPAParams:
        if sum(b is not None for b in (self.auto, self.max_full_evals, self.max_metric_calls)) != 1:
            raise ValueError("give one of auto, max_full_evals and max_metric_calls")
        return self


class GEPA(Optimizer):
    """Reflect on feedback to rewrite instructions, keeping a Pareto front of candidates."""

    name = "gepa"
    summary = "instructions evolved by reflection on feedback"
    changes = frozenset({"instructions"})
    builds_on = frozenset({"instructions", "demos"})
    needs = "best with a metric that returns dspy.Prediction(score, feedback)"
    presets = (
        Preset("light", {"auto": "light"}, prior_gain=0.182, few_shot=False),
        Preset("medium", {"auto": "medium"}, prior_gain=0.19, tier=Tier.MEDIUM, few_shot=False),
    )
    prompt_role = "reflection"
    Params = GEPAParams
    params: GEPAParams
    proposals = Proposals(
        template=360, per_example=1.8, answer=110, answer_label=45, instruction=100, instruction_label=52
    )

    def _metric_calls(self, shape: Shape) -> int:
        """Return the scores that the budget stands for, as DSPy reckons them."""
        p = self.params
        if p.max_metric_calls is not None:
            return p.max_metric_calls
        if p.max_full_evals is not None:
            return p.max_full_evals * (shape.train + shape.val)
        n = AUTO_CANDIDATES[p.auto or "light"]
        trials = int(max(4 * shape.predictors * math.log2(n), 1.5 * n))
        full = (trials + 1) // _FULL_EVERY + 1 + (trials < _FULL_EVERY)
        return shape.val + _FULL_EVERY * n + _MINIBATCH * trials + full * shape.val

    @override
    def check(self, task: Task) -> None:
        super().check(task)
        try:
            self._proposer(task)
        except (OSError, ValueError) as exc:
            raise InputError(f"gepa: skills = {list(self.params.skills)}: {exc}; give files that are there") from exc

    def _proposer(self, task: Task) -> Any:
        import dspy
        from dspy.teleprompt.gepa import InstructionProposer

        options = self.params.model_dump(include=_OF_THE_PROPOSER)
        options["skills"] = list(self.params.skills) or None
        return InstructionProposer(adapter=task.reading(dspy.JSONAdapter()), **options)

    @override
    def calls(self, shape: Shape) -> Calls:
        p, metric_calls = self.params, self._metric_calls(shape)
        return rehearsed(
            shape,
            lambda run: gepa(
                run,
                metric_calls=metric_calls,
                batch=p.reflection_minibatch_size,
                most_merges=p.max_merge_invocations if p.use_merge else 0,
                stop_at_perfect=p.stop_at_perfect,
                rewritten=shape.predictors if p.component_selector == "all" else 1,
                shortens=p.max_chars is not None,
                proposals=p.proposals,
            ),
        )

    @override
    def build(self, task: Task) -> Any:
        import dspy
        from gepa.strategies.proposal_sampling import SameParentSampling
        from gepa.utils import ScoreThresholdStopper

        p = self.params
        options: dict[str, Any] = {"callbacks": [_Lineage(task)]}
        if p.proposals > 1:  # of one parent, which their lineage goes by
            options["sampling_strategy"] = SameParentSampling(p.proposals)
        if p.stop_at_perfect:
            options["stop_callbacks"] = [ScoreThresholdStopper(1.0)]
        return dspy.GEPA(
            metric=task.metric.feedback,
            reflection_lm=task.prompt_lm,
            num_threads=task.num_threads,
            seed=task.seed,
            gepa_kwargs=options,
            instruction_proposer=self._proposer(task),
            **p.model_dump(exclude={"proposals", "stop_at_perfect", *_OF_THE_PROPOSER}),
        )


class _Lineage:
    """GEPA's own callback: tells which candidate came from which, and what GEPA is doing."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._parent: dict[str, str] = {}

    def on_proposal_start(self, event: ProposalStartEvent) -> None:
        self._parent = dict(event["parent_candidate"])
        self._task.say(f"reflecting, iteration {event['iteration']}")

    def on_proposal_end(self, event: ProposalEndEvent) -> None:
        self._task.lineage({**self._parent, **event["new_instructions"]}, [self._parent])
