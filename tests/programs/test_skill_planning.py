"""The project's own data and the planner that is optimised on it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from skillfleet_nb.data import check_examples, make_splits
from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.programs.loading import load_state
from skillfleet_nb.programs.state import dump_state, field_names
from skillfleet_nb.skills.planner import planning_examples, skill_planner
from skillfleet_nb.skills.style import STYLES

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "../shared/data/skill_tasks/trainset_v4.json"


def test_planning_set_is_varied_consistent_and_whole() -> None:
    rows = bundled("skill_planning")
    assert len(rows) >= 60
    paths = [row["expected_taxonomy_path"] for row in rows]
    assert len({path.split("/")[0] for path in paths}) >= 12
    assert min(Counter(path.split("/")[0] for path in paths).values()) >= 3
    assert len(set(paths)) == len(paths)
    assert set(STYLES) == {row["expected_skill_style"] for row in rows}
    for row in rows:
        assert re.fullmatch(r"[a-z]+/[a-z0-9]+(-[a-z0-9]+)*", row["expected_taxonomy_path"])
        assert row["expected_name"] == row["expected_taxonomy_path"].split("/")[1]
        assert 2 <= len(row["expected_keywords"]) <= 6
        assert "Use when" in row["expected_description"]
        assert bool(row["expected_subdirectories"]) == (row["expected_skill_style"] != "minimal")
    assert check_examples(planning_examples(rows), minimum=60) == []


def test_planning_set_has_the_shape_of_the_published_one_and_none_of_its_text() -> None:
    if not SHARED.exists():
        pytest.skip("the published skill tasks are not beside the project")
    theirs = json.loads(SHARED.read_text(encoding="utf-8"))
    ours = bundled("skill_planning")
    assert ours[0].keys() == theirs[0].keys()
    for field in ("task_description", "expected_description"):
        assert not {row[field] for row in ours} & {row[field] for row in theirs}
    assert len(planning_examples(theirs)) == len(theirs)


def test_intents_are_balanced_unique_and_neither_trivial_nor_hopeless() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    rows = bundled("intents")
    assert len(rows) >= 240
    assert len({row["text"].casefold() for row in rows}) == len(rows)
    counts = Counter(row["intent"] for row in rows)
    assert len(counts) == 8
    assert max(counts.values()) - min(counts.values()) <= 2
    assert check_examples(rows, input_fields=["text"]) == []
    splits = make_splits(rows, input_fields=["text"], seed=0)
    known = splits.train + splits.val
    learner = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=20, max_iter=500))
    learner.fit([r["text"] for r in known], [r["intent"] for r in known])
    assert 0.5 < learner.score([r["text"] for r in splits.test], [r["intent"] for r in splits.test]) < 0.9


def test_an_installed_package_reads_its_own_copy(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "skillfleet_nb", tmp_path / "skillfleet_nb", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "skillfleet_nb" / "_data").mkdir()
    (tmp_path / "skillfleet_nb" / "_data" / "intents.csv").write_text("text,intent\nonly this,row\n", encoding="utf-8")
    code = "from skillfleet_nb.data.bundled import bundled; print(bundled('intents'))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[{'text': 'only this', 'intent': 'row'}]"


def test_unknown_sets_name_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'intents'"):
        bundled("intent")


def test_callers_cannot_change_a_bundled_set() -> None:
    bundled("intents")[0]["text"] = "changed"
    assert bundled("intents")[0]["text"] != "changed"


def test_planner_takes_the_task_and_gives_a_plan() -> None:
    planner = skill_planner()
    fields = field_names(dump_state(planner))["self"]
    example = planning_examples(bundled("skill_planning"))[0]
    assert fields["inputs"] == example.inputs().keys() == ["task_description"]
    assert set(fields["outputs"]) == set(example.labels().keys())
    assert get_args(planner.signature.output_fields["skill_style"].annotation) == STYLES
    assert load_state(skill_planner(), dump_state(planner)).signature.instructions == planner.signature.instructions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expected_skill_style": "epic"}, "row 1 has the style 'epic': use one of minimal"),
        ({"expected_name": None, "drop": "expected_name"}, "row 1 has no field 'name'"),
        ({"drop": "task_description"}, "row 1 has no field 'task_description'"),
    ],
)
def test_rows_that_are_no_plans_are_refused(change: dict, message: str) -> None:
    rows = bundled("skill_planning")[:2]
    dropped = change.pop("drop", None)
    rows[1].update(change)
    rows[1].pop(dropped, None)
    with pytest.raises(InputError, match=message):
        planning_examples(rows)
