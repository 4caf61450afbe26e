"""Tasks of many kinds by seed, for benchmarks of advice: size, labels, predictors, difficulty and price vary.

Texts are messages of bank customers, the project's own data sets, or made up: every label has words of its
own, mixed with words that say nothing and words of other labels.  Labels without a meaning can only be learned
from examples.
"""

from __future__ import annotations

import csv
import json
import random
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dspy

from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.offline.text import overlap

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ("intents", "made_up", "opaque", "two_steps", "three_steps", "plans", "cot")
BANKING = Path(__file__).parents[3] / "shared/data/banking77"
DRAWS, JUDGING_DRAWS = 3, 9
JUDGE = 310  # examples to judge by beside the test split
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
_TOPICS = ("garden", "kitchen", "music", "travel", "sport", "finance", "health", "weather")


@dataclass(frozen=True)
class Task:
    """One task: everything a run is given, and the features that were varied.

    `judge` are further examples, the test split among them, that no run sees: a test split of a usual size
    tells programs apart to some four points, and choices are judged to two.  A task that is `held_out` judges
    choices; on the others constants are chosen.
    """

    name: str
    kind: str
    program: Callable[[], dspy.Module]
    train: list[dspy.Example]
    val: list[dspy.Example]
    test: list[dspy.Example]
    metric: Callable[..., Any]
    labels: int
    usd_per_1k: float
    judge: list[dspy.Example]
    held_out: bool = False

    @property
    def draws(self) -> int:
        """How often each optimizer is run on it: the score of one run is some four points off its mean."""
        return JUDGING_DRAWS if self.held_out else DRAWS

    def drawn(self, seed: int) -> Task:
        """Cut the same examples anew: what an optimizer comes to hangs on the draw more than on its own seed.

        Seed 0 is the task as it is.
        """
        if seed == 0:
            return self
        rows = [*self.train, *self.val, *self.judge]
        random.Random(f"{self.name}-{seed}").shuffle(rows)
        train, n = len(self.train), len(self.train) + len(self.val)
        return replace(self, train=rows[:train], val=rows[train:n], test=rows[n : n + len(self.test)], judge=rows[n:])


class TwoSteps(dspy.Module):
    """Name the topic, then the label with its help."""

    def __init__(self, topics: tuple[str, ...], labels: tuple[str, ...]) -> None:
        super().__init__()
        self.topic = dspy.Predict(_signature(["text"], {"topic": Literal[topics]}, "Name the topic of the text."))
        self.label = dspy.Predict(_signature(["text", "topic"], {"label": Literal[labels]}, "Classify the text."))

    def forward(self, text: str) -> Any:
        topic = self.topic(text=text).topic
        return dspy.Prediction(topic=topic, label=self.label(text=text, topic=str(topic)).label)


class ThreeSteps(dspy.Module):
    """Write a gist, name the topic, then the label."""

    def __init__(self, topics: tuple[str, ...], labels: tuple[str, ...]) -> None:
        super().__init__()
        self.gist = dspy.Predict(_signature(["text"], {"gist": str}, "Write the gist of the text."))
        self.topic = dspy.Predict(_signature(["text", "gist"], {"topic": Literal[topics]}, "Name the topic."))
        self.label = dspy.Predict(_signature(["text", "topic"], {"label": Literal[labels]}, "Classify the text."))

    def forward(self, text: str) -> Any:
        gist = str(self.gist(text=text).gist)
        topic = self.topic(text=text, gist=gist).topic
        return dspy.Prediction(topic=topic, label=self.label(text=text, topic=str(topic)).label)


def _signature(inputs: list[str], outputs: dict[str, Any], instructions: str) -> Any:
    fields: dict[str, Any] = {name: (str, dspy.InputField()) for name in inputs}
    fields |= {name: (kind, dspy.OutputField()) for name, kind in outputs.items()}
    return dspy.Signature(fields, instructions)


def label_metric(gold: Any, pred: Any, trace: Any = None, *_: Any) -> Any:
    """Exact match of the label, with the right one as feedback."""
    right = getattr(pred, "label", None) == gold.label
    return dspy.Prediction(score=float(right), feedback="Correct." if right else f"expected {gold.label}")


def two_metric(gold: Any, pred: Any, trace: Any = None, *_: Any) -> Any:
    """Weigh the label three times as much as the topic."""
    label, topic = pred.label == gold.label, pred.topic == gold.topic
    told = [f"expected {w} {getattr(gold, w)}" for w, ok in (("label", label), ("topic", topic)) if not ok]
    return dspy.Prediction(score=0.75 * label + 0.25 * topic, feedback="; ".join(told) or "Correct.")


def plan_metric(gold: Any, pred: Any, trace: Any = None, *_: Any) -> Any:
    """Mean over the fields of a plan."""
    scores = {
        "style": float(pred.style == gold.style),
        "category": float(pred.category == gold.category),
        "description": overlap(str(pred.description), gold.description),
    }
    told = [f"{field}: expected {getattr(gold, field)!r}" for field, s in scores.items() if s < 1]
    return dspy.Prediction(score=sum(scores.values()) / 3, feedback="; ".join(told) or "Correct.")


def make(
    kind: str, *, n: int, labels: int, noise: float, usd_per_1k: float, seed: int, test: int = 90, judge: int = 0
) -> Task:
    """Make one task: `n` examples for train and validation together, two to one, a test split, and more to judge by."""
    rng = random.Random(f"{kind}-{n}-{labels}-{noise}-{seed}")
    if kind == "intents":
        rows, program, labels = _classifier([(r["text"], r["intent"]) for r in bundled("intents")], labels, rng)
        metric = label_metric
    elif kind == "banking":
        rows, program, labels = _classifier(_banking(), labels, rng)
        metric = label_metric
    elif kind == "plans":
        rows, program, labels = _plans()
        metric = plan_metric
    else:
        rows, program = _made_up(kind, labels, noise, n + test + judge, rng)
        metric = two_metric if kind in {"two_steps", "three_steps"} else label_metric
    rng.shuffle(rows)
    test = min(test, len(rows) // 2)
    n = min(n, len(rows) - test)
    train = max(2, round(n * 2 / 3))
    return Task(
        f"{kind}-n{n}-l{labels}-d{noise:g}-p{usd_per_1k:g}-s{seed}", kind, program,
        rows[:train], rows[train:n], rows[n : n + test], metric, labels, usd_per_1k, rows[n : n + test + judge],
    )  # fmt: skip


def _banking() -> list[tuple[str, str]]:
    with (BANKING / "train.csv").open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


def _classifier(
    texts: list[tuple[str, str]], labels: int, rng: random.Random
) -> tuple[list[dspy.Example], Callable[[], dspy.Module], int]:
    known = sorted({label for _, label in texts})
    chosen = tuple(sorted(rng.sample(known, min(labels, len(known)))))
    rows = [dspy.Example(text=text, label=label).with_inputs("text") for text, label in texts if label in chosen]
    program = lambda: dspy.Predict(_signature(["text"], {"label": Literal[chosen]}, "Classify the message."))  # noqa: E731
    return rows, program, len(chosen)


def _plans() -> tuple[list[dspy.Example], Callable[[], dspy.Module], int]:
    rows = [
        dspy.Example(
            task=r["task_description"],
            style=r["expected_skill_style"],
            category=r["expected_taxonomy_path"].split("/")[0],
            description=r["expected_description"],
        ).with_inputs("task")
        for r in bundled("skill_planning")
    ]
    styles = Literal["minimal", "navigation_hub", "comprehensive"]
    categories = Literal[tuple(sorted({r.category for r in rows}))]
    outputs = {"style": styles, "category": categories, "description": str}
    return rows, lambda: dspy.Predict(_signature(["task"], outputs, "Plan the agent skill.")), 15


def _made_up(
    kind: str, labels: int, noise: float, size: int, rng: random.Random
) -> tuple[list[dspy.Example], Callable[[], dspy.Module]]:
    word = _words(rng)
    topics = _TOPICS[: max(2, labels // 2)]
    own = {f"{topics[i % len(topics)]}_{word()}": [word() for _ in range(10)] for i in range(labels)}
    filler = [word() for _ in range(40)]
    names = tuple(own) if kind != "opaque" else tuple(f"class {chr(65 + i)}" for i in range(labels))
    rows = []
    for i in range(size):
        at = i % labels
        home, others = list(own)[at], [w for k, ws in own.items() if k != list(own)[at] for w in ws]
        said = [rng.choice(others) if rng.random() < noise else rng.choice(own[home]) for _ in range(5)]
        if kind != "opaque" and rng.random() < 0.4 * (1 - noise):
            said.append(home.split("_")[1])
        if rng.random() < 0.6:
            said.append(topics[at % len(topics)])
        said += rng.sample(filler, 5)
        rng.shuffle(said)
        example = {"text": " ".join(said), "label": names[at]}
        if kind in {"two_steps", "three_steps"}:
            example["topic"] = topics[at % len(topics)]
        rows.append(dspy.Example(**example).with_inputs("text"))
    one = _signature(["text"], {"label": Literal[names]}, "Classify the text.")
    programs: dict[str, Callable[[], dspy.Module]] = {
        "two_steps": lambda: TwoSteps(topics, names),
        "three_steps": lambda: ThreeSteps(topics, names),
        "cot": lambda: dspy.ChainOfThought(one),
    }
    return rows, programs.get(kind, lambda: dspy.Predict(one))


def _words(rng: random.Random) -> Callable[[], str]:
    taken: set[str] = set()

    def word() -> str:
        while True:
            made = "".join(rng.choice(_CONSONANTS) + rng.choice(_VOWELS) for _ in range(rng.choice((2, 3))))
            if made not in taken:
                taken.add(made)
                return made

    return word


_SIZES: tuple[dict[str, tuple[int, ...]], ...] = (
    {
        "intents": (24, 60, 120), "banking": (30, 60, 100, 150, 240), "made_up": (20, 36, 60, 90),
        "opaque": (20, 36, 60, 90), "two_steps": (20, 36, 60, 90), "three_steps": (20, 36, 90), "plans": (24, 34),
        "cot": (20, 36, 60, 90),
    },
    {
        "intents": (36, 45, 80), "banking": (24, 45, 80, 120, 160), "made_up": (24, 30, 48, 75),
        "opaque": (24, 30, 48, 75), "two_steps": (24, 30, 48), "three_steps": (24,), "plans": (28, 38),
        "cot": (24, 30, 48, 75),
    },
    {
        "intents": (30, 52, 70, 100), "banking": (36, 70, 110, 200), "made_up": (28, 42, 66, 84),
        "opaque": (28, 42, 66, 84), "two_steps": (28, 42, 75), "three_steps": (30, 48), "plans": (26, 36),
        "cot": (28, 42, 66, 84),
    },
)  # fmt: skip


@cache
def grid() -> tuple[Task, ...]:
    """Make the tasks of the selector's benchmark; without the real data, those on it are missing."""
    labels = {"banking": (4, 6, 8, 12)}
    tasks = []
    for block, sizes in enumerate(_SIZES):
        rng = random.Random(2024 + block)
        for kind, of_kind in sizes.items():
            for at, n in enumerate(of_kind):
                price, noise = rng.choice((0.0005, 0.003, 0.02, 0.1)), rng.choice((0.1, 0.25, 0.4))
                many = rng.choice(labels.get(kind, (3, 4, 6, 8)))
                if kind != "banking" or BANKING.exists():
                    seed = 10 * block + at
                    made = make(kind, n=n, labels=many, noise=noise, usd_per_1k=price, seed=seed, judge=JUDGE)
                    tasks.append(replace(made, held_out=bool(len(tasks) % 2)))
    return tuple(tasks)


if __name__ == "__main__":
    for task in grid():
        sizes = [len(task.train), len(task.val), len(task.test), len(task.judge)]
        print(task.name, sizes, json.dumps(task.train[0].toDict()))  # noqa: T201
