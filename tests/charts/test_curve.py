"""One learning curve: the chart, the live monitor and its still show the same points, best line and axis."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skillfleet_nb.charts import convergence, convergence_data
from skillfleet_nb.charts.convergence import FULL, PART
from skillfleet_nb.design import script
from skillfleet_nb.runs.jobs.curve import Curve
from skillfleet_nb.runs.jobs.picture import picture
from skillfleet_nb.runs.jobs.progress import Progress
from skillfleet_nb.store import Home
from skillfleet_nb.widgets import still

Trials = list[tuple[str, bool, float]]
TRIALS = st.one_of(
    st.lists(st.tuples(st.sampled_from(["val", "train"]), st.booleans(), st.floats(0, 1)), min_size=1, max_size=40),
    st.builds(
        lambda n, seed: [("val", (seed * at) % 3 == 0, (seed * at * 7919) % 1009 / 1008) for at in range(n)],
        st.integers(150, 1500), st.integers(1, 999),
    ),
)  # fmt: skip


def _live(home: Home, trials: Trials) -> dict[str, object]:
    progress = Progress(home, "job-1")
    for trial, (split, full_eval, score) in enumerate(trials):
        progress.curve.add(trial, score, full=split == "val" and full_eval)
    return picture(progress)


def _chart(trials: Trials) -> pd.DataFrame:
    frame = pd.DataFrame(trials, columns=["split", "full_eval", "score"])
    return convergence_data(frame.assign(trial=range(len(frame))))


@given(TRIALS)
def test_the_chart_shows_the_points_and_the_best_line_of_the_monitor(trials: Trials) -> None:
    shown, data = _live(Home.find(), trials)["curve"], _chart(trials)
    for kind, of in (("full", FULL), ("part", PART)):
        mine = data[data.kind == of]
        assert [[t, round(s, 2)] for t, s in zip(mine.trial, mine.score, strict=True)] == shown[kind]
    risen = data[data.best.notna() & (data.best != data.best.shift())]
    assert [[t, round(s, 2)] for t, s in zip(risen.trial, risen.best, strict=True)] == shown["best"]
    assert shown["last"] == max(1, data.trial.max())


@given(TRIALS)
def test_the_still_draws_the_points_and_the_best_line_of_the_monitor(trials: Trials) -> None:
    shown = _live(Home.find(), trials)
    curve, drawn = shown["curve"], str(still.svg(shown))
    low, high, _ = curve["axis"]

    def place(trial: int, score: float) -> tuple[float, float]:
        width, height = still._W - still._LEFT - still._RIGHT, still._H - still._TOP - still._BOTTOM
        return still._LEFT + width * trial / curve["last"], still._TOP + height * (high - score) / (high - low)

    circles = re.findall(r"M([\d.]+) ([\d.]+)a4 4", drawn)
    diamonds = re.findall(r"M([\d.]+) ([\d.-]+)l2.5 2.5", drawn)
    for marks, points, dx, dy in ((circles, curve["full"], 4, 0), (diamonds, curve["part"], 0, 2.5)):
        assert len(marks) == len(points)
        for (x, y), point in zip(marks, points, strict=True):
            assert (float(x) + dx, float(y) + dy) == pytest.approx(place(*point), abs=0.11)
    steps = re.search(r"<path d='M([\d.]+) ([\d.]+)((?:H[\d.]+V[\d.]+)*)H[\d.]+' fill='none' stroke='#0072b2'", drawn)
    assert (steps is not None) == bool(curve["best"])
    if steps is not None:
        corners = [steps.groups()[:2], *re.findall(r"H([\d.]+)V([\d.]+)", steps[3])]
        for (x, y), point in zip(corners, curve["best"], strict=True):
            assert (float(x), float(y)) == pytest.approx(place(*point), abs=0.11)


PAGE = """
const element = (tag) => ({ tag, clientWidth: 560, attributes: {}, children: [], append() {}, addEventListener() {},
  setAttribute(name, value) { this.attributes[name] = value; },
  prepend(child) { this.children.push(child); }, replaceChildren(...children) { this.children = children; } });
globalThis.document = { createElement: element, createElementNS: (_, tag) => element(tag) };
const figure = element("figure");
curve(figure, element("div"))(JSON.parse(require("fs").readFileSync(0)));
const paths = figure.children[0].children.filter((c) => c.tag === "path");
console.log(JSON.stringify(Object.fromEntries(paths.map((p) => [p.attributes.class, p.attributes.d]))));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the page's script with")
def test_the_page_draws_the_points_and_the_best_line_of_the_monitor() -> None:
    trials: Trials = [("val", n % 3 == 0, n * 7919 % 1009 / 1008) for n in range(700)]
    shown = _live(Home.find(), trials)
    module = script(Path(still.__file__).parent / "static" / "monitor.js").partition("export default")[0]
    drawn = json.loads(
        subprocess.run(
            ["node", "-e", module + PAGE], input=json.dumps(shown), capture_output=True, text=True, check=True
        ).stdout
    )
    low, high, _ = shown["curve"]["axis"]

    def read(x: str, y: str) -> tuple[float, float]:
        return (float(x) - 38) / 512 * shown["curve"]["last"], high - (float(y) - 8) / 160 * (high - low)

    number = r"(-?[\d.]+)"
    circles = [read(str(float(x) + 4), y) for x, y in re.findall(f"M{number} {number}a", drawn["sf-full"])]
    diamonds = [read(x, str(float(y) + 2.5)) for x, y in re.findall(f"M{number} {number}l", drawn["sf-part"])]
    start, steps = (
        re.match(f"M{number} {number}", drawn["sf-best"]),
        re.findall(f"H{number}V{number}", drawn["sf-best"]),
    )
    line = [read(x, y) for x, y in (start.groups(), *steps)]
    for marks, kind in ((circles, "full"), (diamonds, "part"), (line, "best")):
        assert len(marks) == len(shown["curve"][kind]) > 0
        for one, point in zip(marks, shown["curve"][kind], strict=True):
            assert one == pytest.approx(point, abs=1e-6)


@settings(max_examples=25)  # each a chart
@given(TRIALS)
def test_chart_and_monitor_have_the_same_axis(trials: Trials) -> None:
    curve = Curve()
    for trial, (split, full_eval, score) in enumerate(trials):
        curve.add(trial, score, full=split == "val" and full_eval)
    low, high, step = curve.axis()
    spec = convergence(_chart(trials)).to_dict()
    scales = [layer["encoding"]["y"] for layer in spec["layer"]]
    assert {tuple(y["scale"]["domain"]) for y in scales} == {(low, high)}
    ticks = scales[-1]["axis"]["values"]
    assert (ticks[0], ticks[-1]) == pytest.approx((low, high))
    assert [b - a for a, b in pairwise(ticks)] == pytest.approx([step] * (len(ticks) - 1))
