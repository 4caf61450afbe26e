"""The widget without a browser: whatever can be clicked, asked for through its methods and traits."""

from __future__ import annotations

import json
import re
import warnings
from typing import TYPE_CHECKING, Any

import altair as alt
import pytest
from message_sets import WordVectors, flipped, made_up

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
from skillfleet_nb.data import TrainsetReport, analyze
from skillfleet_nb.errors import InputError
from skillfleet_nb.fleet import Fleet
from skillfleet_nb.widgets import TrainsetView
from skillfleet_nb.widgets.trainset_tabs import facts, history, twins

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


@pytest.fixture(scope="module")
def report() -> TrainsetReport:
    rows, _ = flipped(made_up(90), 0.1)
    rows = [r for i, r in enumerate(rows) if r["topic"] != "outage" or i < 6]
    return analyze([*rows, dict(rows[0])], embed=WordVectors(), label="topic")


@pytest.fixture
def view(report: TrainsetReport, tmp_path: Path) -> TrainsetView:
    return TrainsetView(report, Fleet(tmp_path / "home"))


def test_charts_count_every_row_and_mark_what_is_short(report: TrainsetReport) -> None:
    quality = quality_data(report)
    assert quality["rows"].sum() == report.analysed
    bands = report.quality_distribution
    assert quality.groupby("band")["rows"].sum().to_dict() == {
        "high": bands.high, "medium": bands.medium, "low": bands.low
    }  # fmt: skip
    marked = category_data(report).set_index("category")["state"]
    assert marked["outage"] == "under-represented"
    assert (marked.drop("outage") == "enough").all()
    assert len(map_data(report)) == report.analysed


@pytest.mark.parametrize("draw", [quality_chart, category_chart, length_chart, map_chart])
def test_charts_are_drawn(draw: Any, report: TrainsetReport) -> None:
    from skillfleet_nb.charts import to_svg

    data = {quality_chart: quality_data, category_chart: category_data}.get(draw, map_data)(report)
    assert "<svg" in to_svg(draw(data))


def test_it_carries_text_and_html_with_the_same_facts(view: TrainsetView, report: TrainsetReport) -> None:
    data, _ = view._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"] == report.text()
    assert "under-represented" in data["text/html"].lower()


def test_the_table_pages_through_the_filter(view: TrainsetView, report: TrainsetReport) -> None:
    table = view.table
    assert (table.found, len(table.rows)) == (report.analysed, 20)
    assert table.rows[0]["row"] == report.examples["row"].iloc[0]
    table.page = table.pages - 1
    assert len(table.rows) == report.analysed - 20 * (table.pages - 1)
    table.query = "INVOICE refund"
    assert table.page == 0
    expected = [t for t in report.examples["text"] if "invoice" in t and "refund" in t]
    assert (table.found, [r["text"] for r in table.rows]) == (len(expected), expected[:20])
    table.query = "no such words at all"
    assert (table.found, table.rows, table.pages) == (0, [], 1)


def test_the_table_sorts_and_picks_out_bands(view: TrainsetView, report: TrainsetReport) -> None:
    view.table.sort = "worst quality"
    assert view.table.rows[0]["quality"] == report.examples["quality"].min()
    view.table.sort = "row"
    assert [r["row"] for r in view.table.rows] == list(range(20))
    view.table.only = "suspects"
    assert view.table.found == len(report.suspects)
    for band in ("high", "medium", "low"):
        view.table.only = band
        assert view.table.found == getattr(report.quality_distribution, band)


def test_rows_are_ticked_out_and_the_rest_is_a_variable(view: TrainsetView, report: TrainsetReport) -> None:
    view.exclude([0, 2])
    view.include([2])
    assert view.excluded == [0]
    assert view.to_variable("kept") == view.filtered
    assert len(view.filtered) == report.total_examples - 1
    view.table.only = "ticked out"
    assert [r["row"] for r in view.table.rows] == [0]
    with pytest.raises(InputError, match="row 999"):
        view.exclude([999])
    with pytest.raises(InputError, match="no name of a variable"):
        view.to_variable("a b")


def test_brushing_the_map_selects_rows(view: TrainsetView, report: TrainsetReport) -> None:
    data = map_data(report)
    half = float(data["x"].median())
    low, high = float(data["y"].min()) - 1, float(data["y"].max()) + 1
    view._brushed_on(data, {"x": [half, float(data["x"].max()) + 1], "y": [low, high]})
    assert view.table.only == "selected on the map"
    assert view.table.found == (data["x"] >= half).sum()
    view._brushed_on(data, {})
    assert view.table.found == report.analysed


def test_charts_that_are_joined_keep_their_selections_apart(report: TrainsetReport) -> None:
    data = map_data(report)
    other = data.assign(quality=data["quality"] / 2)
    joined = alt.vconcat(*map(bare, (data, other)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Altair warns where it makes one of two
        spec = joined.to_dict()
    names = [p["name"] for p in spec["params"]]
    assert sorted(names) == sorted([*selection_names(data), *selection_names(other)])
    assert len(set(names)) == 4
    for chart, own in zip(spec["vconcat"], (data, other), strict=True):
        used = set(re.findall(r'"param": "(\w+)"', json.dumps(chart)))
        assert used == set(selection_names(own))


def bare(data: pd.DataFrame) -> Any:
    """Draw the map without a configuration, which Altair allows on the outermost chart alone."""
    chart = map_chart(data)
    chart.config = alt.Undefined
    return chart


def test_clicking_categories_narrows_the_selection(view: TrainsetView, report: TrainsetReport) -> None:
    data = map_data(report)
    view._brushed_on(data, {}, [{"category": "outage"}])
    assert view.table.found == report.categories["outage"]
    low, high = float(data["y"].min()) - 1, float(data["y"].max()) + 1
    half = float(data["x"].median())
    view._brushed_on(data, {"x": [half, half + 9], "y": [high, low]}, [{"category": "billing"}, {"category": "access"}])
    expected = (data["x"] >= half) & data["category"].isin(["billing", "access"])
    assert view.table.found == expected.sum()
    view._brushed_on(data, {}, [])
    assert view.table.only == "all"


def test_all_that_the_filter_finds_are_ticked_out_or_in(view: TrainsetView, report: TrainsetReport) -> None:
    view.table.only = "suspects"
    view.table.asked_all = {"keep": False, "nonce": 1}
    assert set(view.excluded) == {s.row for s in report.suspects}
    view.table.only = "ticked out"
    assert view.table.found == len(report.suspects)
    view.table.asked_all = {"keep": True, "nonce": 2}
    assert view.excluded == []


def test_repeats_are_ticked_out_at_once(view: TrainsetView, report: TrainsetReport) -> None:
    last = report.total_examples - 1  # repeats row 0
    assert last in view.repeats
    assert 0 not in view.repeats
    view.exclude(view.repeats)
    assert sum(row == report.given([0])[0] for row in view.filtered) == 1


def test_an_analysis_without_labels_twins_or_runs_is_shown() -> None:
    rows = [{"text": r["text"]} for r in made_up(8)]
    view = TrainsetView(analyze(rows, embed=WordVectors(), near=1))
    assert "no conflicts" in twins(view.report)
    assert "no run has scored" in history(view.report)
    assert "no influence can be estimated" in history(view.report)
    assert "<svg" in view._overview_charts()[0]
    assert view.repeats == []


def test_a_rating_is_kept_in_the_home(view: TrainsetView, report: TrainsetReport) -> None:
    view.table.asked_rating = {"row": 3, "rating": 0.5, "nonce": 1}
    assert view._fleet is not None
    assert view._fleet.sql("select payload->>'rating' as r from events where kind = 'rating'").r.tolist() == ["0.5"]
    with pytest.raises(InputError, match="row 999"):
        view.rate(999, 0.5)
    with pytest.raises(InputError, match="kept in a home"):
        TrainsetView(report).rate(3, 0.5)


def test_hostile_texts_stay_text() -> None:
    rows = [*made_up(20), {"text": "<img src=x onerror=alert(1)>", "topic": "<b>"}]
    view = TrainsetView(analyze(rows, embed=WordVectors(), label="topic"))
    assert "<img" not in facts(view.report) + twins(view.report) + history(view.report)
