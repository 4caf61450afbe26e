"""Signature tuning: whether what it accepts is really better, and how often it accepts what gains nothing.

The tasks are those of ``bench_gains`` (12 of 77 intents of bank customers, plans of agent skills), 20 draws each,
on the offline LM.  A version counts as worse where its sealed test is lower beyond chance: 95% interval and
permutation test.  Nothing can be gained by the null proposals: of the first kind the program's answers are right by
chance, drawn anew for every instruction; of the second the metric draws its scores, whatever the answer.

Run: ``python tests/benchmarks/bench_tuning.py [--seeds 20] [--null 200]``.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy
from bench_gains import _row, _unseen
from bench_offline_lm import DATA, banking, label_metric, plan_metric, skill_plans

from skillfleet_nb import Fleet, offline_lm
from skillfleet_nb.offline.engine import OfflineEngine

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS, NULL, ROUNDS = 20, 200, 3


class Indifferent(OfflineEngine):
    """Proposes instructions that say nothing new, and answers right with a probability of 0.6 whatever they say."""

    def _reply(self, system: str, turns: list[tuple[str, str]], candidate: int, temperature: float) -> str:
        asked = turns[-1][1]
        drawn = random.Random(system + asked)
        if "improved_instructions" in system:
            values = {"reasons": "none", "improved_instructions": f"Answer. {drawn.random()}", "field_descriptions": ""}
        else:
            number = int(asked.partition("[[ ## text ## ]]\n")[2].split()[0])
            values = {"label": "ab"[number % 2 == 0] if drawn.random() < 0.6 else "ab"[number % 2 == 1]}
        return "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in values.items())


def tuned(title: str, build: Callable[[int], Any], metric: Callable[..., Any], seeds: int) -> list[dict[str, Any]]:
    """Tune on every draw, and look at the sealed test of what was accepted."""
    gains, worse, better = [], 0, 0
    with tempfile.TemporaryDirectory() as home:
        fleet = Fleet(Path(home) / "home")
        for seed in range(seeds):
            program, (train, val, test) = build(seed)
            train, val = _unseen(train, val, test), _unseen(val, test)
            result = fleet.optimize(
                program, train=train, val=val, test=test, metric=metric, optimizer="tune_signature", lm=offline_lm(),
                seed=seed, num_threads=2,
            ).result()  # fmt: skip
            assert result.test_delta is not None
            if result.best_score == result.baseline_score:
                continue
            gains.append(100 * result.test_delta)
            worse += result.verdict == "worse"
            better += result.verdict == "improved"
    told = f"{title}: of {len(gains)} accepted in {seeds} draws"
    return [
        _row(f"{told}, worse on the sealed test beyond chance", worse, "≤ 0", "versions"),
        _row(f"{told}, better beyond chance", better, unit="versions"),
        _row(f"{told}, the least gain", min(gains, default=0.0)),
        _row(f"{told}, the mean gain", statistics.mean(gains) if gains else 0.0),
    ]


def wrongly_accepted(number: int, val: int) -> dict[str, tuple[int, int]]:
    """Judge at least `number` null proposals of each kind; return how many were accepted, and judged."""
    kinds = {"answers right by chance": Indifferent(), "a metric of noise": OfflineEngine()}
    found = {}
    for kind, engine in kinds.items():
        judged = accepted = seed = 0
        with tempfile.TemporaryDirectory() as home:
            fleet = Fleet(Path(home) / "home")
            while judged < number:
                noise, rows = random.Random(seed), _numbers(40 + val, seed)
                metric = _right if isinstance(engine, Indifferent) else _noise(noise)
                job = fleet.optimize(
                    dspy.Predict("text -> label: Literal['a', 'b']"), train=rows[:30], val=rows[40:], test=rows[30:40],
                    metric=metric, optimizer="tune_signature", params={"rounds": ROUNDS}, seed=seed, num_threads=1,
                    lm=dspy.LM(f"skillfleet/null-{kind[:3]}-{val}-{seed}", engine=engine), record_prompts=False,
                )  # fmt: skip
                job.result()
                decisions = fleet.sql(
                    "select job_id, (payload->>'accepted')::boolean as a from events where kind = 'decision'"
                )
                decisions = decisions[decisions.job_id == job.id].a
                judged, accepted, seed = judged + len(decisions), accepted + int(decisions.sum()), seed + 1
                dspy.cache.reset_memory_cache()
        found[kind] = (accepted, judged)
    return found


def _numbers(n: int, seed: int) -> list[dspy.Example]:
    return [
        dspy.Example(text=f"{number} of set {seed}", label="ab"[number % 2 == 0]).with_inputs("text")
        for number in range(n)
    ]


def _right(gold: Any, pred: Any, trace: Any = None) -> float:
    return float(gold.label == pred.label)


def _noise(drawn: random.Random) -> Callable[..., float]:
    return lambda gold, pred, trace=None: float(drawn.random() < 0.6)


def run(seeds: int = SEEDS, null: int = NULL) -> list[dict[str, Any]]:
    """Measure."""
    logging.disable(logging.WARNING)
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    rows = []
    if DATA.exists():
        rows += tuned("intents", banking, label_metric, seeds)
        rows += tuned("plans", skill_plans, plan_metric, seeds)
    for val in (24, 80):
        for kind, (accepted, judged) in wrongly_accepted(null, val).items():
            what = f"null proposals wrongly accepted, {kind}, {val} validation examples, {judged} judged"
            rows.append(_row(what, 100 * accepted / judged, "≤ 5", "%"))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--null", type=int, default=NULL)
    asked = parser.parse_args()
    for row in run(asked.seeds, asked.null):
        sys.stdout.write(f"{row}\n")
