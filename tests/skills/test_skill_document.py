"""Reading and writing: lossless, tolerant, priority of fields, edits in place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import strictyaml
from hypothesis import given, settings
from hypothesis import strategies as st
from skill_documents import DATA, documents, needs_data

from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.skills import Skill, find_skills, outline

if TYPE_CHECKING:
    from pathlib import Path

BASIC = "---\nname: pdf\ndescription: Use when reading PDF files.\n---\n# PDF\n"


@needs_data
def test_every_real_skill_round_trips_and_has_a_name_and_a_body() -> None:
    skills = [*find_skills(DATA / "skills_v1"), *find_skills(DATA / "skills_v2")]
    assert len(skills) == 12
    for skill in skills:
        assert skill.dumps() == skill.path.read_bytes()
        assert skill.name
        assert skill.description
        assert skill.body.strip()
        assert skill.outline.headings
    assert [skill.format for skill in skills] == ["v1"] + ["v2"] * 11


@given(documents)
def test_any_bytes_round_trip_and_can_be_looked_at(raw: bytes) -> None:
    skill = Skill.parse(raw)
    assert skill.dumps() == raw
    assert isinstance(skill.name, str)
    assert skill.provenance().keys() == skill.fields.keys()
    assert skill.style in ("navigation_hub", "comprehensive", "minimal")
    assert len(skill.outline.prose) == len(skill.body.replace("\r\n", "\n"))
    repr(skill)
    assert "<script" not in skill._repr_html_()


@pytest.mark.parametrize(
    "text",
    [
        "---\r\nname: a\r\ndescription: b\r\n---\r\nbody\r\n",
        "---\rname: a\rdescription: b\r---\rbody\r",
        "\ufeff---\nname: a\ndescription: b\n---\nbody",
        "--- \nname: a\ndescription: b\n---",
    ],
)
def test_line_ends_and_marks_are_read_through(text: str) -> None:
    skill = Skill.parse(text)
    assert (skill.name, skill.description) == ("a", "b")
    assert skill.source.text in text


def test_windows_1252_is_read_and_kept() -> None:
    raw = "---\nname: a\ndescription: Use when “quoting”.\n---\n".encode("cp1252")
    skill = Skill.parse(raw)
    assert skill.description == "Use when “quoting”."
    assert skill.with_fields(license="MIT").dumps().startswith(b"---\nname: a\ndescription: Use when \x93quoting\x94.")


def test_fields_come_from_front_matter_then_metadata_json_then_inference() -> None:
    text = "---\ndescription: from front matter\nmetadata:\n  version: 2.0.0\n---\n"
    beside = {"description": "from json", "version": "3.0.0", "skill_id": "a/b/PDF_Forms", "tags": ["x"]}
    skill = Skill.parse(text, metadata_json=json.dumps(beside))
    assert skill.name == "pdf-forms"
    assert skill.description == "from front matter"
    assert skill.metadata == {"version": "2.0.0", "skill_id": "a/b/PDF_Forms", "tags": ["x"], "type": "technical"}
    origin = skill.provenance()
    assert origin["name"] == origin["type"] == "inferred"
    assert origin["description"] == origin["version"] == "front matter"
    assert origin["tags"] == "metadata.json"


def test_broken_yaml_still_shows_name_and_description() -> None:
    skill = Skill.parse("---\nname: pdf\ndescription: Use when: it breaks\n---\n")
    assert (skill.name, skill.description) == ("pdf", "Use when: it breaks")


def test_a_chain_of_aliases_is_not_expanded() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{p}, *{p}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True))
    skill = Skill.parse(f"---\nname: bomb\n{bomb}---\n")
    assert skill.name == "bomb"
    assert len(str(skill.front_matter)) < 1_000


@pytest.mark.parametrize("body", ["x", "\n", "[a]("])
def test_ten_megabytes_are_read(body: str) -> None:
    skill = Skill.parse(BASIC + body * (10_000_000 // len(body)))
    assert skill.name == "pdf"
    assert skill.outline.headings[0].title == "PDF"


@pytest.mark.parametrize(
    "body", ["# \n", "```\n", "references/", "`", "[](x", "[[", " ", "~~~", "](", "[a]: b\n", "a\n---\n"]
)
def test_no_pattern_needs_more_than_linear_time(body: str) -> None:
    # Squared, half a megabyte would take an hour and run into the suite's time limit.
    skill = Skill.parse(BASIC + body * (500_000 // len(body)))
    assert skill.validate().text()


@pytest.mark.parametrize("depth", [90, 150, 450, 900, 100_000])
def test_deep_nesting_does_not_exhaust_the_stack(depth: int) -> None:
    inner = "[" * depth + "]" * depth
    for text in (
        f"---\nname: a\nx: {inner[:60_000]}\n---\n",
        f"---\nname: a\nmetadata:\n  x: '{inner[:60_000]}'\n---\n",
    ):
        skill = Skill.parse(text, metadata_json=f'{{"x": {inner}}}')
        assert skill.name == "a"
        assert skill.validate().text()


def test_outline_knows_code_from_headings_and_links() -> None:
    body = (
        "# One #\n~~~ {.python}\n# code\n```\n~~~\n## Two\n[a](references/a.md#x) `[no](b.md)` ![i](assets/i.png)\n"
        "See `scripts/run.sh` and https://x.org/references/no.md.\n[ref]: guides/g.md\n```bash\nopen"
    )
    found = outline(body, first_line=10)
    assert [(h.level, h.title, h.line) for h in found.headings] == [(1, "One", 10), (2, "Two", 15)]
    assert [(b.language, b.text, b.line, b.closed) for b in found.code_blocks] == [
        ("python", "# code\n```\n", 11, True),
        ("bash", "open", 19, False),
    ]
    assert found.references() == ("references/a.md", "assets/i.png", "scripts/run.sh", "guides/g.md")
    assert "code" not in found.prose


def test_load_takes_a_folder_or_a_file_and_says_what_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "pdf"
    folder.mkdir()
    with pytest.raises(NotFoundError, match=r"no SKILL\.md in"):
        Skill.load(folder)
    (folder / "SKILL.md").write_text(BASIC)
    (folder / "other.md").write_text(BASIC)
    assert Skill.load(folder) == Skill.load(folder / "SKILL.md")
    with pytest.raises(InputError, match=r"is not a SKILL\.md"):
        Skill.load(folder / "other.md")
    for missing in (tmp_path / "none", "a\0b"):
        with pytest.raises((NotFoundError, InputError)):
            Skill.load(missing)


def test_find_skills_skips_hidden_folders_and_does_not_follow_links(tmp_path: Path) -> None:
    for place in ("b", "a/deep", ".hidden/c"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "SKILL.md").write_text(BASIC)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [skill.folder.name for skill in find_skills(tmp_path)] == ["deep", "b"]


# --- edits

RICH = """---
# above
name: "pdf"   # the name
description: >-  # folded
  Use when reading
  PDF files.

license:
metadata:
    version: 1.0.0  # v
    # between
    tags: [a, b]
# below
extra: kept
allowed-tools:  # tools
  - Read  # one
---
# Body ---
"""


def test_edits_touch_one_value_and_keep_everything_else() -> None:
    skill = Skill.parse(RICH.replace("\n", "\r\n"))
    edited = skill.with_fields(name="pdf-forms", license="MIT", version="2.0.0", author="me", extra="new")
    expected = (
        RICH.replace('"pdf" ', "pdf-forms ")
        .replace("license:\n", "license: MIT\n")
        .replace("version: 1.0.0", "version: 2.0.0")
        .replace("tags: [a, b]\n", "tags: [a, b]\n    author: me\n")
        .replace("extra: kept", "extra: new")
    )
    assert edited.source.text == expected.replace("\n", "\r\n")
    assert skill.source.text == RICH.replace("\n", "\r\n")


def test_replacing_a_block_keeps_its_comments() -> None:
    edited = Skill.parse(RICH).with_fields(description="Short.", allowed_tools=["Read", "Bash"])
    assert edited.front_matter["description"] == "Short."
    assert edited.front_matter["allowed-tools"] == "Read Bash"
    assert [c for c in ("# folded", "# tools", "# one", "# above", "# below") if c not in edited.source.text] == []


def test_none_removes_a_field_and_the_metadata_that_becomes_empty() -> None:
    skill = Skill.parse("---\nname: a\nmetadata:\n  x: 1\n---\n").with_fields(x=None)
    assert skill.source.text == "---\nname: a\n---\n"


def test_a_document_without_front_matter_gets_one() -> None:
    skill = Skill.parse("# Title\n").with_fields(name="a", description="b")
    assert skill.source.text == "---\nname: a\ndescription: b\n---\n\n# Title\n"


@pytest.mark.parametrize("matter", ["name: [", "name: a\nname: b", "- a", "{name: a}"])
def test_front_matter_that_cannot_be_edited_is_refused(matter: str) -> None:
    with pytest.raises(InputError, match="cannot be edited"):
        Skill.parse(f"---\n{matter}\n---\n").with_fields(name="c", description="d")


def test_half_a_surrogate_pair_is_read_and_refused_as_a_value() -> None:
    assert Skill.parse("---\nname: \ud800\n---\n").source.encoding != "utf-8"
    with pytest.raises(InputError, match="surrogate"):
        Skill.parse(BASIC).with_fields(license="\udfff")


_text = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.text("-:# '\"[]{}ab\n\t1.", max_size=20)
)
_fields = st.dictionaries(
    st.sampled_from(["name", "description", "license", "version", "author", "x: y"]), _text, max_size=4
)


@settings(max_examples=settings().max_examples)
@given(
    st.sampled_from([BASIC, RICH, RICH.replace("\n", "\r\n"), "# none\n", BASIC.replace("---\n#", "---\r\n#")]), _fields
)
def test_whatever_is_set_is_read_back_by_us_and_by_strict_yaml(text: str, fields: dict[str, str]) -> None:
    skill = Skill.parse(text)
    edited = skill.with_fields(fields)
    for key, value in fields.items():
        place = edited.front_matter if key in edited.front_matter else edited.front_matter["metadata"]
        assert place[key] == value
    assert edited.body.lstrip() == skill.body.lstrip()
    untouched = {k: v for k, v in skill.front_matter.items() if k not in fields and k != "metadata"}
    assert untouched.items() <= edited.front_matter.items()
    if fields and "tags: [" not in text:
        assert "---" not in edited.source.front_matter
        assert strictyaml.load(edited.source.front_matter).data == edited.front_matter
