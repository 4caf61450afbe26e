"""How answers in words are read: whole words, one meaning, and never a guess."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.runs.review.answers import CHOICES, Answer, checked_choice, read_answer

if TYPE_CHECKING:
    from pathlib import Path

WORDS = Settings().answers
KNOWN = {word: choice for choice, words in WORDS.items() for word in (*words, choice)}
NEGATED = {"not", "never", "don't", "dont", "won't", "wont", "can't", "cannot", "doesn't", "shouldn't"}

keywords = st.sampled_from(sorted(KNOWN))
plain = st.from_regex(r"[a-z]{2,9}", fullmatch=True).filter(lambda w: w not in KNOWN and w not in NEGATED)
between = st.sampled_from([" ", ", ", "! ", "\n", " \u2013 ", " (", ") ", "; "])
cases = st.sampled_from([str.lower, str.upper, str.capitalize])
quick = settings(deadline=None, max_examples=150)


@st.composite
def sentences(draw: st.DrawFn, words: st.SearchStrategy[str]) -> str:
    parts = draw(st.lists(words, min_size=1, max_size=6))
    return "".join(draw(cases)(part) + draw(between) for part in parts)


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        *((word, "proceed") for word in ["yes", "ok", "okay", "continue", "approve", "accept", "save", "y"]),
        *((word, "revise") for word in ["revise", "change", "edit", "modify", "fix", "update"]),
        *((word, "cancel") for word in ["cancel", "abort", "stop", "quit", "no", "n"]),
        ("Yes!", "proceed"),
        ("  OK, go on then.", "proceed"),
        ("please STOP", "cancel"),
        ("nothing to change", "revise"),
        ("yes, yes and yes", "proceed"),
    ],
)
def test_the_default_words(said: str, choice: str) -> None:
    assert read_answer(said, WORDS).choice == choice
    assert read_answer(said, WORDS).text == said.strip()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("no, continue", r"says both proceed \(continue\) and cancel \(no\)"),
        ("stop and change it", r"says both revise \(change\) and cancel \(stop\)"),
        ("do not continue", r"two ways \(not continue\)"),
        ("Don\u2019t stop", r"two ways \(don't stop\)"),
        ("perhaps", "neither to go on nor to stop"),
        ("noisy yesterday stopped", "neither to go on nor to stop"),
        ("yes-no", "neither to go on nor to stop"),
        ("", "the answer is empty: say yes"),
        ("  ?! ", "the answer is empty: say yes"),
        ("revise:", None),
    ],
)
def test_what_cannot_be_read_is_asked_again(said: str, why: str | None) -> None:
    if why is None:
        assert read_answer(said, WORDS) == Answer("revise", said)
        return
    with pytest.raises(InputError, match=why) as told:
        read_answer(said, WORDS)
    assert "\n" not in str(told.value)


@quick
@given(sentences(keywords | plain))
def test_keywords_of_one_choice_decide_and_of_two_do_not(said: str) -> None:
    meant = {KNOWN[w] for w in re.findall(r"\w+", said.casefold()) if w in KNOWN}
    if len(meant) == 1:
        assert read_answer(said, WORDS).choice in meant
        assert bool(read_answer(said, WORDS)) == (meant == {"proceed"})
    else:
        with pytest.raises(InputError):
            read_answer(said, WORDS)


@quick
@given(sentences(plain), st.sampled_from(["confirm", "preview", "validate", "clarify"]))
def test_words_that_say_nothing_are_an_answer_to_clarify_alone(said: str, asks: str) -> None:
    if asks == "clarify":
        assert read_answer(said, WORDS, "clarify") == Answer("proceed", said.strip())
    else:
        with pytest.raises(InputError):
            read_answer(said, WORDS, asks)  # type: ignore[arg-type]  # one of the kinds


@quick
@given(keywords, plain, plain)
def test_a_keyword_within_a_word_is_none(word: str, before: str, after: str) -> None:
    for glued in (before + word, word + after, f"{before}_{word}", f"{word}-{after}"):
        assume(glued not in KNOWN)
        with pytest.raises(InputError):
            read_answer(glued, WORDS)


@quick
@given(keywords, st.text(min_size=1).map(str.strip).filter(bool), cases)
def test_a_text_behind_a_colon_is_taken_as_it_is(word: str, text: str, case: type[str]) -> None:
    assert read_answer(f" {case(word)} : {text}\n", WORDS) == Answer(KNOWN[word], text)  # type: ignore[arg-type]


@quick
@given(st.text())
def test_any_text_is_read_or_refused_in_one_line(said: str) -> None:
    try:
        assert read_answer(said, WORDS).choice in CHOICES
    except InputError as exc:
        assert len(str(exc).splitlines()) == 1  # noqa: PT017  either is right


def test_words_are_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.toml"
    file.write_text('answer_proceed = ["ja", "weiter"]\nanswer_cancel = ["nein"]\n')
    words = Settings.load(file).answers
    assert read_answer("Ja, bitte", words).choice == "proceed"
    assert read_answer("nein", words).choice == "cancel"
    assert read_answer("cancel", words).choice == "cancel", "the names of the choices always count"
    with pytest.raises(InputError, match=r"say ja \(proceed\), revise, nein \(cancel\)"):
        read_answer("yes", words)
    monkeypatch.setenv("SKILLFLEET_ANSWER_PROCEED", '["oui"]')
    assert read_answer("oui", Settings.load(file).answers).choice == "proceed"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('answer_cancel = ["yes"]', "'yes' means something else already"),
        ('answer_revise = ["Accept"]', "'accept' means something else already"),
        ("answer_cancel = []", "at least 1"),
        ('answer_proceed = ["go ahead"]', "match"),
    ],
)
def test_words_that_mean_two_things_are_refused(tmp_path: Path, line: str, why: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"{line}\n")
    with pytest.raises(InputError, match=why):
        Settings.load(file)


def test_choices_are_named() -> None:
    assert checked_choice("revise") == "revise"
    with pytest.raises(NotFoundError, match="did you mean 'proceed'"):
        checked_choice("procede")
