"""The comparison and the program browser as widgets: whatever can be clicked is a method, and HTML lies beside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from IPython.core.interactiveshell import InteractiveShell

from skillfleet_nb.errors import InputError, JobError, NotFoundError
from skillfleet_nb.widgets import ComparisonView, ProgramBrowser, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Lab


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def parts(widget: Any, kind: str) -> list[Any]:
    """All widgets of a kind within a box, in order."""
    found = [widget] if type(widget).__name__ == kind else []
    for child in getattr(widget, "children", ()):
        found += parts(child, kind)
    return found


def button(view: Any, name: str) -> Any:
    return next(b for b in parts(view.box, "Button") if b.description == name)


def said(view: Any) -> str:
    return " ".join(h.value for h in parts(view.box, "HTML"))


def test_the_chosen_program_lands_in_a_variable(lab: Lab, shell: InteractiveShell) -> None:
    view = ComparisonView(lab.fleet.reports.compare("few", "rules"))
    (choice,) = parts(view.box, "Dropdown")
    (name,) = parts(view.box, "Text")
    choice.value, name.value = 1, "best"
    button(view, "Use this program").click()
    assert shell.user_ns["best"] is lab.fleet.job("rules").program
    assert "best is the best program of rules" in said(view)
    name.value = "not a name"
    button(view, "Use this program").click()
    assert "&#39;not a name&#39; is no name of a variable" in said(view)
    assert "not a name" not in shell.user_ns
    assert view.use("few", "again") is shell.user_ns["again"]
    for wrong in ("class", "1x", ""):
        with pytest.raises(InputError, match="no name of a variable"):
            view.use("few", wrong)
    with pytest.raises(NotFoundError):
        view.use("fewer", "x")


def test_beside_each_widget_lies_what_needs_none(lab: Lab) -> None:
    comparison, program = lab.fleet.reports.compare("few", "rules"), lab.fleet.programs.find("few")
    for view, answer in ((ComparisonView(comparison), comparison), (ProgramBrowser(program), program)):
        data, _ = view._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in data
        assert data["text/html"] == answer._repr_html_()
        assert data["text/plain"] == answer.text() == repr(view)
    assert shown(comparison, None) is comparison, "nobody can click in a plain shell"


def test_a_plain_shell_shows_all_of_it(lab: Lab, shell: InteractiveShell) -> None:
    for answer in (
        lab.fleet.reports.compare("few", "rules"),
        lab.fleet.programs.find("few"),
        lab.fleet.programs.of("few"),
    ):
        assert shell.display_formatter.format(answer)[0]["text/plain"] == answer.text()


def test_the_browser_opens_tries_saves_and_uses(lab: Lab, shell: InteractiveShell, tmp_path: Path) -> None:
    candidates = lab.fleet.programs.of("few")
    view = ProgramBrowser(candidates)
    program_id = candidates.frame.program_id.iloc[-1]
    view.select(program_id)
    assert view.program.n_demos == 4
    assert program_id in said(view)
    choices = parts(view.box, "Dropdown")
    assert [value for _, value in choices[0].options] == candidates.frame.program_id.tolist()
    choices[1].value = choices[1].options[1][1]  # the example it did worst on
    (field,) = parts(view.box, "Textarea")
    example = candidates.examples[choices[1].value]
    assert field.value == example.text
    with dspy.context(lm=lab.lm):
        button(view, "Try it").click()
        answer = view.program.load()(text=example.text).intent
    assert f">{answer}<" in said(view)
    assert "cached · $0.00" in said(view)
    variable, file = parts(view.box, "Text")
    file.value = str(tmp_path / "best.json")
    button(view, "Save as JSON").click()
    assert json.loads((tmp_path / "best.json").read_text("utf-8")) == view.program.state
    button(view, "Use this program").click()
    assert len(shell.user_ns[variable.value].demos) == 4
    file.value = "best.txt"
    button(view, "Save as JSON").click()
    assert "saved as JSON" in said(view)
    field.value = "hello"
    with dspy.context(lm="no model"):
        button(view, "Try it").click()
    assert "give a dspy.LM" in said(view)
    choices[0].value = candidates.frame.program_id.iloc[0]
    assert view.program.id == candidates.frame.program_id.iloc[0]
    assert view.program.n_demos == 0


def test_a_job_without_programs_says_so(lab: Lab) -> None:
    class Never(dspy.Module):  # type: ignore[misc]  # dspy is untyped
        def __init__(self) -> None:
            super().__init__()
            self.classify = dspy.Predict("text -> intent")

        def forward(self, text: str) -> Any:
            raise KeyError("no such field")

    with pytest.raises(JobError):
        lab.run("never", given=Never()).result(0)
    view = ProgramBrowser(lab.fleet.programs.of("never"))
    assert "job never has no scored program yet" in said(view)
    assert not parts(view.box, "Button")
