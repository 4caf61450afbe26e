"""Pictures are drawn by a process beside this one: it may die, and takes nothing with it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skillfleet_nb.charts import Chart, convergence, convergence_data, to_spec, to_svg
from skillfleet_nb.charts import renderer as renderer_module
from skillfleet_nb.errors import ChartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = convergence_data(pd.DataFrame([{"trial": 0, "split": "val", "full_eval": True, "score": 0.5}]))


@pytest.fixture(scope="module")
def beside() -> Iterator[renderer_module.Renderer]:
    drawer = renderer_module.Renderer()
    yield drawer
    if drawer.pid is not None:
        os.kill(drawer.pid, signal.SIGKILL)


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


@settings(max_examples=25)
@given(title=st.text(min_size=1), name=st.text(min_size=1))
def test_whatever_a_chart_is_given_its_specification_is_text_that_xml_allows(title: str, name: str) -> None:
    chart = convergence(DATA.assign(job=name), title=title)
    for text in texts(to_spec(chart)):
        ET.fromstring(f"<a>{text.replace('&', '&amp;').replace('<', '&lt;')}</a>")  # noqa: S314  our own


def test_the_title_of_a_chart_can_hold_what_no_picture_can(beside: renderer_module.Renderer) -> None:
    assert "␇ and \\u202e" in to_svg(convergence(DATA, title="\a and \u202e"))


def test_the_process_that_draws_may_die_alone(beside: renderer_module.Renderer) -> None:
    svg = {"spec": to_spec(convergence(DATA)), "version": "5.8"}
    assert beside.make("svg", svg).startswith(b"<svg")
    first = beside.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert beside.make("svg", svg).startswith(b"<svg"), "a new one draws"
    assert beside.pid not in {first, os.getpid()}


def test_a_picture_that_no_process_survives_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deadly = tmp_path / "deadly.py"
    deadly.write_text("import os, signal, sys\nsys.stdin.buffer.readline()\nos.kill(os.getpid(), signal.SIGABRT)\n")
    monkeypatch.setattr(renderer_module, "_PROGRAM", deadly)
    with pytest.raises(ChartError, match="the process that draws was ended by SIGABRT"):
        renderer_module.Renderer().make("svg", {})


def test_what_the_renderer_refuses_is_one_line(beside: renderer_module.Renderer) -> None:
    with pytest.raises(ChartError, match="the chart cannot be drawn: "):
        beside.make("pdf", "this is no picture")
    assert beside.make("pdf", "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>").startswith(b"%PDF")


def test_a_chart_whose_picture_fails_still_shows_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer_module, "_PROGRAM", "/nonexistent")  # a process that ends at once
    monkeypatch.setattr("skillfleet_nb.charts.drawing.renderer", renderer_module.Renderer)
    bundle, _ = Chart("curve", DATA, convergence(DATA))._repr_mimebundle_()
    assert "image/svg+xml" not in bundle
    assert "application/vnd.vegalite.v5+json" in bundle
    assert bundle["text/plain"].startswith("curve\n")
    assert "this chart was not drawn" in bundle["text/plain"]
