"""Training sets on real data: wrong labels found, time of an analysis, what a selection is worth.

Reads ``banking77`` beside the project.  The first analysis embeds 10,003 texts.
"""

from __future__ import annotations

import csv
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="skillfleet-bench-"))

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "banking77"
SEEDS = 10
INTENTS = 10
POOL, SELECTED, TEST = 400, 40, 200
NOISE = 0.2


def _read(name: str) -> list[dict[str, str]]:
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _flip(rows: list[dict[str, str]], share: float, rng: random.Random) -> set[int]:
    """Give a share of the rows another label, in place, and tell which."""
    names = sorted({r["category"] for r in rows})
    wrong = set(rng.sample(range(len(rows)), round(share * len(rows))))
    for at in wrong:
        rows[at]["category"] = rng.choice([n for n in names if n != rows[at]["category"]])
    return wrong


def labels(fleet: Any) -> list[dict[str, Any]]:
    """Rank 10 % flipped labels in 1,000 rows."""
    from sklearn.metrics import roc_auc_score

    found = []
    for seed in range(3):
        rng = random.Random(seed)
        rows = [dict(r) for r in rng.sample(_read("train"), 1000)]
        wrong = _flip(rows, 0.1, rng)
        frame = fleet.data.analyse(rows, label="category", name=f"flipped {seed}").examples
        found.append(float(roc_auc_score(frame["row"].isin(wrong), frame["suspicion"].fillna(0))))
    return [{"what": "AUROC of flipped labels, least of 3", "value": min(found), "unit": "", "target": "≥ 0.97"}]


def times(fleet: Any) -> list[dict[str, Any]]:
    """Analyse all rows, first with nothing known, then again by another fleet of the home."""
    from skillfleet_nb.fleet import Fleet

    rows, taken = _read("train"), []
    for one in (fleet, Fleet(fleet.home.root)):
        started = time.perf_counter()
        report = one.data.analyse(rows, label="category", name="banking77")
        taken.append(time.perf_counter() - started)
    near = sum(not d.exact for d in report.duplicates)
    return [
        {"what": "analyse 10,003 rows, first time", "value": taken[0], "unit": "s", "target": "< 120"},
        {"what": "analyse 10,003 rows, again", "value": taken[1], "unit": "s", "target": "< 3"},
        {"what": "near-duplicates found", "value": near, "unit": "pairs", "target": None},
    ]


def selection(fleet: Any, seeds: int = SEEDS) -> list[dict[str, Any]]:
    """Optimise on 40 selected, 40 random and all of 400 noisy examples, and score a clean test set."""
    import dspy
    import numpy as np

    import skillfleet_nb as sf
    from skillfleet_nb.stats import paired_comparison

    scores: dict[str, list[float]] = {"selected": [], "random": [], "all": []}
    calls: dict[str, int] = dict.fromkeys(scores, 0)
    for seed in range(seeds):
        rng = random.Random(seed)
        names = rng.sample(sorted({r["category"] for r in _read("train")}), INTENTS)
        pool = [dict(r) for r in rng.sample([r for r in _read("train") if r["category"] in names], POOL)]
        test = rng.sample([r for r in _read("test") if r["category"] in names], TEST)
        _flip(pool, NOISE, rng)
        chosen = fleet.data.analyse(pool, label="category", name=f"pool {seed}").select(SELECTED, seed=seed)
        for how, train in (("selected", chosen), ("random", rng.sample(pool, SELECTED)), ("all", pool)):
            job = fleet.optimize(
                dspy.Predict("text -> category"),
                train=train,
                test=test,
                metric=_right,
                optimizer="bootstrap_random_search",
                params={"num_candidate_programs": 6, "max_labeled_demos": 24, "max_bootstrapped_demos": 4},
                lm=sf.offline_lm(),
                seed=seed,
            )
            result = job.result()
            scores[how].append(result.test_score)
            calls[how] += result.lm_calls + result.cached_calls
    against = paired_comparison(scores["random"], scores["selected"])
    cost = 100 * (float(np.mean(scores["all"])) - float(np.mean(scores["selected"])))
    return [
        {
            "what": "test score, 40 random of 400",
            "value": 100 * against.baseline_mean,
            "unit": "points",
            "target": None,
        },
        {"what": "test, 40 selected of 400", "value": 100 * against.candidate_mean, "unit": "points", "target": None},
        {"what": f"p-value, paired over {seeds} seeds", "value": against.p_value, "unit": "", "target": "< 0.05"},
        {"what": "points lost against all 400", "value": cost, "unit": "points", "target": "< 2"},
        {"what": "calls against all 400", "value": calls["selected"] / calls["all"], "unit": "ratio", "target": None},
    ]


def _right(example: Any, pred: Any, trace: Any = None) -> bool:
    del trace
    return bool(example.category == pred.category)


def run() -> list[dict[str, Any]]:
    """Measure everything in a home of its own."""
    from skillfleet_nb.fleet import Fleet

    with tempfile.TemporaryDirectory() as home:
        fleet = Fleet(home)
        return [*times(fleet), *labels(fleet), *selection(fleet)]


if __name__ == "__main__":
    for row in run():
        print(row)  # noqa: T201
