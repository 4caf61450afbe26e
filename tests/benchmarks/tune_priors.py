"""Find what recommendations begin with, before a home has runs of its own, from all evidence there is.

*Shares of what is left to gain* (``Preset.prior_gain``): LangProBe's tables are eleven benchmarks, averaged over
models and programs; our own tasks, two on the scripted model and one on a real one, are one each
(``docs/benchmarks.json``).  The house rules, fitted on nothing, are held against the tables: their mean is set right,
for optimizers that are not in the tables too, and they count as much as some benchmarks, by empirical Bayes: how far
shares scatter between benchmarks, over how far the rules are still off.  Sizes of one optimizer share what is known of
any, and keep their distances; what was measured nowhere stays behind what the rules put before it.

*How far apart tasks may be to tell of one another* (two length scales of ``SCORES``): by the baseline, chosen by what
is lost where a home knows runs of the same program on other models; by the domain, where it knows other benchmarks.
All other constants are those found on the scripted model's tasks (``tune_selector.py``).

Run: ``python tests/benchmarks/tune_priors.py`` prints what belongs into the optimizers and into
``advice/posterior.py``.  ``bench_published`` does the same without a benchmark, and judges it there.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from published_tables import NAMES, OPTIMIZERS, SETTING, arms, features, published, runs

from skillfleet_nb.advice.posterior import SCORES, Hyperparameters, expectations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HOUSE = {
    "bootstrap_fewshot": 0.12, "bootstrap_random_search": 0.18, "miprov2 light": 0.26, "miprov2 medium": 0.28,
    "miprov2 heavy": 0.30, "infer_rules light": 0.14, "infer_rules": 0.16, "gepa light": 0.22, "gepa medium": 0.23,
    "simba": 0.13, "copro": 0.11, "labeled_fewshot": 0.10, "knn_fewshot": 0.15, "tune_signature": 0.12, "evolve": 0.20,
    "reanchor": 0.05, "better_together": 0.25, "bootstrap_finetune": 0.34,
}  # fmt: skip
"""Shares that the house rules declare."""
BENCHMARKS = Path(__file__).parents[2] / "docs" / "benchmarks.json"
_SCRIPTED_ROW = re.compile(r"(?P<task>intents|plans): (?P<name>\w+) gains, mean of 3")
_REAL_ROW = re.compile(r"six intents: (?P<name>\w+), (?P<before>[0-9.]+) → ")
BASELINES, DOMAINS = (0.63, 1.0, 1.5, 2.5), (1.0, 0.6, 0.4)
"""Length scales that are tried, the first as found on the scripted model's tasks."""
_LEAST_TAU = 0.01
_BEHIND = 0.001


def shares(scores: pd.DataFrame) -> pd.DataFrame:
    """Return, a row a benchmark, the share of what was left that each optimizer won, the better program kept."""
    left = 100 - scores.Baseline
    won = scores[OPTIMIZERS].sub(scores.Baseline, axis=0).clip(lower=0).div(left, axis=0)[left > 0]
    return won.groupby(level="benchmark").mean().rename(columns=NAMES)


def prior_gains(scores: pd.DataFrame, own: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Shrink the shares won, in the tables and in tasks of our own, towards the house rules."""
    won = shares(scores)
    rules = pd.Series(HOUSE)
    rules *= won.mean().mean() / rules[list(won)].mean()
    variance = float(won.var(ddof=1).mean())
    off = won.mean() - rules[list(won)]
    tau = max(_LEAST_TAU**2, float(np.mean(np.square(off))) - variance / len(won))
    counts = variance / tau  # as many benchmarks as the rules stand for
    made: dict[str, float] = {}
    for optimizer in sorted({name.split()[0] for name in HOUSE}):
        sizes = [name for name in HOUSE if name.split()[0] == optimizer]
        surplus = [share - rules[name] for name in sizes if name in won for share in won[name]]
        surplus += [share - rules[sizes[0]] for share in own.get(optimizer, ())]
        shift = sum(surplus) / (counts + len(surplus))
        made |= {name: float(rules[name]) + shift for name in sizes}
    measured = {name.split()[0] for name in won} | set(own)
    for name in HOUSE.keys() - {name for name in HOUSE if name.split()[0] in measured}:
        before = [made[other] for other in HOUSE if HOUSE[other] > HOUSE[name] and other.split()[0] in measured]
        made[name] = min([made[name], *(gain - _BEHIND for gain in before)])
    return made


class Replay:
    """What is lost in each setting by taking what is expected to score the most, each benchmark left out of the shares.

    Attributes
    ----------
    gains
        By benchmark, the shares found without it.
    """

    def __init__(self, scores: pd.DataFrame, own: Mapping[str, Sequence[float]]) -> None:
        index = scores.index.to_frame()
        self._scores, self._best = scores, scores.max(axis=1).to_numpy()
        self.benchmark, self._program, self._model = (index[name].to_numpy() for name in SETTING)
        self.gains = {name: prior_gains(scores[self.benchmark != name], own) for name in sorted(set(self.benchmark))}

    def homes(self) -> dict[str, Callable[[int], np.ndarray]]:
        """Name homes, with the settings whose runs they hold where the setting of a number is asked for."""
        benchmark, program, model = self.benchmark, self._program, self._model
        return {
            "before any run": lambda n: np.zeros(len(model), dtype=bool),
            "runs of the other benchmarks": lambda n: benchmark != benchmark[n],
            "runs of the same program on other models": lambda n: (
                (benchmark == benchmark[n]) & (program == program[n]) & (model != model[n])
            ),
            "all runs on other models": lambda n: model != model[n],
        }

    def regrets(self, home: str, hyper: Hyperparameters | Sequence[Hyperparameters]) -> np.ndarray:
        """Return the points lost by setting, with one set of constants, or one a setting."""
        holds, lost = self.homes()[home], []
        for n, setting in enumerate(self._scores.itertuples(index=False)):
            ways = arms(self.gains[self.benchmark[n]])
            past = [run for other in np.flatnonzero(holds(n)) for run in runs(self._scores, int(other), ways)]
            own = hyper if isinstance(hyper, Hyperparameters) else hyper[n]
            expected = expectations(ways, features(self._scores.index[n]), setting.Baseline / 100, past, hyper=own)
            chosen = max(range(len(ways)), key=lambda arm: expected[arm].mean)
            lost.append(self._best[n] - max(setting.Baseline, self._scores[OPTIMIZERS[chosen]].iloc[n]))
        return np.array(lost)

    def constants(self) -> tuple[Hyperparameters, list[Hyperparameters]]:
        """Choose length scales on all benchmarks, and for each setting on all but its own."""
        every, held_out = SCORES, [SCORES] * len(self._best)
        for feature, values, home in (
            ("baseline", BASELINES, "runs of the same program on other models"),
            ("domain", DOMAINS, "runs of the other benchmarks"),
        ):
            lost = np.array([self.regrets(home, _with(every, feature, value)) for value in values])
            for name in self.gains:
                chosen = values[int(lost[:, self.benchmark != name].mean(axis=1).argmin())]
                for n in np.flatnonzero(self.benchmark == name):
                    held_out[n] = _with(held_out[n], feature, chosen)
            every = _with(every, feature, values[int(lost.mean(axis=1).argmin())])
        return every, held_out


def _with(hyper: Hyperparameters, feature: str, value: float) -> Hyperparameters:
    return hyper._replace(length_scales=hyper.length_scales | {feature: value})


def own_shares() -> dict[str, list[float]]:
    """Read what optimizers won on tasks of our own: two on the scripted model, one on a real one."""
    kept = json.loads(BENCHMARKS.read_text("utf-8"))
    rows = {
        row["what"]: float(row["value"])
        for name in ("gains", "real")
        for row in kept[name]["rows"]
        if row["value"] is not None
    }
    won: dict[str, list[float]] = {}
    for what, value in rows.items():
        if scripted := _SCRIPTED_ROW.fullmatch(what):
            name, left = scripted["name"], 100 - rows[f"{scripted['task']}: unoptimised, mean of 3"]
        elif real := _REAL_ROW.match(what):
            name, left = real["name"], 100 - float(real["before"])
        else:
            continue
        won.setdefault(name, []).append(max(0.0, value) / left)
    return won


if __name__ == "__main__":
    scores, own = published().scores, own_shares()
    for name, gain in prior_gains(scores, own).items():
        print(f"{name}: prior_gain={gain:.3f}, {HOUSE[name]:.2f} by the house rules")
    made, _ = Replay(scores, own).constants()
    print({feature: made.length_scales[feature] for feature in ("baseline", "domain")})
