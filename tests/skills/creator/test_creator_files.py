"""Drafts become documents, and documents files: nothing is added, nothing is overwritten, nothing leaves the root."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from writers import BODY, HEADINGS, KEYS

from skillfleet_nb.errors import InputError
from skillfleet_nb.skills import Skill, find_skills
from skillfleet_nb.skills.creator import Draft, SkillPlan, write_skill
from skillfleet_nb.skills.creator.draft import judged

if TYPE_CHECKING:
    from pathlib import Path


def _plan(**changes: object) -> SkillPlan:
    given = {"name": "rotate-api-keys", "description": KEYS, "taxonomy_path": "security/x", "style": "comprehensive"}
    return SkillPlan.of(KEYS, **{"keywords": ["keys"], **given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        f"```markdown\n{BODY}\n```",
        f"---\nname: other\n---\n# Own title\n\n{BODY}",
        BODY.replace("\n", "\r\n"),
    ],
)
def test_what_a_model_wraps_around_a_body_is_taken_off(body: str) -> None:
    draft = Draft.of_body(_plan(), body)
    assert [part.heading for part in draft.parts] == HEADINGS
    assert draft.skill.name == "rotate-api-keys"
    assert draft.files["SKILL.md"].count("\n# ") == 1


def test_a_heading_within_code_is_no_section() -> None:
    draft = Draft.of_body(
        _plan(), "Before it.\n\n## One\n\n```sh\n## not a heading\nls -la now\n```\n\n## Two\n\nThe second one."
    )
    assert [part.heading for part in draft.parts] == ["One", "Two"]
    assert draft.opening == "Before it."


def test_sections_that_repeat_another_are_left_out_and_told() -> None:
    draft = Draft.of_body(_plan(), "## One\n\nSay this once only.\n\n## Two\n\nSay this: once, only!\n\n## Three\n\n")
    assert [part.heading for part in draft.parts] == ["One"]
    assert draft.dropped == ("section 'Two' says what 'One' says", "section 'Three' is empty")


@pytest.mark.parametrize("name", ["Rotate API keys!", "../../etc/passwd", "", "---", "x" * 200, "\ud800keys"])
@pytest.mark.parametrize("about", ["", "--- a: b\nc", "\ud800 half", "é" * 2_000, "'quoted' \"both\""])
def test_front_matter_is_conformant_whatever_a_model_says(tmp_path: Path, name: str, about: str) -> None:
    draft = Draft.of_body(_plan(name=name, description=about), BODY)
    folder = write_skill(draft.files, tmp_path).folder
    assert Skill.load(folder).validate("v2").conformant
    assert folder.parent == tmp_path


def test_a_hub_leads_to_files_that_are_there_and_keeps_what_is_short(tmp_path: Path) -> None:
    long = "\n".join(f"{n}. Deploy the second key to caller {n}, and watch the log for an hour." for n in range(1, 9))
    more = f"## Callers\n\n{long}\n\n## Logs\n\n{long.replace('caller', 'region')}"
    draft = Draft.of_body(_plan(style="navigation_hub"), f"{BODY}\n\n{more}")
    assert sorted(draft.files) == ["SKILL.md", "references/callers.md", "references/logs.md"]
    kept = [part.heading for part in draft.parts if f"## {part.heading}\n" in draft.files["SKILL.md"]]
    assert kept == HEADINGS
    skill = Skill.load(write_skill(draft.files, tmp_path).folder)
    assert [f.code for f in skill.validate("v2").errors] == []


@pytest.mark.parametrize(
    ("written", "stands"),
    [
        ("See [the guide](guide.md#top) and ![a map](../map.png 'Map').", "See the guide and a map."),
        ("See [callers](references/callers.md).", "See [callers](references/callers.md)."),
        ("Ask [them](https://example.org/a.md), or `[no](link.md)`.", None),
        ("```sh\ncat [no](link.md)\n```\n\nSay `x` to [one](a%20b.md)s, [two] (b.md).", "[two] (b.md)."),
    ],
)
def test_a_link_to_a_file_that_the_skill_does_not_hold_is_its_text(
    tmp_path: Path, written: str, stands: str | None
) -> None:
    long = "\n".join(f"{n}. Deploy the second key to caller {n}, see [logs](logs.md)." for n in range(1, 12))
    body = f"{BODY}\n\n{written}\n\n## Callers\n\n{long}\n\n## Logs\n\n{long.replace('caller', 'region')}"
    draft = Draft.of_body(_plan(style="navigation_hub"), body)
    assert (stands or written) in draft.files["SKILL.md"]
    assert ("[no](link.md)" in written) is ("[no](link.md)" in draft.files["SKILL.md"])
    assert "[logs](logs.md)" in draft.files["references/callers.md"]
    skill = Skill.load(write_skill(draft.files, tmp_path).folder)
    assert [f.code for f in skill.validate("v2").errors] == []


def test_a_draft_on_something_else_is_told() -> None:
    off = "## Overview\n\nBake bread slowly at home.\n\n## When to Use\n\n- On Sundays with guests."
    assert any("says nothing of" in finding for finding in judged(Draft.of_body(_plan(), off), KEYS).findings)
    assert judged(Draft.of_body(_plan(), BODY), KEYS).findings == ()


def _files(text: str = "Rotate keys often.") -> dict[str, str]:
    return Draft.of_body(_plan(), f"{BODY}\n\n## More\n\n{text}").files


def test_a_skill_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    first = write_skill(_files(), tmp_path)
    before = (first.folder / "SKILL.md").read_bytes()
    second = write_skill(_files("Another text it is."), tmp_path)
    assert second.folder.name == "rotate-api-keys-2"
    assert (first.folder / "SKILL.md").read_bytes() == before
    assert Skill.load(second.folder).validate("v2").conformant
    assert write_skill(_files(), tmp_path) == first  # again after a crash: no third one
    assert write_skill(_files("Another text it is."), tmp_path) == second
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rotate-api-keys", "rotate-api-keys-2"]


def test_force_replaces_after_a_backup_and_leaves_other_files(tmp_path: Path) -> None:
    first = write_skill(_files(), tmp_path)
    before = (first.folder / "SKILL.md").read_bytes()
    (first.folder / "own.txt").write_text("mine")
    again = write_skill(_files("Another text it is."), tmp_path, force=True)
    assert again.folder == first.folder
    assert again.backup is not None
    assert (again.backup / "SKILL.md").read_bytes() == before
    assert (first.folder / "own.txt").read_text() == "mine"


def test_nothing_is_written_outside_of_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "skills", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    for path in ("../x.md", "/tmp/x.md", "references/../../x.md"):  # noqa: S108  refused
        with pytest.raises(InputError, match="leads out"):
            write_skill({**_files(), path: "x"}, root)
    (root / "rotate-api-keys").symlink_to(outside, target_is_directory=True)
    with pytest.raises(InputError, match="no folder of its own"):
        write_skill(_files(), root, force=True)
    assert write_skill(_files(), root).folder.name == "rotate-api-keys-2"
    assert list(outside.iterdir()) == []


def test_a_root_that_is_no_folder_of_skills_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(InputError, match="is a file"):
        write_skill(_files(), file)
    one = write_skill(_files(), tmp_path / "new" / "root").folder
    with pytest.raises(InputError, match="is a skill itself"):
        write_skill(_files(), one)


_ENDS_MIDWAY = """
import os, sys
from skillfleet_nb.skills import _files
from skillfleet_nb.skills.creator import write_skill
write = _files.write
def written_half(path, content):
    write(path, content[:9])
    os._exit(9)
_files.write = written_half
write_skill({"SKILL.md": sys.argv[1]}, sys.argv[2])
"""


def test_what_a_killed_process_left_behind_is_gone_once_the_skill_is_written(tmp_path: Path) -> None:
    files = Draft.of_body(_plan(), BODY).files
    ended = subprocess.run([sys.executable, "-c", _ENDS_MIDWAY, files["SKILL.md"], str(tmp_path)], check=False)
    assert ended.returncode == 9
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == [".new"]
    assert list(find_skills(tmp_path)) == []
    assert write_skill(files, tmp_path).folder == tmp_path / "rotate-api-keys"
    assert [path.name for path in tmp_path.iterdir()] == ["rotate-api-keys"]
