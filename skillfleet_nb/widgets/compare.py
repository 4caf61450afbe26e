"""Runs side by side, and a button that puts the chosen one's program to use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as w

from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.html import preformatted
from skillfleet_nb.widgets.actions import best_name
from skillfleet_nb.widgets.face import Face, Twice, checked_name, page, put

if TYPE_CHECKING:
    from skillfleet_nb.reports.comparison import Comparison
    from skillfleet_nb.widgets.face import Change


class ComparisonView(Face):
    """A comparison to read, and :meth:`use` as a button.

    Parameters
    ----------
    comparison
        What ``fleet.reports.compare`` returned.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.answer = self.comparison = comparison
        self._twice = Twice()
        runs = [(f"{n + 1}: {r.label}", n) for n, r in enumerate(comparison.runs) if r.facts["best_program_id"]]
        parts: list[Any] = [page(comparison.html())]
        if runs:
            self._told = w.HTML()
            self._run = w.Dropdown(options=runs, description="program of", style={"description_width": "initial"})
            self._name = w.Text(description="variable", layout=w.Layout(width="240px"))
            self._run.observe(self._named, "value")
            self._named()
            button = w.Button(description="Use this program", button_style="primary", layout=w.Layout(width="160px"))
            button.on_click(self._clicked)
            row = w.Layout(flex_flow="row wrap", align_items="center")
            parts.append(w.HBox([self._run, self._name, button, self._told], layout=row))
        self.box = w.VBox(parts)

    def use(self, run: str | int, name: str, *, replace: bool = False) -> Any:
        """Put the best program of a run, by label or position, into a variable of the notebook, and return it.

        Raises
        ------
        TakenError
            If the variable has a value already, and `replace` does not say to replace it.
        SkillfleetError
            If there is no such run, it has no program that can be opened, or `name` is no variable's.
        """
        checked_name(name)
        program = self.comparison.program(run).load()
        put(name, program, replace=replace)
        return program

    def _named(self, change: Change | None = None) -> None:
        del change
        self._name.value = best_name(self._run.label[3:])

    def _clicked(self, button: w.Button) -> None:
        del button
        try:
            run, name = self._run.value, self._name.value
            self._twice(f"{run} {name}", lambda replace: self.use(run, name, replace=replace))
        except SkillfleetError as exc:
            self._told.value = preformatted(str(exc))
        else:
            self._told.value = preformatted(f"{self._name.value} is the best program of {self._run.label[3:]}")
