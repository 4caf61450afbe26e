"""The loop of signature tuning: failures on train, a proposal for them, its judgement on validation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from skillfleet_nb.optimizers.rehearsal.run import State

if TYPE_CHECKING:
    from skillfleet_nb.optimizers.rehearsal.run import Rehearsal

_GAIN = 0.4  # most that one proposal gains
_STANDS_OUT = 1.2  # times the error of a mean over one example: what is beyond chance over all rounds
_REPEATS = 0.4


def tune_signature(run: Rehearsal, *, rounds: int, examples: int, sample: int) -> None:
    """Play `rounds` of one proposal for each predictor, with `examples` failures and half as many successes shown."""
    shape, n = run.shape, min(sample, run.shape.train)
    run.evaluate(run.start, "val", shape.val)
    program, score, shown, repeats = run.start, run.score, examples, False
    accepted = _chance(shape.val) * run.rng.uniform(0.5, 1.0)
    for number in range(1, rounds + 1):
        run.evaluate(program, "sample", n, of=n)
        failed = n * (1 - score)
        if run.happens(score**n):  # nothing fails
            break
        seen = min(shown, failed) + min(shown / 2, n - failed)
        run.evaluate(program, "sample", seen, of=n)  # once more, to see its steps
        run.propose(shape.predictors, seen, float(program is not run.start))
        if repeats and run.happens(max(run.repeats, _REPEATS)):
            continue
        repeats, shown = shown >= failed, shown * 2  # whoever sees the same again may propose the same
        candidate = tuple(State((number, predictor)) for predictor in range(shape.predictors))
        run.evaluate(candidate, "val", shape.val)
        if run.happens(accepted):
            program, score, shown = candidate, score + (1 - score) * run.rng.uniform(0.15, 0.6), examples
            repeats = False
    rewritten = program is not run.start
    run.chosen(rewritten=rewritten, changed=rewritten)


def _chance(val: int) -> float:
    """Tell how likely a proposal is proven on so many examples: its gain, up to `_GAIN`, must stand out of chance."""
    return max(0.0, 1 - _STANDS_OUT / (_GAIN * math.sqrt(max(1, val))))
