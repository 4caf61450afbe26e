"""Entities, meaning, coverage and plan accuracy."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillfleet_nb.skills.scoring import (
    chunks,
    coverage_score,
    entity_f1,
    extract_entities,
    metadata_accuracy,
    plan_accuracy,
    semantic_similarity,
    taxonomy_accuracy,
)

WORDS = st.lists(st.sampled_from(["duckdb", "pyarrow", "openai", "numpy"]), unique=True)


def letters(texts: Sequence[str]) -> np.ndarray:
    """Count letters: an embedding whose angles can be worked out by hand."""
    rows = np.array([[text.lower().count(c) for c in "abcdefgh"] for text in texts], dtype=np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def test_entities_are_names_paths_and_code_but_not_words() -> None:
    text = "Call `read_csv` of DuckDB and set HTTP in config/app.yaml and main.py. You MUST NOT guess."
    assert extract_entities(text) == {"read_csv", "duckdb", "http", "config/app.yaml", "main.py"}


def test_entity_f1_tells_what_is_missing_and_extra() -> None:
    found = entity_f1("Use DuckDB and PyTorch.", "Use DuckDB with PyArrow.")
    assert (found.f1, found.missing, found.extra) == (0.5, ("pyarrow",), ("pytorch",))


def test_entity_extractor_can_be_replaced() -> None:
    assert entity_f1("red fish", "blue fish", str.split).f1 == 0.5


@given(WORDS, WORDS)
def test_entity_f1_is_symmetric_and_one_only_for_equal_sets(one: list[str], two: list[str]) -> None:
    left = entity_f1(" ".join(one), " ".join(two), str.split).f1
    assert left == entity_f1(" ".join(two), " ".join(one), str.split).f1
    assert (left == 1.0) == (set(one) == set(two))


@given(st.lists(st.sampled_from("ab"), max_size=900).map(" ".join), st.integers(1, 200))
def test_chunks_lose_no_word_and_none_is_long(text: str, words: int) -> None:
    parts = chunks(text, words)
    assert " ".join(parts).split() == text.split()
    assert all(0 < len(part.split()) <= words for part in parts)


def test_semantic_similarity_is_a_cosine_cut_at_zero() -> None:
    assert semantic_similarity("abc", "abc", letters) == pytest.approx(1)
    assert semantic_similarity("a", "b", letters) == 0
    assert semantic_similarity("a", "ab", letters) == pytest.approx(2**-0.5)
    assert semantic_similarity("", "a", letters) == 0
    opposite = {"yes": [1.0, 0.0], "no": [-1.0, 0.0]}
    assert semantic_similarity("yes", "no", lambda texts: np.array([opposite[t] for t in texts], np.float32)) == 0


def test_coverage_counts_sections_and_examples() -> None:
    full = "# A\n\nWhat it does and what it does not do, in short.\n\n## When to use\n\n- Now\n\n## Quick start\n\n"
    two = "```sh\na\n```\n\n```sh\nb\n```\n"
    assert coverage_score(full + two).score == 1
    assert coverage_score(full + "Do it.\n").score == pytest.approx(0.7)
    assert coverage_score(two).missing == ("Overview", "When to Use", "Quick Start")
    assert coverage_score("## Steps\n\nx\n", {"Steps": ("steps",)}, examples=0).score == 1


@pytest.mark.parametrize(
    ("path", "expected", "score"),
    [
        ("web/api-design", "web/api-design", 1.0),
        ("/Web/API Design/", "web/api-design", 1.0),
        ("web/css", "web/api-design", 0.7),
        ("web", "web/api-design", 0.7),
        ("database/api-design", "web/api-design", 0.0),
        ("", "web/api-design", 0.0),
        ("tools/search", "_drafts/51a31ca6-3c08/tools/search", 1.0),
    ],
)
def test_taxonomy_accuracy(path: str, expected: str, score: float) -> None:
    assert taxonomy_accuracy(path, expected) == score


def test_metadata_accuracy_by_field() -> None:
    expected = {
        "name": "pdf-forms",
        "skill_style": "minimal",
        "keywords": ["pdf", "forms"],
        "description": "Fill forms",
    }
    plan = {"name": "PDF Forms", "skill_style": "comprehensive", "keywords": "pdf, ocr", "description": "Fill forms"}
    values = {f.field: f.value for f in metadata_accuracy(plan, expected)}
    assert values == {"name": 1, "skill_style": 0, "keywords": 0.5, "description": 1}
    advice = {f.field: f.advice for f in metadata_accuracy(plan, expected)}
    assert advice["keywords"] == "keywords: add forms; drop ocr."
    assert advice["skill_style"] == "skill_style: expected 'minimal', got 'comprehensive'."


PLANS = st.fixed_dictionaries(
    {
        "taxonomy_path": st.sampled_from(["web/css", "web/api", "db/sql", ""]),
        "name": st.sampled_from(["css", "api-design", ""]),
        "skill_style": st.sampled_from(["minimal", "comprehensive"]),
        "keywords": st.lists(st.sampled_from(["css", "grid", "api"]), max_size=3),
        "description": st.sampled_from(["Lay out pages with grid.", "Design an interface.", ""]),
    }
)


@given(PLANS, PLANS)
def test_a_plan_is_right_exactly_when_nothing_is_said_against_it(plan: dict, expected: dict) -> None:
    score, fields = plan_accuracy(plan, expected)
    assert 0 <= score <= 1
    assert (score == 1) == all(f.advice is None for f in fields)
    assert plan_accuracy(expected, expected)[0] == 1


@pytest.mark.parametrize("run", ["-", "a-", "/-", "a/", "_"])
def test_long_runs_without_a_word_take_no_longer_than_others(run: str) -> None:
    # a pattern that tries every division of the run would take hours
    assert len(extract_entities(f"src/app.py {run * 500_000} DuckDB")) >= 2


def test_keywords_in_an_array_are_keywords() -> None:
    plan = {"name": "x", "keywords": ["pdf", "forms"]}
    for keywords in (["forms", "pdf"], ["pdf"], []):
        expected = {"name": "x", "keywords": keywords}
        assert plan_accuracy(plan, {**expected, "keywords": np.array(keywords)}) == plan_accuracy(plan, expected)
        assert plan_accuracy({**plan, "keywords": np.array(plan["keywords"])}, expected) == plan_accuracy(
            plan, expected
        )
