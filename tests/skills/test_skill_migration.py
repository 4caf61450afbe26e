"""Migration v1 → v2: nothing is lost, a second run finds nothing, nothing is written unasked."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.skills import Skill, migrate, migrate_tree

if TYPE_CHECKING:
    from pathlib import Path


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def make(folder: Path, text: str | bytes, beside: Any = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "SKILL.md").write_bytes(text if isinstance(text, bytes) else text.encode())
    (folder / "metadata.json").unlink(missing_ok=True)
    if beside is not None:
        (folder / "metadata.json").write_text(beside if isinstance(beside, str) else json.dumps(beside))
    return folder


def test_the_real_v1_skill_becomes_valid_v2_and_keeps_every_field(v1_sample: Path) -> None:
    before, files = Skill.load(v1_sample), tree(v1_sample)
    assert (before.format, before.validate().conformant) == ("v1", False)
    dry = migrate(v1_sample)
    assert (dry.changed, dry.applied, dry.ok) == (True, False, True)
    assert "+name: fastapi-production\n" in dry.diff
    assert tree(v1_sample) == files

    done = migrate(v1_sample, apply=True)
    after = Skill.load(v1_sample)
    assert (done.applied, done.diff, done.steps) == (True, dry.diff, dry.steps)
    assert (after.format, after.validate().conformant, after.uncovered()) == ("v2", True, {})
    assert after.body == before.body
    assert after.metadata.pop("original-name") == before.name
    lost = {key: value for key, value in before.fields.items() if after.fields[key] != value}
    assert lost == {"name": "fastapi-production-patterns"}
    assert set(after.provenance().values()) == {"front matter"}

    again = migrate(v1_sample, apply=True)
    assert (again.changed, again.applied, again.diff) == (False, False, "")
    assert again.metadata_json_can_go
    assert "metadata.json can go" in again.text()


def test_metadata_json_goes_only_when_asked_and_the_backup_has_it(v1_sample: Path) -> None:
    files = tree(v1_sample)
    done = migrate(v1_sample, apply=True, keep_metadata_json=False)
    assert not (v1_sample / "metadata.json").exists()
    assert tree(v1_sample / done.backup) == files
    assert Skill.load(v1_sample).metadata["tags"][0] == "python"
    assert not migrate(v1_sample, apply=True, keep_metadata_json=False).changed


def test_values_that_lose_are_kept_under_another_name(tmp_path: Path) -> None:
    text = "---\nname: Old\nversion: 2.0.0 # top\nmetadata:\n  version: 1.0.0\n  original-name: older\n---\n"
    beside = {
        "name": "json",
        "version": "3.0.0",
        "description": "Use when x.",
        "allowed_tools": ["Read"],
        "metadata": 1,
    }
    folder = make(tmp_path / "pdf", text, beside)
    done = migrate(folder, apply=True)
    after = Skill.load(folder)
    assert done.ok
    assert (after.name, after.description) == ("pdf", "Use when x.")
    assert after.front_matter["allowed-tools"] == "Read"
    assert after.front_matter["metadata"] == {
        "version": "2.0.0", "original-name": "older", "original-name-2": "Old", "original-version": "1.0.0",
        "original-name-3": "json", "original-version-2": "3.0.0", "original-metadata": "1", "allowed_tools": '["Read"]',
    }  # fmt: skip
    assert not migrate(folder).changed


def test_what_keeps_v2_from_being_valid_is_repaired_with_comments_kept(tmp_path: Path) -> None:
    text = (
        "\ufeff---\r\nname: PDF # n\r\ndescription: Use when - --- “so”. # d\r\ntags: [a, b] # t\r\n"
        "allowed-tools: [Read, 'Bash(git log:*)']\r\nauthor: &me me\r\nlist:\r\n- x # one\r\n---\r\n# Body\r\n"
    )
    folder = make(tmp_path / "pdf", text)
    done = migrate(folder, apply=True)
    after = Skill.load(folder)
    assert done.ok, done.text()
    assert after.front_matter == {
        "name": "pdf", "description": "Use when - --- “so”.", "allowed-tools": "Read, Bash(git log:*)",
        "metadata": {"original-name": "PDF", "tags": '["a","b"]', "author": "me", "list": ["x"]},
    }  # fmt: skip
    assert after.metadata["tags"] == ["a", "b"]
    assert all(f"# {c}" in after.source.text for c in ("n", "d", "t", "one"))
    assert b"\n" not in after.dumps().replace(b"\r\n", b"")


def test_windows_1252_becomes_utf_8(tmp_path: Path) -> None:
    folder = make(tmp_path / "pdf", "---\nname: pdf\ndescription: Use when “so”.\n---\n".encode("cp1252"))
    assert migrate(folder, apply=True).ok
    assert Skill.load(folder).description == "Use when “so”."


_TEXT = "---\nname: pdf\ndescription: Use when “so”.\n---\n# Body\n"


@pytest.mark.parametrize(
    ("text", "beside", "why"),
    [
        ("---\nname: [\n---\n", None, "cannot be edited"),
        ("---\nname: a\nname: b\n---\n", None, "stands there twice"),
        ("---\nname: pdf\n---\n", "{", "not a JSON object"),
        ("---\nname: {{name}}\ndescription: {{description}}\n---\n", None, "it is a template"),
        (_TEXT.encode("utf-16"), {"version": "1"}, "Save it as UTF-8 first"),
        (_TEXT.encode("utf-16-le"), {"version": "1"}, "Save it as UTF-8 first"),
        (_TEXT.replace("so", "日本").encode("shift_jis", "ignore"), {"version": "1"}, "Save it as UTF-8 first"),
        ("---\nname: pdf\ndescription: Use when x.\n# Body\n", {"version": "1"}, "front matter is not closed"),
        ("\n---\nname: pdf\n---\n# Body\n", {"version": "1"}, "does not begin in the first line"),
    ],
)
def test_what_cannot_be_migrated_is_left_alone_and_says_why(
    tmp_path: Path, text: str | bytes, beside: Any, why: str
) -> None:
    folder = make(tmp_path / "pdf", text, beside)
    files = tree(folder)
    done = migrate(folder, apply=True)
    assert why in (done.blocked or "")
    assert not done.ok
    assert tree(folder) == files


def test_a_file_that_changes_in_between_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "pdf", "---\nname: Old\n---\n")
    stale = Skill.load(folder)
    make(folder, "---\nname: newer\n---\n")
    loads = iter([stale])
    real = Skill.load
    monkeypatch.setattr(Skill, "load", lambda path: next(loads, None) or real(path))
    with pytest.raises(InputError, match="changed while"):
        migrate(folder, apply=True)
    assert (folder / "SKILL.md").read_text() == "---\nname: newer\n---\n"


def test_a_tree_is_migrated_skill_by_skill(tmp_path: Path) -> None:
    make(tmp_path / "a", "---\nname: A\ndescription: Use when x.\n---\n")
    make(tmp_path / "b", "---\nname: [\n---\n")
    make(tmp_path / "c", "---\nname: c\ndescription: Use when x.\n---\n")
    done = migrate_tree(tmp_path, apply=True)
    assert [(m.changed, m.applied, m.ok) for m in done.migrations] == [
        (True, True, True),
        (False, False, False),
        (False, False, True),
    ]
    assert not done.ok
    assert "1 written, 1 blocked" in done.text()
    assert "cannot be edited" in done._repr_html_()


def test_v2_is_the_only_target(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="Allowed: v2"):
        migrate(make(tmp_path / "pdf", ""), to="v1")


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=6,
)
_keys = st.sampled_from(
    ["name", "description", "license", "allowed_tools", "metadata", "version", "tags", "x y", "original-name"]
)
_tops = st.dictionaries(
    st.sampled_from(["name", "description", "version", "tags", "extra"]),
    st.sampled_from(
        [
            "pdf",
            "Pdf",
            "Use when: x",
            "[a, 'b']",
            "|\n  one\n  two",
            "1.0",
            "\n- a\n- b",
            '"a---b"',
            "\n  k: v",
            "{a: [b]}",
        ]
    ),
    max_size=5,
)


@settings(max_examples=settings().max_examples // 2)
@given(
    tops=_tops,
    nested=st.sampled_from(["", "metadata:\n  version: 9\n", "metadata: {a: b}\n", "metadata: x\n"]),
    beside=_json | st.dictionaries(_keys, _json, max_size=6),
)
def test_nothing_is_lost_and_a_second_run_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, tops: dict[str, str], nested: str, beside: Any
) -> None:
    folder = make(
        tmp_path_factory.getbasetemp() / "pdf",
        "---\n" + "".join(f"{k}: {v}\n" for k, v in tops.items()) + nested + "---\nBody\n",
        beside,
    )
    before = Skill.load(folder)
    done = migrate(folder, apply=True)
    after = Skill.load(folder)
    assert after.body == before.body
    if done.blocked:
        assert after == before
        return
    assert after.uncovered() == {}
    assert leaves(before.front_matter) <= leaves([after.fields, after.front_matter])
    assert not migrate(folder, apply=True).changed


def leaves(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(leaves, value.values()))
    if isinstance(value, list):
        return set().union(*map(leaves, value))
    if isinstance(value, str) and value.startswith(("[", "{")):
        with contextlib.suppress(ValueError):
            return leaves(json.loads(value))
    return {value} - {""} if isinstance(value, str) else set()
