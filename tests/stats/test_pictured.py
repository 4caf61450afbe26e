"""A drawing among HTML becomes a picture, which a page that trusts nothing shows as well."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from skillfleet_nb.design import INK
from skillfleet_nb.html import fill, pictured

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]))


def test_what_a_page_says_around_a_drawing_stays() -> None:
    assert pictured("<p>5 < 6</p>") == "<p>5 < 6</p>"
    shown = pictured("<p>a</p><svg viewBox='0 0 9 9' width='9'><text>0.5</text></svg><p>b</p><svg><path d='M0'/></svg>")
    picture = "<img alt='chart' src='data:image/svg+xml;…'"
    assert re.sub("base64,[^']+", "…", shown) == f"<p>a</p>{picture} width='9'><p>b</p>{picture}>"


@given(label=TEXTS, said=TEXTS)
def test_a_picture_is_a_drawing_of_its_own_with_its_ink_and_words(label: str, said: str) -> None:
    drawn = fill("<svg aria-label='{}' font-family='serif' fill='currentColor'><text>{}</text></svg>", label, said)
    [source] = re.findall("base64,([^']+)'", pictured(drawn))
    svg = ET.fromstring(base64.b64decode(source))  # noqa: S314  ours
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert (svg.get("color"), svg.get("font-family"), svg.get("fill")) == (INK, "serif", "currentColor")
    assert svg[0].text == (said or None)
    assert pictured(pictured(drawn)) == pictured(drawn)
