"""Templates: the built-in ones make valid skills; one's own are read from a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.skills import STYLES, Skill, list_templates, new_skill, preview

TRIGGER = "Use when: a \"quoted\" thing --- 'or' another # happens."


@pytest.mark.parametrize("template", [template.name for template in list_templates()])
def test_built_in_templates_make_skills_without_a_finding(tmp_path: Path, template: str) -> None:
    made = new_skill("my-skill", description=TRIGGER, template=template, root=tmp_path)
    skill = made.load()
    assert made.report.findings == ()
    assert (skill.name, skill.description) == ("my-skill", TRIGGER)
    assert skill.style == preview(template).style
    assert TRIGGER in skill.body
    assert "{{" not in skill.source.text
    assert all(block.language and block.closed for block in skill.outline.code_blocks)
    assert set(made.files) == {
        p.relative_to(tmp_path / "my-skill").as_posix() for p in (tmp_path / "my-skill").rglob("*.md")
    }
    assert [path.name for path in tmp_path.iterdir()] == ["my-skill"]


def test_templates_say_what_they_are_for() -> None:
    templates = list_templates()
    assert [t.name for t in templates] == ["guide_basic", "reference", "tool_integration", "workflow"]
    for template in templates:
        assert template.title in templates._repr_html_()
        assert template.description in templates.text()
        assert template.minutes > 0
        assert "When to Use" in template.sections
        assert "{{name}}" in template.text()


@pytest.mark.parametrize("style", STYLES)
def test_a_style_can_be_declared(tmp_path: Path, style: str) -> None:
    assert new_skill("a", description=TRIGGER, style=style, root=tmp_path).load().style == style


@pytest.mark.parametrize(
    ("name", "description", "why"),
    [
        ("My Skill", TRIGGER, "Try 'my-skill'"),
        ("", TRIGGER, "non-empty"),
        ("../a", TRIGGER, "invalid characters"),
        ("a", "  ", "Field 'description'"),
        ("a", "x" * 1025, "exceeds 1024"),
    ],
)
def test_what_would_not_be_valid_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, description: str, why: str
) -> None:
    with pytest.raises(InputError, match=why):
        new_skill(name, description=description, root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_skill_that_is_there_is_overwritten_only_when_asked_and_backed_up(tmp_path: Path) -> None:
    first = new_skill("a", description=TRIGGER, root=tmp_path)
    (tmp_path / "a" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="exists: choose another name, or pass overwrite=True"):
        new_skill("a", description="Use when other.", root=tmp_path)
    second = new_skill("a", description="Use when other.", root=tmp_path, overwrite=True)
    assert second.load().description == "Use when other."
    assert (tmp_path / "a" / "mine.txt").read_text() == "mine"
    assert (first.backup, Skill.load(second.backup).description) == (None, TRIGGER)


def test_files_of_sub_folders_are_replaced_after_a_backup_too(tmp_path: Path) -> None:
    made = new_skill("a", description=TRIGGER, template="workflow", root=tmp_path)
    again = new_skill("a", description="Use when other.", template="workflow", root=tmp_path, overwrite=True)
    assert again.backup is not None
    kept = {p.relative_to(again.backup).as_posix() for p in Path(again.backup).rglob("*.md")}
    assert kept == set(made.files) == {"SKILL.md", "references/checklist.md"}


@pytest.mark.parametrize("link", ["a", "a/references", "a/references/checklist.md", "a/.backup"])
@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_written_where_a_link_leads_out_of_the_root(tmp_path: Path, link: str, *, there: bool) -> None:
    root, outside = tmp_path / "skills", tmp_path / "outside"
    new_skill("a", description=TRIGGER, template="workflow", root=root)
    place, lies = root / link, outside / "checklist.md" if link.endswith(".md") else outside
    if place.exists():
        place.rename(tmp_path / "moved")
    place.symlink_to(lies)
    if there:
        outside.mkdir()
        (outside / "checklist.md").write_text("not yours")
    with pytest.raises(InputError, match=r"is no folder of its own: remove it|leads out of the skill: remove the link"):
        new_skill("a", description="Use when other.", template="workflow", root=root, overwrite=True)
    assert [p.read_text() for p in outside.rglob("*")] == ["not yours"] * there
    assert not outside.exists() or list(outside.iterdir()) == [outside / "checklist.md"]


def test_unknown_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'workflow'"):
        preview("workflo")
    with pytest.raises(NotFoundError, match="unknown style"):
        new_skill("a", description=TRIGGER, style="odd", root=tmp_path)


def make_template(folder: Path, extra: str = "") -> Path:
    (folder / "assets").mkdir(parents=True)
    (folder / "template.toml").write_text(
        f'title = "Mine"\ndescription = "d"\nminutes = 5\ndifficulty = "beginner"\nstyle = "minimal"\n{extra}'
    )
    (folder / "SKILL.md").write_text("---\nname: {{name}}\ndescription: {{description}}\n---\n# {{title}} {{other}}\n")
    (folder / "assets" / "logo.png").write_bytes(b"\x89PNG\xff{{name}}")
    return folder.parent


def test_templates_of_ones_own_are_a_folder(tmp_path: Path) -> None:
    mine = make_template(tmp_path / "templates" / "mine")
    assert "mine" in [template.name for template in list_templates(mine)]
    made = new_skill("a", description=TRIGGER, template="mine", root=tmp_path, templates=(mine,))
    assert made.load().body == "# A {{other}}\n"
    assert (tmp_path / "a" / "assets" / "logo.png").read_bytes() == b"\x89PNG\xff{{name}}"


def test_a_broken_template_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="extra: Extra inputs"):
        list_templates(make_template(tmp_path / "t" / "mine", "extra = 1\n"))
    with pytest.raises(InputError, match="no folder of templates"):
        list_templates(tmp_path / "none")


def test_a_template_brings_in_nothing_that_its_links_lead_to(tmp_path: Path) -> None:
    mine, outside = make_template(tmp_path / "t" / "mine") / "mine", tmp_path / "outside.txt"
    outside.write_text("secret")
    (mine / "link.txt").symlink_to(outside)
    (mine / "same.png").symlink_to(mine / "assets" / "logo.png")
    made = new_skill("a", description=TRIGGER, template="mine", root=tmp_path, templates=(tmp_path / "t",))
    assert set(made.files) == {"SKILL.md", "assets/logo.png", "same.png"}
    (mine / "SKILL.md").unlink()
    (mine / "SKILL.md").symlink_to(outside)
    outside.write_text("---\nname: a\ndescription: b\n---\n")
    with pytest.raises(InputError, match=r"its SKILL\.md is a link to elsewhere"):
        list_templates(tmp_path / "t")
