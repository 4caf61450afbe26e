"""One function makes text visible, and what it returns can stand on any surface."""

from __future__ import annotations

import re
import sys

from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from skillfleet_nb.commands.views import as_text
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import visible
from skillfleet_nb.html import fill, join, table, text_table

# Char of XML 1.0, fifth edition, 2.2.
XML = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
# Allowed by XML, and yet unseen or acting on whoever shows them: a return, controls, marks of direction, separators.
ACTING = {"\r", *map(chr, (*range(0x7F, 0xA0), 0x61C, *range(0x200E, 0x2010), *range(0x2028, 0x202F)))}
ACTING |= {chr(code) for code in range(0x2066, 0x206A)}


def test_of_all_characters_exactly_those_pass_that_xml_allows_and_a_reader_sees() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1)]
    passing = {char for char in every if visible(char) == char}
    assert passing == {char for char in every if XML.fullmatch(char)} - ACTING


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_a_visible_text_holds_nothing_else_and_is_made_once(text: str) -> None:
    shown = visible(text)
    assert XML.fullmatch(shown)
    assert not ACTING & set(shown)
    assert visible(shown) == shown
    shown.encode()


HOSTILE = "a\x1b]0;title\ab\u202ec\x9b31m"


def test_no_surface_passes_an_escape_on() -> None:
    shown = visible(HOSTILE)
    assert shown == "a␛]0;title␇b\\u202ec\\u009b31m"
    for surface in (
        as_text(HOSTILE),
        str(InputError(f"no such thing: {HOSTILE}")),
        text_table(["name"], [[HOSTILE]]),
        fill("<b>{}</b>", HOSTILE),
        join([HOSTILE]),
        table(["name"], [[HOSTILE]]),
    ):
        assert shown in surface
        assert not re.search("[\x1b\a\u202e\x9b]", surface)


def test_a_pieces_own_markup_stays() -> None:
    assert fill("{}", fill("<i>{}</i>", "\a")) == "<i>␇</i>"


def test_names_of_a_home_are_shown_visibly_in_a_notebook(capsys: object) -> None:
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    answer = shell.run_line_magic("skillfleet", 'sql "select \'a\' || chr(27) || \'[2J\' as ""b\u202ec"""')
    bundle, _ = shell.display_formatter.format(answer)
    for text in bundle.values():
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "␛[2J" in text
