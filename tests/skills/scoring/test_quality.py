from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_skills import SECTIONS, degraded, good_skill

from skillfleet_nb.skills.scoring import quality_checks, quality_score, score_skill
from skillfleet_nb.skills.scoring.page import Page
from skillfleet_nb.skills.scoring.quality import WEIGHTS

REAL = Path(__file__).parents[3] / "../shared/data"
TITLES = st.lists(st.sampled_from(list(SECTIONS)), min_size=1, unique=True)
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the real skills are not beside this checkout")


def real_texts() -> dict[str, str]:
    return {p.parent.name: p.read_text("utf-8") for p in sorted(REAL.glob("skills_v*/*/SKILL.md"))}


def test_weights_sum_to_one_and_the_issue_s_shares_hold() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert (WEIGHTS["when_to_use"], WEIGHTS["quick_start"], WEIGHTS["progressive_disclosure"]) == (0.06, 0.04, 0.04)


def test_a_skill_with_everything_scores_one_and_gets_no_advice() -> None:
    checks = quality_checks(good_skill(words=2_500))
    assert {c.name: c.value for c in checks if c.value < 1} == {}
    assert quality_score(good_skill(words=2_500)) == 1.0
    assert score_skill(good_skill(words=2_500)).improvements == ()


def test_an_empty_document_scores_nothing() -> None:
    assert quality_score("") == 0.0
    assert len(score_skill("").improvements) > 20


@pytest.mark.parametrize("title", [t for t in SECTIONS if t not in {"Rules", "Patterns"}])
def test_each_section_carries_the_check_of_its_name(title: str) -> None:
    rest = [t for t in SECTIONS if t != title]
    lost = {c.name for c in quality_checks(good_skill(rest)) if c.advice}
    wanted = {
        "Good and Bad": "good_bad_contrast",
        "References": "progressive_disclosure",
    }.get(title, title.lower().replace(" ", "_").replace("-", "_"))
    assert wanted in lost or title == "Overview"  # without a heading, nothing else opens the page
    assert quality_score(good_skill(rest)) < 1.0


def test_headings_and_languages_inside_code_do_not_count() -> None:
    text = "---\nname: a\n---\n# A\n\n```markdown\n## When to Use\nuse it\n```\n"
    assert {c.name: c.value for c in quality_checks(text)}["when_to_use"] == 0


def test_an_empty_section_does_not_count() -> None:
    values = {c.name: c.value for c in quality_checks("# A\n\n## When to Use\n\n## Quick Start\n\nRun it.\n")}
    assert (values["when_to_use"], values["quick_start"]) == (0, 1)


@pytest.mark.parametrize(
    "code", ["# TODO: write this", "key = YOUR_API_KEY", "url = '<your url>'", "def f():\n    x = 1\n..."]
)
def test_placeholders_make_code_incomplete(code: str) -> None:
    values = {c.name: c.value for c in quality_checks(f"```python\n{code}\n```\n")}
    assert (values["code_language"], values["code_complete"]) == (0.25, 0)


def test_a_drawn_folder_tree_needs_no_language() -> None:
    code = "```python\nx = 1\n```\n" * 5
    values = {c.name: c.value for c in quality_checks(f"{code}\n```\napp\n├── main.py\n└── api\n```\n")}
    assert values["code_language"] == 1


@settings(max_examples=settings().max_examples // 5)
@given(titles=TITLES, words=st.integers(0, 3_000))
def test_degrading_a_good_skill_never_raises_its_score(titles: list[str], words: int) -> None:
    text = good_skill(titles, words)
    before = score_skill(text)
    for what, worse in degraded(text):
        after = score_skill(worse)
        assert after.score <= before.score, what
        assert score_skill(worse, style=before.style).adjusted <= before.adjusted + 1e-12, what


@settings(max_examples=settings().max_examples // 5)
@given(titles=TITLES, extra=st.sampled_from(list(SECTIONS)))
def test_adding_good_content_never_lowers_the_score(titles: list[str], extra: str) -> None:
    more = [*titles, extra] if extra not in titles else titles
    assert quality_score(good_skill(more)) >= quality_score(good_skill(titles))


@settings(max_examples=200)
@given(st.text(max_size=400))
def test_any_text_scores_between_zero_and_one(text: str) -> None:
    found = score_skill(text)
    assert all(0 <= value <= 1 for value in [found.score, found.original, found.adjusted, *found.values.values()])
    assert (found.improvements == ()) == all(value == 1 for value in found.values.values())


@needs_real
def test_degrading_a_real_skill_never_raises_its_score() -> None:
    for name, text in real_texts().items():
        before = quality_score(text)
        for what, worse in degraded(text):
            assert quality_score(worse) <= before, f"{name}: {what}"


def test_quality_orders_pairs_of_made_up_skills() -> None:
    pairs = [
        (quality_score(text), quality_score(worse))
        for start in range(len(SECTIONS))
        for text in [good_skill([*list(SECTIONS)[start:], *list(SECTIONS)[:start]][: 6 + start % 7])]
        for _, worse in degraded(text)
    ]
    right = sum(good > bad for good, bad in pairs)
    assert right / len(pairs) >= 0.95, f"{right} of {len(pairs)}"


@needs_real
def test_quality_orders_pairs_of_real_skills() -> None:
    """Any section, any code language, the trigger: each taken off every real skill."""
    pairs = [
        (f"{name}: {what}", quality_score(text), quality_score(worse))
        for name, text in real_texts().items()
        for what, worse in degraded(text)
    ]
    right = sum(good > bad for _, good, bad in pairs)
    assert len(pairs) >= 100
    assert right / len(pairs) >= 0.95, [what for what, good, bad in pairs if not good > bad]


@pytest.mark.parametrize("run", ["-", "[", "#", "=", "- ", "1. ", "*"])
def test_long_runs_without_a_word_take_no_longer_than_others(run: str) -> None:
    # a pattern that tries every division of the run would take hours
    skill = "---\nname: x\ndescription: y\n---\n# X\n"
    assert quality_score(f"{skill}{run * 500_000}\nExample: this.") >= quality_score(skill)


@pytest.mark.parametrize(
    "line", ["Example: a", "- **Example** one: a", "1. Example: a", "- 2. E.g. this: a", "> Input: a"]
)
def test_lines_that_begin_an_example_count(line: str) -> None:
    assert Page.of(f"# X\n\n{line}\n").n_examples == 1
