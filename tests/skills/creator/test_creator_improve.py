"""A skill that is there, improved: shown first, written when asked, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from writers import BODY, KEYS, nonsense, writer

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.errors import InputError, LMError, NotFoundError
from skillfleet_nb.skills import Skill

if TYPE_CHECKING:
    from pathlib import Path

FRONT = f"---\r\nname: rotate # short\r\ndescription: {KEYS}\r\nowner: ops\r\n"
TEXT = f"{FRONT}---\r\n# Keys\r\n\r\nRotate API keys of it.\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "rotate"
    (place / "references").mkdir(parents=True)
    (place / "references" / "own.md").write_text("mine")
    (place / "SKILL.md").write_bytes(TEXT.encode())
    return place


def test_a_better_body_is_shown_and_written_only_when_asked_without_another_call(folder: Path) -> None:
    skills, lm = Fleet().skills, writer()
    shown = skills.improve(folder, lm=lm)
    assert shown.quality[1] > shown.quality[0] + 0.2
    assert "+## When to Use" in str(shown)
    assert any("Overview" in one for one in shown.mended)
    assert (folder / "SKILL.md").read_bytes() == TEXT.encode()
    asked = len(lm.engine.asked)
    written = skills.improve(folder, lm=lm, apply=True)
    assert len(lm.engine.asked) == asked
    assert (folder / "SKILL.md").read_bytes().decode() == shown.after == written.after
    front, _, body = shown.after.partition("---\r\n# Keys")
    assert front == FRONT
    assert body.replace("\r\n", "\n").strip() == BODY
    assert (folder / "references" / "own.md").read_text() == "mine"
    skills.undo(folder)
    assert (folder / "SKILL.md").read_bytes() == TEXT.encode()
    skills.undo(folder)
    assert (folder / "SKILL.md").read_bytes().decode() == shown.after


def test_a_description_is_mended_where_it_stands_and_keeps_what_it_says(folder: Path) -> None:
    short = KEYS.partition(".")[0]
    before = TEXT.replace(f"description: {KEYS}", f"description: {short} # of ours")
    (folder / "SKILL.md").write_bytes(before.encode())
    shown = Fleet().skills.improve(folder, lm=writer(description=KEYS))
    front = before.partition("---\r\n# Keys")[0].replace(short, KEYS)
    assert shown.after.startswith(front)
    other = Fleet().skills.improve(folder, lm=writer(description="Use when bread is to be baked."))
    assert other.changed
    assert other.after.startswith(before.partition("---\r\n# Keys")[0])


@pytest.mark.parametrize("answer", ["", "## Overview\n\nBake bread slowly at home.\n\n## When to Use\n\n- On Sundays."])
def test_nothing_worse_and_nothing_on_another_topic_is_proposed(folder: Path, answer: str) -> None:
    shown = Fleet().skills.improve(folder, lm=writer(revised=answer), apply=True)
    assert (shown.changed, shown.backup) == (False, None)
    assert "nothing better was written" in str(shown)
    assert (folder / "SKILL.md").read_bytes() == TEXT.encode()
    assert not Fleet().skills.improve(folder, lm=nonsense()).changed


def test_a_skill_that_changed_since_is_not_written_over(folder: Path) -> None:
    shown = Fleet().skills.improve(folder, lm=writer())
    (folder / "SKILL.md").write_text(TEXT + "mine")
    with pytest.raises(InputError, match="has changed since"):
        shown.applied()
    again = Fleet().skills.improve(folder, lm=writer(), apply=True)
    assert again.before.endswith("mine")
    assert (folder / "SKILL.md").read_bytes().decode() == again.after


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"lm": None}, LMError, "no LM is configured"),
        ({"revisions": 0}, InputError, "from 1 to 10"),
        ({"budget_usd": -1}, InputError, "budget"),
        ({"folder": "nix"}, NotFoundError, "nix"),
    ],
)
def test_bad_input_is_one_line(folder: Path, given: dict[str, Any], error: type[Exception], told: str) -> None:
    options = {"folder": folder, "lm": writer(), **given}
    with pytest.raises(error, match=told) as caught:
        Fleet().skills.improve(options.pop("folder"), **options)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_encoding_is_refused_before_a_model_is_asked(folder: Path) -> None:
    lm, raw = writer(), TEXT.encode("utf-16")
    (folder / "SKILL.md").write_bytes(raw)
    with pytest.raises(InputError, match=r"is not UTF-8: save its SKILL\.md as UTF-8 first"):
        Fleet().skills.improve(folder, lm=lm, apply=True)
    assert (lm.engine.asked, (folder / "SKILL.md").read_bytes()) == ([], raw)


def test_a_limit_stops_it_with_nothing_written(folder: Path) -> None:
    bad = TEXT.replace("Rotate API keys of it.", "Rotate keys. API of it.")
    (folder / "SKILL.md").write_bytes(bad.encode())
    with pytest.raises(LMError, match="nothing was written"):
        Fleet().skills.improve(folder, lm=writer(revised="## Overview\n\nRotate API keys of it."), max_calls=1)
    assert (folder / "SKILL.md").read_bytes() == bad.encode()


def test_the_command_shows_applies_and_undoes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["skill", "improve", str(folder), "--lm", "offline"]) == 0
    assert "+## When to Use" in capsys.readouterr().out
    assert main(["skill", "improve", str(folder), "--lm", "offline", "--apply"]) == 0
    assert "## When to Use" in Skill.load(folder).body
    assert main(["skill", "improve", str(folder), "--undo"]) == 0
    assert (folder / "SKILL.md").read_bytes() == TEXT.encode()
    assert main(["skill", "improve", str(folder), "--undo", "--apply"]) != 0
    assert "give one of them" in capsys.readouterr().err
