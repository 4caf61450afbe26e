"""What DSPy's optimizers gain on the offline model, and how long a call takes.

Two programs on real data: a classifier of bank customers' messages (12 of 77 intents, several choices)
and a planner of agent skills.  Each optimizer sees the train and validation splits only; figures are
the test split's.  Run: ``python tests/benchmarks/bench_offline_lm.py [--seeds 3] [--only GEPA,COPRO]``.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import logging
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy

from skillfleet_nb.offline import offline_lm
from skillfleet_nb.offline.text import overlap

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parents[2] / "../shared/data"
OPTIMIZERS = ("RandomSearch", "MIPROv2", "GEPA", "SIMBA", "COPRO", "InferRules")
GOOD_ENOUGH = 0.7
TARGETS = dict.fromkeys(("RandomSearch", "MIPROv2", "GEPA", "InferRules"), 5.0)
Splits = tuple[list[Any], list[Any], list[Any]]


def _stratified(rows: list[tuple[str, str]], labels: list[str], n: int, rng: random.Random) -> list[dspy.Example]:
    by_label = defaultdict(list)
    for text, label in rows:
        by_label[label].append(text)
    for label in labels:
        rng.shuffle(by_label[label])
    rounds = max(len(by_label[label]) for label in labels)
    picked = [(by_label[lb][i], lb) for i in range(rounds) for lb in labels if i < len(by_label[lb])][:n]
    rng.shuffle(picked)
    return [dspy.Example(text=text, label=label).with_inputs("text") for text, label in picked]


def banking(seed: int, *, intents: int = 12, size: int = 80, test: int = 200) -> tuple[dspy.Module, Splits]:
    """Build the intent classifier and its splits for one choice of intents."""
    tables = {}
    for name in ("train", "test"):
        with (DATA / f"banking77/{name}.csv").open(encoding="utf-8") as file:
            tables[name] = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    rng = random.Random(seed)
    known = sorted({label for _, label in tables["train"]})
    labels = sorted(rng.sample(known, intents))
    both = _stratified(tables["train"], labels, 2 * size, rng)
    tested = _stratified(tables["test"], labels, test, rng)
    signature = dspy.Signature(
        {"text": (str, dspy.InputField()), "label": (Literal[tuple(labels)], dspy.OutputField())},
        "Classify the customer's message by intent.",
    )
    return dspy.Predict(signature), (both[:size], both[size:], tested)


def label_metric(gold: Any, pred: Any, trace: Any = None, *_: Any) -> Any:
    """Exact match, with the right label as feedback."""
    got = getattr(pred, "label", None)
    score = float(got == gold.label)
    told = "Correct." if score else f"expected {gold.label}, got {got}"
    return dspy.Prediction(score=score, feedback=told)


class PlanSkill(dspy.Signature):
    """Plan the agent skill that the task asks for."""

    task_description: str = dspy.InputField()
    taxonomy_path: str = dspy.OutputField(desc="path of the skill in the taxonomy")
    name: str = dspy.OutputField(desc="name of the skill")
    style: Literal["navigation_hub", "comprehensive", "minimal"] = dspy.OutputField()
    keywords: list[str] = dspy.OutputField()
    description: str = dspy.OutputField(desc="what the skill does and when to use it")


PLAN_FIELDS = ("taxonomy_path", "name", "style", "keywords", "description")


def skill_plans(seed: int) -> tuple[dspy.Module, Splits]:
    """Build the skill planner and its splits."""
    renamed = {"style": "expected_skill_style"}
    examples = [
        dspy.Example(
            task_description=row["task_description"],
            **{field: row[renamed.get(field, f"expected_{field}")] for field in PLAN_FIELDS},
        ).with_inputs("task_description")
        for row in json.loads((DATA / "skill_tasks/trainset_v4.json").read_text(encoding="utf-8"))
    ]
    random.Random(seed).shuffle(examples)
    student = dspy.Predict(PlanSkill.with_instructions(PlanSkill.instructions))  # a class of its own
    return student, (examples[:20], examples[20:32], examples[32:])


def plan_scores(gold: Any, pred: Any) -> dict[str, float]:
    """Score each field of a plan, in [0, 1]."""
    path, want = str(pred.taxonomy_path), gold.taxonomy_path
    made, right = set(pred.keywords or ()), set(gold.keywords)
    return {
        "taxonomy_path": 1.0 if path == want else 0.7 * (path.split("/", maxsplit=1)[0] == want.split("/")[0]),
        "name": float(pred.name == gold.name),
        "style": float(pred.style == gold.style),
        "keywords": 2 * len(made & right) / (len(made) + len(right)) if made or right else 1.0,
        "description": overlap(str(pred.description), gold.description),
    }


def plan_metric(gold: Any, pred: Any, trace: Any = None, *_: Any) -> Any:
    """Mean over the fields; feedback shows what was expected where a field is wrong."""
    scores = plan_scores(gold, pred)
    score = statistics.mean(scores.values())
    told = [f"{field}: expected {getattr(gold, field)!r}" for field, s in scores.items() if s < 1]
    return dspy.Prediction(score=score, feedback="\n".join(told) or "Correct.")


def _gepa(student: dspy.Module, metric: Callable[..., Any], train: list[Any], val: list[Any], lm: dspy.LM) -> Any:
    gepa = dspy.GEPA(metric=metric, max_metric_calls=1000, reflection_lm=lm, num_threads=2, seed=0)
    return gepa.compile(student, trainset=train, valset=val)


def _score(metric: Callable[..., Any]) -> Callable[..., Any]:
    """Make a plain metric: a float, and for bootstrapping whether the prediction is good enough for a demo."""

    def scored(gold: Any, pred: Any, trace: Any = None) -> float | bool:
        found = float(metric(gold, pred).score)
        return found if trace is None else found >= GOOD_ENOUGH

    return scored


def optimise(name: str, student: dspy.Module, metric: Callable[..., Any], splits: Splits, lm: dspy.LM) -> dspy.Module:
    """Run one optimizer on train and validation splits."""
    train, val, _ = splits
    score = _score(metric)
    if name == "RandomSearch":
        tuner = dspy.BootstrapFewShotWithRandomSearch(metric=score, num_candidate_programs=16, num_threads=2)
        return tuner.compile(student, trainset=train, valset=val)
    if name == "MIPROv2":
        tuner = dspy.MIPROv2(metric=score, auto="light", num_threads=2, verbose=False)
        return tuner.compile(student, trainset=train, valset=val)
    if name == "GEPA":
        return _gepa(student, metric, train, val, lm)
    if name == "SIMBA":
        tuner = dspy.SIMBA(metric=score, bsize=min(32, len(train)), num_threads=2)
        return tuner.compile(student, trainset=train)
    if name == "COPRO":
        return dspy.COPRO(metric=score, breadth=8, depth=3).compile(
            student, trainset=train + val, eval_kwargs={"num_threads": 2, "display_progress": False}
        )
    tuner = dspy.InferRules(metric=score, num_candidates=2, num_rules=20, num_threads=2)
    return tuner.compile(student, trainset=train, valset=val)


def evaluate(program: dspy.Module, metric: Callable[..., Any], examples: list[Any]) -> float:
    """Mean score of a program, in percent."""
    return 100 * statistics.mean(metric(ex, program(**ex.inputs())).score for ex in examples)


def _gains(build: Callable[[int], tuple[dspy.Module, Splits]], metric: Callable[..., Any], task: str,
           seeds: range, only: tuple[str, ...]) -> list[dict[str, Any]]:  # fmt: skip
    lm = offline_lm(cache=False)
    rows = []
    gains = defaultdict(list)
    best = []
    for seed in seeds:
        with dspy.context(lm=lm):
            base = evaluate(build(seed)[0], metric, build(seed)[1][2])
            rows.append({"what": f"{task} {seed}: unoptimised", "value": round(base, 1), "unit": "%", "target": None})
            reached = []
            for name in only:
                student, splits = build(seed)  # afresh: InferRules changes the signature it is given
                began = time.perf_counter()
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    tuned = optimise(name, student, metric, splits, lm)
                took = time.perf_counter() - began
                reached.append(evaluate(tuned, metric, splits[2]) - base)
                gains[name].append(reached[-1])
                rows.append({"what": f"{task} {seed}: {name} gains ({took:.0f} s)", "value": round(reached[-1], 1),
                             "unit": "points", "target": None})  # fmt: skip
            best.append(max(reached))
    rows += [{"what": f"{task}: {name} gains, mean of {len(seeds)}", "value": round(statistics.mean(found), 1),
              "unit": "points", "target": TARGETS.get(name)} for name, found in gains.items()]  # fmt: skip
    return [*rows, {"what": f"{task}: best gain, mean of {len(seeds)}", "value": round(statistics.mean(best), 1),
                    "unit": "points", "target": 12.0}]  # fmt: skip


def _speed() -> list[dict[str, Any]]:
    """Time the engine alone on classification prompts, without and with 16 demos, and with all 77 intents."""
    rows = []
    for what, intents, demos, target in (("12 labels", 12, 0, 1.0), ("12 labels, 16 demos", 12, 16, 3.0),
                                         ("77 labels", 77, 0, 3.0)):  # fmt: skip
        lm = offline_lm(cache=False)
        program, (train, _, test) = banking(0, intents=intents)
        program.demos = train[:demos]
        taken: list[float] = []
        plain = lm.engine.complete

        def timed(request: Any, plain: Any = plain, taken: list[float] = taken) -> Any:
            began = time.perf_counter()
            reply = plain(request)
            taken.append(time.perf_counter() - began)
            return reply

        lm.engine.complete = timed
        with dspy.context(lm=lm):
            for example in test:
                program(**example.inputs())
        rows.append({"what": f"engine, {what}, median", "value": round(1e3 * statistics.median(taken), 3),
                     "unit": "ms/call", "target": target})  # fmt: skip
    return rows


def run(
    seeds: int = 3, only: tuple[str, ...] = OPTIMIZERS, tasks: tuple[str, ...] = ("banking", "skills")
) -> list[dict[str, Any]]:
    """Measure everything; each row has what, value, unit and target."""
    if not DATA.exists():
        return [{"what": "offline model: no data folder, nothing measured", "value": None, "unit": "", "target": None}]
    logging.disable(logging.WARNING)
    rows = _speed()
    if "banking" in tasks:
        rows += _gains(banking, label_metric, "intents", range(seeds), only)
        lm = offline_lm(cache=False)
        with dspy.context(lm=lm):
            program, (_, _, test) = banking(0, intents=77, size=160, test=400)
            rows.append({"what": "77 intents, unoptimised", "value": round(evaluate(program, label_metric, test), 1),
                         "unit": "%", "target": None})  # fmt: skip
    if "skills" in tasks:
        rows += _gains(skill_plans, plan_metric, "skill plans", range(seeds), only)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join(OPTIMIZERS))
    parser.add_argument("--tasks", default="banking,skills")
    asked = parser.parse_args()
    for row in run(asked.seeds, tuple(asked.only.split(",")), tuple(asked.tasks.split(","))):
        print(row)  # noqa: T201  that is what a benchmark is run for
