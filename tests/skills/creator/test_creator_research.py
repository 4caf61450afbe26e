"""Research before a skill is written: it reads what it was given, and asks about what is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from writers import KEYS, writer

from skillfleet_nb import Fleet, offline_lm
from skillfleet_nb.cli import main
from skillfleet_nb.errors import InputError, LMError, NotFoundError
from skillfleet_nb.events import JobState
from skillfleet_nb.skills.creator.material import MOST_BYTES, MOST_CHARACTERS, Material

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """# Rotate API keys

Keys of a service are rotated when one may have leaked, without downtime; policy allows 90 days.

## Quick Start

```bash
# not a heading
keys issue --service billing
```

## Errors

Never revoke the older key first.

```bash
keys list
```
"""
QUESTIONS = [
    {"question": "Who owns the keys?", "options": ["the platform team", "each service"]},
    {"question": "Tell me more.", "options": ["a", "b"]},
    {"question": "Which cloud?", "options": []},
]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    place = tmp_path / "docs"
    (place / ".hidden").mkdir(parents=True)
    (place / "keys.md").write_text(PAGE)
    (place / "bread.md").write_text("# Bread\n\nBake it slowly at home.")
    (place / ".hidden" / "keys.md").write_text(PAGE)
    (place / "keys.py").write_text(PAGE)
    (place / "large.md").write_text("rotate keys " * MOST_BYTES)
    (tmp_path / "secret.md").write_text(PAGE)
    (place / "link.md").symlink_to(tmp_path / "secret.md")
    return place


def test_what_a_heading_has_below_it_stays_together_and_neither_front_matter_nor_contents_are_passages(
    tmp_path: Path,
) -> None:
    file = tmp_path / "keys.md"
    long = "word " * 300
    file.write_text(
        f"---\nname: keys\n---\n# Keys\n\nAll.\n\n"
        "## Contents\n\n- [Rotate](#rotate)\n  1. [Issue](#issue)\n- [Watch](#watch)\n\n"
        "## Rotate\n\n### Issue\n\nFirst.\n\n### Revoke\n\nLast.\n\n"
        f"## Watch\n\n### Log\n\n{long}\n\n### Alarm\n\n{long}\n"
    )
    passages = Material.under(file).passages
    assert [one.heading for one in passages] == ["Keys", "Rotate", "Log", "Alarm"]
    assert passages[1].text == "### Issue\n\nFirst.\n\n### Revoke\n\nLast."
    file.write_text("## Parts\n\n" + "- [Part](#part)\n\n" * 40 + "Read them all.\n")
    assert [one.heading for one in Material.under(file).passages] == ["Parts"]


def test_only_texts_of_the_folder_are_read_in_passages_that_keep_code_whole(docs: Path) -> None:
    material = Material.under(docs)
    assert [p.name for p in material.passages] == [
        "bread.md#Bread", "keys.md#Rotate API keys", "keys.md#Quick Start", "keys.md#Errors",
    ]  # fmt: skip
    assert material.left_out == 1
    (docs / "long.md").write_text("# Long\n\n" + "A line.\n\n" * 150 + "```sh\n" + "ls\n" * 500 + "```\n")
    long = next(p for p in Material.under(docs).passages if p.file == "long.md")
    assert len(long.text) <= MOST_CHARACTERS
    assert "```" not in long.text


def test_what_fits_is_read_and_nothing_is_asked_where_that_is_enough(docs: Path) -> None:
    found = Fleet().skills.research(KEYS, root=docs, lm=offline_lm())
    assert [p.file for p in found.passages] == ["keys.md"] * 3
    assert found.readiness > 0.6
    assert (found.questions, found.calls) == ((), 4)  # a search, all that it named at once, the end, and a summary
    assert "keys issue" in found.material
    assert "<details>" in found.html()


def test_no_more_is_read_than_prompts_hold_and_what_is_not_there_is_said(docs: Path) -> None:
    (docs / "many.md").write_text("".join(f"## Keys {n}\n\nRotate key {n} of the team.\n\n" for n in range(12)))
    names = [f"many.md#Keys {n}" for n in range(12)]
    acts = [["many.md#Keys"], names]

    def wanted(prompt: str) -> list[str]:
        return [*acts, []][prompt.count("[[ ## observation_")]

    lm = writer(
        next_thought="On.", next_tool_name=lambda prompt: "read" if wanted(prompt) else "finish",
        next_tool_args=lambda prompt: {"passages": wanted(prompt)} if wanted(prompt) else {},
        reasoning="It is so.", summary="keys",
    )  # fmt: skip
    found = Fleet().skills.research(KEYS, root=docs, lm=lm, max_questions=0)
    assert [p.name for p in found.passages] == names[:8]
    last = lm.engine.asked[-1][1]
    assert "there is no passage 'many.md#Keys'" in last
    assert "many.md#Keys 8 is not read: 8 passages are" in last


def _clarifying(**answers: Any) -> Any:
    """A model that reads nothing, and asks."""
    return writer(next_thought="No.", next_tool_name="finish", next_tool_args={}, reasoning="It is so.",
                  summary="nothing", questions=QUESTIONS, **answers)  # fmt: skip


def test_below_the_threshold_it_asks_what_can_be_answered(docs: Path) -> None:
    found = Fleet().skills.research(KEYS, root=docs, lm=_clarifying())
    assert (found.readiness, found.passages) == (0.0, ())
    assert [q.question for q in found.questions] == ["Who owns the keys?"]
    assert "? Who owns the keys? the platform team / each service" in str(found)
    assert Fleet().skills.research(KEYS, root=docs, lm=_clarifying(), readiness=0).questions == ()
    assert Fleet().skills.research(KEYS, root=docs, lm=_clarifying(), max_questions=0).questions == ()


def test_tools_of_ones_own_are_offered_to_the_agent(docs: Path) -> None:
    lm = _clarifying()
    Fleet().skills.research(KEYS, root=docs, lm=lm, tools=[tickets])
    assert "(3) tickets" in lm.engine.systems[0]


def tickets(query: str) -> str:
    """Search the tickets."""
    return query


def test_a_skill_is_written_with_what_research_found_and_a_person_answered(docs: Path, tmp_path: Path) -> None:
    fleet = Fleet()
    lm = _clarifying()
    job = fleet.create_skill(KEYS, root=tmp_path / "s", docs=docs, lm=lm, review="research", name="keys")
    for _ in range(600):
        if job.state is JobState.PENDING_HITL:
            break
        job.wait(0.05)
    assert job.question.question == "Who owns the keys?"
    assert job.question.details["options"] == "the platform team / each service"
    fleet.answer("keys", "the platform team")
    assert job.result().path == "normal"
    asked = [prompt for name, prompt in lm.engine.asked if name == "content"]
    assert asked
    assert all("Who owns the keys? the platform team" in prompt for prompt in asked)


def test_the_offline_model_writes_better_with_documents_than_without(docs: Path, tmp_path: Path) -> None:
    made = {
        with_docs: Fleet().create_skill(KEYS, root=tmp_path / "s", docs=with_docs, lm=offline_lm()).result()
        for with_docs in ((), (str(docs),))
    }
    without, researched = made.values()
    assert researched.score > without.score + 0.05
    assert "keys issue --service billing" in researched.skill.body


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"root": "nix"}, NotFoundError, "no such folder"),
        ({"task": "keys"}, InputError, "say in a sentence"),
        ({"readiness": 2}, InputError, "from 0 to 1"),
        ({"max_steps": 0}, InputError, "from 1 to 50"),
        ({"max_calls": 1}, LMError, "nothing was written"),
        ({"lm": None}, LMError, "no LM is configured"),
    ],
)
def test_bad_input_to_research_is_one_line(
    docs: Path, given: dict[str, Any], error: type[Exception], told: str
) -> None:
    options = {"task": KEYS, "root": docs, "lm": writer(), **given}
    with pytest.raises(error, match=told) as caught:
        Fleet().skills.research(options.pop("task"), **options)
    assert "\n" not in str(caught.value)


def test_a_folder_without_texts_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no text to read"):
        Fleet().skills.research(KEYS, root=tmp_path, lm=writer())


def test_the_magic_and_the_shell_research(docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    shell.run_line_magic("skillfleet", f'skill research "{KEYS}" --root {docs} --lm offline -o found')
    assert shell.user_ns["found"].passages
    assert main(["skill", "research", KEYS, "--root", str(docs), "--lm", "offline"]) == 0
    assert "keys.md#Quick Start" in capsys.readouterr().out
