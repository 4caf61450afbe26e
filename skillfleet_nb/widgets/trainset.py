"""A training set to look through: tabs, charts, a table to filter, and the filtered set as a variable."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets as w
import traitlets as t

from skillfleet_nb.charts import to_svg
from skillfleet_nb.charts.trainset import (
    category_chart,
    category_data,
    length_chart,
    map_chart,
    map_data,
    quality_chart,
    quality_data,
    selection_names,
)
from skillfleet_nb.data.scoring import HIGH, LOW
from skillfleet_nb.design import script, stylesheet
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, one_line
from skillfleet_nb.html import fill, items, join, preformatted, table
from skillfleet_nb.widgets.face import Face, Twice, page, put
from skillfleet_nb.widgets.trainset_tabs import facts, history, twins

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd
    from markupsafe import Markup

    from skillfleet_nb.data import TrainsetReport
    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.widgets.face import Change

_STATIC = Path(__file__).parent / "static"
_PAGE = 20
_ORDERS = {
    "rank": (["rank", "row"], [False, True]),
    "worst quality": (["quality", "row"], [True, True]),
    "most suspicious": (["suspicion", "row"], [False, True]),
    "row": (["row"], [True]),
}


class ExampleTable(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget is untyped
    """One page of examples; Python keeps the page in step with the filter."""

    _esm = script(_STATIC / "example_table.js")
    _css = stylesheet(_STATIC / "example_table.css")
    rows = t.List().tag(sync=True)
    found = t.Int(0).tag(sync=True)
    page = t.Int(0).tag(sync=True)
    pages = t.Int(1).tag(sync=True)
    query = t.Unicode("").tag(sync=True)
    only = t.Unicode("all").tag(sync=True)
    sort = t.Enum(list(_ORDERS), "rank").tag(sync=True)
    excluded = t.List(t.Int()).tag(sync=True)
    asked_rating = t.Dict(allow_none=True, default_value=None).tag(sync=True)
    asked_all = t.Dict(allow_none=True, default_value=None).tag(sync=True)


class TrainsetView(Face):
    """A report to look through.  Whatever can be clicked is a method as well.

    Parameters
    ----------
    report
        What ``fleet.data.analyse`` returned.
    fleet
        Where ratings are kept; without it, rating is refused.

    Examples
    --------
    >>> import numpy as np
    >>> from skillfleet_nb.data import analyze
    >>> rows = [{"text": f"{w} {i}", "kind": w} for w in ("pay", "card") for i in range(6)]
    >>> report = analyze(rows, embed=lambda ts: np.array([[x[0] == "p", x[0] == "c"] for x in ts], np.float32), near=1)
    >>> view = TrainsetView(report)
    >>> view.exclude([0, 1])
    >>> len(view.filtered)
    10
    """

    def __init__(self, report: TrainsetReport, fleet: Fleet | None = None) -> None:
        self.answer = self.report = report
        self._fleet = fleet
        self._brushed: set[int] = set()
        self.table = ExampleTable()
        self._frame = report.examples.assign(
            brief=[one_line(x) for x in report.examples["text"]],
            found=(
                report.examples["text"]
                + " "
                + report.examples["label"].fillna("").astype(str)
                + " "
                + report.examples["category"].fillna("").astype(str)
            ).str.casefold(),
        )
        self.table.observe(self._refilter, ["query", "only", "sort", "excluded"])
        self.table.observe(self._turn, ["page"])
        self.table.observe(self._rated, ["asked_rating"])
        self.table.observe(self._all_asked, ["asked_all"])
        self._told = w.HTML()
        self._refilter()
        self.box = self._laid_out()

    @property
    def excluded(self) -> list[int]:
        """Rows that are ticked out."""
        return list(self.table.excluded)

    @property
    def filtered(self) -> list[Any]:
        """The set as it was given, without what is ticked out."""
        return self.report.without(self.excluded)

    def exclude(self, rows: Collection[int]) -> None:
        """Tick rows out; raises `InputError` where there is no such row."""
        self.report.without(rows)
        self.table.excluded = sorted({*self.table.excluded, *map(int, rows)})

    def include(self, rows: Collection[int]) -> None:
        """Take rows in again."""
        self.table.excluded = [r for r in self.table.excluded if r not in set(rows)]

    @property
    def found(self) -> list[int]:
        """Rows that the filter finds, on all pages, in the order they are shown."""
        return [int(r) for r in self._found["row"]]

    @property
    def repeats(self) -> list[int]:
        """Rows that repeat an earlier one, exactly or nearly, with the same label."""
        return sorted({row for group in self.report.duplicates for row in sorted(group.rows)[1:]})

    def brush(self, rows: Collection[int]) -> None:
        """Select rows, as dragging on the map does; the table can show these alone."""
        self._brushed = {int(r) for r in rows}
        self.table.only = "selected on the map" if self._brushed else "all"
        self._refilter()

    def rate(self, row: int, rating: float | None) -> None:
        """Rate a row in [0, 1], None takes it back; it counts from the next analysis on.

        Raises
        ------
        InputError
            If there is no such row, no home, or the rating is out of range.
        """
        index = self._frame.index[self._frame["row"] == row]
        if index.empty:
            raise InputError(f"row {row} was not analysed.")
        if self._fleet is None:
            raise InputError("ratings are kept in a home: make the view with its fleet, TrainsetView(report, fleet).")
        self._fleet.data.rate(str(self._frame.loc[index[0], "example_id"]), rating)
        self._frame.loc[index, "rating"] = rating
        self._turn()

    def to_variable(self, name: str, *, replace: bool = False) -> list[Any]:
        """Put the filtered set into a variable of the notebook, and return it.

        Raises
        ------
        InputError
            If `name` is no name of a variable, or of one that has a value already and `replace` does not say to
            replace it.
        """
        rows = self.filtered
        put(name, rows, replace=replace)
        return rows

    def _laid_out(self) -> Any:
        head = table([], self.report.overview(), title=f"Training set {self.report.name}")
        overview = page(join([head, _row(self._overview_charts()), facts(self.report)]))
        quality = w.VBox([self._saving(), self.table])
        tabs = w.Tab([overview, quality, self._coverage(), self._twins(), page(history(self.report))])
        for i, title in enumerate(["Overview", "Quality", "Coverage", "Duplicates and conflicts", "History"]):
            tabs.set_title(i, title)
        tabs.add_class("sf-trainset")
        return tabs

    def _overview_charts(self) -> list[Markup]:
        charts = [quality_chart(quality_data(self.report)), length_chart(map_data(self.report))]
        if self.report.categories:
            charts.append(category_chart(category_data(self.report)))
        return [to_svg(chart) for chart in charts]

    def _saving(self) -> Any:
        twice = Twice()
        name = w.Text(value="filtered", description="variable", layout=w.Layout(width="260px"))
        button = w.Button(description="Put the kept rows into it", layout=w.Layout(width="220px"))

        def save(_: object) -> None:
            try:
                rows = twice(name.value, lambda replace: self.to_variable(name.value, replace=replace))
            except InputError as exc:
                self._told.value = preformatted(str(exc))
            else:
                self._told.value = preformatted(f"{name.value}: {counted(rows, 'example')}")

        button.on_click(save)
        return w.HBox([name, button, self._told], layout=w.Layout(flex_flow="row wrap"))

    def _twins(self) -> Any:
        if not (repeats := self.repeats):
            return page(twins(self.report))
        button = w.Button(description=f"Tick out {counted(len(repeats), 'repeat')}", layout=w.Layout(width="220px"))
        button.on_click(lambda _: self.exclude(repeats))
        return w.VBox([button, page(twins(self.report))])

    def _coverage(self) -> Any:
        data = map_data(self.report)
        gaps = [g.text() for g in self.report.underrepresented] + [r.text() for r in self.report.uncovered]
        chart = _offline_chart()(chart=map_chart(data), embed_options={"actions": False})

        def select(change: Change) -> None:
            del change
            self._brushed_on(data, *(getattr(chart.selections, name).value for name in names))

        names = selection_names(data)
        for name in names:
            chart.selections.observe(select, [name])
        said = items(gaps, title="Gaps") if gaps else "nothing is under-represented by more than chance"
        shown = f"; {len(data):,} of {self.report.analysed:,} rows are shown" * (len(data) < self.report.analysed)
        hint = f"<div>rows selected on the map are those of the table under “Quality”{shown}</div>"
        room = w.Box([chart], layout=w.Layout(overflow="auto"))  # a narrow page scrolls the charts, not the notebook
        return w.VBox([room, page(hint), page(said)])

    def _brushed_on(
        self, data: pd.DataFrame, box: Mapping[str, list[float]], picked: Sequence[Mapping[str, str]] = ()
    ) -> None:
        """Select the rows within a box of the map and of the categories clicked; nothing of either is no limit."""
        inside = data["x"].notna()
        for axis, ends in box.items():
            inside &= data[axis].between(min(ends), max(ends))
        if picked:
            inside &= data["category"].isin([p["category"] for p in picked])
        self.brush(data.loc[inside, "row"].tolist() if box or picked else [])

    def _matching(self) -> pd.DataFrame:
        frame, state = self._frame, self.table
        quality = frame["quality"]
        kept = {
            "high": quality >= HIGH,
            "medium": (quality >= LOW) & (quality < HIGH),
            "low": quality < LOW,
            "suspects": frame["suspect"],
            "ticked out": frame["row"].isin(state.excluded),
            "selected on the map": frame["row"].isin(self._brushed),
        }.get(state.only)
        if kept is not None:
            frame = frame[kept]
        for word in state.query.casefold().split():
            frame = frame[frame["found"].str.contains(word, regex=False)]
        by, ascending = _ORDERS[state.sort]
        return frame.sort_values(by, ascending=ascending, kind="stable", na_position="last")

    def _refilter(self, change: Change | None = None) -> None:
        if change is not None and change["name"] == "excluded" and self.table.only != "ticked out":
            return
        self._found = self._matching()
        self.table.found = len(self._found)
        self.table.pages = max(1, -(-len(self._found) // _PAGE))
        self.table.page = 0
        self._turn()

    def _turn(self, change: Change | None = None) -> None:
        del change
        start = min(max(self.table.page, 0), self.table.pages - 1) * _PAGE
        page = self._frame.loc[self._found.index[start : start + _PAGE]].drop(columns=["found"])
        plain = page.astype(object).where(page.notna(), None)
        self.table.rows = [
            {str(k): v.item() if hasattr(v, "item") else v for k, v in row.items()} for row in plain.to_dict("records")
        ]

    def _all_asked(self, change: Change) -> None:
        if change["new"]:
            (self.include if change["new"]["keep"] else self.exclude)(self.found)

    def _rated(self, change: Change) -> None:
        asked = change["new"]
        if asked:
            try:
                self.rate(int(asked["row"]), asked["rating"])
            except InputError as exc:
                self._told.value = preformatted(str(exc))
            else:
                self._told.value = preformatted(f"row {asked['row']}: rating kept, counts from the next analysis on")


def _row(svgs: list[Markup]) -> Markup:
    boxes = join(
        fill("<div style='max-width:100%;overflow-x:auto' tabindex='0' role='region' aria-label='chart'>{}</div>", svg)
        for svg in svgs
    )
    return fill("<div style='display:flex;flex-wrap:wrap;gap:16px'>{}</div>", boxes)


@cache  # to put its scripts together takes more than a second
def _offline_chart() -> Any:
    """Make Altair's live chart load its scripts from here; the person's own charts stay as they are."""
    import altair as alt

    made = type("MapChart", (alt.JupyterChart,), {})
    made.enable_offline()  # type: ignore[attr-defined]  # a class made here
    return made
