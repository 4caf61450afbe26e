"""How quick advice is in a home that knows runs: a recommendation without calls, and its card under a slider.

The home holds real runs of five optimizers on 20 made-up tasks, each followed from a recommendation, so that all
their features are known.  Recommended is for one more task, whose probe and landmarks were taken by a first,
untimed recommendation; then the budget's slider is moved to and fro.

Run: ``python tests/benchmarks/bench_recommend.py``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

from made_up_tasks import make

from skillfleet_nb import Fleet, offline_lm
from skillfleet_nb.advice.configurations import installed
from skillfleet_nb.widgets import RecommendationCard

OPTIMIZERS = ("labeled_fewshot", "bootstrap_fewshot", "copro", "infer_rules", "bootstrap_random_search")
TASKS, REPEATS = 20, 20


def run() -> list[dict[str, Any]]:
    """Fill a home with runs, and time advice in it."""
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w", encoding="utf-8") as sink:
        fleet, lm = Fleet(Path(folder) / "home"), offline_lm(usd_per_1k_tokens=0.001)
        *known, new = (
            make(kind, n=20 + seed, labels=4, noise=0.2, usd_per_1k=0.001, seed=seed, test=30)
            for seed in range(TASKS // 2 + 1) for kind in ("made_up", "opaque")
        )  # fmt: skip
        with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            for task in known[:TASKS]:
                made = _recommended(fleet, task, lm)
                for configuration in installed().configurations:
                    if configuration.name in OPTIMIZERS:
                        fleet.advice.follow(
                            made, optimizer=configuration.optimizer, params=configuration.params
                        ).result()
            _recommended(fleet, new, lm)
            seconds = [_timed(lambda: _recommended(fleet, new, lm)) for _ in range(REPEATS)]
            card = RecommendationCard(_recommended(fleet, new, lm), fleet)
            moved = [_timed(lambda at=at: card.set(budget_usd=0.5 + at % 7)) for at in range(REPEATS)]
        (bought,) = fleet.sql("select count(*) as n from recommendations where chosen is not null")["n"]
    return [
        {"what": f"a recommendation without calls, {bought} runs known, median of {REPEATS}",
         "value": round(1000 * statistics.median(seconds), 1), "unit": "ms", "target": "< 100"},
        {"what": f"the card follows its budget slider, median of {REPEATS}",
         "value": round(1000 * statistics.median(moved), 1), "unit": "ms", "target": "< 50"},
    ]  # fmt: skip


def _recommended(fleet: Fleet, task: Any, lm: Any) -> Any:
    return fleet.advice.recommend(
        task.program(), train=task.train, val=task.val, test=task.test, metric=task.metric, lm=lm, budget_usd=5.0
    )


def _timed(what: Any) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


if __name__ == "__main__":
    for row in run():
        print(row)
