"""The loop of signature tuning: failures on train, a proposal for them, its judgement on validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.optimizers.rehearsal.run import State

if TYPE_CHECKING:
    from skillfleet_nb.optimizers.rehearsal.run import Rehearsal


def tune_signature(run: Rehearsal, *, rounds: int, examples: int, sample: int) -> None:
    """Play `rounds` of one proposal for each predictor, with `examples` failures and half as many successes shown."""
    shape, n = run.shape, min(sample, run.shape.train)
    run.evaluate(run.start, "val", shape.val)
    program, score, shown = run.start, run.score, examples
    accepted = run.rng.uniform(0.1, 0.8)
    for number in range(1, rounds + 1):
        run.evaluate(program, "train", n)
        failed = n * (1 - score)
        if run.happens(score**n):  # nothing fails
            break
        seen = min(shown, failed) + min(shown / 2, n - failed)
        run.evaluate(program, "train", seen)  # once more, to see its steps
        run.propose(shape.predictors, seen, float(program is not run.start))
        shown *= 2
        candidate = tuple(State((number, at)) for at in range(shape.predictors))
        run.evaluate(candidate, "val", shape.val)
        if run.happens(accepted):
            program, score, shown = candidate, score + (1 - score) * run.rng.uniform(0.15, 0.6), examples
    rewritten = program is not run.start
    run.chosen(rewritten=rewritten, changed=rewritten)
