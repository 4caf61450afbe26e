"""The prompt diff: nothing lost, nothing that runs in the page, readable as text."""

from __future__ import annotations

import copy
import html
import re
from html.parser import HTMLParser
from typing import Any

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skillfleet_nb.format import visible
from skillfleet_nb.programs.diff import diff_programs
from skillfleet_nb.programs.state import dump_state

VOID = {"br", "hr", "img", "input", "meta", "link"}


class Balance(HTMLParser):
    """Collects tags and attributes, and fails on a tag that is closed out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def state(instructions: str, demos: list[dict[str, Any]] | None = None, label: str = "${label}") -> dict[str, Any]:
    fields = [{"prefix": "Text:", "description": "${text}"}, {"prefix": "Label:", "description": label}]
    return {
        "signature": {"instructions": instructions, "fields": fields},
        "demos": demos or [],
        "metadata": {"skillfleet": {"fields": {"self": {"inputs": ["text"], "outputs": ["label"]}}}},
    }


def test_nothing_changed_says_identical() -> None:
    one = dump_state(dspy.ChainOfThought("text -> label"))
    diff = diff_programs(one, copy.deepcopy(one))
    assert diff.identical
    assert str(diff).startswith("identical")
    assert "identical" in diff._repr_html_()


def test_words_that_came_and_went_are_marked() -> None:
    diff = diff_programs(state("Classify the old message."), state("Classify the new message with care."))
    assert not diff.identical
    assert "Classify the [-old message.-]{+new message with care.+}" in str(diff)
    page = diff._repr_html_()
    assert re.search(r"<del [^>]*>old message\.</del>", page)
    assert re.search(r"<ins [^>]*>new message with care\.</ins>", page)


def test_texts_that_do_not_resemble_are_shown_one_after_the_other() -> None:
    text = str(diff_programs(state("Do it."), state("Label each message\nwith its intent.")))
    assert "- Do it.\n+ Label each message\n+ with its intent." in text


def test_changes_of_space_alone_are_shown() -> None:
    diff = diff_programs(state("a b"), state("a\nb"))
    assert not diff.identical
    assert "- a b\n+ a\n+ b" in str(diff)
    assert "<ins" in diff._repr_html_()


def test_long_texts_are_compared_by_lines_and_folded() -> None:
    lines = [f"Rule {i}: mind the number {i} and answer as told." for i in range(300)]
    changed = [*lines[:150], "A new rule.", *lines[150:-1]]
    diff = diff_programs(state("\n".join(lines)), state("\n".join(changed)))
    text = str(diff)
    assert "+A new rule." in text
    assert "-Rule 299" in text
    assert len(text.splitlines()) < 15
    page = diff._repr_html_()
    assert re.search(r"<details><summary><strong>instructions</strong>", page)
    assert page.count("<ins") == 1
    parsed(page)


def test_demos_are_counted_and_shown() -> None:
    old = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    new = [{"text": "b", "label": "y"}, {"augmented": True, "text": "c", "label": ["p", "q"], "dspy_uuid": "1"}]
    diff = diff_programs(state("Same.", old), state("Same.", new))
    assert "instructions: unchanged" in str(diff)
    assert "demos: 1 added, 1 removed, 1 kept" in str(diff)
    assert '  + text: c\n    label: ["p","q"]' in str(diff)
    assert "augmented" not in str(diff)
    page = diff._repr_html_()
    for told in ("1 demo added", "1 demo removed", "1 demo kept"):
        assert told in page


def test_a_demo_given_twice_counts_twice() -> None:
    demo = {"text": "a", "label": "x"}
    (predictor,) = diff_programs(state("I.", [demo]), state("I.", [demo, demo])).predictors
    assert (len(predictor.added), len(predictor.kept), len(predictor.removed)) == (1, 1, 0)


def test_order_of_demos_alone_is_no_change() -> None:
    demos = [{"text": "a"}, {"text": "b"}]
    assert diff_programs(state("I.", demos), state("I.", demos[::-1])).identical


def test_field_descriptions_go_by_name() -> None:
    text = str(diff_programs(state("I."), state("I.", label="the intent, one word")))
    assert "description of label\n- ${label}\n+ the intent, one word" in text
    assert "description of text" not in text


def test_each_predictor_has_its_own_part() -> None:
    base = {"first": state("One."), "second": state("Two.")}
    best = {"first": state("One."), "third": state("Three.")}
    diff = diff_programs(base, best)
    assert [p.name for p in diff.predictors] == ["first", "second", "third"]
    assert [p.identical for p in diff.predictors] == [True, False, False]
    assert "[second]\ninstructions\n- Two." in str(diff)
    assert "[third]\ninstructions\n+ Three." in str(diff)
    assert 'aria-label="changes of third"' in diff._repr_html_()


def test_real_states_are_compared() -> None:
    program = dspy.ChainOfThought("text -> label")
    best = program.deepcopy()
    best.predict.signature = best.predict.signature.with_instructions("Label the text.")
    best.predict.demos = [dspy.Example(text="hi", label="greet")]
    text = str(diff_programs(dump_state(program), dump_state(best)))
    assert "Label the text." in text
    assert "+ text: hi" in text


NASTY = "<script>alert(1)</script> & \"quotes\" 'n' <img src=x onerror=alert(1)> </div> “ünï” 漢字 \u202e 🦊"


def test_nothing_given_becomes_markup() -> None:
    base = {"<b>name</b>": state("Plain.", [{"<i>": NASTY}])}
    best = {"<b>name</b>": state(NASTY, [{"text": NASTY}, {"x": {"y": NASTY}}], label=NASTY)}
    page = diff_programs(base, best)._repr_html_()
    seen = parsed(page)
    allowed = {"div", "section", "h4", "p", "strong", "ins", "del", "details", "summary", "ol", "li", "span"}
    assert seen.seen <= allowed
    assert seen.attributes <= {"style", "class", "aria-label", "dir"}
    assert html.escape("ünï” 漢字 \\u202e 🦊") in page


@settings(max_examples=80)
@given(st.text(max_size=120), st.text(max_size=120), st.lists(st.dictionaries(st.text(), st.text()), max_size=3))
def test_any_texts_give_a_sound_page_that_holds_both(before: str, after: str, demos: list[dict[str, str]]) -> None:
    diff = diff_programs(state(before), state(after, demos))
    parsed(diff._repr_html_())
    assert isinstance(str(diff), str)
    if before == after:
        return
    plain = html.unescape(re.sub(r"<[^>]+>", "", diff._repr_html_()))
    for word in (before + " " + after).split():
        assert visible(word) in plain


@pytest.mark.parametrize("theme", ["color:#", "background:#"])
def test_colours_do_not_assume_a_theme(theme: str) -> None:
    page = diff_programs(state("Classify this one."), state("Classify that one."))._repr_html_()
    assert theme not in page.replace("var(--jp-border-color1,#8c8c8c)", "")
    assert "text-decoration:underline" in page
    assert "text-decoration:line-through" in page


def test_side_by_side_each_column_holds_its_program_and_marks_what_is_its_own() -> None:
    base = state("Sort the ticket by team, briefly.", [{"text": "a", "label": "1"}])
    best = state("Sort the ticket by team and urgency.", [{"text": "b", "label": "2"}])
    page = diff_programs(base, best).side_by_side("first <b>", "second")
    parsed(page)
    assert "first &lt;b&gt;" in page
    left, right = page.split('aria-label="first &lt;b&gt;"')[1].split('aria-label="second"')
    assert re.findall(r"<mark[^>]*>(.*?)</mark>", left) == ["team, briefly."]
    assert re.findall(r"<mark[^>]*>(.*?)</mark>", right.split("demos of")[0]) == ["team and urgency."]
    assert "Sort the ticket by" in left
    assert "Sort the ticket by" in right
    assert page.count("1 demo only here") == 2


def test_side_by_side_texts_without_anything_in_common_are_not_marked() -> None:
    page = diff_programs(state("Sort it."), state("Answer in French, please.")).side_by_side("a", "b")
    assert "<mark" not in page
    assert "Answer in French, please." in page
    same = diff_programs(state("Sort it."), state("Sort it.")).side_by_side("a", "b")
    assert same == "<p>identical: same instructions, same demos</p>"
