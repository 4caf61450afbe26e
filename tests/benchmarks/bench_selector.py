"""How good recommendations are, on tasks held out from any tuning.

82 tasks (messages of bank customers, intents, made-up texts with labels of a meaning and without, two and
three predictors, chains of thought, plans; 20 to 240 examples, 3 to 15 labels, four prices) by 13 ways to
optimise by 3 budgets, on the offline LM.  The constants of the selector were chosen on every second task, and
the others are held out.  Every seed draws the examples of a task anew, 3 times on the tuning tasks and 9 times
on those held out: a run is some four points off its mean over draws, which would pass for a regret of several
points where the best of 13 is looked for.  A case is a held-out task under one budget, advised on from three
draws of its examples; intervals and tests are over tasks.  What the selector knows are three runs of each way on
all other tasks, with the scores on their test splits of 34 to 90 examples.  The score of a choice is its mean over
draws on the test split and up to 310 further examples.  What does not fit the budget comes to the best program
that was known when the money ran out.  A choice is right when no way that fits the budget scores 2 points more.

Run: ``make bench-selector``; runs are kept in ``$SKILLFLEET_BENCH_CACHE`` and an interrupted collection
goes on where it stopped.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
from grid_runs import ARMS, Remembering, cases, collect
from made_up_tasks import DRAWS, Task, grid

from skillfleet_nb.advice.configurations import installed
from skillfleet_nb.advice.forecast import forecast
from skillfleet_nb.advice.past_runs import PastRun
from skillfleet_nb.advice.selector import WITHIN, Selector, selector_for
from skillfleet_nb.advice.sizing import Sizing, read_sizes
from skillfleet_nb.advice.task_facts import checked, features, workload
from skillfleet_nb.config import Settings
from skillfleet_nb.data.landmarks import Landmarks, landmarks
from skillfleet_nb.errors import InputError
from skillfleet_nb.lm.embed import Embedder
from skillfleet_nb.optimizers import create
from skillfleet_nb.runs.request import TaskRequest
from skillfleet_nb.runs.task import CheckedTask
from skillfleet_nb.stats import mean_interval, paired_comparison

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ASIDE = 0.3  # of a budget that ends early, for the final test
Rows = dict[tuple[str, str, int], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One task under one budget: cost and score of every way to optimise."""

    task: Task
    budget: float
    cost: dict[str, float]
    score: dict[str, float]

    @property
    def fitting(self) -> dict[str, float]:
        """Scores of what fits the budget."""
        return {arm: self.score[arm] for arm, usd in self.cost.items() if usd <= self.budget}

    def regret(self, arm: str) -> float:
        """Points lost against the best that fits, in [0, 1]; 0 where this is more."""
        return max(0.0, max(self.fitting.values()) - self.score[arm])


def known_runs() -> Rows:
    """Read the runs that were collected."""
    rows: Rows = {}
    for task, arm, seed, file in cases():
        if file.exists():
            rows[task.name, arm, seed] = json.loads(file.read_text("utf-8"))
    return rows


def budgets_of(costs: dict[str, float]) -> tuple[float, float, float]:
    """Choose three budgets: for the cheap ways, for about half of them, for all."""
    ordered = sorted(costs.values())
    cheap = max(costs["labeled_fewshot"], costs["bootstrap_fewshot"])
    return 1.35 * cheap, 1.2 * statistics.median(ordered), 1.3 * ordered[-1]


def cases_of(task: Task, rows: Rows) -> list[Case]:
    """Make a task's cases; a way without runs is left out."""
    mine = {arm: [r for (t, a, _), r in rows.items() if t == task.name and a == arm] for arm in ARMS}
    mine = {arm: found for arm, found in mine.items() if found}
    cost = {arm: statistics.mean(r["usd"] for r in found) for arm, found in mine.items()}
    made = []
    for budget in budgets_of(cost):
        score = {arm: statistics.mean(_at(r, budget) for r in found) for arm, found in mine.items()}
        made.append(Case(task, budget, cost, score))
    return made


def _at(row: dict[str, Any], budget: float) -> float:
    """Say what a run comes to under a budget."""
    if row["usd"] <= budget:
        return float(row["judged"])
    known = [step["judged"] for step in row["path"] if step["usd"] <= (1 - _ASIDE) * budget]
    return float(known[-1] if known else row["judged_baseline"])


Known = tuple[CheckedTask, Sizing, Landmarks]
Picks = tuple[Case, list[tuple[str, float]]]
"""A case, and what was chosen in it on every draw of its examples, with the confidence."""


def setup_of(task: Task, embedder: Embedder) -> Known:
    """Set a task up as the selector sees it, with what a probe of three examples would measure, and its landmarks."""
    lm = dspy.LM("skillfleet/grid", engine=Remembering(usd_per_1k_tokens=task.usd_per_1k))
    request = TaskRequest(task.program(), train=task.train, val=task.val, test=task.test, metric=task.metric, lm=lm)
    setup = checked(request, Settings())
    sizing = read_sizes(setup)
    with dspy.context(lm=lm):
        predictions = [(e, task.program()(**e.inputs())) for e in task.train[:3]]
    scores = [float(task.metric(e, p).score) for e, p in predictions]
    probed = {"probed": 3, "score": statistics.mean(scores), "solved": statistics.mean(s > 0 for s in scores)}
    rows = [*setup.splits.train, *setup.splits.val]
    return setup, sizing.model_copy(update=probed), landmarks(rows, embedder)


def setups_of(tasks: Sequence[Task], draws: int = 1) -> dict[str, list[Known]]:
    """Set all tasks up, with several draws of their examples."""
    with tempfile.TemporaryDirectory() as folder:
        embedder = Embedder(cache=Path(folder))
        return {t.name: [setup_of(t.drawn(seed), embedder) for seed in range(draws)] for t in tasks}


def past_of(task: Task, setups: dict[str, list[Known]], rows: Rows) -> tuple[PastRun, ...]:
    """Turn a task's runs into a home's history: what each came to, and what had been forecast of it."""
    past, every = [], installed()
    setup, sizing, found = setups[task.name][0]
    for (name, arm, seed), r in rows.items():
        if name != task.name or seed >= DRAWS:
            continue
        told = forecast(create(*ARMS[arm]), workload(setup, sizing))
        usd = None if told.cost_usd is None else (told.cost_usd.expected, r["usd"])
        past.append(
            PastRun(features(setup) | found._asdict(), ARMS[arm][0], every.of_run(*ARMS[arm]), r["baseline"],
                    r["test"] - r["test_baseline"], r["test"], calls=(told.calls.expected, r["calls"]), usd=usd)
        )  # fmt: skip
    return tuple(past)


def selector_of(known: Known, past: tuple[PastRun, ...], **how: Any) -> Selector:
    """Choose among the ways that were run."""
    setup, sizing, found_in_data = known
    every = selector_for(setup, sizing, past, landmarks=found_in_data, **how)
    return replace(every, prospects=tuple(p for p in every.prospects if p.configuration.name in ARMS))


def chosen(selector: Selector, case: Case) -> tuple[str, float]:
    """Choose for a case; return the way and the confidence.  Where nothing is sure to fit, the cheapest is run."""
    try:
        made = selector.choose(budget_usd=case.budget)
    except InputError:
        return "labeled_fewshot", 0.0
    return made.chosen.name, made.confidence


def policies(
    task: Task, past: tuple[PastRun, ...], rows: Rows, setups: dict[str, list[Known]], rng: random.Random
) -> dict[str, list[Picks]]:
    """Let every policy choose in every case of a task, knowing these runs on others."""
    made: dict[str, list[Picks]] = {}
    known = setups[task.name]
    ours = [selector_of(of, past) for of in known]
    rules = [selector_of(of, (), by_rules=True) for of in known]
    for case in cases_of(task, rows):
        picks = {
            "selector": [chosen(selector, case) for selector in ours],
            "house rules": [chosen(selector, case) for selector in rules],
            "always miprov2 light": [("miprov2 light", 0.0)],
            "always gepa light": [("gepa light", 0.0)],
            "random": [(rng.choice(sorted(case.score)), 0.0) for _ in known],
        }
        for name, of in picks.items():
            made.setdefault(name, []).append((case, of))
    return made


def report(made: dict[str, list[Picks]]) -> list[dict[str, Any]]:
    """Sum up what the policies came to: of each task on average, then over tasks, whose cases are no news each."""
    rows: list[dict[str, Any]] = []

    def on_average(picks: list[Picks], told: Callable[[Case, str], float]) -> list[float]:
        of_task: dict[str, list[float]] = {}
        for case, of in picks:
            of_task.setdefault(case.task.name, []).extend(told(case, arm) for arm, _ in of)
        return [statistics.mean(found) for found in of_task.values()]

    def right(case: Case, arm: str) -> float:
        return float(case.regret(arm) <= WITHIN)

    for name, picks in made.items():
        share, lost = (mean_interval(on_average(picks, told)) for told in (right, Case.regret))
        held = name == "selector"
        rows.append(
            _row(
                f"{name}: within 2 points of the best, {len(picks)} cases "
                f"[{100 * share.low:.0f}, {100 * share.high:.0f}]",
                100 * share.mean,
                "%",
                "≥ 85" * held,
            )
        )
        rows.append(
            _row(
                f"{name}: mean regret [{100 * lost.low:.1f}, {100 * lost.high:.1f}]",
                100 * lost.mean,
                "points",
                "≤ 1.5" * held,
            )
        )
        if not held:
            ours, theirs = (on_average(made[policy], lambda c, arm: c.score[arm]) for policy in ("selector", name))
            told = paired_comparison(theirs, ours, seed=0)
            rows.append(
                _row(
                    f"selector against {name} [{100 * told.low:+.1f}, {100 * told.high:+.1f}], p = {told.p_value:.3g}",
                    100 * told.delta,
                    "points",
                )
            )
    every = [(case, arm, sure) for case, of in made["selector"] for arm, sure in of]
    over = [case.cost[arm] > case.budget for case, arm, _ in every]
    rows.append(_row("selector: choices whose runs cost more than the budget", 100 * statistics.mean(over), "%"))
    share = statistics.mean(right(case, arm) for case, arm, _ in every)
    mean_sure = statistics.mean(sure for _, _, sure in every)
    rows.append(_row(f"selector: mean confidence, right in {100 * share:.0f}%", 100 * mean_sure, "%"))
    brier = statistics.mean((sure - right(case, arm)) ** 2 for case, arm, sure in every)
    rows.append(_row("selector: Brier score of the confidence", brier, ""))
    return rows


def _row(what: str, value: float, unit: str, target: str | None = None) -> dict[str, Any]:
    return {"what": what, "value": round(value, 3), "unit": unit, "target": target or None}


def split() -> tuple[list[Task], list[Task]]:
    """Split the tasks in two: to tune on, and held out."""
    return [t for t in grid() if not t.held_out], [t for t in grid() if t.held_out]


def run(minutes: float = 0.0, *, tuning: bool = False) -> list[dict[str, Any]]:
    """Report on the held-out tasks; what is missing is run first, as far as the minutes reach."""
    if minutes:
        collect(minutes)
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    rows = known_runs()
    tune, held = split()
    tune, held = ([t for t in half if all((t.name, a, 0) in rows for a in ARMS)] for half in (tune, held))
    if not tune or not held:
        return [
            {
                "what": "selector: no runs in $SKILLFLEET_BENCH_CACHE, make bench-selector collects them",
                "value": None,
                "unit": "",
                "target": None,
            }
        ]
    judged, home = (tune, tune) if tuning else (held, [*tune, *held])
    judged_names = {t.name for t in judged}
    setups = setups_of(judged, DRAWS) | setups_of([t for t in home if t.name not in judged_names])
    made: dict[str, list[Picks]] = {}
    rng = random.Random(3)
    runs = {t.name: past_of(t, setups, rows) for t in home}
    for task in judged:
        past = tuple(run for name, of in runs.items() if name != task.name for run in of)
        for name, picks in policies(task, past, rows, setups, rng).items():
            made.setdefault(name, []).extend(picks)
    told = report(made)
    told.insert(0, _row(f"runs, of {len(home)} tasks, {len(judged)} of them judged", len(rows), "runs"))
    return told


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="collect missing runs for so long first")
    parser.add_argument("--tuning", action="store_true", help="report on the tuning half instead")
    asked = parser.parse_args()
    for row in run(asked.minutes, tuning=asked.tuning):
        print(f"{row['what']}: {row['value']} {row['unit']} {row['target'] or ''}")
        sys.stdout.flush()
