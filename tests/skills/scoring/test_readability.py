import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skillfleet_nb.skills.scoring import readability_score

EASY = "Open the file. Read each line of it. Count the words you see. Write the sum down."
HARD = (
    "Notwithstanding organisational heterogeneity, the aforementioned interoperability considerations necessitate "
    "comprehensive reconfiguration of authentication infrastructure, particularly concerning multidimensional "
    "authorisation responsibilities distributed across geographically decentralised administrative communities."
)


def test_plain_prose_reads_easier_than_ornate_prose() -> None:
    easy, hard = readability_score(EASY), readability_score(HARD)
    assert easy.score == 1.0
    assert hard.score == 0.0
    assert easy.flesch_kincaid < 5
    assert hard.flesch_kincaid > 20


def test_grades_follow_the_published_formulas() -> None:
    found = readability_score("The cat sat on the mat. A dog ran to the old barn.")
    assert (found.words, found.sentences) == (13, 2)
    assert found.flesch_kincaid == pytest.approx(0.39 * 13 / 2 + 11.8 * 13 / 13 - 15.59, abs=0.01)
    assert found.gunning_fog == pytest.approx(0.4 * 13 / 2, abs=0.01)


def test_code_links_and_tables_are_not_prose() -> None:
    markup = (
        f"# Internationalisation considerations\n\n{EASY}\n\n```python\nconfiguration = internationalisation()\n```\n\n"
        "| heterogeneity | interoperability |\n| --- | --- |\n\n"
        "Read `organisational_heterogeneity` and [the guide](references/authorisation-responsibilities.md) now.\n"
    )
    assert readability_score(markup).flesch_kincaid < 5
    assert readability_score(markup).words == 17 + 5


def test_list_items_without_full_stops_are_sentences_of_their_own() -> None:
    items = "\n".join("- Read the next line of it" for _ in range(30))
    assert readability_score(items).sentences == 30


def test_no_prose_is_not_readable() -> None:
    assert readability_score("```python\nx = 1\n```").score == 0.0


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("readability opened a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert readability_score(EASY).score == 1.0
    assert "nltk" not in sys.modules


@settings(max_examples=200)
@given(st.text(max_size=300))
def test_any_text_is_measured(text: str) -> None:
    assert 0.0 <= readability_score(text).score <= 1.0
