"""A run finds what the same optimizer finds when it is called directly, with the same seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pytest
from gepa.utils import ScoreThresholdStopper
from made_up import SMALL, Data, counted_lm, program, told

from skillfleet_nb import Fleet
from skillfleet_nb.programs.diff import diff_programs
from skillfleet_nb.programs.state import dump_state, program_id

if TYPE_CHECKING:
    from pathlib import Path

SEED = 5


def five(
    example: Any,
    pred: Any,
    trace: Any = None,
    pred_name: Any = None,
    pred_trace: Any = None,
) -> Any:
    return told(example, pred)


def score(example: Any, pred: Any, trace: Any = None) -> float:
    return float(told(example, pred).score)


def directly(optimizer: str, data: Data, lm: Any, start: Any) -> Any:
    """Call the teleprompter as DSPy's documentation does."""
    with dspy.context(lm=lm, num_threads=2):
        if optimizer == "bootstrap_random_search":
            made = dspy.BootstrapFewShotWithRandomSearch(metric=score, num_threads=2, **SMALL[optimizer])
            return made.compile(start, trainset=data.train, valset=data.val)
        if optimizer == "miprov2":
            made = dspy.MIPROv2(
                metric=score,
                prompt_model=lm,
                task_model=lm,
                auto=None,
                num_candidates=3,
                num_threads=2,
                max_bootstrapped_demos=4,
                max_labeled_demos=4,
                seed=SEED,
            )
            return made.compile(
                start,
                trainset=data.train,
                valset=data.val,
                num_trials=4,
                minibatch_size=6,
                minibatch_full_eval_steps=2,
            )
        if optimizer == "gepa":
            made = dspy.GEPA(
                metric=five,
                reflection_lm=lm,
                num_threads=2,
                seed=SEED,
                gepa_kwargs={"stop_callbacks": [ScoreThresholdStopper(1.0)]},
                **SMALL[optimizer],
            )
            return made.compile(start, trainset=data.train, valset=data.val)
        if optimizer == "simba":
            made = dspy.SIMBA(metric=five, prompt_model=lm, num_threads=2, **SMALL[optimizer])
            return made.compile(start, trainset=data.train, seed=SEED)
        made = dspy.COPRO(prompt_model=lm, metric=score, **SMALL[optimizer])
        return made.compile(
            start,
            trainset=data.train,
            eval_kwargs={"num_threads": 2, "display_progress": False},
        )


@pytest.mark.parametrize("optimizer", ["bootstrap_random_search", "copro", "gepa", "miprov2", "simba"])
def test_same_seed_same_program_same_score(tmp_path: Path, optimizer: str) -> None:
    data = Data()
    theirs_lm, theirs = counted_lm()
    found = directly(optimizer, data, theirs_lm, program())
    with dspy.context(lm=theirs_lm):
        on_val = dspy.Evaluate(devset=data.val, metric=score, num_threads=2)(found).score / 100

    ours_lm, ours = counted_lm()
    result = (
        Fleet(tmp_path)
        .optimize(
            program(),
            metric=told,
            optimizer=optimizer,
            params=SMALL[optimizer],
            lm=ours_lm,
            seed=SEED,
            num_threads=2,
            **data.splits(),
        )
        .result()
    )
    assert result.baseline_score is not None
    if on_val >= result.baseline_score:
        assert result.best_score == pytest.approx(on_val, abs=1e-4)  # DSPy rounds
        states = dump_state(found), dump_state(result.program)
        assert program_id(states[0]) == program_id(states[1]), str(diff_programs(*states))
    else:  # chosen on train alone and worse than the given one on validation: that is kept
        assert result.best_score == pytest.approx(result.baseline_score)
        assert optimizer in {"copro", "simba"}
    # ours also scored the given program on validation, and two programs on the test split
    around = len(data.val) + 2 * len(data.test)
    assert theirs.calls <= ours.calls <= theirs.calls + around
