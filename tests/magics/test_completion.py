"""Tab in a real kernel: what it offers, by what the argument takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.manager import start_new_kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CELLS = """
%load_ext skillfleet_nb
import dspy, pandas as pd, skillfleet_nb as sf
classify = dspy.Predict("text -> intent")
rows = [{"text": f"message {i}", "intent": "ab"[i % 2]} for i in range(24)]
examples = [dspy.Example(**r).with_inputs("text") for r in rows]
frame = pd.DataFrame(rows)
numbers, empty, word, Signature = [1, 2], [], "text", dspy.Signature
exact = lambda example, pred, trace=None: example.intent == pred.intent
small = sf.offline_lm()
%skillfleet optimize classify --train rows --metric exact --optimizer labeled_fewshot --lm offline --name "my first"
%skillfleet optimize classify --train rows --metric exact --optimizer labeled_fewshot --lm offline --name second
"""
TEMPLATE = """
title = "Mine"
description = "A template of one's own."
categories = ["mine"]
minutes = 5
difficulty = "beginner"
style = "minimal"
"""


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], list[str]]]:
    """Ask a kernel as a notebook does: what may stand at the end of the text, as whole lines."""
    folder: Path = tmp_path_factory.mktemp("completion")
    for place in ("data", "hidden/.agents", "own/mine"):
        (folder / place).mkdir(parents=True)
    (folder / "data" / ".notes").touch()
    (folder / "own" / "mine" / "template.toml").write_text(TEMPLATE)
    (folder / "own" / "mine" / "SKILL.md").write_text("# Mine\n")
    for name in ("data/messages.csv", "data/notes.txt", "rows.jsonl"):
        (folder / name).touch()
    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=600, cwd=str(folder))
    answer = client.execute_interactive(CELLS, output_hook=lambda _: None)
    assert answer["content"]["status"] == "ok", answer["content"]

    def ask(text: str) -> list[str]:
        content: dict[str, Any] = client.complete(text, reply=True, timeout=600)["content"]
        assert content["status"] == "ok"
        assert content["cursor_end"] == len(text)
        begun = text[content["cursor_start"] :]
        assert all(match.startswith(begun) for match in content["matches"])
        return list(content["matches"])

    yield ask
    client.stop_channels()
    manager.shutdown_kernel(now=True)


OPTIMIZE = "%skillfleet optimize classify "


def test_commands(complete: Callable[[str], list[str]]) -> None:
    assert {"optimize", "jobs", "sql", "help"} <= set(complete("%skillfleet "))
    assert complete("%skillfleet optim") == ["optimize", "optimizers"]
    assert complete("%skillfleet help opt") == ["optimize", "optimizers"]
    assert complete("%skillfleet db re") == ["reset", "restore", "rebuild"]
    assert complete("%skillfleet help db sta") == ["status"]
    assert complete("job = %skillfleet optimi")[0] == "optimize"
    assert complete("%%skillfleet sq") == ["sql"]
    assert "optimize" not in complete("%%skillfleet sql\nselect optimi"), "the query is no command"


def test_a_query_takes_relations_columns_jobs_and_parameters(complete: Callable[[str], list[str]]) -> None:
    assert complete("%%skillfleet sql\nfrom job") == ["jobs"]
    assert complete("%%skillfleet sql\nfrom jobs\nselect verd") == ["verdict"]
    assert complete("%skillfleet sql from jobs select best_sc") == ["best_score"]
    assert complete("%%skillfleet sql\nfrom jobs where name = 'my") == ["'my first'"]
    assert complete("%%skillfleet sql\nfrom jobs where name = :wor") == [":word"]


def test_options_are_offered_once(complete: Callable[[str], list[str]]) -> None:
    assert complete(f"{OPTIMIZE}--max-c") == ["--max-calls"]
    assert "--seed" in complete(f"{OPTIMIZE}--")
    assert "--seed" not in complete(f"{OPTIMIZE}--seed 3 --")
    assert "--set" in complete(f"{OPTIMIZE}--set k=3 --"), "this one may be repeated"


def test_values_that_the_grammar_knows(complete: Callable[[str], list[str]]) -> None:
    assert {"gepa", "miprov2"} <= set(complete(f"{OPTIMIZE}--optimizer "))
    assert complete(f"{OPTIMIZE}--optimizer ge") == ["gepa"]
    assert complete("%skillfleet optimizers mip") == ["miprov2"]
    assert complete(f"{OPTIMIZE}--optimizer miprov2 --set au") == ["auto="]
    assert {"auto=light", "auto=medium", "auto=heavy"} <= set(complete(f"{OPTIMIZE}--optimizer miprov2 --set auto="))
    assert complete(f"{OPTIMIZE}--set ") != complete(f"{OPTIMIZE}--optimizer gepa --set ")
    assert complete("%skillfleet db export facts --format p") == ["parquet"]
    assert complete("%skillfleet jobs --state int") == ["interrupted"]
    assert "balanced" in complete(f"{OPTIMIZE}--strategy ")
    assert complete("%skillfleet skill new keys --template ") == [
        "guide_basic", "reference", "tool_integration", "workflow"
    ]  # fmt: skip
    assert complete("%skillfleet skill new keys --templates own --template m") == ["mine"]
    assert complete("%skillfleet skill template preview wo") == ["workflow"]
    assert complete("%skillfleet skill create task --review ") == ["research", "intent", "plan", "draft", "cost="]


def test_variables_of_the_right_type(complete: Callable[[str], list[str]]) -> None:
    assert complete("%skillfleet optimize ") == ["classify"]
    assert complete("%skillfleet doctor cl") == ["classify"]
    metrics = complete(f"{OPTIMIZE}--metric ")
    assert metrics[0] == "exact"
    assert "skill_quality" in metrics, "one that a package registers"
    assert not {"classify", "rows", "word", "Signature", "small"} & set(metrics)
    assert complete(f"{OPTIMIZE}--lm ") == ["small", "local", "offline"]
    data = complete(f"{OPTIMIZE}--train ")
    assert data[:3] == ["rows", "examples", "frame"]
    assert not {"numbers", "empty", "word", "classify"} & set(data)


def test_files_where_data_may_be_a_file(complete: Callable[[str], list[str]]) -> None:
    assert complete(f"{OPTIMIZE}--train da") == ["data/"]
    assert complete(f"{OPTIMIZE}--train data/") == ["data/messages.csv"]
    assert complete(f"{OPTIMIZE}--train row") == ["rows", "rows.jsonl"]
    assert complete("%skillfleet save second da") == ["data/"]
    assert complete("%skillfleet skill validate data/") == ["data/messages.csv", "data/notes.txt"]
    assert complete("%skillfleet skill validate hidden/") == ["hidden/.agents/"], "nothing else is there"


@pytest.mark.parametrize("command", ["job", "cancel", "diff", "save", "watch", "resume"])
def test_jobs_newest_first(complete: Callable[[str], list[str]], command: str) -> None:
    assert complete(f"%skillfleet {command} ") == ["second", "'my first'"]
    assert complete(f"%skillfleet {command} 'my f") == ["'my first'"]


def test_other_lines_are_completed_as_ever(complete: Callable[[str], list[str]]) -> None:
    assert "classify" in complete("print(classi")
    assert "%%skillfleet" in complete("%%skillfl")
