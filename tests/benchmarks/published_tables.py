"""LangProBe's tables of real models, as settings, scores and runs of a home.

github.com/Shangyint/langProBe, ``experiment_data/20250305``, MIT: 123 settings, each a benchmark, a program and a
model, with the unoptimised program and all six optimizers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from skillfleet_nb.advice.configurations import Configuration, installed
from skillfleet_nb.advice.past_runs import PastRun
from skillfleet_nb.optimizers import Preset

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "langprobe"
SETTING = ["benchmark", "program", "model"]
NAMES = {
    "BootstrapFewShot": "bootstrap_fewshot",
    "BootstrapFewShotRandomSearch": "bootstrap_random_search",
    "MIPROv2-lite": "miprov2 light",
    "MIPROv2": "miprov2 medium",
    "RuleInfer-lite": "infer_rules light",
    "RuleInfer": "infer_rules",
}
OPTIMIZERS = [*NAMES]
_LITE = Preset("light", prior_gain=0.128)  # the product has no such size
_EXAMPLES, _TESTED = 300, 200  # of a setting, about


class Published(NamedTuple):
    """Scores in points and tokens spent by the search, of the settings where nothing is missing."""

    scores: pd.DataFrame
    tokens: pd.DataFrame


def published() -> Published:
    """Read the tables."""
    table = pd.concat(pd.read_csv(file).assign(model=file.stem) for file in sorted(TABLES.glob("*.csv")))
    table["tokens"] = table.optimizer_input_tokens.fillna(0) + table.optimizer_output_tokens.fillna(0)
    by = {"index": SETTING, "columns": "optimizer", "aggfunc": "mean"}
    scores = table.pivot_table(values="score", **by)[["Baseline", *OPTIMIZERS]].dropna()
    return Published(scores, table.pivot_table(values="tokens", **by).loc[scores.index, OPTIMIZERS])


def arms(gains: Mapping[str, float] | None = None) -> list[Configuration]:
    """Return the product's configurations of the tables' optimizers, with other shares of what is left to gain."""
    ways = {way.name: way for way in installed().configurations} | {
        "infer_rules light": Configuration("infer_rules", _LITE)
    }
    made = []
    for name in NAMES.values():
        preset = ways[name].preset
        gain = (gains or {}).get(name, preset.prior_gain)
        made.append(Configuration(ways[name].optimizer, replace(preset, prior_gain=gain)))
    return made


def features(setting: tuple[str, str, str]) -> dict[str, object]:
    """Tell what advice goes by in a setting."""
    benchmark, program, _ = setting
    sizes = {"n": _EXAMPLES, "val": _TESTED, "test": _TESTED, "predictors": 1}
    return {"task": "/".join(setting), "program": program, "domain": benchmark, **sizes}


def runs(scores: pd.DataFrame, n: int, configurations: list[Configuration]) -> list[PastRun]:
    """Tell a home of the runs in a setting."""
    row = scores.iloc[n] / 100
    return [
        PastRun(features=features(scores.index[n]), optimizer=way.optimizer, configuration=way,
                baseline=row.Baseline, gain=row[name] - row.Baseline, score=row[name])
        for name, way in zip(OPTIMIZERS, configurations, strict=True)
    ]  # fmt: skip
