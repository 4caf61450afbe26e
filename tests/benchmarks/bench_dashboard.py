"""The dashboard over 10,000 jobs, in headless Chromium: how soon it is there, and how it keeps up.

The page is the product's own script and grid, on a page of its own: what the kernel and the page say to one another
is handed on as JSON.  A home of 10,000 finished jobs of 40 tasks is written first.  *First draw* is from the rows'
arrival to the first frame with rows in it, the grid's script loaded anew; *kernel* is what the kernel takes to ask
the database and pack the rows.  Sorting and filtering are measured from the click or key to the frame that shows it,
the filter's wait for the next key left out.  Scrolling goes through the table at 300 pixels a frame.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks"))

from dashboard_page import DashboardPage
from playwright.sync_api import sync_playwright

from skillfleet_nb import Fleet
from skillfleet_nb.events import JobCreated, LMCall, Result, StateChanged, Trial
from skillfleet_nb.store import Home, Journal
from skillfleet_nb.widgets import Dashboard
from skillfleet_nb.widgets.twin import kept

JOBS, TASKS, AGAIN = 10_000, 40, 5
_FRAME = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
_SORT = """async () => {
    const head = document.querySelector('.tabulator-col[tabulator-field=best] button');
    const began = performance.now();
    head.click();
    return await %s - began;
}"""
_FILTER = """async (text) => {
    const field = document.querySelector('[aria-label="filter by job"]');
    field.value = text;
    const filtered = new Promise(done => new MutationObserver((_, o) => { o.disconnect(); done(); })
        .observe(document.querySelector('.tabulator-table'), { childList: true }));
    field.dispatchEvent(new KeyboardEvent('keyup', { bubbles: true }));
    field.dispatchEvent(new Event('input', { bubbles: true }));
    const began = performance.now() + 80; // the wait for the next key
    await filtered;
    return await %s - began;
}"""
_SCROLL = """async () => {
    const box = document.querySelector('.tabulator-tableholder'), frames = [];
    box.scrollTop = 0;
    let last = await %s;
    for (let n = 0; n < 150; n += 1) {
        box.scrollTop += 300;
        const now = await new Promise(done => requestAnimationFrame(done));
        frames.push(now - last);
        last = now;
    }
    return frames;
}"""


def _row(what: str, value: float, unit: str, target: str | float | None) -> dict[str, Any]:
    return {"what": what, "value": round(value, 1), "unit": unit, "target": target}


def fill(home: Home, jobs: int) -> None:
    """Write finished jobs."""
    rng = random.Random(1)
    done = StateChanged(state="completed", stop_reason="the optimizer finished")
    for n in range(jobs):
        before = 0.6 * rng.random()
        after = before + 0.3 * rng.random()
        optimizer = rng.choice(["gepa", "miprov2", "simba", "copro"])
        given = {"metric": "exact", "engine": "thread", "seed": n, "tags": (f"v{n % 5}",)}
        trial = {"split": "val", "full_eval": True, "n_examples": 9}
        with Journal(home, f"job-{n:05d}") as journal:
            journal.append_many([
                JobCreated(name=f"intents-{n}", optimizer=optimizer, program=f"Triage {n % TASKS}", **given),
                StateChanged(state="running"),
                Trial(trial=0, score=before, best_so_far=before, program_id="a", **trial),
                Trial(trial=1, score=after, best_so_far=after, program_id="b", **trial),
                LMCall(model="m", cached=False, cost_usd=rng.random() / 10, call_id="c", role="task"),
                Result(
                    baseline_score=before, best_score=after, test_baseline=before, test_score=after,
                    test_delta=after - before,
                    test_delta_low=after - before - 0.1, test_delta_high=after - before + 0.1,
                    p_value=0.01, verdict="improved", best_program_id="b", summary="improved",
                ),
                done,
            ])  # fmt: skip


def measure(fleet: Fleet) -> list[dict[str, Any]]:
    """Measure a dashboard of a home."""
    fleet.jobs()  # folds, which is done once
    asked = []
    for _ in range(AGAIN):
        began = time.perf_counter()
        view = Dashboard(fleet)
        view._send_rows(view._rows, whole=True, gone=[])
        asked.append(time.perf_counter() - began)
        view.close()
    html = len(kept(view._repr_html_(), repr(view)).encode())
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        shown = DashboardPage(chromium, fleet)
        page = shown.page
        first = page.evaluate("drawnAt - rowsAt")
        sorts = [page.evaluate(_SORT % _FRAME) for _ in range(AGAIN)]
        filters = [page.evaluate(_FILTER % _FRAME, text) for text in ("9", "99", "999", "", "7")]
        shown.settle()
        page.evaluate(_FILTER % _FRAME, "")
        shown.settle()
        frames = page.evaluate(_SCROLL % _FRAME)
        shown.close()
        chromium.close()
    rate = 1000 * len(frames) / sum(frames)
    return [
        _row(f"kernel: ask for {JOBS:,} jobs and pack them", 1000 * statistics.median(asked), "ms", None),
        _row(f"first draw of {JOBS:,} jobs, grouped by task", first, "ms", "< 1000"),
        _row("sort by a column: median", statistics.median(sorts), "ms", "< 100"),
        _row("filter as one types: median", statistics.median(filters), "ms", "< 100"),
        _row("scrolling", rate, "frames/s", "≥ 30"),
        _row("scrolling: frames above 33 ms", 100 * sum(f > 1000 / 30 for f in frames) / len(frames), "%", None),
        _row("what a notebook keeps of it", html / 1000, "kB", "≤ 300"),
    ]


def run() -> list[dict[str, Any]]:
    """Write the jobs, and measure."""
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder) / "home")
        fill(fleet.home, JOBS)
        return measure(fleet)
