"""Skills created for sixty tasks: valid or not, how complex, and how good.

Forty tasks are the project's own (the first of ``skill_planning``), twenty come from elsewhere; their complexity was
labelled by hand, twice, by the same person.  The model is the offline one, which knows nothing beside what the prompt
says: its quality tells what the creator does with little, not what a language model would write.  What it does with
much, the sample skills tell, each created with its own text as documents.

The step that weighs a task reads cues of its extent.  They were chosen by leaving out each of 58 other tasks, of which
94.8 % were then sorted as labelled, and are words of those; the sixty had been read before.  Eighteen further tasks, in
the form of a skill's description, were written after the sixty had been sorted once, 68.3 % of them as labelled.

Run: ``python tests/benchmarks creator``.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy

import skillfleet_nb as sf
from skillfleet_nb import Fleet
from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.skills import find_skills
from skillfleet_nb.skills.creator import PhaseRules, creation_examples
from skillfleet_nb.skills.scoring import skill_quality

HERE = Path(__file__).resolve()
SHARED, DOCS = HERE.parents[2].parent / "shared" / "data", HERE.parents[2] / "docs"
OWN = 40
GEPA: dict[str, Any] = {"max_metric_calls": 150, "component_selector": "all"}


def tasks() -> list[tuple[str, str]]:
    """Return the sixty tasks with their labels."""
    labels = bundled("skill_complexity")
    own, n_own = bundled("skill_planning"), len(bundled("skill_planning"))
    other = json.loads((SHARED / "skill_tasks" / "trainset_v4.json").read_text("utf-8"))
    texts = [row["task_description"] for row in own[:OWN]]
    texts += list(dict.fromkeys(row["task_description"] for row in other))[:20]
    return list(zip(texts, [row["label"] for row in [*labels[:OWN], *labels[n_own:]]], strict=True))


def agreement() -> tuple[float, float]:
    """Return how often the two labels of the sixty agree, and Cohen's kappa."""
    rows = bundled("skill_complexity")
    rows = [*rows[:OWN], *rows[len(bundled("skill_planning")) :]]
    same = statistics.mean(row["first"] == row["second"] for row in rows)
    share = [[statistics.mean(row[n] == kind for row in rows) for n in ("first", "second")]
             for kind in ("simple", "normal", "complex")]  # fmt: skip
    chance = sum(one * other for one, other in share)
    return same, (same - chance) / (1 - chance)


def accuracy() -> tuple[float, float]:
    """Return how often the complexity step sorts a task as its label, and the mean of that over the three labels."""
    rules, weigh = PhaseRules(), sf.skill_creator().complexity
    right: dict[str, list[bool]] = {}
    with dspy.context(lm=sf.offline_lm()):
        for task, label in tasks():
            value = weigh(task=task).complexity
            high, low = value > rules.expert.above_complexity, value <= rules.fast.max_complexity
            right.setdefault(label, []).append(label == ("complex" if high else "simple" if low else "normal"))
    every = [one for label in right.values() for one in label]
    return statistics.mean(every), statistics.mean(map(statistics.mean, right.values()))


def created(fleet: Fleet, root: Path, which: list[str], **options: Any) -> list[Any]:
    """Create a skill for each task; the results."""
    return [fleet.create_skill(task, root=root, lm=sf.offline_lm(), **options).result() for task in which]


def sixty(top: Path) -> list[dict[str, Any]]:
    """Create all sixty, beside a skill that is there."""
    root, mine = top / "skills", top / "skills" / "asyncio-services" / "SKILL.md"
    mine.parent.mkdir(parents=True)
    mine.write_text("---\nname: asyncio-services\ndescription: mine\n---\n# mine\n")
    before = hashlib.sha256(mine.read_bytes()).digest()
    made = created(Fleet(top / "home"), root, [task for task, _ in tasks()])
    conformant = statistics.mean(one.skill.validate("v2").conformant for one in made)
    outside = sum(Path(one.folder).parent != root for one in made) + len(list(top.iterdir())) - 2
    lost = len(made) - len({one.folder for one in made}) + (hashlib.sha256(mine.read_bytes()).digest() != before)
    samples = statistics.mean(one.score().score for one in find_skills(SHARED / "skills_v2"))
    some = [task for task, _ in tasks()[:20]]
    read = created(Fleet(top / "home"), top / "researched", some, docs=[str(DOCS), str(SHARED / "skills_v2")])
    return [
        row("60 tasks: valid agent skills", 100 * conformant, "%", "≥ 100"),
        row("60 tasks: files outside of the root", outside, "files", "≤ 0"),
        row("60 tasks: skills overwritten or lost", lost, "skills", "≤ 0"),
        row("60 tasks: mean quality; the target is that of the sample skills", 100 * mean(made), "points",
            f"≥ {100 * samples:.1f}"),
        row("the first 20: mean quality without documents", 100 * mean(made[:20]), "points"),
        row("the first 20: mean quality with documents, few of them on the task", 100 * mean(read), "points"),
    ]  # fmt: skip


def mean(made: list[Any]) -> float:
    """Return the mean quality of results."""
    return statistics.mean(one.score for one in made)


def knowing(top: Path) -> list[dict[str, Any]]:
    """Create the sample skills anew, each with its own text as the only document: what is lost is not knowledge."""
    theirs = {one.name: one for one in find_skills(SHARED / "skills_v2")}
    asked = [f"Create a {name} skill: {one.description}" for name, one in theirs.items()]
    made = [
        created(Fleet(top / "home"), top / "skills", [task], docs=[str(one.folder)])[0]
        for task, one in zip(asked, theirs.values(), strict=True)
    ]
    what = f"{len(made)} sample skills, created with their own text as documents: mean quality; the target is theirs"
    least = 100 * statistics.mean(one.score().score for one in theirs.values())
    return [row(what, 100 * mean(made), "points", f"≥ {least:.1f}")]


def optimised(top: Path) -> list[dict[str, Any]]:
    """Optimise the creator on other tasks, and compare it with the one as it comes on a sealed split."""
    rows = creation_examples(bundled("skill_planning")[OWN:])
    test = [dspy.Example(task=task, label=label).with_inputs("task") for task, label in tasks()]
    made = []
    for optimizer, params in (("labeled_fewshot", {}), ("gepa", GEPA)):
        result = Fleet(top / "optimised").optimize(
            sf.skill_creator(), train=rows[:14], val=rows[14:], test=test, metric=skill_quality, optimizer=optimizer,
            lm=sf.offline_lm(), params=params,
        ).result()  # fmt: skip
        low, high = (100 * bound for bound in result.test_delta_interval or (0.0, 0.0))
        what = f"the creator optimised with {optimizer}: quality on the sealed sixty ({low:+.1f} to {high:+.1f})"
        made.append(row(what, 100 * (result.test_delta or 0.0), "points", "≥ 8"))
    return made


def row(what: str, value: float, unit: str, target: str = "") -> dict[str, Any]:
    """Make a row of the table."""
    return {"what": what, "value": value, "unit": unit, "target": target}


def run() -> list[dict[str, Any]]:
    """Measure all."""
    same, kappa = agreement()
    sorted_right, balanced = accuracy()
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        made = [row("60 tasks: two labels of complexity that agree", 100 * same, "%"),
                row("60 tasks: the same beyond chance (Cohen's kappa)", kappa, ""),
                row("60 tasks: sorted as labelled by the complexity step", 100 * sorted_right, "%", "≥ 85"),
                row("60 tasks: the same, the three labels weighing alike", 100 * balanced, "%")]  # fmt: skip
        for part in (sixty, knowing, optimised):
            place = top / part.__name__
            place.mkdir()
            made += part(place)
    return made
