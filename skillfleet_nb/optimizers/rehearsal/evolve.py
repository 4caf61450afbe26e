"""The loop of evolution: the given program on train, a first generation, and those bred from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skillfleet_nb.optimizers.evolve import EvolveParams
    from skillfleet_nb.optimizers.rehearsal.run import Rehearsal, State

REFLECTED_ON = 24
"""Training examples on which a parent's failures are looked for."""
_LEAST_SCREENED = 8  # validation examples; where there are not twice as many, nothing is screened
_GAINS = 0.35  # generations that gain, at most


def screened(val: int, share: float) -> int:
    """Return how many of so many validation examples children are screened on; none where that would save little."""
    size = max(_LEAST_SCREENED, math.ceil(share * val))
    return size if 2 * size <= val else 0


def promoted(population: int, share: float, generation: int) -> int:
    """Return how many children are scored on all of validation after screening: of the first ones half."""
    return math.ceil((share if generation else max(share, 1 / 2)) * population)


def evolve(run: Rehearsal, *, params: EvolveParams) -> None:
    """Play generations, each of children that are screened, and of which some are scored on all of validation."""
    shape, n = run.shape, params.population
    sample = min(params.sample, shape.train)
    run.evaluate(run.start, "val", shape.val)
    run.evaluate(run.start, "train", sample)
    if params.max_demos:  # once more, to see the steps of what went right
        run.evaluate(run.start, "train", sample * run.score)
    size, demos = screened(shape.val, params.screen), min(params.max_demos, shape.train)
    gains, reflects = run.rng.uniform(0, _GAINS), run.rng.uniform(0.1, 0.5)
    population, waited, best = [run.start], 0, run.measured
    for generation in run.rounds(params.generations + 1):
        children = []
        for place in range(n):
            parent = run.rng.choice(population)
            child = _child(run, parent, (generation, place), reflects, demos, params)
            if child != parent:
                children.append(child)
        for child in children if size else ():
            run.evaluate(child, "val", size)
        children = children[: promoted(n, params.promoted, generation) if size else n]
        for child in children:
            run.evaluate(child, "val", shape.val)
        population = (children + population)[:n]
        waited = 0 if generation == 0 or run.happens(gains) else waited + 1
        best = max(best, run.measure(run.helped))
        if waited > params.patience or best >= 1:
            break
    top = population[0]
    run.chosen(demos=top[0].n_demos, rewritten=any(state.instruction for state in top), changed=True)


def _child(
    run: Rehearsal, parent: tuple[State, ...], name: tuple[int, int], reflects: float, demos: int, params: EvolveParams
) -> tuple[State, ...]:
    generation, place = name
    rewritten = (place % 2 == 0 or not demos) if generation == 0 else run.happens(2 * reflects)
    drawn = demos > 0 and (place > 0 if generation == 0 else not rewritten)
    states, n = list(parent), run.rng.randrange(len(parent))
    if rewritten and (generation == 0 or run.happens(run.rng.uniform(0.5, 1.0))):  # else it is only rephrased
        looked = min(params.sample, run.shape.train)
        if parent != run.start:
            unshown = round(looked - max(state.n_demos for state in parent))  # of its demos it copies the answers
            looked = min(REFLECTED_ON, unshown if unshown > 0 else looked, run.shape.val)
            if run.happens(run.rng.uniform(0.3, 1.0)):  # it has not run on them yet
                run.evaluate(parent, "train", looked)
        failed = looked * (1 - run.score)
        shown = min(params.examples, failed) + min(params.examples / 2, looked - failed)
        run.use.task_cached += shown * run.per_call * run.shape.predictors  # once more, to see its steps
        run.propose(1, shown, float(parent != run.start))
    elif rewritten:
        run.propose(1, 0, 1)
    if rewritten:
        states[n] = states[n]._replace(instruction=name)
    if drawn:
        states = [state._replace(demos=name, n_demos=demos) for state in states]
    return tuple(states)
