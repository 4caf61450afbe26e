"""Advice held against published results: LangProBe's scores and tokens of six DSPy optimizers with real models.

Its tables (github.com/Shangyint/langProBe, ``experiment_data/20250305``, MIT) hold 123 settings, each a benchmark, a
program and a model, with the unoptimised program and all six optimizers.  A policy chooses what to run in a setting
from the other benchmarks alone.  Its regret is by how many points the best of what it ran, the given program among
it, stays behind the best of all seven.  Scores are of the tables' tests, so that the best of several is chosen
without error here: a run chooses by validation, and loses some of it.  What the best set reaches in hindsight is the
most that advice of one set for those tokens can.

*The product's expectations* are those that ``recommend`` reckons with (Gaussian process regression), of a home that
holds the named runs; the setting's baseline is known, as by a probe.  The tables are part of what the shipped constants
were found from (``tune_priors.py``), so each benchmark is judged with constants found without it.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from published_tables import OPTIMIZERS, TABLES, published
from tune_priors import Replay, own_shares

if TYPE_CHECKING:
    import pandas as pd

SETS = [chosen for size in range(1, len(OPTIMIZERS) + 1) for chosen in combinations(OPTIMIZERS, size)]
LARGER = {
    "BootstrapFewShot": "BootstrapFewShotRandomSearch",
    "MIPROv2-lite": "MIPROv2",
    "RuleInfer-lite": "RuleInfer",
}
"""Of each small search the larger one, which begins as it does; nothing of this was fitted."""
STARTS = [["BootstrapFewShot", "MIPROv2-lite"], ["BootstrapFewShot", "MIPROv2-lite", "RuleInfer-lite"]]
TWO = ["BootstrapFewShot", "MIPROv2"]
ARM = "BootstrapFewShotRandomSearch"  # the best single one of the tables, by which tokens are reckoned
WITHIN = 2.0  # points
HINDSIGHT = f"of all {len(SETS)} sets the best for 1.5 times the tokens, chosen in hindsight for all settings"


def run() -> list[dict[str, object]]:
    """Replay the policies; a policy is told by the sets it may choose from."""
    if not TABLES.is_dir():
        return [{"what": "published results: their tables are not here", "value": None, "unit": "", "target": None}]
    scores, tokens = published()
    best = scores.max(axis=1)
    regret = np.array([best - scores[[*s, "Baseline"]].max(axis=1) for s in SETS])
    cost = np.array([tokens[list(s)].sum(axis=1) / tokens[ARM] for s in SETS])
    policies: dict[str, tuple[int, float, float | None]] = {  # sizes and tokens allowed, and the target for tokens
        "the best single optimizer": (1, np.inf, None),
        "the best two": (2, np.inf, None),
        "the best three": (3, np.inf, None),
        "the best set for the tokens of random search": (len(OPTIMIZERS), 1.0, None),
        "the best set for 1.5 times the tokens of random search": (len(OPTIMIZERS), 1.5, 1.5),
    }
    rows: list[dict[str, object]] = []
    for held_out in ("benchmark", "model"):
        for name, (size, most, target) in policies.items():
            what = f"{name}, {held_out} held out"
            regrets, costs = _replayed(regret, cost, scores.index.get_level_values(held_out), size, most)
            targets = ("≤ 1.5", "≥ 85", f"≤ {target}") if target and held_out == "benchmark" else (None,) * 3
            rows += [
                _row(f"{what}: regret", float(np.mean(regrets)), "points", targets[0]),
                _row(f"{what}: within 2 points", 100 * float(np.mean(regrets <= WITHIN)), "% of settings", targets[1]),
                _row(f"{what}: tokens against random search", float(np.median(costs)), "ratio", targets[2]),
            ]
    rows.append(_row(f"{HINDSIGHT}: within 2 points", _hindsight(regret, cost), "% of settings", None))
    replays = [
        (f"portfolio in two rounds, {' and '.join(start)} start", _in_rounds(scores, tokens, start)) for start in STARTS
    ]
    name = f"{' and '.join(TWO)} start, {LARGER[TWO[0]]} joins where the first is not behind"
    for what, (regrets, costs) in [*replays, (name, _joined(scores, tokens))]:
        rows += [
            _row(f"{what}: regret", float(np.mean(regrets)), "points", "≤ 1.5"),
            _row(f"{what}: within 2 points", 100 * float(np.mean(regrets <= WITHIN)), "% of settings", "≥ 85"),
            _row(f"{what}: tokens against random search", float(np.median(costs)), "ratio", "≤ 1.5"),
        ]
    return rows + _expected(scores)


def _expected(scores: pd.DataFrame) -> list[dict[str, object]]:
    """Choose what the product expects most of, given runs on other settings."""
    replay = Replay(scores, own_shares())
    _, constants = replay.constants()
    rows: list[dict[str, object]] = []
    for home in replay.homes():
        regrets = replay.regrets(home, constants)
        targets = ("≤ 2.71", "≥ 62") if "other models" in home else (None, None)
        what = f"the product's expectations, {home}"
        rows += [
            _row(f"{what}: regret", float(np.mean(regrets)), "points", targets[0]),
            _row(f"{what}: within 2 points", 100 * float(np.mean(regrets <= WITHIN)), "% of settings", targets[1]),
        ]
    return rows


def _hindsight(regret: np.ndarray, cost: np.ndarray) -> float:
    """Return what no choice of one set for 1.5 times the tokens can pass: its share of settings, in percent."""
    return 100 * float(max(np.mean(r <= WITHIN) for r, c in zip(regret, cost, strict=True) if np.median(c) <= 1.5))


def _in_rounds(scores: pd.DataFrame, tokens: pd.DataFrame, start: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Replay what the tables tell of a portfolio: small searches first, then the larger one of the best of them.

    A search that goes on from another's program, or is ended halfway, is in no table.
    """
    best, regrets, costs = scores.max(axis=1), [], []
    for setting, row in scores.iterrows():
        ran = [*start, LARGER[max(start, key=row.__getitem__)]]
        regrets.append(best[setting] - row[["Baseline", *ran]].max())
        costs.append(tokens.loc[setting, ran].sum() / tokens.loc[setting, ARM])
    return np.array(regrets), np.array(costs)


def _joined(scores: pd.DataFrame, tokens: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Replay a third search that is paid for only where demos alone are worth as much as instructions."""
    joins = scores[TWO[0]] >= scores[TWO[1]]
    two = scores[["Baseline", *TWO]].max(axis=1)
    ran = two.where(~joins, np.maximum(two, scores[LARGER[TWO[0]]]))
    cost = tokens[TWO].sum(axis=1) + tokens[LARGER[TWO[0]]].where(joins, 0.0)
    return (scores.max(axis=1) - ran).to_numpy(), (cost / tokens[ARM]).to_numpy()


def _replayed(
    regret: np.ndarray, cost: np.ndarray, groups: pd.Index, size: int, most: float
) -> tuple[np.ndarray, np.ndarray]:
    """Choose for each group from the others, by mean regret; return the regrets and costs of all settings."""
    chosen = np.zeros(len(groups), dtype=int)
    for group in sorted(set(groups)):
        others = np.asarray(groups != group)
        may = [n for n, s in enumerate(SETS) if len(s) <= size and np.median(cost[n, others]) <= most]
        chosen[~others] = min(may, key=lambda n: regret[n, others].mean())
    settings = np.arange(len(groups))
    return regret[chosen, settings], cost[chosen, settings]


def _row(what: str, value: float, unit: str, target: str | None) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "target": target}
