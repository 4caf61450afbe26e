"""``dspy.experimental.ReAnchor``: where a model's probabilities become decisions, fitted on cached answers."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from skillfleet_nb.errors import InputError, LMError
from skillfleet_nb.format import one_line
from skillfleet_nb.optimizers.base import Optimizer, OptimizerParams, Preset, Proposals, Task, Tier
from skillfleet_nb.optimizers.rehearsal import Calls, Rehearsal, Shape, State, rehearsed

if TYPE_CHECKING:
    from skillfleet_nb.typing import Program

_TYPED, _KEPT = 0.5, 0.5  # outputs of DSPy's types of decisions, and fits that hold: how often is not known

_LONGEST = 300  # characters of what a program failed of


class ReAnchorParams(OptimizerParams):
    """``dspy.experimental.ReAnchor`` has none: what it fits follows from the program's outputs."""


class ReAnchor(Optimizer):
    """Fit thresholds, cuts and weights of decisions, at a call for each training example."""

    name = "reanchor"
    summary = "thresholds, cuts and weights of decisions, fitted on cached answers"
    changes = frozenset({"decisions"})
    needs = "outputs that are bool, Literal, or DSPy's types of decisions, with a description; cache=True"
    presets = (Preset(prior_gain=0.04, tier=Tier.MINIMAL),)
    proposals = Proposals(instruction=100, instruction_label=40, reply_label=11)  # of probabilities and their schema
    Params = ReAnchorParams
    params: ReAnchorParams

    @override
    def check(self, task: Task) -> None:
        super().check(task)
        from dspy.teleprompt.reanchor.calibrate import decision_outputs, predictors

        decisions = [(p, name) for _, p in predictors(task.program) for name in decision_outputs(p)]
        if not decisions:
            raise InputError(
                "reanchor fits decisions, and no output of the program is one: bool, Literal[…], or "
                "dspy.experimental's Noul, Choice and Score; choose another optimizer"
            )
        fields = {name: p.signature.output_fields[name] for p, name in decisions}
        bare = [name for name, field in fields.items() if field.json_schema_extra["desc"] in {"", f"${{{name}}}"}]
        if bare:
            raise InputError(
                f"reanchor asks how likely {bare[0]!r} is, which has no description: "
                f"{bare[0]} = dspy.OutputField(desc=…) says what is decided"
            )
        if not getattr(task.lm, "cache", False):
            raise InputError("reanchor asks the same many times over: give a model with cache=True")

    @override
    def calls(self, shape: Shape) -> Calls:
        # All settings are tried on the answers of one pass, which are in the cache.  Outputs of DSPy's own types are
        # asked for probabilities from the beginning, others only here; what a later predictor is asked may change.
        def play(run: Rehearsal) -> None:
            run.evaluate(run.start, "train", shape.train)
            is_typed, is_kept = run.happens(_TYPED), run.happens(_KEPT)
            reading = run.start if is_typed else (State("probabilities"),) * shape.predictors
            if not is_typed:
                run.evaluate(reading, "train", shape.train)
            for turn in range(1, shape.predictors):
                later = (State(reading[turn].instruction, turn),) * (shape.predictors - turn)
                run.evaluate((*reading[:turn], *later), "train", shape.train)
            if is_kept:
                run.evaluate(reading, "val", shape.val)
            run.chosen(rewritten=not is_typed, changed=is_kept)

        return rehearsed(shape, play)

    @override
    def build(self, task: Task) -> Any:
        from dspy.experimental import ReAnchor as DSPyReAnchor

        # A run's models reach the program through dspy's settings on each thread, where the cache cannot be looked
        # for beforehand: `check` has done so.
        return DSPyReAnchor(metric=task.metric, num_threads=task.num_threads, require_cache=False)

    @override
    def compile(self, task: Task) -> Program:
        import dspy

        failures = _callback()()
        try:
            with dspy.context(callbacks=[*dspy.settings.callbacks, failures]):
                return super().compile(task)
        except Exception as exc:
            if failures.last is None:
                raise
            failure = one_line(str(failures.last), _LONGEST).rstrip(".")
            raise LMError(
                f"DSPy's ReAnchor ends at the first example without an answer that it can use: {failure}; "
                "try a model that gives probabilities, or another optimizer"
            ) from exc


@cache
def _callback() -> type:
    """Make the callback that keeps what a program failed of: DSPy's executor tells that it did alone."""
    from dspy.utils.callback import BaseCallback

    class Failures(BaseCallback):  # type: ignore[misc]  # dspy is untyped
        last: BaseException | None = None

        def on_module_end(self, call_id: str, outputs: object, exception: BaseException | None = None) -> None:
            del call_id, outputs
            self.last = exception or self.last

    return Failures
