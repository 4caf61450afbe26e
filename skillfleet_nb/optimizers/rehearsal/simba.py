"""The loop of ``SIMBA``: sampled trajectories, and candidates that gain a demo or a rule from them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skillfleet_nb.optimizers.rehearsal.run import Rehearsal, State

_RANKED = 0.1  # a program, of the work of an evaluation
_TEMPERATURE = 0.2  # dspy 3.4.1's, of sampling among programs by their scores


def simba(run: Rehearsal, *, batch: int, candidates: int, steps: int, max_demos: int) -> None:
    """Play `steps` batches: trajectories of the best programs, then as many new candidates scored."""
    shape = run.shape
    uneven = run.rng.uniform(0.0, 1.0)  # share of examples that a sampled model solves sometimes, and not always
    pool: list[tuple[float, tuple[State, ...]]] = [(0.0, run.start)]
    winners = [run.start]
    for step in run.rounds(steps):
        run.work += len(pool) * _RANKED
        top = sorted(pool, key=lambda scored: -scored[0])[:candidates]
        top = top if pool[0] in top else [*top[:-1], pool[0]]
        weights = [math.exp(score / _TEMPERATURE) for score, _ in top]
        for model in run.rounds(candidates):
            for weight, (_, program) in zip(weights, top, strict=True):
                run.evaluate(program, f"model-{model}", batch * weight / sum(weights), of=shape.train)
        made = []
        for i in run.rounds(min(candidates + 1, batch)):
            _, source = run.rng.choices(top, weights)[0]
            informed = run.happens(uneven)
            rule = max_demos == 0 or run.happens(0.5)
            if rule and informed:
                run.propose(1, 2)
            changed = _changed(source, (step, i), max_demos, rule=rule) if informed or not rule else source
            run.evaluate(changed, "train", batch)
            made.append((run.rng.gauss(run.helped, 0.1), changed))
        pool += made
        winners.append(max(made, key=lambda scored: scored[0])[1])
    every = range(steps + 1)  # where there are fewer steps than candidates
    picked = every if candidates >= steps else sorted({round(i * steps / candidates) for i in range(candidates + 1)})
    last = len(winners) - 1  # it stands for those of steps that were too many to be played
    for i in run.rounds(len(picked)):
        run.evaluate(winners[min(picked[i], last)], "train", shape.train)
    best = winners[min(run.rng.choice(picked), last)]
    is_better = best != run.start and run.measure(run.helped) >= run.measured
    run.chosen(demos=best[0].n_demos, rewritten=best[0].instruction != 0, unscored=shape.val, changed=is_better)


def _changed(program: tuple[State, ...], name: tuple[int, int], max_demos: int, *, rule: bool) -> tuple[State, ...]:
    """Give every predictor a rule or a demo more."""
    if rule:
        return tuple(state._replace(instruction=name) for state in program)
    return tuple(state._replace(demos=name, n_demos=min(max_demos, state.n_demos + 1)) for state in program)
