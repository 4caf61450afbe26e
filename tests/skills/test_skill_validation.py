"""Verdicts equal to skills-ref's; our rules under their codes; reports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import skills_ref
from hypothesis import example, given, settings
from skill_documents import DATA, documents, needs_data

from skillfleet_nb.errors import NotFoundError
from skillfleet_nb.skills import Report, Skill, find_skills, migrate, validate_tree

GOOD = """---
name: pdf
description: Reads PDF files. Use when a PDF has to be read.
---
# PDF

## Overview
Reads.

## When to Use
Now.

## Quick Start
```bash
pdf read
```
"""


def reference_says_yes(folder: Path) -> bool:
    try:
        return not skills_ref.validate(folder)
    except Exception:  # noqa: BLE001  it did not say yes
        return False


def agree(folder: Path, raw: bytes) -> Report:
    (folder / "SKILL.md").write_bytes(raw)
    report = Skill.load(folder).validate()
    assert report.conformant == reference_says_yes(folder)
    assert report.text()
    return report


@needs_data
def test_real_skills_get_the_verdict_of_skills_ref() -> None:
    skills = [*find_skills(DATA / "skills_v1"), *find_skills(DATA / "skills_v2")]
    verdicts = {skill.folder.name: skill.validate().conformant for skill in skills}
    assert verdicts == {skill.folder.name: reference_says_yes(skill.folder) for skill in skills}
    assert sum(verdicts.values()) == 8


@pytest.fixture(scope="module")
def pdf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("skills") / "pdf-forms"
    folder.mkdir()
    return folder


@given(raw=documents)
@example(raw=b"---\nname: pdf-forms\ndescription: a --- b\n---\n")
@example(raw=b"---\nname: pdf-forms\ndescription: [\n" + b"- " * 3000)
@example(raw=b"---\n? - a\n: b\n---\n")
def test_made_up_documents_get_the_verdict_of_skills_ref(pdf_folder: Path, raw: bytes) -> None:
    agree(pdf_folder, raw)


def test_hundreds_of_documents_get_the_verdict_of_skills_ref(pdf_folder: Path) -> None:
    verdicts: list[bool] = []

    @settings(max_examples=4 * settings().max_examples)
    @given(raw=documents)
    def check(raw: bytes) -> None:
        verdicts.append(agree(pdf_folder, raw).conformant)

    check()
    # Documents that are all refused would show nothing about the others.
    assert sum(verdicts) > len(verdicts) / 20


HEAD = "---\nname: pdf-forms\ndescription: Use when x.\n"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("# no front matter\n", "SR001"),
        ("\ufeff" + HEAD + "---\n", "SR001"),
        (HEAD, "SR002"),
        (HEAD + "allowed-tools: [a]\n---\n", "SR003"),
        (HEAD + "license: a\nlicense: b\n---\n", "SR003"),
        (HEAD + "license: &a b\n---\n", "SR003"),
        (HEAD + "license:\tb: c\n---\n", "SR003"),
        (HEAD + "license: b: c\n---\n", "SR003"),
        ("---\njust text\n---\n", "SR004"),
        (HEAD + "version: 1\n---\n", "SR005"),
        ("---\ndescription: Use when x.\n---\n", "SR006"),
        (HEAD.replace("pdf-forms", "a" * 65) + "---\n", "SR007"),
        (HEAD.replace("pdf-forms", "Pdf-forms") + "---\n", "SR008"),
        (HEAD.replace("pdf-forms", "pdf--forms") + "---\n", "SR009"),
        (HEAD.replace("pdf-forms", "pdf_forms") + "---\n", "SR010"),
        (HEAD.replace("pdf-forms", "other") + "---\n", "SR011"),
        ("---\nname: pdf-forms\n---\n", "SR012"),
        (HEAD.replace("x.", "x" * 1024) + "---\n", "SR013"),
        (HEAD + f"compatibility: {'x' * 501}\n---\n", "SR014"),
        (b"---\nname: pdf-forms\ndescription: \x93\n---\n", "SR016"),
        (HEAD + "license: \x00\n---\n", "SR018"),
    ],
)
def test_each_reason_of_skills_ref_has_its_code(pdf_folder: Path, raw: str | bytes, code: str) -> None:
    report = agree(pdf_folder, raw if isinstance(raw, bytes) else raw.encode())
    assert code in {finding.code for finding in report.errors}
    assert not report.conformant


@pytest.mark.parametrize(
    ("encoding", "fix"), [("cp1252", "Save it as UTF-8; migrate does it."), ("utf-16", "Save it as UTF-8.")]
)
def test_migrate_is_named_where_it_makes_a_file_utf_8(pdf_folder: Path, encoding: str, fix: str) -> None:
    (pdf_folder / "SKILL.md").write_bytes((HEAD.replace("x.", "“x”.") + "---\n").encode(encoding))
    (finding,) = (one for one in Skill.load(pdf_folder).validate().findings if one.code == "SR016")
    assert finding.fix == fix
    assert (migrate(pdf_folder).blocked is None) is ("migrate" in fix)


def test_front_matter_beyond_the_bound_is_not_read() -> None:
    report = Skill.parse(HEAD + f"license: {'x ' * 40_000}\n---\n").validate()
    assert "SR017" in {finding.code for finding in report.errors}


def test_a_good_skill_has_no_findings(tmp_path: Path) -> None:
    report = Skill.parse(GOOD, tmp_path / "pdf").validate(strict=True)
    assert report.findings == ()
    assert report.ok
    assert report.conformant


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("Reads.\n", "Reads\x00\n", "SF101"),
        ("Reads.\n", "Reads.\r\n", "SF102"),
        ("Reads PDF", "Reads---PDF", "SF104"),
        ("Use when a PDF has to be read.", "", "SF201"),
        ("## When to Use", "## Other", "SF301"),
        ("## Overview", "## Other", "SF302"),
        ("## Quick Start", "## Other", "SF303"),
        ("Reads.\n", "Reads.\n" * 500, "SF304"),
        ("Reads.\n", "Reads. " * 1_200, "SF305"),
        ("pdf read\n```\n", "pdf read\n", "SF306"),
        ("---\n# PDF", "metadata:\n  skill_style: comprehensive\n---\n# PDF", "SF307"),
        ("Now.", "[n](references/none.md)", "SF402"),
        ("Now.", "[n](../outside.md)", "SF403"),
        ("Now.", "[n](/etc/passwd)", "SF403"),
        ("Now.", "[n](references/%2e%2e/../../x)", "SF403"),
        ("Now.", "[n](references/a%00b)", "SF403"),
        ("Now.", f"[n](references/{'x' * 400})", "SF402"),
        ("Now.", "see `scripts/none.py`", "SF404"),
    ],
)
def test_each_rule_finds_what_it_is_for_and_leaves_conformance_alone(
    tmp_path: Path, old: str, new: str, code: str
) -> None:
    assert old in GOOD
    report = Skill.parse(GOOD.replace(old, new, 1), tmp_path / "pdf").validate()
    assert [finding.code for finding in report.findings] == [code]
    assert report.conformant
    assert report.findings[0].fix


def test_line_numbers_point_at_the_place(tmp_path: Path) -> None:
    text = GOOD.replace("Now.", "[n](references/none.md)").replace("name: pdf", "name: PDF")
    lines = {finding.code: finding.line for finding in Skill.parse(text, tmp_path / "pdf").validate().findings}
    assert lines["SR008"] == 2
    assert lines["SF402"] == 11


def test_links_that_leave_the_folder_on_disk_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "pdf"
    (folder / "references").mkdir(parents=True)
    (folder / "odd").mkdir()
    (tmp_path / "secret.md").write_text("s")
    (folder / "references" / "a.md").symlink_to(tmp_path / "secret.md")
    (folder / "references" / "loop.md").symlink_to(folder / "references" / "loop.md")
    (folder / "SKILL.md").write_text(GOOD + "[a](references/a.md) [l](references/loop.md)\n")
    found = Skill.load(folder).validate().findings
    assert [(f.code, f.severity) for f in found] == [("SF401", "error"), ("SF403", "error"), ("SF403", "error")]
    (folder / "SKILL.md").rename(tmp_path / "SKILL.md")
    (folder / "SKILL.md").symlink_to(tmp_path / "SKILL.md")
    assert "SF103" in {f.code for f in Skill.load(folder).validate().findings}


def v1_codes(tmp_path: Path, content: str | None) -> set[str]:
    skill = Skill.parse(GOOD, tmp_path / "pdf", metadata_json=content)
    return {finding.code for finding in skill.validate("v1").findings}


def test_v1_rules_look_at_metadata_json(tmp_path: Path) -> None:
    good = {"skill_id": "a/pdf", "version": "1.0.0", "type": "technical", "weight": "medium", "tags": []}
    assert v1_codes(tmp_path, json.dumps(good)) == set()
    assert v1_codes(tmp_path, None) == {"SF501"}
    for broken in ("[]", "{", "\ufeff{", "[" * 100_000):
        assert v1_codes(tmp_path, broken) == {"SF502"}
    assert v1_codes(tmp_path, "{}") == {"SF503"}
    assert v1_codes(tmp_path, json.dumps({**good, "capabilities": "x"})) == {"SF504"}
    assert v1_codes(tmp_path, json.dumps({**good, "type": "magic"})) == {"SF505"}
    assert v1_codes(tmp_path, json.dumps({**good, "version": "1"})) == {"SF506"}
    assert v1_codes(tmp_path, json.dumps({**good, "name": "other"})) == {"SF507"}


def test_reports_read_as_text_html_and_json(tmp_path: Path) -> None:
    report = Skill.parse(GOOD.replace("Now.", "[n](<script>.md)[m](a&b.md)"), tmp_path / "pdf").validate()
    assert Report.model_validate_json(report.model_dump_json(exclude={"ok", "conformant"})) == report
    assert json.loads(report.model_dump_json())["conformant"] is True
    html = report._repr_html_()
    assert "a&amp;b.md" in html
    assert "a&b.md" not in html
    assert "SF402" in report.text()
    assert "fix:" in report.text()


def test_strict_counts_warnings(tmp_path: Path) -> None:
    skill = Skill.parse(GOOD.replace("## Quick Start", "## Other"), tmp_path / "pdf")
    assert skill.validate().ok
    assert not skill.validate(strict=True).ok


def test_a_tree_is_ok_when_every_skill_is(tmp_path: Path) -> None:
    for name in ("pdf", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "pdf" / "SKILL.md").write_text(GOOD)
    assert validate_tree(tmp_path).ok
    (tmp_path / "other" / "SKILL.md").write_text(GOOD)
    tree = validate_tree(tmp_path)
    assert not tree.ok
    assert "1 ok" in tree.text()
    assert "SR011" in tree._repr_html_()
    (tmp_path / "empty").mkdir()
    for root, format_, message in ((tmp_path, "v3", "unknown format"), (tmp_path / "empty", "v2", "no SKILL")):
        with pytest.raises(NotFoundError, match=message):
            validate_tree(root, format_)


def test_every_code_is_documented_and_every_documented_code_exists() -> None:
    root = Path(__file__).parents[2]
    sources = "".join(path.read_text("utf-8") for path in (root / "skillfleet_nb" / "skills").glob("*.py"))
    table = (root / "docs" / "skills.md").read_text("utf-8")
    assert set(re.findall(r'"(S[RF]\d{3})"', sources)) == set(re.findall(r"^\| (S[RF]\d{3}) \|", table, re.MULTILINE))
