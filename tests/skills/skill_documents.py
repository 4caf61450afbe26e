"""Documents made up by hypothesis, and where the real ones are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import strategies as st

DATA = Path(__file__).parents[2] / "../shared/data"
needs_data = pytest.mark.skipif(not (DATA / "skills_v2").is_dir(), reason="real skills are not at ../shared/data")

_words = st.text("abcdefgh XYZ.,:#'\"-é漢\t", max_size=30)
_odd_values = [
    *("", "[a, b]", "{a: b}", "|\n  one\n  two", ">\n  folded\n", "&x 1", "*x", "!!str 1", "'quoted'", '"d\\u00e9"'),
    *(
        "- 1",
        "a---b",
        "null",
        "1.0",
        "x" * 1100,
        "\n  k: v\n  l: w",
        "\n- a\n- b",
        "\n  k:\n    l: m",
        "yes # note",
        "\tx",
    ),
]
_values = st.one_of(_words, st.text(max_size=20), st.sampled_from(_odd_values))
_names = st.one_of(st.from_regex(r"[a-z0-9-]{1,70}", fullmatch=True), st.text(max_size=9))
_keys = st.sampled_from(
    ["name", "description", "license", "compatibility", "allowed-tools", "metadata", "version", "<<", "? a", "é", "1"]
)


_PLACES: dict[str, tuple[str, st.SearchStrategy[str]]] = {
    "name": ("pdf-forms", _names),
    "description": ("Use when testing.", _values),
    "comment": ("", st.sampled_from(["# note\n", "# --- note ---\n", "\n", "\t\n", " "])),
    "opening": ("---\n", st.sampled_from(["--- \n", "\n---\n", "---", "", "\ufeff---\n"])),
    "closing": ("---\n", st.sampled_from(["--- \n", "---", "", "...\n", " ---\n"])),
    "body": ("# Title\n", st.sampled_from(["", "---\n", "```python\n", "[a](../b) [c](d.md)\n", "\0"])),
    "newline": ("\n", st.sampled_from(["\r\n", "\r"])),
    "encoding": ("utf-8", st.sampled_from(["cp1252", "utf-16"])),
    "fields": (
        "",
        st.lists(st.tuples(_keys, _values), max_size=2).map(lambda kv: "".join(f"{k}: {v}\n" for k, v in kv)),
    ),
}


@st.composite
def plausible(draw: st.DrawFn) -> bytes:
    """A valid skill made odd in up to two places; some oddities leave it valid."""
    odd = draw(st.sets(st.sampled_from(sorted(_PLACES)), max_size=2))
    at = {place: draw(values) if place in odd else usual for place, (usual, values) in _PLACES.items()}
    entries = f"name: {at['name']}\ndescription: {at['description']}\n{at['fields']}"
    text = f"{at['opening']}{at['comment']}{entries}{at['closing']}{at['body']}"
    return text.replace("\n", at["newline"]).encode(at["encoding"], "replace")


_bits = [
    *(
        b"---",
        b"---\n",
        b"name: a\n",
        b"description: b\n",
        b"metadata:\n  a: b\n",
        b"- " * 40,
        b"%YAML 1.1\n",
        b"!!python/x ",
    ),
    *(
        b"\r\n",
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xc2\x85",
        b"\t",
        b"{",
        b"[",
        b"&a",
        b"*a",
        b"|\n",
        b"'",
        b'"',
        b"#",
    ),
    *(b": ", b"```", b"]("),
]
hostile = st.lists(
    st.one_of(st.sampled_from(_bits), st.text(max_size=8).map(lambda text: text.encode())), max_size=14
).map(b"".join)
_opened = hostile.map(lambda tail: b"---\nname: pdf-forms\n" + tail)
documents = st.one_of(plausible(), plausible(), plausible(), hostile, _opened, st.binary(max_size=60))
