"""Speed of the store: appending, folding, the job list over a million LM calls, peak memory; compaction;
and a minute of many processes on one home, two of them killed each second.

Run with ``python tests/benchmarks/bench_store.py``.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from skillfleet_nb import envelope
from skillfleet_nb.events import JobCreated, LMCall, StateChanged, Trial
from skillfleet_nb.store import Home, Journal, Store

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

from store_stress import stress

JOBS = 20
CALLS = 1_000_000
LISTING = "select * from jobs order by created_at desc"


def _call(number: int) -> LMCall:
    return LMCall(
        call_id=f"c{number}",
        model="skillfleet/offline-1",
        role="task",
        cached=number % 5 == 0,
        input_tokens=400 + number % 97,
        output_tokens=20 + number % 13,
        cost_usd=0.0001,
        latency_s=0.2,
        prompt=f"Answer the question number {number}. " + "Context. " * 20,
        response=f"The answer is {number % 7}.",
    )


def _append_rate(home: Home, events: int = 40_000) -> float:
    calls = [_call(number) for number in range(events)]
    with Journal(home, "append") as journal:
        started = time.perf_counter()
        for call in calls:
            journal.append(call)
        return events / (time.perf_counter() - started)


def _unsealed(body: bytes, _: int) -> bytes:
    return b"{" + body


def _checksum_rows(turns: int = 9, events: int = 20_000) -> list[dict[str, object]]:
    """Append and fold the same events with checksums and without, by turns, and compare the CPU time of the best."""
    calls = [_call(number) for number in range(events)]
    took: dict[tuple[str, bool], list[float]] = {}
    for turn, with_checksums in itertools.product(range(turns), (True, False)):
        seal = envelope.seal if with_checksums else _unsealed
        with tempfile.TemporaryDirectory() as folder, patch("skillfleet_nb.store.segments.seal", seal):
            home = Home.find(Path(folder) / ".skillfleet")
            with Journal(home, f"turn-{turn}") as journal:
                started = time.process_time()
                for call in calls:
                    journal.append(call)
                appended = time.process_time()
            Store(home).fold()
            took.setdefault(("append", with_checksums), []).append(appended - started)
            took.setdefault(("fold", with_checksums), []).append(time.process_time() - appended)
    return [
        {
            "what": f"{what} with checksums",
            "value": round(min(took[what, True]) / min(took[what, False]), 3),
            "unit": "of without",
            "target": "≤ 1.03",
        }
        for what in ("append", "fold")
    ]


def _synced_rate(home: Home, events: int = 300) -> float:
    with Journal(home, "synced") as journal:
        started = time.perf_counter()
        for number in range(events):
            journal.append(_call(number), sync=True)
        return events / (time.perf_counter() - started)


def _fill(home: Home) -> None:
    per_job = CALLS // JOBS
    for job in range(JOBS):
        with Journal(home, f"job-{job:02d}") as journal:
            journal.append(
                JobCreated(name="bench", optimizer="gepa", program="p", metric="m", engine="thread", seed=job)
            )
            journal.append(StateChanged(state="running"))
            for start in range(0, per_job, 5_000):
                journal.append_many([_call(job * per_job + n) for n in range(start, min(start + 5_000, per_job))])
                journal.append(Trial(trial=start // 5_000, split="val", full_eval=True, n_examples=50, score=0.5))
            journal.append(StateChanged(state="completed"), sync=True)


def _stress_rows(seconds: float = 60, events_per_s: int = 4_000) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        outcome = stress(Path(folder), seconds=seconds, events_per_s=events_per_s, compactors=0)
    p95 = statistics.quantiles(outcome.seconds, n=20)[-1]
    rows: list[tuple[str, object, str, str]] = [
        (f"8 append, 4 query, {seconds:.0f} s: kills", outcome.kills, "", ""),
        ("… events acknowledged and folded", outcome.acknowledged, "events", "≥ 200000"),
        ("… acknowledged events lost", outcome.lost, "events", "≤ 0"),
        ("… events doubled", outcome.doubled, "events", "≤ 0"),
        ("… errors shown to anyone", len(outcome.errors), "", "≤ 0"),
        ("… queries answered", len(outcome.seconds), "", ""),
        ("… queries unanswered", outcome.unanswered, "", "≤ 0"),
        ("… job list, median", round(statistics.median(outcome.seconds), 3), "s", ""),
        ("… job list, p95", round(p95, 3), "s", "< 0.5"),
    ]
    return [{"what": what, "value": value, "unit": unit, "target": target} for what, value, unit, target in rows]


def run() -> list[dict[str, object]]:
    """Measure, and return rows of what, value, unit and target."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home.find(Path(folder) / ".skillfleet")
        store = Store(home)
        append = _append_rate(home)
        synced = _synced_rate(home)
        _fill(home)
        before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        report = store.fold()
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        times = []
        for _ in range(11):
            started = time.perf_counter()
            listing = store.sql(LISTING)
            times.append(time.perf_counter() - started)
        if len(listing) != JOBS or report.events < CALLS:
            raise RuntimeError(f"the benchmark's own data are wrong: {len(listing)} jobs, {report}")
        own = []  # as the package asks: by the connection that it keeps
        for _ in range(11):
            started = time.perf_counter()
            store.frame(LISTING)
            own.append(time.perf_counter() - started)
        with Journal(home, "job-new") as journal:
            journal.append(_call(0))
            started = time.perf_counter()
            store.sql(LISTING)
            folding = time.perf_counter() - started
        started = time.perf_counter()
        store.sql("select model, role, sum(cost_usd), quantile_cont(latency_s, 0.95) from lm_calls group by all")
        grouped = time.perf_counter() - started
        database_mb = home.database.stat().st_size / 2**20
        compacted = store.compact(everything=True)
        rebuilt = store.rebuild()
        if rebuilt.events != report.events + 1 or compacted.bytes_after is None:
            raise RuntimeError(f"the compaction lost events: {rebuilt}, {compacted}")
        return [
            {"what": "append, one process", "value": round(append), "unit": "events/s", "target": "≥ 20000"},
            {"what": "append with sync", "value": round(synced), "unit": "events/s", "target": ""},
            {
                "what": f"fold {report.events} events",
                "value": round(report.events / report.seconds),
                "unit": "events/s",
                "target": "≥ 30000",
            },
            {
                "what": "job list over 1e6 LM calls, median of 11",
                "value": round(statistics.median(times), 3),
                "unit": "s",
                "target": "< 0.2",
            },
            {"what": "job list, slowest of 11", "value": round(max(times), 3), "unit": "s", "target": ""},
            {"what": "… as the package asks", "value": round(statistics.median(own), 3), "unit": "s", "target": ""},
            {"what": "job list with one event to fold", "value": round(folding, 3), "unit": "s", "target": ""},
            {"what": "group 1e6 LM calls by model", "value": round(grouped, 3), "unit": "s", "target": ""},
            {
                "what": "database size",
                "value": round(database_mb),
                "unit": "MiB",
                "target": "",
            },
            {
                "what": "compact, with verification",
                "value": round(compacted.bytes_before / 1e6 / compacted.seconds, 1),
                "unit": "MB/s",
                "target": "",
            },
            {
                "what": "journal after compaction",
                "value": round(100 * compacted.bytes_after / compacted.bytes_before, 1),
                "unit": "%",
                "target": "< 25",
            },
            {
                "what": "rebuild from compacted journals",
                "value": round(rebuilt.events / rebuilt.seconds),
                "unit": "events/s",
                "target": "≥ 30000",
            },
            {"what": "memory before the fold", "value": round(before_mb), "unit": "MiB", "target": ""},
            {"what": "peak memory of the fold", "value": round(peak_mb), "unit": "MiB", "target": ""},
            *_checksum_rows(),
            *_stress_rows(),
        ]


if __name__ == "__main__":
    for row in run():
        print(f"{row['what']:<45} {row['value']:>10} {row['unit']:<9} {row['target']}")  # noqa: T201  a report
