"""What an open run monitor costs the run in the same kernel, in a real JupyterLab page.

The wall time of a job with a monitor open over that of the same one without, taking turns; 20 ms a call.

Run: ``python tests/benchmarks/bench_monitor_cost.py [--pairs 5]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import json
import statistics
from typing import TYPE_CHECKING, Any

from bench_monitor import CHROMIUM, jupyterlab, notebook, row

if TYPE_CHECKING:
    from jupyterlab_page import Lab

PAIRS = 5
_PAIRS = """\
import dspy, json, time, skillfleet_nb as sf
from IPython.display import display
from skillfleet_nb.data.bundled import bundled
train, fleet = bundled("intents")[:160], sf.Fleet()
program = dspy.Predict("text -> intent")
metric = lambda example, pred, trace=None: example.intent == pred.intent
def timed(shown):
    lm = sf.offline_lm(latency_s=0.02, cache=False)
    started = time.perf_counter()
    job = fleet.optimize(program, train=train, metric=metric, optimizer="bootstrap_random_search", lm=lm,
                         num_threads=4, seed=3)
    if shown:
        display(job.monitor())
    job.result()
    return time.perf_counter() - started
timed(False)
walls = [[timed(shown) for shown in (False, True)] for _ in range(PAIRS)]
print("walls", json.dumps(walls))"""


def run(pairs: int = PAIRS) -> list[dict[str, Any]]:
    """Measure what an open monitor costs a run in the same kernel."""
    if not CHROMIUM.exists():
        return [row(f"no Chromium at {CHROMIUM}: nothing measured", 0, "")]
    with jupyterlab() as (lab, _):
        walls = _walls(lab, pairs)
    ratios = [with_it / without for without, with_it in walls]
    span = f"({min(ratios):.3f} to {max(ratios):.3f})"
    what = f"wall time with a monitor over {statistics.median(w for w, _ in walls):.1f} s without, median of {pairs}"
    return [row(f"{what} pairs {span}", statistics.median(ratios), "ratio", "< 1.02")]


def _walls(lab: Lab, pairs: int) -> list[list[float]]:
    page = lab.open(notebook("%load_ext skillfleet_nb", _PAIRS.replace("PAIRS", str(pairs))), "cost.ipynb")
    page.start_all()
    page.await_idle()
    assert page.errors() == [], page.errors()
    text = next(
        line for line in page.output("import dspy").all_inner_texts()[0].splitlines() if line.startswith("walls")
    )
    page.close()
    walls: list[list[float]] = json.loads(text.removeprefix("walls "))
    return walls


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    for measured in run(parser.parse_args().pairs):
        print(measured)
