"""The run monitor in a real JupyterLab page, headless Chromium on the same machine.

0. From the first event of a job to the frame that shows its card.
1. Event to pixels: from the time in the journal to the second frame after the page has changed, for marks that
   a process of its own writes at random moments: alone, among 500 events a second, and with ten monitors open.
2. Under those 500 events a second, minutes long: from a click to its answer on the page, and to the kernel's; the
   memory of page (after a collection) and kernel, as its growth from the first fifth to the end.
3. How much a notebook file grows by a monitored run of 100,000 trials, under way and done.

Run: ``python tests/benchmarks/bench_monitor.py [--minutes 10]``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks"))

import nbformat
import psutil
from conftest import CHROMIUM
from jupyterlab_page import Lab, LabPage

from skillfleet_nb import Fleet
from skillfleet_nb.events import JobCreated, JobState, LMCall, Phase, StateChanged, Trial
from skillfleet_nb.store import Home, Journal, follow

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE, MINUTES, LONG, SIGHTS = 500, 10.0, 100_000, 9
_WATCH = """() => {
    window.marks = {};
    for (const phase of document.querySelectorAll('.sf-phase')) {
        const note = () => { const text = phase.textContent; requestAnimationFrame(() => requestAnimationFrame(
            () => { window.marks[text] ??= Date.now(); })); };
        new MutationObserver(note).observe(phase, {childList: true, characterData: true, subtree: true});
    }
}"""
_CLICK = """async () => {
    const root = document.querySelector('.sf-monitor');
    const [button, notice] = [root.querySelector('button'), root.querySelector('.sf-told')];
    const frame = () => new Promise(requestAnimationFrame);
    const started = performance.now();
    button.click();
    while (notice.hidden) await frame();
    await frame();
    const answered = performance.now();
    while (button.disabled) await frame();
    return [answered - started, performance.now() - started];
}"""
_SIGHT = """() => {
    window.sights = {};
    const note = () => requestAnimationFrame(() => requestAnimationFrame(() => {
        for (const card of document.querySelectorAll('.sf-monitor[aria-label]'))
            window.sights[card.getAttribute('aria-label').replace('monitor of job ', '')] ??= Date.now();
    }));
    const what = {childList: true, subtree: true, attributeFilter: ['aria-label']};
    new MutationObserver(note).observe(document.body, what);
}"""
_TASK = """%load_ext skillfleet_nb
import dspy, skillfleet_nb as sf
from skillfleet_nb.data.bundled import bundled
lm, train, program = sf.offline_lm(latency_s=0.05), bundled("intents")[:120], dspy.Predict("text -> intent")
metric = lambda example, pred, trace=None: example.intent == pred.intent"""
_SET_UP = """\
%load_ext skillfleet_nb
import os
print(os.getpid())"""


def write(root: str, name: str, rate: float) -> None:
    """Write a job's events until killed: `rate` of calls and trials a second, and marks at random moments."""
    rng, prompt = random.Random(name), "Classify the message by intent. " * 40
    with Journal(Home.find(root), name) as journal:
        journal.append(JobCreated(name=name, optimizer="made up", program="", metric="", engine="process", seed=0))
        journal.append(StateChanged(state=JobState.RUNNING))
        started, n, mark, next_mark = time.monotonic(), 0, 0, 2.0
        while True:
            now = time.monotonic() - started
            while rate and n < now * rate:
                n += 1
                if n % 50:
                    call = LMCall(call_id=f"{n}", model="m", role="task", cached=False, prompt=prompt, response="ok")
                    journal.append(call)
                else:
                    score = rng.random()
                    full = n % 500 == 0
                    trial = Trial(trial=n // 50, split="val", full_eval=full, n_examples=35, score=score, best_so_far=1)
                    journal.append(trial)
            if now >= next_mark:
                journal.append(Phase(text=f"{name} mark {mark}"))
                mark, next_mark = mark + 1, now + rng.uniform(0.5, 1.0)
            time.sleep(0.002)


@contextmanager
def writing(home: Path, name: str, rate: float) -> Iterator[None]:
    """Write in a process of its own, until the end of the body."""
    args = [sys.executable, __file__, "--write", str(home), name, str(rate)]
    process = subprocess.Popen(args)
    try:
        while not (home / "journal" / name).exists():
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def jupyterlab() -> Iterator[tuple[Lab, Path]]:
    """Start a JupyterLab and a browser for the body; yield it with its folder."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        lab = Lab(Path(folder), browser)
        try:
            yield lab, Path(folder)
        finally:
            lab.stop()
            browser.close()


def notebook(*cells: str) -> nbformat.NotebookNode:
    """Make a notebook of code cells."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
    )


def shown(lab: Lab, names: list[str], file: str) -> tuple[LabPage, float]:
    """Open a notebook that shows the monitors of these jobs; from the returned time on it notes their marks."""
    cells = [f"import skillfleet_nb as sf\nsf.Fleet().monitor({name!r})" for name in names]
    page = lab.open(notebook(_SET_UP, *cells), file)
    page.start_all()
    for at in range(len(names)):
        page._page.locator(".sf-monitor").nth(at).wait_for()
    page._page.evaluate(_WATCH)
    return page, time.time()


def latencies(page: LabPage, home: Path, names: list[str], since: float) -> tuple[list[float], int]:
    """Return, in ms, how long marks took from the journal to the page, and how many there were."""
    until = time.time() - 2  # the newest may still be on their way
    events = [e for name in names for e in follow(Home.find(home), name).poll() if e.kind == "phase"]
    at = {e.payload.text: e.at.timestamp() for e in events if since < e.at.timestamp() < until}
    seen = page._page.evaluate("() => window.marks")
    return [seen[text] - 1000 * moment for text, moment in at.items() if text in seen], len(at)


def heap(page: LabPage) -> float:
    """Return what the page's script holds, in MiB, after a collection."""
    session = page._page.context.new_cdp_session(page._page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return float(metrics["JSHeapUsedSize"]) / 2**20


def row(what: str, value: float, unit: str, target: str | None = None) -> dict[str, Any]:
    """Make a row of the result."""
    return {"what": what, "value": round(value, 3), "unit": unit, "target": target}


def told(what: str, values: list[float], asked: int, target: str) -> dict[str, Any]:
    """Summarise latencies; a mark that never showed is told, not left out in silence."""
    worst = sorted(values)[int(0.95 * (len(values) - 1))]
    note = f"median of {len(values)} of {asked} (95% under {worst:.0f} ms)"
    return row(f"{what}, {note}", statistics.median(values), "ms", target)


def quiet(lab: Lab, home: Path) -> list[dict[str, Any]]:
    """Measure event to pixels of a job that does little else."""
    with writing(home, "quiet", 0):
        page, since = shown(lab, ["quiet"], "quiet.ipynb")
        page._page.wait_for_timeout(60_000)
        rows = [told("event to pixels, alone", *latencies(page, home, ["quiet"], since), "< 300")]
    page.close()
    return rows


def sight(lab: Lab, home: Path) -> list[dict[str, Any]]:
    """Measure how soon a card is seen after the first event of its job, in a kernel that has shown one before."""
    names = [f"sight-{n}" for n in range(SIGHTS + 1)]
    optimize = "%skillfleet optimize program --train train --metric metric --lm lm --optimizer copro --no-wait --name"
    page = lab.open(notebook(_TASK, *(f"{optimize} {name} --seed {n}" for n, name in enumerate(names))), "sight.ipynb")
    page.evaluate(_SIGHT)
    values = []
    for n, name in enumerate(names):
        page.run_cell(n + 1 if n else 0)
        if not n:
            page.await_kernel()
            page.run_cell(1)
        page._page.wait_for_function("name => window.sights[name]", arg=name)
        job = Fleet(home).job(name)
        first = min(event.at.timestamp() for event in follow(Home.find(home), job.id).poll())
        values.append(page.evaluate("name => window.sights[name]", name) - 1000 * first)
        job.cancel()
        page.await_kernel()
    page.close()
    return [told("first event of a job to its card seen", values[1:], SIGHTS, "< 300")]


def ten(lab: Lab, home: Path) -> list[dict[str, Any]]:
    """Measure the same with ten monitors open, each job at 50 events a second."""
    names = [f"ten-{n}" for n in range(10)]
    with ExitStack() as writers:
        for name in names:
            writers.enter_context(writing(home, name, 50))
        page, since = shown(lab, names, "ten.ipynb")
        page._page.wait_for_timeout(30_000)
        values = latencies(page, home, names, since)
    page.close()
    return [told("event to pixels, ten monitors of 50 events/s each", *values, "< 300")]


def loaded(lab: Lab, home: Path, minutes: float) -> list[dict[str, Any]]:
    """Measure under 500 events a second for minutes: clicks, pixels, memory."""
    seconds = 60 * minutes
    with writing(home, "loaded", RATE):
        page, since = shown(lab, ["loaded"], "loaded.ipynb")
        kernel = psutil.Process(int(page.output("%load_ext").inner_text().strip()))
        samples, clicks, started = [], [], time.monotonic()
        while (at := time.monotonic() - started) < seconds:
            samples.append((at / seconds, heap(page), kernel.memory_info().rss / 2**20))
            clicks.append(page._page.evaluate(_CLICK))
            page._page.wait_for_timeout(max(1000, 1000 * seconds / 40))
        values = latencies(page, home, ["loaded"], since)
        wrote = sum(1 for _ in follow(Home.find(home), "loaded").read())
    page.close()
    rows = [told(f"event to pixels, among {RATE} events/s", *values, "< 300")]
    answers, heard = zip(*clicks, strict=True)
    rows.append(told(f"a click answered by the page, {RATE} events/s", list(answers), len(clicks), "< 200"))
    rows.append(
        told(f"the same, heard by the kernel and told back, {RATE} events/s", list(heard), len(clicks), "< 1000")
    )
    early = [s for s in samples if s[0] <= 0.2] or samples[:1]
    late = [s for s in samples if s[0] > 0.8] or samples[-1:]
    for what, at in (("page's script", 1), ("kernel", 2)):
        first, last = (statistics.median(s[at] for s in part) for part in (early, late))
        label = f"growth of the {what}'s memory in {minutes:g} min and {wrote:,} events, from {first:.0f} MiB"
        rows.append(row(label, last - first, "MiB", "< 10"))
    return rows


def growth(lab: Lab, home: Path, files: Path) -> list[dict[str, Any]]:
    """Measure the notebook file of a long run."""
    with Journal(Home.find(home), "long") as journal:
        journal.append(JobCreated(name="long", optimizer="made up", program="", metric="", engine="process", seed=0))
        journal.append(StateChanged(state=JobState.RUNNING))
        for n in range(LONG):
            full = n % 10 == 0
            score = n / LONG
            journal.append(Trial(trial=n, split="val", full_eval=full, n_examples=35, score=score, best_so_far=score))
        page, _ = shown(lab, ["long"], "long.ipynb")
        page._page.wait_for_timeout(12_000)  # the still beside the view is renewed every few seconds
        sizes = [_saved(page, files / "long.ipynb")]
        journal.append(StateChanged(state=JobState.COMPLETED, stop_reason="the optimizer finished"))
        page._page.locator(".sf-monitor").wait_for(state="detached")
        sizes.append(_saved(page, files / "long.ipynb"))
    page.close()
    what = f"growth of the notebook by a run of {LONG:,} trials"
    return [
        row(f"{what}, {when}", size / 1000, "kB", "< 300")
        for when, size in zip(("under way", "done"), sizes, strict=True)
    ]


def _saved(page: LabPage, file: Path) -> int:
    """Save, and return the bytes that outputs take."""
    page.save()
    page._page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    whole = nbformat.read(file, as_version=4)
    with_outputs = len(nbformat.writes(whole).encode())
    for cell in whole.cells:
        cell.outputs = []
    return with_outputs - len(nbformat.writes(whole).encode())


def run(minutes: float = MINUTES) -> list[dict[str, Any]]:
    """Measure all of it."""
    if not CHROMIUM.exists():
        return [row(f"no Chromium at {CHROMIUM}: nothing measured", 0, "")]
    with jupyterlab() as (lab, folder):
        home = folder / "home"
        return [
            *sight(lab, home),
            *quiet(lab, home),
            *loaded(lab, home, minutes),
            *ten(lab, home),
            *growth(lab, home, folder / "notebooks"),
        ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--write", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write(*given.write[:2], float(given.write[2]))
    else:
        for measured in run(given.minutes):
            print(measured)
