"""What the report says of a set, and what it puts up with."""

from __future__ import annotations

import csv
import json
import random
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from message_sets import WordVectors, flipped, made_up

from skillfleet_nb.data import analyze
from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.data.example_history import ExampleHistory, gather
from skillfleet_nb.data.scoring import COMPONENTS
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.skills.plan_rows import PLAN_ROLES
from skillfleet_nb.store import read_examples

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def auroc(frame: pd.DataFrame, wrong: set[int]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(frame["row"].isin(wrong), frame["suspicion"]))


def test_flipped_labels_are_ranked_first(embed: WordVectors) -> None:
    rows, wrong = flipped(made_up(240), 0.1)
    report = analyze(rows, embed=embed, label="topic")
    assert auroc(report.examples, wrong) >= 0.97
    found = {s.row for s in report.suspects}
    assert len(found & wrong) >= 0.8 * len(wrong)
    assert len(found - wrong) <= 0.05 * len(rows)
    right = {at: row["topic"] for at, row in enumerate(made_up(240))}
    assert all(s.suggested == right[s.row] for s in report.suspects if s.row in wrong)
    assert "likely label error" in " ".join(report.recommendations)


def test_every_score_is_in_its_range_and_every_row_is_there(embed: WordVectors) -> None:
    rows, _ = flipped(made_up(80), 0.1)
    report = analyze(rows, embed=embed, label="topic")
    frame = report.examples
    assert sorted(frame["row"]) == list(range(80))
    assert frame["rank"].is_monotonic_decreasing
    for column in (*COMPONENTS, "intrinsic", "quality", "success", "relevance", "diversity", "suspicion", "rank"):
        values = frame[column].dropna()
        assert values.between(0, 1).all(), column
    bands = report.quality_distribution
    assert bands.high + bands.medium + bands.low == 80
    assert (frame["quality"] >= 0.8).sum() == bands.high


def test_the_report_does_not_depend_on_the_order_of_rows_or_fields(embed: WordVectors) -> None:
    rows, _ = flipped(made_up(60), 0.1)
    shuffled = [dict(reversed(row.items())) for row in rows]
    random.Random(1).shuffle(shuffled)
    one, other = (analyze(r, embed=embed, label="topic").examples.set_index("example_id") for r in (rows, shuffled))
    assert set(one.index) == set(other.index)
    for column in ("completeness", "length", "uniqueness", "diversity"):
        assert np.allclose(one[column], other.loc[one.index, column])


def test_conflicts_and_duplicates_are_named_by_row(embed: WordVectors) -> None:
    rows = [*made_up(40), dict(made_up(40)[3]), {**made_up(40)[5], "topic": "outage"}]
    report = analyze(rows, embed=embed, label="topic")
    exact = [d for d in report.duplicates if d.exact]
    assert [d.rows for d in exact] == [(3, 40)]
    conflicts = [c for c in report.conflicts if c.exact]
    assert [c.rows for c in conflicts] == [(5, 41)]
    assert any(r.startswith("labels 5 and 41 conflict") for r in report.recommendations)
    by_row = report.examples.set_index("row")
    assert by_row.loc[[3, 40], "uniqueness"].tolist() == [1.0, 0.0]
    assert by_row.loc[[5, 41], "label_fit"].tolist() == [0.0, 0.0]


def test_near_duplicates_are_found_by_their_vectors(embed: WordVectors) -> None:
    rows = made_up(40)
    words = rows[0]["text"].split()
    rows.append({"text": " ".join(reversed(words)), "topic": rows[0]["topic"]})  # the same words: cosine 1
    near = [d for d in analyze(rows, embed=embed, label="topic").duplicates if not d.exact]
    assert (0, 40) in {d.rows for d in near}
    assert all(d.similarity >= 0.95 for d in near)


def test_unseen_examples_are_not_treated_as_known_good(embed: WordVectors) -> None:
    rows = made_up(40)
    first = analyze(rows, embed=embed, label="topic").examples.set_index("row")
    assert (first["success"] == 0.5).all()
    solved = gather([(first.loc[0, "example_id"], 1.0, 1.0, 4, 4)])
    then = analyze(rows, embed=embed, label="topic", past=solved).examples.set_index("row")
    assert then.loc[0, "success"] == pytest.approx(0.9 * 0.5 + 0.1)
    assert then.loc[0, "quality"] == pytest.approx(0.8 * first.loc[0, "quality"] + 0.2)
    assert then.loc[1, "rank"] == first.loc[1, "rank"]


def test_rank_is_as_documented(embed: WordVectors) -> None:
    rows = made_up(40)
    past = {analyze(rows, embed=embed, label="topic").examples["example_id"][0]: ExampleHistory((0.2,), (0.1,), 2, 0.0)}
    frame = analyze(
        rows, embed=embed, label="topic", past=past, weights={"categories": {"access": 0.5}, "bonus": 0.2}
    ).examples
    factor = frame["category"].map({"access": 0.5}).fillna(1.0)
    by_hand = factor * (0.6 * frame["quality"] + 0.4 * frame["success"]) + 0.2 * frame["diversity"]
    assert np.allclose(frame["rank"], by_hand.clip(upper=1))


def test_a_rating_by_a_person_counts_half(embed: WordVectors) -> None:
    rows = made_up(40)
    before = analyze(rows, embed=embed, label="topic").examples.set_index("row")
    after = analyze(rows, embed=embed, label="topic", ratings={before.loc[2, "example_id"]: 0.0}).examples
    assert after.set_index("row").loc[2, "quality"] == pytest.approx(before.loc[2, "quality"] / 2)


def test_examples_no_candidate_ever_solves_are_named(embed: WordVectors) -> None:
    rows = made_up(40)
    ids = analyze(rows, embed=embed, label="topic").examples.set_index("row")["example_id"]
    past = gather([(ids[7], 0.0, 0.0, 3, 0), (ids[8], 0.0, 0.0, 2, 0), (ids[9], 0.5, 1.0, 4, 2)])
    assert analyze(rows, embed=embed, label="topic", past=past).never_solved == [7]


def test_a_second_analysis_embeds_nothing(embed: WordVectors) -> None:
    class Kept(dict[str, Any]):
        def put(self, key: str, arrays: Mapping[str, Any]) -> None:
            self[key] = arrays

    kept: Any = Kept()
    rows, _ = flipped(made_up(60), 0.1)
    first = analyze(rows, embed=embed, label="topic", cache=kept)
    asked = embed.texts
    second = analyze(rows, embed=embed, label="topic", cache=kept)
    assert embed.texts == asked == 60
    assert second.model_dump() == first.model_dump()


def test_low_quality_rows_are_named(embed: WordVectors) -> None:
    rows: list[dict[str, Any]] = [*made_up(40), {"text": "", "topic": None}, {"text": "todo", "topic": None}]
    report = analyze(rows, embed=embed, label="topic")
    assert report.quality_distribution.low == 2
    assert any(r.startswith("2 low-quality examples: see rows 4") for r in report.recommendations)


def test_it_dumps_to_json_and_renders(embed: WordVectors) -> None:
    rows, _ = flipped(made_up(60), 0.1)
    rows[0]["text"] = "<script>alert(1)</script> مرحبا 🎉"
    report = analyze(rows, embed=embed, label="topic", name="mine")
    data = json.loads(report.model_dump_json())
    assert data["total_examples"] == len(data["examples"]) == 60
    assert set(data["quality_distribution"]) == {"high", "medium", "low"}
    assert {"name", "score"} <= set(data["top_performers"][0])
    page = report._repr_html_()
    assert "<script>" not in page
    for fact in ("training set mine", "60"):
        assert fact in report.text()
        assert fact in page.lower()


def test_a_large_set_is_sampled_and_says_so(embed: WordVectors) -> None:
    rows = made_up(400)
    report = analyze(rows, embed=embed, label="topic", max_rows=100, seed=3)
    assert (report.total_examples, report.analysed, len(report.examples)) == (400, 100, 100)
    assert report.notes == ["100 of 400 rows were analysed, drawn at random (seed 3)"]
    assert report.notes[0] in report.text()
    assert set(report.select(10)[0]) == {"text", "topic"}
    again = analyze(rows, embed=embed, label="topic", max_rows=100, seed=3)
    assert again.examples["row"].tolist() == report.examples["row"].tolist()


def test_the_label_is_looked_for_before_a_part_is_drawn(embed: WordVectors) -> None:
    rows = [{"text": f"message {n}", "team": f"team {n % 40}"} for n in range(400)]
    report = analyze(rows, embed=embed, max_rows=100)
    assert (report.label, list(report.inputs), report.analysed) == ("team", ["text"], 100)


def test_a_million_rows_cost_what_their_sample_does(embed: WordVectors) -> None:
    import datasets

    given = datasets.Dataset(pa.Table.from_pylist(made_up(1000)).take(pa.array(np.arange(1_000_000) % 1000)))
    analyze(made_up(20), embed=embed, label="topic")  # libraries are loaded
    tracemalloc.start()
    report = analyze(given, embed=embed, label="topic", max_rows=300)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (report.total_examples, report.analysed) == (1_000_000, 300)
    assert "300 of 1,000,000 rows were analysed" in report.text()
    assert max(report.examples["row"]) > 900_000
    assert report.select(10)[0].keys() == {"text", "topic"}
    assert peak < 50e6  # bytes; the rows alone, as mappings, would take five times as much


@pytest.mark.parametrize("kind", ["list", "pandas", "arrow", "datasets", "examples"])
def test_sets_of_any_kind_give_the_same_report(kind: str, embed: WordVectors) -> None:
    rows = made_up(40)
    given: Any = rows
    if kind == "pandas":
        given = pd.DataFrame(rows)
    elif kind == "arrow":
        given = pa.Table.from_pylist(rows)
    elif kind == "datasets":
        import datasets

        given = datasets.Dataset.from_list(rows)
    elif kind == "examples":
        import dspy

        given = [dspy.Example(**row).with_inputs("text") for row in rows]
    expected = analyze(rows, embed=embed, label="topic").examples
    assert analyze(given, embed=embed, label="topic").examples.equals(expected)


class TestBadInput:
    def test_mixed_schemas_are_told(self, embed: WordVectors) -> None:
        report = analyze([*made_up(20), {"text": "x", "other": 1}], embed=embed, label="topic")
        assert any("mixed schemas" in n for n in report.notes)
        assert report.examples.set_index("row").loc[20, "completeness"] < 1

    def test_values_that_are_no_text(self, embed: WordVectors) -> None:
        rows: list[dict[str, Any]] = [*made_up(20)]
        rows += [{"text": 17, "topic": "billing"}, {"text": ["a", {"b": None}], "topic": 3}]
        report = analyze(rows, embed=embed, label="topic")
        assert any("different types" in n for n in report.notes)
        assert report.categories["3"] == 1

    @pytest.mark.parametrize("nothing", [None, float("nan"), "", "n/a"])
    def test_missing_labels(self, nothing: object, embed: WordVectors) -> None:
        rows: list[dict[str, Any]] = made_up(40)
        rows[4]["topic"] = nothing
        report = analyze(rows, embed=embed, label="topic")
        assert "1 row has no 'topic'" in report.notes
        assert report.examples.set_index("row").loc[4, "label_fit"] == 0

    def test_only_missing_labels(self, embed: WordVectors) -> None:
        report = analyze([{"text": "a", "topic": None}, {"text": "b", "topic": None}], embed=embed, label="topic")
        assert report.quality_distribution.low + report.quality_distribution.medium == 2

    def test_a_label_that_does_not_exist(self, embed: WordVectors) -> None:
        with pytest.raises(NotFoundError, match="did you mean 'topic'"):
            analyze(made_up(20), embed=embed, label="topics")

    def test_no_rows(self, embed: WordVectors) -> None:
        with pytest.raises(InputError, match="train is empty"):
            analyze([], embed=embed)

    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_a_handful_of_rows(self, n: int, embed: WordVectors) -> None:
        assert analyze(made_up(n), embed=embed, label="topic").analysed == n

    def test_equal_rows_all_through(self, embed: WordVectors) -> None:
        report = analyze([{"text": "same", "topic": "a"}] * 12, embed=embed, label="topic")
        assert report.duplicates[0].rows == tuple(range(12))

    def test_every_label_different(self, embed: WordVectors) -> None:
        rows = [{"text": r["text"], "answer": f"answer {i}"} for i, r in enumerate(made_up(30))]
        report = analyze(rows, embed=embed, label="answer")
        assert report.suspects == []
        assert "30 values of answer have a single example" in " ".join(report.recommendations)

    def test_emoji_and_right_to_left(self, embed: WordVectors) -> None:
        rows = [
            {"text": t, "topic": str(i % 2)} for i, t in enumerate(["🎉🎉", "مرحبا بالعالم", "שלום", "e\u0301"] * 3)
        ]
        report = analyze(rows, embed=embed, label="topic")
        assert (report.examples["completeness"] == 1).all()
        assert "مرحبا" in report.text()

    def test_a_lone_surrogate(self, embed: WordVectors) -> None:
        rows = [*made_up(12), {"text": "bad \ud800 text", "topic": "access"}]
        assert analyze(rows, embed=embed, label="topic").analysed == 13

    def test_a_file_that_is_not_what_its_ending_says(self, tmp_path: Path) -> None:
        file = tmp_path / "train.parquet"
        file.write_text("text,topic\nhello,greeting\n")
        with pytest.raises(InputError, match=r"train\.parquet"):
            read_examples(file)

    def test_a_file_of_mixed_schemas_is_analysed_where_that_is_asked_for(
        self, tmp_path: Path, embed: WordVectors
    ) -> None:
        file = tmp_path / "train.jsonl"
        file.write_text("\n".join(map(json.dumps, [*made_up(20), {"text": "x", "other": 1}])), "utf-8")
        with pytest.raises(InputError, match="line 21 has the field 'other'"):
            read_examples(file)
        report = analyze(read_examples(file, mixed=True), embed=embed, label="topic")
        assert "1 row has other fields than the rest: mixed schemas" in report.notes

    @pytest.mark.parametrize(
        "weights", [{"labels": 1}, {"label_fit": -1}, {"quality": 0, "success": 0}, {"bonus": float("nan")}]
    )
    def test_weights_that_are_none(self, weights: dict[str, float], embed: WordVectors) -> None:
        with pytest.raises((InputError, NotFoundError), match="weight"):
            analyze(made_up(12), embed=embed, weights=weights)


def test_the_skill_tasks(shared_data: Path, embed: WordVectors) -> None:
    rows = json.loads((shared_data / "skill_tasks" / "trainset_v4.json").read_text("utf-8"))
    report = analyze(rows, embed=embed, name="skill tasks", roles=(PLAN_ROLES,))
    assert report.total_examples == 50
    assert report.facets["expected_skill_style"] == {"comprehensive": 38, "navigation_hub": 11, "minimal": 1}
    assert report.facets["source"] == {"synthetic": 26, "golden_example": 15, "extracted_from_existing": 9}
    assert ("expected_skill_style", "minimal") in {(g.field, g.category) for g in report.underrepresented}
    assert any("minimal examples: there is 1" in r for r in report.recommendations)
    assert report.top_performers[0].name in {r["expected_name"] for r in rows}
    assert report.examples["clarity"].notna().all()


def test_the_projects_own_sets(embed: WordVectors) -> None:
    skills = analyze(bundled("skill_planning"), embed=embed, roles=(PLAN_ROLES,))
    assert skills.label == "expected_skill_style"
    assert len(skills.categories) == 15
    assert skills.top_performers[0].name in {r["expected_name"] for r in bundled("skill_planning")}
    assert skills.examples[["clarity", "practice"]].notna().all(axis=None)
    plain = analyze(bundled("skill_planning"), embed=embed, input_fields=["task_description"])
    assert plain.label == "expected_skill_style"
    assert set(plain.categories) == {"comprehensive", "navigation_hub", "minimal"}, "without roles, by the label"
    assert plain.examples[["clarity", "practice"]].isna().all(axis=None)
    intents = analyze(bundled("intents"), embed=embed)
    assert (intents.label, len(intents.categories)) == ("intent", 8)
    assert intents.underrepresented == []


def test_banking_rows_read_from_csv(shared_data: Path, embed: WordVectors) -> None:
    with (shared_data / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[::25]
    report = analyze(rows, embed=embed, label="category")
    assert len(report.categories) == 77
