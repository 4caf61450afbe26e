"""One way to read an example: answers first, images and sound as such, code and direction kept, long texts folded."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import dspy
import pytest

from skillfleet_nb.example import answer_in_words, example_html, in_words, response_fields, single
from skillfleet_nb.store import Home
from skillfleet_nb.store.blobs import Blobs

if TYPE_CHECKING:
    from pathlib import Path

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
URI = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
WAV = base64.b64encode(b"RIFF0000WAVE" + bytes(40)).decode()


def test_an_answer_is_before_its_reasoning() -> None:
    page = str(example_html({"reasoning": "It says broken.", "intent": "bug"}))
    assert page.index("bug") < page.index("It says broken.")
    assert answer_in_words('{"reasoning":"why","label":"x"}') == "label: x · reasoning: why"
    said = "[[ ## reasoning ## ]]\nIt says broken.\n\n[[ ## intent ## ]]\nbug\n\n[[ ## completed ## ]]\n"
    assert in_words(response_fields(said)) == "intent: bug · reasoning: It says broken."
    assert (single({"intent": "bug"}), answer_in_words(None), response_fields("plain")) == (
        "bug",
        "",
        {"answer": "plain"},
    )


def test_images_and_sound_are_shown_where_they_are_at_hand_and_told_elsewhere(tmp_path: Path) -> None:
    fields = {"picture": dspy.Image(URI), "sound": dspy.Audio(data=WAV, audio_format="wav"), "text": f"see {URI}"}
    assert (
        in_words(fields)
        == "picture: image (PNG, 70 bytes) · sound: audio (WAV, 52 bytes) · text: see image (PNG, 70 bytes)"
    )
    page = str(example_html(fields, Blobs(Home.find(tmp_path / "home")).read))
    assert page.count(f"src='{URI}'") == 2
    assert f"<audio controls title='audio (WAV, 52 bytes)' src='data:audio/wav;base64,{WAV}'>" in page
    assert "<img" not in str(example_html(fields))
    # as the journal keeps it
    kept = Blobs(Home.find(tmp_path / "home")).taken_out(str(fields["picture"]).encode()).decode()
    assert "blob:image/png" in kept
    assert f"src='{URI}'" in str(example_html({"picture": kept}, Blobs(Home.find(tmp_path / "home")).read))
    assert in_words({"picture": kept}) == "image (PNG, 70 bytes)"
    elsewhere = dspy.Image("https://example.org/a.png")
    assert "src=" not in str(example_html({"picture": elsewhere}, Blobs(Home.find(tmp_path / "home")).read)), (
        "a page asks for nothing"
    )


def test_a_conversation_has_turns() -> None:
    history = dspy.History(messages=[{"question": f"q{n}", "answer": f"a{n}"} for n in range(6)])
    page = str(example_html({"history": history}))
    assert page.count("<li>") == 6
    assert "<summary dir='auto'>6 turns</summary>" in page
    assert in_words({"history": history}) == "6 turns, the last: question: q5 · answer: a5"


def test_code_keeps_its_lines_and_each_text_its_direction() -> None:
    page = str(example_html({"answer": "so:\n```python\nfor a in b:\n    c\n```\n\u0645\u0631\u062d\u0628\u0627"}))
    assert re.search(r"<pre dir='ltr'[^>]*>for a in b:\n    c\n</pre>", page)
    assert "<div dir='auto' style='white-space:pre-wrap'>\u0645\u0631\u062d\u0628\u0627</div>" in page


def test_what_is_long_is_folded_with_its_beginning() -> None:
    text = "word " * 400
    page = str(example_html({"text": text}))
    assert "… (2,000 characters)</summary>" in page
    assert text.strip() in page
    assert "<details" not in str(example_html({"text": "word " * 100}))


@pytest.mark.parametrize(
    "value", ["<img src=x onerror=alert(1)>", {"a": "<b>"}, ["<b>"], "data:image/x' onerror='1;base64,AAAA"]
)
def test_whatever_it_holds_is_text(value: object, tmp_path: Path) -> None:
    page = str(example_html({"<i>": value, "answer": [1, None, {"k": 2.5}]}, Blobs(Home.find(tmp_path / "home")).read))
    assert not re.search(r"<(img|b|i)[ >]", page)
