"""A training set to look through: tabs, charts, a table to filter, and the filtered set as a variable."""

from __future__ import annotations

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
)
from skillfleet_nb.errors import InputError
from skillfleet_nb.markup import items, preformatted, table
from skillfleet_nb.trainset.rows import brief
from skillfleet_nb.trainset.scoring import HIGH, LOW
from skillfleet_nb.widgets.face import Face, put

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.trainset import TrainsetReport

_STATIC = Path(__file__).parent / "static"
_PAGE = 20
_ORDERS = {
    "rank": (["rank", "row"], [False, True]),
    "worst quality": (["quality", "row"], [True, True]),
    "most suspicious": (["suspicion", "row"], [False, True]),
    "row": (["row"], [True]),
}
_SHOWN = 25


class ExampleTable(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget is untyped
    """One page of examples; Python keeps the page in step with the filter."""

    _esm = _STATIC / "example_table.js"
    _css = _STATIC / "example_table.css"
    rows = t.List().tag(sync=True)
    found = t.Int(0).tag(sync=True)
    page = t.Int(0).tag(sync=True)
    pages = t.Int(1).tag(sync=True)
    query = t.Unicode("").tag(sync=True)
    only = t.Unicode("all").tag(sync=True)
    sort = t.Enum(list(_ORDERS), "rank").tag(sync=True)
    excluded = t.List(t.Int()).tag(sync=True)
    asked_rating = t.Dict(allow_none=True, default_value=None).tag(sync=True)


class TrainsetView(Face):
    """A report to look through.  Whatever can be clicked is a method as well.

    Parameters
    ----------
    report
        What :meth:`skillfleet_nb.Fleet.trainset` returned.
    fleet
        Where ratings are kept; without it, rating is refused.

    Examples
    --------
    >>> import numpy as np
    >>> from skillfleet_nb.trainset import analyze
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
            brief=[brief(x) for x in report.examples["text"]],
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
        at = self._frame.index[self._frame["row"] == row]
        if at.empty:
            raise InputError(f"row {row} was not analysed.")
        if self._fleet is None:
            raise InputError("ratings are kept in a home: make the view with its fleet, TrainsetView(report, fleet).")
        self._fleet.rate(str(self._frame.loc[at[0], "example_id"]), rating)
        self._frame.loc[at, "rating"] = rating
        self._turn()

    def to_variable(self, name: str) -> list[Any]:
        """Put the filtered set into a variable of the notebook, and return it.

        Raises
        ------
        InputError
            If `name` is no name of a variable.
        """
        rows = self.filtered
        put(name, rows)
        return rows

    def _laid_out(self) -> Any:
        overview = w.VBox([w.HTML(self._facts()), w.HTML(_row(self._overview_charts()))])
        quality = w.VBox([self._saving(), self.table])
        tabs = w.Tab([overview, quality, self._coverage(), w.HTML(self._alike()), w.HTML(self._history())])
        for at, title in enumerate(["Overview", "Quality", "Coverage", "Duplicates and conflicts", "History"]):
            tabs.set_title(at, title)
        tabs.add_class("sf-trainset")
        return tabs

    def _facts(self) -> str:
        report = self.report
        parts = [table([], report.overview(), title=f"Training set {report.name}")]
        parts += [items(report.notes, title="Notes")] if report.notes else []
        parts += [items(report.recommendations, title="What to do")] if report.recommendations else []
        best = [[str(p.row), f"{p.score:.3f}", p.name] for p in report.top_performers]
        return "".join([*parts, table(["row", "rank", "example"], best, title="Best examples", numeric=[0, 1])])

    def _overview_charts(self) -> list[str]:
        charts = [quality_chart(quality_data(self.report)), length_chart(map_data(self.report))]
        if self.report.categories:
            charts.append(category_chart(category_data(self.report)))
        return [to_svg(chart) for chart in charts]

    def _saving(self) -> Any:
        name = w.Text(value="filtered", description="variable", layout=w.Layout(width="260px"))
        button = w.Button(description="Put the filtered set into it", layout=w.Layout(width="220px"))

        def save(_: Any) -> None:
            try:
                rows = self.to_variable(name.value)
            except InputError as exc:
                self._told.value = preformatted(str(exc))
            else:
                self._told.value = preformatted(f"{name.value}: {len(rows):,} examples")

        button.on_click(save)
        return w.HBox([name, button, self._told])

    def _coverage(self) -> Any:
        data = map_data(self.report)
        told = [g.text() for g in self.report.underrepresented] + [r.text() for r in self.report.uncovered]
        chart = _offline_chart()(chart=map_chart(data), embed_options={"actions": False})
        if hasattr(chart.selections, "brush"):
            chart.selections.observe(lambda change: self._brushed_on(data, change["new"].value), ["brush"])
        said = items(told, title="Gaps") if told else "<div>nothing is under-represented by more than chance</div>"
        shown = f"; {len(data):,} of {self.report.analysed:,} rows are shown" * (len(data) < self.report.analysed)
        hint = f"<div>rows selected on the map are those of the table under “Quality”{shown}</div>"
        return w.VBox([chart, w.HTML(hint), w.HTML(said)])

    def _brushed_on(self, data: pd.DataFrame, box: dict[str, list[float]]) -> None:
        if not box:
            self.brush([])
            return
        (left, right), (low, high) = sorted(box["x"]), sorted(box["y"])
        self.brush(data.loc[data["x"].between(left, right) & data["y"].between(low, high), "row"].tolist())

    def _alike(self) -> str:
        parts = []
        for title, found in (("Conflicts", self.report.conflicts), ("Duplicates", self.report.duplicates)):
            rows = [
                [
                    ", ".join(map(str, f.rows)),
                    f"{f.similarity:.3f}",
                    ", ".join(dict.fromkeys(map(str, f.labels))),
                    f.text,
                ]
                for f in found[:_SHOWN]
            ]
            more = f", {_SHOWN} shown" if len(found) > _SHOWN else ""
            head = f"{title}: {len(found):,}{more}"
            parts.append(table(["rows", "cosine", "labels", "example"], rows, title=head, numeric=[1]))
        return "".join(parts)

    def _history(self) -> str:
        seen = self._frame[self._frame["runs"] > 0].sort_values(["success", "row"])
        if seen.empty:
            return "<div>no run has scored these examples: success is 0.5 for all of them</div>"
        columns = ["row", "runs", "trials", "solved", "success", "quality", "brief"]
        rows = [
            [f"{v:.3f}" if isinstance(v, float) else str(v) for v in line]
            for line in seen[columns].head(_SHOWN).itertuples(index=False)
        ]
        title = f"{len(seen):,} examples that runs have scored, least successful first"
        return table([*columns[:-1], "example"], rows, title=title, numeric=range(6))

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

    def _refilter(self, change: Any = None) -> None:
        if change is not None and change["name"] == "excluded" and self.table.only != "ticked out":
            return
        self._found = self._matching()
        self.table.found = len(self._found)
        self.table.pages = max(1, -(-len(self._found) // _PAGE))
        self.table.page = 0
        self._turn()

    def _turn(self, change: Any = None) -> None:
        del change
        at = min(max(self.table.page, 0), self.table.pages - 1) * _PAGE
        page = self._frame.loc[self._found.index[at : at + _PAGE]].drop(columns=["found"])
        plain = page.astype(object).where(page.notna(), None)
        self.table.rows = [
            {str(k): v.item() if hasattr(v, "item") else v for k, v in row.items()} for row in plain.to_dict("records")
        ]

    def _rated(self, change: Any) -> None:
        asked = change["new"]
        if asked:
            try:
                self.rate(int(asked["row"]), asked["rating"])
            except InputError as exc:
                self._told.value = preformatted(str(exc))
            else:
                self._told.value = preformatted(f"row {asked['row']}: rating kept, counts from the next analysis on")


def _row(svgs: list[str]) -> str:
    return f"<div style='display:flex;flex-wrap:wrap;gap:16px'>{''.join(f'<div>{svg}</div>' for svg in svgs)}</div>"


def _offline_chart() -> Any:
    """Make Altair's live chart load its scripts from here; the person's own charts stay as they are."""
    import altair as alt

    made = type("MapChart", (alt.JupyterChart,), {})
    made.enable_offline()  # type: ignore[attr-defined]  # a class made here
    return made
