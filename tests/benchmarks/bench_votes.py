"""Votes against their best member, and how well calibrated their confidence is.

Five members that differ in their demos vote on messages of bank customers (12 of 77 intents, another choice for each
draw), on the offline model.  Weights and confidence are learned on the validation split, where the best member is
chosen too; all is judged on the test split.

Run: ``python tests/benchmarks/bench_votes.py [--draws 30]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy
import numpy as np
from bench_offline_lm import DATA, banking
from bench_portfolio import interval_of

import skillfleet_nb as sf

DRAWS, MEMBERS, DEMOS, BINS = 30, 5, 24, 10


def metric(gold: Any, pred: Any, trace: object = None) -> bool:
    """Exact match."""
    return bool(gold.label == getattr(pred, "label", None))


def draw(seed: int) -> tuple[float, float, list[tuple[float, bool]]]:
    """Return the test scores of the vote and of the best member, and each vote's confidence and whether it is right."""
    program, (train, val, test) = banking(seed)
    rng, members = random.Random(seed), []
    for _ in range(MEMBERS):
        member = program.deepcopy()
        member.predictors()[0].demos = rng.sample(train, DEMOS)
        members.append(member)
    with dspy.context(lm=sf.offline_lm()):
        best = max(members, key=lambda m: statistics.mean(metric(e, m(**e.inputs())) for e in val))
        vote = sf.Ensemble(members, vote="weighted").fit(val, metric)
        answers = [vote(**e.inputs()) for e in test]
        alone = statistics.mean(metric(e, best(**e.inputs())) for e in test)
    right = [metric(e, a) for e, a in zip(test, answers, strict=True)]
    return statistics.mean(right), alone, [(a.vote.confidence, r) for a, r in zip(answers, right, strict=True)]


def calibration_error(told: list[tuple[float, bool]]) -> float:
    """Return the expected calibration error over bins that hold as many answers each."""
    ordered = sorted(told, key=lambda pair: pair[0])
    parts = [part for part in np.array_split(np.array(ordered, dtype=float), BINS) if len(part)]
    return sum(len(part) * abs(float(np.mean(part[:, 0] - part[:, 1]))) for part in parts) / len(ordered)


def run(draws: int = DRAWS) -> list[dict[str, Any]]:
    """Measure, and return the rows of the table."""
    if not DATA.exists():
        return [{"what": "votes: no data folder, nothing measured", "value": None, "unit": "", "target": None}]
    found = [draw(seed) for seed in range(draws)]
    gains = [100 * (vote - alone) for vote, alone, _ in found]
    told = [pair for _, _, own in found for pair in own]
    low, high = interval_of(gains)
    what = f"weighted vote of {MEMBERS}, {draws} draws"
    return [
        {"what": f"{what}: against the member best on validation [{low:+.1f}, {high:+.1f}]",
         "value": round(statistics.mean(gains), 2), "unit": "points", "target": "≥ 0"},
        {"what": f"{what}: calibration error of its confidence on the test (ECE)",
         "value": round(calibration_error(told), 3), "unit": "", "target": "≤ 0.05"},
    ]  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=DRAWS)
    for row in run(parser.parse_args().draws):
        print(row)
