"""The loop of ``COPRO``: rounds of proposals, each scored on train, the best so far left in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.optimizers.rehearsal.run import State

if TYPE_CHECKING:
    from collections.abc import Hashable

    from skillfleet_nb.optimizers.rehearsal.run import Rehearsal

_NAMED = 0.2  # a proposal, of the work of an evaluation


def copro(run: Rehearsal, *, breadth: int, depth: int) -> None:
    """Play `depth` rounds of `breadth` proposals for each predictor."""
    shape, n = run.shape, run.shape.predictors
    repeats = run.rng.uniform(0.05, 0.4)  # proposals that say what another one said
    again = run.happens((shape.repeats or 0.0) * 0.8)  # a model may propose the same in every round
    taken = run.rng.uniform(0.2, 0.9)
    candidates: list[list[Hashable]] = [[0] for _ in range(n)]  # the given instruction is a candidate too
    latest = candidates
    program = list(run.start)
    run.propose(n * (breadth - 1) + n * breadth * (depth - 1))
    for level in run.rounds(depth, grows=n > 1):
        proposals: list[list[Hashable]] = [
            [
                (predictor, i) if again else _proposal(run, repeats, level, predictor, i)
                for i in run.rounds(breadth - (level == 0))
            ]
            for predictor in range(n)
        ]
        if level == 0:
            candidates = [[*p, 0] for p in proposals]
        else:
            candidates = [c + p for c, p in zip(candidates, proposals, strict=True)]
        latest = candidates if n > 1 or level == 0 else proposals
        tried = breadth * (level + 1 if n > 1 else 1)  # where not all could be named, the first ones stand for them
        for predictor in range(n):
            for i in run.rounds(tried):
                program[predictor] = State(latest[predictor][i])
                run.evaluate(tuple(program), "train", shape.train)
            # The best so far stays in place; often that is the one that was given.
            program[predictor] = State(run.rng.choice(candidates[predictor]) if run.happens(taken) else 0)
    rewritten = any(state.instruction for state in program)
    run.chosen(rewritten=rewritten, changed=rewritten and run.happens(0.8), unscored=rewritten * shape.val)


def _proposal(run: Rehearsal, repeats: float, level: int, predictor: int, i: int) -> Hashable:
    """Name a proposal; some say what an earlier one said."""
    run.work += _NAMED
    return run.rng.choice([0, ("again", predictor)]) if run.happens(repeats) else (level, predictor, i)
