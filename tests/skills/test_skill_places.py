"""Skills as repositories hold them, and as their hosts find and read them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.skills import Skill, find_skills, migrate, migrate_tree, validate_tree
from skillfleet_nb.skills.hosts import HOSTS

DOCUMENT = Path(__file__).parents[2] / "docs" / "skills.md"
MATTER = "---\nname: {}\ndescription: Use when a {} has to be made.\n{}---\n# Make it\n"


def put(folder: Path, fields: str = "", name: str | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(MATTER.format(name or folder.name, name or folder.name, fields), "utf-8")
    return folder


def found(root: Path) -> list[str]:
    return [skill.folder.relative_to(root).as_posix() for skill in find_skills(root) if skill.folder]


PLACES = [
    *(f"{place}/a" for host in HOSTS for place in host.folders),
    ".skills/a",
    ".github/plugins/p/skills/a",
    "plugins/p/skills/a",
    "skills/.curated/a",
    "packages/x/.claude/skills/group/a",
]


@pytest.mark.parametrize("place", dict.fromkeys(PLACES))
def test_skills_are_found_wherever_hosts_look_for_them(tmp_path: Path, place: str) -> None:
    put(tmp_path / place)
    assert found(tmp_path) == [place]
    assert len(validate_tree(tmp_path).reports) == 1


def test_a_home_folder_is_named_as_people_write_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "skills" / "a", fields="tags: [x]\n")
    put(tmp_path / "~draft")
    assert Skill.load("~/skills/a").path == tmp_path / "skills" / "a" / "SKILL.md"
    assert Skill.parse("---\nname: b\n---\n", "~/skills/b").path == tmp_path / "skills" / "b" / "SKILL.md"
    assert [skill.name for skill in find_skills("~/skills")] == ["a"]
    assert {skill.name for skill in find_skills(".")} == {"a", "~draft"}
    assert validate_tree("~/skills").root == str(tmp_path / "skills")
    assert [one.changed for one in migrate_tree("~/skills", apply=True).migrations] == [True]
    assert not migrate("~/skills/a").changed
    for name in (Skill.load, validate_tree, migrate_tree, migrate):
        with pytest.raises(InputError, match="there is no user 'nobody-here' here; give ~/… or the whole path"):
            name("~nobody-here/skills")


def test_a_skill_that_cannot_be_read_is_told_before_any_is_migrated(tmp_path: Path) -> None:
    good = put(tmp_path / "a", fields="tags: [x]\n") / "SKILL.md"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "SKILL.md").symlink_to(tmp_path / "gone")
    before = good.read_bytes()
    with pytest.raises(NotFoundError, match=r"no SKILL\.md in"):
        migrate_tree(tmp_path, apply=True)
    assert good.read_bytes() == before
    report = validate_tree(tmp_path)
    assert ([one.name for one in report.reports], report.ok, report.conformant) == (["a"], False, False)
    assert re.search(r"\ncould not read b: no SKILL\.md in .*\n1 skill in .*: 0 ok, 0 valid agent", str(report))
    assert "could not read b: " in report.html()
    with pytest.raises(NotFoundError, match=r"no SKILL\.md in"):
        validate_tree(tmp_path / "b")
    (tmp_path / "b" / "SKILL.md").unlink()
    assert [one.applied for one in migrate_tree(tmp_path, apply=True).migrations] == [True]


@pytest.mark.parametrize("place", [".git/a", ".venv/lib/a", "node_modules/p/skills/a", ".claude/worktrees/w/skills/a"])
def test_copies_and_other_peoples_code_are_not_looked_into(tmp_path: Path, place: str) -> None:
    put(tmp_path / place)
    assert found(tmp_path) == []


def test_skills_that_no_host_reads_are_named(tmp_path: Path) -> None:
    put(tmp_path / "skills" / "a")
    put(tmp_path / ".drafts" / "deep" / "b")
    report = validate_tree(tmp_path)
    assert [r.name for r in report.reports] == ["a"]
    assert report.notes == (".drafts/deep/b: no host reads skills there",)
    assert "left out: .drafts/deep/b: no host reads skills there" in report.text()
    assert ".drafts/deep/b" in str(report.html())
    (tmp_path / "skills" / "a" / "SKILL.md").unlink()
    with pytest.raises(NotFoundError, match=r"no SKILL.md under .*; .drafts/deep/b: no host reads"):
        validate_tree(tmp_path)


def test_links_to_folders_are_followed_and_each_folder_is_taken_once(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    put(repo / "skills" / "a")
    shared = put(tmp_path / "shared" / "b").parent
    put(tmp_path / "elsewhere" / "deep" / "down" / "c")
    (repo / ".claude").mkdir()
    (repo / ".claude" / "skills").symlink_to(repo / "skills")  # seen already
    (repo / ".agents").mkdir()
    (repo / ".agents" / "skills").symlink_to(shared)
    (repo / "all").symlink_to(tmp_path)  # a whole tree outside, which holds the repository itself
    (repo / "loop").symlink_to(repo)
    (repo / "gone").symlink_to(repo / "nowhere")
    assert found(repo) == [".agents/skills/b", "skills/a"]
    blocked = {m.path.rpartition("/")[2]: m.blocked for m in migrate_tree(repo, apply=True).migrations}
    assert blocked["a"] is None
    assert str(shared / "b") in str(blocked["b"])


def test_a_submodule_that_is_not_checked_out_is_named(tmp_path: Path) -> None:
    put(tmp_path / "skills" / "a")
    put(tmp_path / "there" / "skills" / "b")
    (tmp_path / "missing").mkdir()
    listed = [f'[submodule "{name}"]\n\tpath = {name}\n\turl = ../{name}\n' for name in ("missing", "there")]
    (tmp_path / ".gitmodules").write_text("".join(listed))
    assert found(tmp_path) == ["skills/a", "there/skills/b"]
    (note,) = validate_tree(tmp_path).notes
    assert note.startswith("missing: a submodule that is not checked out; git submodule update --init")


def test_similar_skills_are_looked_for_in_the_same_places(tmp_path: Path) -> None:
    put(tmp_path / ".claude" / "skills" / "pdf-merge")
    index = Fleet(tmp_path / "home").skills.index(tmp_path)
    assert index.build(tmp_path).added == 1


def test_the_command_finds_a_repositorys_skills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / ".github" / "skills" / "a")
    main(["skill", "validate", str(tmp_path)])
    assert "1 skill in" in capsys.readouterr().out


HOSTED = "argument-hint: '[file]'\ndisable-model-invocation: true\nhooks:\n  Stop: x\nowner: me\n"


def test_migration_leaves_fields_where_hosts_read_them(tmp_path: Path) -> None:
    folder = put(tmp_path / "a", HOSTED)
    done = migrate(folder, apply=True)
    assert done.steps == ("owner moves to metadata.owner",)
    assert done.kept == ("argument-hint", "disable-model-invocation", "hooks")
    assert done.ok
    assert not done.after.conformant  # the verdict of skills-ref is its own
    assert "left to do: SR" not in done.text()
    assert "kept: argument-hint, which Claude Code, VS Code, GitHub Copilot reads there" in done.text()
    (finding,) = (f for f in done.after.findings if f.code == "SR005")
    assert "read there by Claude Code" in finding.fix
    assert "migrate leaves it" in finding.fix
    assert "Move" not in finding.fix
    text = (folder / "SKILL.md").read_text()
    assert "argument-hint: '[file]'\ndisable-model-invocation: true\nhooks:\n  Stop: x\n" in text
    assert not migrate(folder, apply=True).changed


def test_a_finding_tells_fields_of_hosts_from_others(tmp_path: Path) -> None:
    (finding,) = (f for f in Skill.load(put(tmp_path / "a", HOSTED)).validate().findings if f.code == "SR005")
    assert finding.fix.endswith("Move owner under 'metadata:'; migrate does it.")


def test_a_portable_migration_moves_them_too(tmp_path: Path) -> None:
    done = migrate(put(tmp_path / "a", HOSTED), portable=True, apply=True)
    assert (done.ok, done.after.conformant, done.kept) == (True, True, ())
    assert len(done.steps) == 4


def test_a_folder_whose_name_is_none_is_to_be_renamed(tmp_path: Path) -> None:
    folder = put(tmp_path / "my_skill")
    done = migrate(folder, apply=True)
    assert done.steps == ("""name becomes 'my-skill', which Agent Skills allow (it was 'my_skill')""",)
    (left,) = (f for f in done.after.findings if f.code[:2] == "SR")
    assert left.code == "SR011"
    assert left.fix == "Rename the folder to 'my-skill', as its name is none that Agent Skills allow."
    assert not migrate(folder, apply=True).changed
    renamed = folder.rename(tmp_path / "my-skill")
    assert migrate(renamed).after.conformant


def test_a_name_that_is_one_stays_in_a_folder_whose_name_is_none(tmp_path: Path) -> None:
    done = migrate(put(tmp_path / "my_skill", name="pdf-tools"))
    assert done.steps == ()


def test_the_document_has_the_table_of_hosts() -> None:
    rows = [
        f"| {h.name} | {', '.join(f'`{f}`' for f in h.folders)} | {', '.join(f'`{f}`' for f in h.fields) or 'none'} "
        f"| {h.version} | <{h.source}> |"
        for h in HOSTS
    ]
    table = re.findall(r"^\| .*<https://.*> \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert table == rows
