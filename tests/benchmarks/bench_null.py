"""Two arms that are the same program, through the product's own runner: how often is one called improved?

Each run is ``fleet.evaluate`` of a program against one that does the same: everything is asked twice, and the verdict
is the one a user sees.  What may differ is the model's sampling, the order in which threads reach it, and the grades:
the scripted model repeats itself, so that its arms differ by a judge alone that gives the wrong grade one time in ten,
drawn by seed, arm and row: the order of threads changes nothing, and every run of this benchmark comes to the same.
The real model (SmolLM2-135M-Instruct, temperature 1, six intents of bank customers) differs by itself, asked by one
thread or by four; ``make bench-real`` takes its runs, as far as its time reaches.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("SKILLFLEET_BENCH_CACHE", str(Path.home() / ".cache/skillfleet-bench"))

import dspy
from bench_offline_lm import DATA, banking, label_metric

from skillfleet_nb import Fleet, local_lm, offline_lm

if TYPE_CHECKING:
    from collections.abc import Callable

PORTION, PORTIONS = 10, 10  # real runs that are taken and kept together
KEPT = Path(os.environ["SKILLFLEET_BENCH_CACHE"]) / "real"
_SCRIPTED, _WRONG = 100, 0.1
_ROWS = {"scripted": 40, "real": 20}


class Arm(dspy.Module):
    """A program that does what another does, and is not known to be the same: one predictor is never asked."""

    def __init__(self, ask: dspy.Module, number: int) -> None:
        super().__init__()
        self.ask, self.number = ask, number
        self.never_asked = dspy.Predict(dspy.Signature("text -> label", f"Arm {number}."))

    def forward(self, text: str) -> dspy.Prediction:
        """Answer as the program does, and say whose answer it is."""
        answer = self.ask(text=text)
        answer.arm = self.number
        return answer


def verdict(fleet: Fleet, seed: int, lm: Any, metric: Any, rows: int, threads: int) -> str:
    """Compare a program with itself."""
    program, (_, _, test) = banking(seed, intents=6, size=40, test=rows)
    before, after = (Arm(program.deepcopy(), number) for number in (1, 2))
    job = fleet.evaluate(after, test, metric, against=before, lm=lm, num_threads=threads)
    result = job.result()
    assert result.lm_calls >= 2 * rows, result  # both arms were asked
    return str(result.verdict)


def unsteady(seed: int) -> Callable[..., float]:
    """Make a metric whose grade is the wrong one time in ten, whichever answer it is of."""

    def metric(gold: Any, pred: Any, trace: Any = None) -> float:
        is_wrong = random.Random(f"{seed} {pred.arm} {gold.text}").random() < _WRONG
        return float((gold.label == pred.label) != is_wrong)

    return metric


def scripted() -> list[str]:
    """Take the runs on the scripted model."""
    with tempfile.TemporaryDirectory() as home:
        fleet, lm = Fleet(home), offline_lm(cache=False)
        return [
            verdict(fleet, seed, lm, unsteady(seed), _ROWS["scripted"], threads=1 + 3 * (seed % 2))
            for seed in range(_SCRIPTED)
        ]


def real(portion: int) -> list[str]:
    """Take a portion of the runs on the real model."""
    with tempfile.TemporaryDirectory() as home, dspy.context(adapter=dspy.JSONAdapter()):
        fleet = Fleet(home)
        lm = local_lm(threads=1, constrained=True, cache=False, temperature=1.0, max_tokens=40, seed=portion)
        seeds = range(portion * PORTION, (portion + 1) * PORTION)
        verdicts = [verdict(fleet, seed, lm, label_metric, _ROWS["real"], threads=1 + 3 * (seed % 2)) for seed in seeds]
        lm.engine.close()
    return verdicts


def run() -> list[dict[str, object]]:
    """Take the scripted runs, and report the real ones that were taken."""
    if not DATA.is_dir():
        return [{"what": "null runs: the messages are not here", "value": None, "unit": "", "target": None}]
    taken = [KEPT / f"null-{portion}.json" for portion in range(PORTIONS)]
    of_real = [v for file in taken if file.exists() for v in json.loads(file.read_text("utf-8"))]
    return [row for name, verdicts in (("scripted", scripted()), ("real", of_real)) for row in _rows(name, verdicts)]


def _rows(model: str, verdicts: list[str]) -> list[dict[str, object]]:
    what = f"{model} model, {len(verdicts)} null runs of {_ROWS[model]} rows: called"
    share = {name: 100 * verdicts.count(name) / len(verdicts) if verdicts else None for name in ("improved", "worse")}
    return [{"what": f"{what} {name}", "value": value, "unit": "%", "target": "≤ 5"} for name, value in share.items()]


if __name__ == "__main__":
    for row in run():
        print(row)  # noqa: T201  a script reports to the terminal
