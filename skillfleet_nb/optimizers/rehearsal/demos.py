"""The loops that bootstrap demos: ``BootstrapFewShot``, its random search, and ``InferRules``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.optimizers.rehearsal.run import State

if TYPE_CHECKING:
    from skillfleet_nb.optimizers.rehearsal.calls import Shape
    from skillfleet_nb.optimizers.rehearsal.run import Rehearsal


class Bootstrap(NamedTuple):
    """How demos are bootstrapped: how many, labeled ones beside them, and attempts at an example."""

    bootstrapped: int
    labeled: int
    rounds: int = 1


def bootstrap_fewshot(run: Rehearsal, bootstrap: Bootstrap) -> None:
    """Bootstrap one set of demos; nothing is scored."""
    successes = run.bootstrap(bootstrap.bootstrapped, bootstrap.labeled, rounds=bootstrap.rounds)
    run.offered(demos=filled(successes, bootstrap.labeled, run.shape))


def random_search(run: Rehearsal, bootstrap: Bootstrap, *, candidates: int, stop_at: float | None) -> None:
    """Score the given program, labeled demos, and bootstrapped sets of demos on validation."""
    shape = run.shape
    run.evaluate(run.start, "val", shape.val)
    best, best_demos = run.measured, 0.0
    for number in run.rounds(candidates + 2):
        seed = number - 2
        if stop_at is not None and best >= stop_at:
            break
        demos = float(min(bootstrap.labeled, shape.train))
        if seed >= -1:
            size = bootstrap.bootstrapped if seed == -1 else run.rng.randint(1, bootstrap.bootstrapped)
            successes = run.bootstrap(size, bootstrap.labeled, rounds=bootstrap.rounds, key=seed)
            demos = filled(successes, bootstrap.labeled, shape)
        state = State(0, seed if demos else 0, demos)
        score = run.measure(run.helped if demos else run.score)
        run.raced((state,) * shape.predictors, best, score)
        if score > best:
            best, best_demos = score, demos
    run.chosen(demos=best_demos, changed=best_demos > 0)


def infer_rules(run: Rehearsal, bootstrap: Bootstrap, *, candidates: int) -> None:
    """Bootstrap one set of demos, induce sets of rules, score each on validation."""
    shape = run.shape
    successes = run.bootstrap(bootstrap.bootstrapped, bootstrap.labeled, rounds=bootstrap.rounds, prompt=True)
    demos = filled(successes, bootstrap.labeled, shape)
    best = -1.0
    for candidate in run.rounds(candidates):
        run.propose(shape.predictors, shape.train)
        instruction = 1 if run.happens(run.repeats) else candidate + 1
        score = run.measure(run.helped)
        run.raced((State(instruction, "demos", demos),) * shape.predictors, best, score)
        best = max(best, score)
    run.chosen(demos=demos, rewritten=True, changed=best >= run.measured)


def filled(bootstrapped: float, labeled: int, shape: Shape) -> float:
    """Count the demos of a bootstrapped program: labeled examples fill what is left."""
    return bootstrapped + max(0.0, min(labeled - bootstrapped, shape.train - bootstrapped))
