"""The loop of ``GEPA``: reflection on minibatches, validation of what beat its parent, merges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.optimizers.rehearsal.run import State

if TYPE_CHECKING:
    from skillfleet_nb.optimizers.rehearsal.run import Rehearsal

_MERGED_ON = 5  # validation examples that a merged candidate is tried on first
_TO_MERGE = 3  # candidates there must be
_LOOK = 0.1  # at a candidate, of the work of an evaluation


def gepa(
    run: Rehearsal,
    *,
    metric_calls: int,
    batch: int,
    most_merges: int,
    stop_at_perfect: bool,
    rewritten: int = 1,
    shortens: bool = False,
    proposals: int = 1,
) -> None:
    """Play iterations until `metric_calls` scores are used up; each proposal rewrites so many predictors.

    An iteration makes so many `proposals` of one parent.  Where it `shortens`, an instruction that is too long is
    asked for once more.
    """
    shape = run.shape
    run.evaluate(run.start, "val", shape.val)
    used, scores, best, programs, merges = shape.val, [run.score], run.measured, [run.start], 0
    ceiling = min(1.0, run.score + (1 - run.score) * run.rng.uniform(0.05, 0.9))
    gains = run.rng.uniform(0.0, 0.12)
    too_long = run.rng.uniform(0.0, 1.0) if shortens else 0.0
    taken = run.rng.uniform(0.15, 1.0)  # proposals that beat their parent on its minibatch
    while used < metric_calls and not (stop_at_perfect and best >= 1) and run.affords(used / metric_calls):
        run.work += len(scores) * _LOOK
        parent = max(range(len(scores)), key=lambda i: scores[i] + run.rng.gauss(0, 0.08))
        before = used
        for number in run.rounds(proposals):
            played = number + 1
            run.evaluate(programs[parent], "train", batch)
            used += batch
            if run.happens(scores[parent] ** batch):
                continue
            run.propose(rewritten, batch, float(parent > 0))
            run.propose(sum(run.happens(too_long) for _ in range(rewritten if shortens else 0)), 0, float(parent > 0))
            states = list(programs[parent])
            for turn in range(rewritten):
                states[(len(programs) + turn) % shape.predictors] = State((parent, used))
            child = tuple(states)
            run.evaluate(child, "train", batch)
            used += batch
            if not run.happens(taken):
                continue
            run.evaluate(child, "val", shape.val)
            used += shape.val
            programs.append(child)
            scores.append(min(ceiling, scores[parent] + run.rng.gauss(gains, 0.06)))
            best = max(best, run.measure(scores[-1]))
            if merges < most_merges and len(scores) >= _TO_MERGE and run.happens(0.2):
                merges += 1
                run.evaluate((State(("merged", merges)),) * shape.predictors, "val", _MERGED_ON)
                used += _MERGED_ON
        used = before + (used - before) * proposals // played
    is_rewritten = best > run.measured
    run.chosen(rewritten=is_rewritten, changed=is_rewritten)
