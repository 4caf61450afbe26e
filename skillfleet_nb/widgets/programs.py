"""The programs of a job to look through: what they say and how they scored; to try, save and use right there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.example import answer_in_words
from skillfleet_nb.format import counted, one_line, points
from skillfleet_nb.html import fill, preformatted
from skillfleet_nb.reports.program_page import mark, program_name
from skillfleet_nb.reports.stored_programs import StoredPrograms
from skillfleet_nb.runs.task import input_fields
from skillfleet_nb.widgets.actions import best_name
from skillfleet_nb.widgets.face import Face, Twice, checked_name, free, page, put

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from skillfleet_nb.reports.stored_programs import StoredProgram
    from skillfleet_nb.runs.tryout import Tryout
    from skillfleet_nb.typing import Program
    from skillfleet_nb.widgets.face import Change

_EXAMPLES = 50  # that can be chosen to be asked
_WRAPPED = {"flex_flow": "row wrap", "align_items": "center"}


class ProgramBrowser(Face):
    """The programs of a job, one open at a time.  Whatever can be clicked is a method as well.

    Parameters
    ----------
    shown
        A program, or the candidates of a job, of which the best one is opened.
    onto
        The program they are put onto; by default the one that was kept with the job.
    """

    def __init__(self, shown: StoredProgram | StoredPrograms, *, onto: Program | None = None) -> None:
        self.answer, self._onto = shown, onto
        self.programs = shown if isinstance(shown, StoredPrograms) else shown.programs
        self._page, self._told, self._reply = w.HTML(), w.HTML(), w.HTML()
        self._choice = w.Dropdown(options=self._options(), description="program", **_wide())
        self._form = w.VBox()
        self._fields: dict[str, Any] = {}
        self._twice = Twice()
        listed = [page(shown.html())] if isinstance(shown, StoredPrograms) else []
        opened = [self._choice, self._page, self._form, self._using()] if len(self.programs) else []
        self.box = w.VBox([*listed, *opened])
        self._choice.observe(lambda change: self.select(change["new"]), "value")
        first = self._best() if isinstance(shown, StoredPrograms) else shown.id
        if first is not None:
            self.select(first)

    def select(self, program_id: str) -> StoredProgram:
        """Open a program; raises `NotFoundError` where the job has none of that id."""
        self.program = self.programs[program_id]
        if self._choice.value != self.program.id:
            self._choice.value = self.program.id  # which opens it
            return self.program
        self._page.value = page(self.program.html(lines=False)).value
        self._told.value = self._reply.value = ""
        self._asking()
        return self.program

    def ask(self, **inputs: object) -> Tryout:
        """Ask the open program, as its :meth:`~skillfleet_nb.reports.stored_programs.StoredProgram.ask` does."""
        answer = self.program.ask(inputs, onto=self._onto)
        self._reply.value = answer.html()
        return answer

    def to_variable(self, name: str, *, replace: bool = False) -> Any:
        """Put the open program into a variable of the notebook, and return it.

        Raises
        ------
        TakenError
            If the variable has a value already, and `replace` does not say to replace it.
        SkillfleetError
            If the program cannot be opened, or `name` is no variable's.
        """
        checked_name(name)
        program = self.program.load(self._onto)
        put(name, program, replace=replace)
        return program

    def save(self, path: str | Path, *, replace: bool = False) -> Path:
        """Write the open program as JSON that ``dspy`` loads; raises as :meth:`to_variable` does."""
        return self.program.save(free(path, replace=replace))

    def _options(self) -> list[tuple[str, str]]:
        return [
            (" · ".join(part for part in (
                program_name(row["program_id"], row["role"], row["trial"]),
                f"validation {points(row['val_score'])}" if points(row["val_score"]) else "",
                f"test {points(row['test_score'])}" if points(row["test_score"]) else "",
                counted(int(row["n_demos"]), "demo"),
            ) if part), row["program_id"])
            for row in self.programs.frame.to_dict("records")
        ]  # fmt: skip

    def _best(self) -> str | None:
        return self.programs.best or next(iter(self.programs.frame.program_id), None)

    def _asking(self) -> None:
        """Make the fields to try the program with, or say why there are none."""
        try:
            names = input_fields(self.program.load(self._onto))
        except SkillfleetError as exc:
            hint = f"to try or use it here, give the program: ProgramBrowser(…, onto=program) ({exc})"
            self._form.children = (w.HTML(preformatted(hint)),)
            return
        if list(self._fields) != names:
            self._fields = {n: w.Textarea(description=n, rows=2, **_wide()) for n in names}
        examples = w.Dropdown(options=self._examples(), description="example", **_wide())
        examples.observe(self._chosen, "value")
        button = w.Button(description="Try it", button_style="primary")
        button.on_click(self._tried)
        title = w.HTML("<strong>try it</strong>")
        choice = [examples] if len(examples.options) > 1 else []
        self._form.children = (title, *choice, *self._fields.values(), button, self._reply)

    def _examples(self) -> list[tuple[str, str]]:
        """List examples it was scored on, the worst first."""
        examples = self.programs.examples
        scores = self.program.scores().sort_values(["score", "split"], kind="stable")
        rows = [row for row in scores.to_dict("records") if row["example_id"] in examples][:_EXAMPLES]
        listed = {
            row["example_id"]: f"{row['split']} {mark(row['score'])} {answer_in_words(row['output'], 30)} ← "
            f"{one_line(row['input'], 80)}" for row in rows
        }  # fmt: skip
        return [("choose one to fill the fields, or write your own", ""), *((t, e) for e, t in listed.items())]

    def _chosen(self, change: Change) -> None:
        example = self.programs.examples.get(change["new"])
        if example is not None:
            import json

            for name, value in example.inputs().items():
                if name in self._fields:
                    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
                    self._fields[name].value = text

    def _tried(self, button: w.Button) -> None:
        button.disabled, self._reply.value = True, "<em>asking …</em>"
        try:
            self.ask(**{name: field.value for name, field in self._fields.items()})
        except SkillfleetError as exc:
            self._reply.value = preformatted(str(exc))
        finally:
            button.disabled = False

    def _using(self) -> Any:
        best = best_name(self.programs.job.name)
        name = w.Text(value=best, description="variable", layout=w.Layout(width="240px"))
        file = w.Text(value=f"{best}.json", description="file", layout=w.Layout(width="240px"))
        use = w.Button(description="Use this program", layout=w.Layout(width="160px"))
        keep = w.Button(description="Save as JSON", layout=w.Layout(width="160px"))
        use.on_click(lambda _: self._do(partial(self.to_variable, name.value), f"{name.value} is program "))
        loads = "with DSPy alone: program.load({!r}) reads program "
        keep.on_click(lambda _: self._do(partial(self.save, file.value), loads.format(file.value)))
        return w.VBox([w.HBox([name, use, file, keep], layout=w.Layout(**_WRAPPED)), self._told])

    def _do(self, what: Callable[..., object], message: str) -> None:
        try:
            self._twice(message, lambda replace: what(replace=replace))
        except SkillfleetError as exc:
            self._told.value = preformatted(str(exc))
        else:
            self._told.value = fill("<div>{}{}</div>", message, self.program.id)


def _wide() -> dict[str, Any]:
    return {"layout": w.Layout(width="auto", max_width="720px"), "style": {"description_width": "initial"}}
