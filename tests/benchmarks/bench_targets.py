"""What optimising gains on targets: an agent with tools, a skill's body, a system prompt; each on several draws.

*desk*: a request of a bank's customer is filed in one of three registers, whose names and descriptions say nothing; an
agent that may look once has to know which, and says the status that it finds there.  *skill*: a model that files
requests by intent has a ``SKILL.md`` whose body names none of them.  *system*: the same with a function that is given a
system prompt.  Requests are real (banking77, 12 intents a draw), the model is the offline one; each figure is the mean
of the jobs' differences between the best and the given program on the sealed test split, with a 95 % interval of it
over the draws.

Run: ``python tests/benchmarks/bench_targets.py [--seeds 5]``.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import re
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy
from bench_gains import _row, _unseen
from bench_offline_lm import DATA, banking, label_metric
from scipy import stats

from skillfleet_nb import Fleet, offline_lm, targets

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.runs.spec import RunResult

SEEDS, SIZE, TEST = 5, 48, 96
PARAMS = {"max_metric_calls": 400, "reflection_minibatch_size": 12, "use_merge": False}
REGISTERS = ("atlas", "beacon", "harbor")
STATUSES = ("open", "waiting", "closed")
Splits = tuple[list[Any], list[Any], list[Any]]
BODY = """# File requests

Read the request of the customer, and file it under the intent that it speaks of.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+", text.lower()))


class Register:
    """Requests that were filed, found by their words."""

    def __init__(self, name: str, filed: dict[str, str]) -> None:
        self.name, self._filed = name, [(_words(text), status) for text, status in filed.items()]

    def look(self, query: str) -> str:
        """Look a request up."""
        asked = _words(query)
        shared, status = max(((len(asked & words), status) for words, status in self._filed), default=(0, ""))
        return f"status: {status}" if asked and shared == len(asked) else "no such request"


class Status(dspy.Signature):
    """Say the status of the request."""

    text: str = dspy.InputField()
    status: Literal["open", "waiting", "closed"] = dspy.OutputField()


def desk(seed: int) -> tuple[Any, Splits]:
    """Build the agent and its requests."""
    _, splits = banking(seed, size=SIZE, test=TEST)
    labels = sorted({example.label for rows in splits for example in rows})
    filed: dict[str, dict[str, str]] = {name: {} for name in REGISTERS}
    drawn: list[list[Any]] = []
    for rows in splits:
        drawn.append([])
        for example in rows:
            register = REGISTERS[labels.index(example.label) * len(REGISTERS) // len(labels)]
            status = STATUSES[hashlib.sha256(example.text.encode()).digest()[0] % len(STATUSES)]
            filed[register][example.text] = status
            drawn[-1].append(dspy.Example(text=example.text, status=status, register=register).with_inputs("text"))
    tools = [dspy.Tool(Register(name, filed[name]).look, name=name) for name in REGISTERS]
    return targets.react(Status, tools, max_iters=1), (drawn[0], drawn[1], drawn[2])


def desk_metric(gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None) -> Any:
    """The right status; what chooses a register, or is one, is told which was right."""
    score = float(pred.status == gold.status)
    if pred_name is None or pred_name.startswith("extract"):
        return dspy.Prediction(score=score, feedback="The status stands in what the register returned.")
    return dspy.Prediction(score=score, feedback=f"next_tool_name: expected {gold.register}")


def skill(seed: int) -> tuple[Any, Splits]:
    """Build a skill and its requests."""
    program, splits = banking(seed, size=SIZE, test=TEST)
    folder = Path(tempfile.mkdtemp(prefix="skills-")) / "file-requests"
    folder.mkdir()
    head = "---\nname: file-requests\ndescription: Files requests of customers. Use when one comes in.\n---\n\n"
    (folder / "SKILL.md").write_text(head + BODY, "utf-8")
    return targets.skill(folder, signature=program.signature, root=folder.parent), splits


def system(seed: int) -> tuple[Any, Splits]:
    """Build a function with a system prompt and its requests."""
    program, splits = banking(seed, size=SIZE, test=TEST)

    def sort(prompt: str, inputs: dict[str, Any]) -> Any:
        return dspy.Predict(program.signature.with_instructions(prompt))(**inputs)

    return targets.agent(sort, "Sort the request by intent.", signature=program.signature), splits


TASKS: dict[str, tuple[Callable[[int], tuple[Any, Splits]], Any]] = {
    "desk": (desk, desk_metric),
    "skill": (skill, label_metric),
    "system": (system, label_metric),
}


def optimised(fleet: Fleet, name: str, optimizer: str, params: dict[str, Any], seed: int) -> RunResult:
    """Run one job to its end."""
    build, metric = TASKS[name]
    program, (train, val, test) = build(seed)
    job = fleet.optimize(
        program, train=_unseen(train, val, test), val=_unseen(val, test), test=test, metric=metric,
        optimizer=optimizer, params=params, lm=offline_lm(), seed=seed, num_threads=2, name=f"{name}-{seed}",
    )  # fmt: skip
    return job.result()


def gains(name: str, optimizer: str, params: dict[str, Any], seeds: int) -> list[dict[str, Any]]:
    """Measure one optimizer on one task."""
    deltas, improved = [], 0
    with tempfile.TemporaryDirectory() as home:
        fleet = Fleet(Path(home) / "home")
        for seed in range(seeds):
            result = optimised(fleet, name, optimizer, params, seed)
            assert result.test_delta is not None
            deltas.append(100 * result.test_delta)
            improved += result.verdict == "improved"
    mean = statistics.mean(deltas)
    half = stats.t.ppf(0.975, seeds - 1) * statistics.stdev(deltas) / seeds**0.5 if seeds > 1 else float("nan")
    told = f"{name}, {optimizer}: gain on the sealed test, {seeds} draws"
    return [
        _row(f"{told} (95 % interval {mean - half:+.1f} to {mean + half:+.1f})", mean),
        _row(f"{name}, {optimizer}: draws that improved beyond chance, of {seeds}", improved, unit="draws"),
    ]


def run(seeds: int = SEEDS) -> list[dict[str, Any]]:
    """Measure."""
    logging.disable(logging.WARNING)
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    if not DATA.exists():
        return []
    rows = []
    for name in TASKS:
        rows += gains(name, "gepa", PARAMS, seeds)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    for row in run(parser.parse_args().seeds):
        sys.stdout.write(f"{row}\n")
