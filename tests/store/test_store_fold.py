from __future__ import annotations

import json
import math
import random
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import CREATED, call, random_payload, tables, trial

from skillfleet_nb.envelope import unsealed
from skillfleet_nb.events import Phase, ProgramSaved, Result, StateChanged
from skillfleet_nb.store import Home, Journal, Store, follow
from skillfleet_nb.store import fold as fold_module

if TYPE_CHECKING:
    from pathlib import Path


def _job(store: Store) -> dict[str, object]:
    (row,) = store.frame("from jobs").to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_a_job_from_its_creation_to_its_result(home: Home, store: Store) -> None:
    with Journal(home, "job-1") as journal:
        journal.append(CREATED)
        job = _job(store)
        assert (job["job_id"], job["name"], job["state"], job["seed"]) == ("job-1", "triage", "pending", 7)
        assert (job["budget_usd"], job["cost_usd"], job["lm_calls"]) == (2.5, 0.0, 0)
        journal.append(StateChanged(state="running"))
        journal.append_many([call(1), call(2, cached=True, cost_usd=0.0), call(3, input_tokens=5)])
        journal.append(trial(0, 0.4))
        journal.append(trial(1, 0.9, full_eval=False))
        journal.append(trial(2, 0.8, split="train"))
        journal.append(trial(3, 0.6, parent_ids=("p0", "p1")))
        job = _job(store)
        assert (job["state"], job["baseline_score"], job["best_score"]) == ("running", 0.4, 0.6)
        assert (job["best_program_id"], job["lm_calls"], job["cached_calls"]) == ("p3", 2, 1)
        assert (job["input_tokens"], job["output_tokens"], job["cost_usd"]) == (15, 4, 0.5)
        journal.append(Result(baseline_score=0.41, best_score=0.61, test_delta=0.1, p_value=0.03, verdict="improved"))
        journal.append(StateChanged(state="completed", stop_reason="all trials done"))
        job = _job(store)
        assert (job["state"], job["stop_reason"], job["verdict"]) == ("completed", "all trials done", "improved")
        assert (job["baseline_score"], job["best_score"], job["p_value"]) == (0.41, 0.61, 0.03)
        times = store.frame("select created_at, started_at, finished_at, wall_s from jobs").iloc[0]
        assert times.created_at < times.started_at < times.finished_at
        assert times.wall_s == pytest.approx((times.finished_at - times.started_at).total_seconds(), abs=1e-5)
        assert str(times.created_at.tz) == "UTC"


def test_each_relation_holds_its_events(home: Home, store: Store) -> None:
    with Journal(home, "job-1") as journal:
        journal.append(trial(1, 0.5, parent_ids=("p0",), best_so_far=0.5, lm_calls=3))
        journal.append(call(1, error="RateLimitError", role="reflection"))
        journal.append(ProgramSaved(program_id="p1", state={"demos": []}, instructions="Answer.", n_demos=2))
    (row,) = store.frame("from trials").to_dict("records")
    assert list(row["parent_ids"]) == ["p0"]
    assert (row["trial"], row["full_eval"], row["score"], row["best_so_far"], row["lm_calls"]) == (1, True, 0.5, 0.5, 3)
    scores = store.frame("select example_id, score, feedback from scores order by example_id").to_dict("records")
    assert scores[0]["score"] == 0.5
    assert math.isnan(scores[1]["score"])
    assert scores[1]["feedback"] == "wrong team"
    (row,) = store.frame("from lm_calls").to_dict("records")
    assert (row["call_id"], row["role"], row["cached"], row["error"]) == ("c1", "reflection", False, "RateLimitError")
    assert (row["prompt"], row["response"], row["latency_s"]) == ("Which team?", "billing", 0.5)
    (row,) = store.frame("select *, state->'demos' as demos from programs").to_dict("records")
    assert (row["program_id"], row["instructions"], row["n_demos"], row["demos"]) == ("p1", "Answer.", 2, "[]")


def test_events_hold_every_payload_in_full(home: Home, store: Store) -> None:
    rng = random.Random(3)
    with Journal(home, "job-1") as journal:
        journal.append_many([random_payload(rng) for _ in range(200)])
    told = store.frame("select seq, kind, payload from events order by seq")
    import orjson

    for (seq, kind, payload), event in zip(told.itertuples(index=False), follow(home, "job-1").poll(), strict=True):
        written = event.payload.model_dump(mode="json", exclude={"kind"})
        assert (seq, kind, orjson.loads(payload)) == (event.seq, event.kind, written)


def test_one_bought_call_of_unknown_price_makes_the_cost_unknown(home: Home, store: Store) -> None:
    with Journal(home, "job-1") as journal:
        journal.append_many([CREATED, call(1), call(2, cached=True, cost_usd=None)])
        assert _job(store)["cost_usd"] == 0.25
        journal.append(call(3, cost_usd=None))
        assert math.isnan(_job(store)["cost_usd"])  # type: ignore[arg-type]
        journal.append(call(4))
        assert math.isnan(_job(store)["cost_usd"])  # type: ignore[arg-type]
    assert _job(store)["lm_calls"] == 3


def test_a_job_whose_writer_is_gone_reads_as_interrupted_at_once(home: Home, store: Store) -> None:
    with Journal(home, "job-1") as journal:
        journal.append_many([CREATED, StateChanged(state="running")])
        assert _job(store)["state"] == "running"
        assert store.status().orphans == ()
    job = store.frame("select state, stop_reason, finished_at, e.at from jobs, events e where seq = 2").iloc[0]
    assert (job.state, job.stop_reason) == ("interrupted", "its process is gone")
    assert job.finished_at == job["at"]
    assert store.status().orphans == ("job-1",)
    with Journal(home, "job-1") as journal:
        journal.append(StateChanged(state="running"))
        assert _job(store)["state"] == "running"
        journal.append(StateChanged(state="completed"))
    assert _job(store)["state"] == "completed"


def test_wall_time_leaves_out_the_gap_between_two_attempts(home: Home, store: Store) -> None:
    folder = home.ensure().journal_dir("job-1")
    folder.mkdir(parents=True)
    line = '{"seq":%d,"at":"2026-01-01T%s.000000Z","kind":"%s","payload":%s}\n'
    created = CREATED.model_dump_json(exclude={"kind"})
    (folder / "000001.jsonl").write_text(
        line % (1, "10:00:00", "job_created", created)
        + line % (2, "10:00:10", "state", '{"state":"running"}')
        + line % (3, "10:00:40", "phase", '{"text":"x"}')
    )
    (folder / "000002.jsonl").write_text(
        line % (4, "12:00:00", "state", '{"state":"running"}')
        + line % (5, "12:00:05", "state", '{"state":"completed"}')
    )
    job = store.frame("from jobs").iloc[0]
    assert job.wall_s == 35
    assert (job.finished_at - job.started_at).total_seconds() == 7195


def test_wall_time_leaves_out_pauses_and_waiting_for_a_person_however_it_is_folded(home: Home, store: Store) -> None:
    folder = home.ensure().journal_dir("job-1")
    folder.mkdir(parents=True)
    told = [
        ("00", "job_created", CREATED.model_dump_json(exclude={"kind"})),
        ("05", "state", '{"state":"running"}'),
        ("10", "paused", '{"paused":true}'),
        ("17", "phase", '{"text":"a call in flight ended"}'),
        ("20", "paused", '{"paused":false}'),
        ("21", "state", '{"state":"pending_hitl"}'),
        ("30", "paused", '{"paused":true}'),
        ("40", "state", '{"state":"running"}'),
        ("41", "paused", '{"paused":false}'),
        ("43", "state", '{"state":"completed"}'),
    ]
    line = '{"seq":%d,"at":"2026-01-01T10:00:%s.000000Z","kind":"%s","payload":%s}\n'
    seen = []
    with (folder / "000001.jsonl").open("a") as file:
        for seq, event in enumerate(told, 1):
            file.write(line % (seq, *event))
            file.flush()
            seen.append(store.frame("from jobs").wall_s.fillna(-1)[0])
    assert seen == [-1, 0, 5, 5, 5, 6, 6, 6, 6, 8]
    store.rebuild()
    assert store.frame("from jobs").wall_s.tolist() == [8]


@pytest.mark.parametrize(
    ("state", "reason", "kind"),
    [
        ("completed", "the optimizer finished", "finished"),
        ("completed", "budget: 20 calls", "budget"),
        ("cancelled", "the program was not accepted", "cancelled"),
        ("failed", "error", "error"),
        ("failed", "gepa failed: ValueError: no", "error"),
        ("failed", "10 of the last 20 calls of gpt (task) failed, the last with a timeout", "lm_failing"),
        ("failed", "gpt failed on the first call: no key; set it", "lm_failing"),
        ("failed", "metric 'exact' returned None", "metric"),
        ("running", None, None),
    ],
)
def test_older_journals_tell_why_a_job_stopped(
    home: Home, store: Store, state: str, reason: str | None, kind: str | None
) -> None:
    with Journal(home, "job-1") as journal:
        journal.append(CREATED)
        payload = json.dumps({"state": state, "stop_reason": reason, "error": None})
        with journal.path.open("a") as file:
            file.write(f'{{"seq":2,"at":"2026-01-01T10:00:00Z","kind":"state","payload":{payload}}}\n')
        told = store.frame("select stop_kind is not distinct from ? as same from jobs", [kind])
        assert told.same.tolist() == [True]


BAD = [
    b"",
    b"not json",
    b"null",
    b"[]",
    b"\xff\xfe\x00",
    b'{"seq":9,"at":"2026-01-01T00:00:00Z","kind":"phase"}',
    b'{"seq":9,"at":"yesterday","kind":"phase","payload":{}}',
    b'{"seq":9,"at":"2026-01-01T00:00:00","kind":"phase","payload":{}}',
    b'{"seq":"9","at":"2026-01-01T00:00:00Z","kind":"phase","payload":{}}',
    b'{"seq":9,"at":"2026-01-01T00:00:00Z","kind":5,"payload":{}}',
    b'{"seq":9,"at":"2026-01-01T00:00:00Z","kind":"phase","payload":[]}',
    b'{"seq":9,"at":"2026-01-01T00:00:00Z","kind":"lm_call","payload":{"cost_usd":"free"}}',
    b'{"seq":9,"at":"2026-01-01T00:00:00Z","kind":"lm_call","payload":{"input_tokens":1e300}}',
    b'{"seq":9,"at":"2026-01-01T00:00:00Z","kind":"trial","payload":{"trial":1,"scores":[[1]]}}',
    b'{"seq":9,"at":"2026-01-01T00:00:00Z","kind":"trial","payload":{"trial":1,"scores":7}}',
    b'{"seq":9,"at":"2026-01-01T00:00:00Z","kind":"program","payload":{}}',
    b'{"seq":18446744073709551615,"at":"2026-01-01T00:00:00Z","kind":"phase","payload":{}}',
    b'{"seq":9,"at":"2026-01-01T00:00:00Z","kind":"state","payload":{"state":{"deep":1}}}',
]


@pytest.mark.parametrize("line", BAD)
def test_a_damaged_line_is_skipped_and_counted_and_never_fatal(home: Home, store: Store, line: bytes) -> None:
    with Journal(home, "job-1") as journal:
        journal.append(call(1))
    with journal.path.open("ab") as file:
        file.write(line + b"\n")
    with Journal(home, "job-1") as journal:
        journal.append(call(2))
    report = store.fold()
    assert (report.events, report.bad_lines) == (2, 1)
    assert store.frame("select call_id from lm_calls order by 1").call_id.tolist() == ["c1", "c2"]
    assert store.status().torn_lines == 1


def test_kinds_and_fields_of_a_later_version_are_kept_as_events(home: Home, store: Store) -> None:
    with Journal(home, "drift-1") as journal:
        journal.append(Phase(text="x"))
    line = journal.path.read_bytes()
    with journal.path.open("ab") as file:
        file.write(unsealed(line)[0].replace(b'"phase"', b'"drift_check"').replace(b'"seq":1', b'"seq":2'))
        file.write(
            b'{"seq":3,"at":"2026-01-01T00:00:00Z","kind":"state","payload":{"state":"running","mood":"good"}}\n'
        )
    assert store.fold().bad_lines == 0
    assert store.frame("select kind from events order by seq").kind.tolist() == ["phase", "drift_check", "state"]
    follower = follow(home, "drift-1")
    assert [event.kind for event in follower.poll()] == ["phase", "state"], "an unknown kind is left out"
    assert (follower.newer, follower.torn) == (2, 0)
    assert store.frame("from jobs").empty


def test_odd_but_sound_content_is_folded(home: Home, store: Store) -> None:
    deep = json.loads("[" * 100 + "]" * 100)
    with Journal(home, "job-1") as journal:
        journal.append(Phase(text="\0 \x07 ☃ \u2028"))
        journal.append(ProgramSaved(program_id="p", state={"deep": deep}, instructions="\0", n_demos=0))
        journal.append(call(1, prompt="\0" * 10))
    assert (store.fold().bad_lines, len(store.frame("from events"))) == (0, 3)
    assert store.frame("select prompt from lm_calls").prompt.tolist() == ["\0" * 10]
    assert store.frame("select json_valid(state) as ok from programs").ok.tolist() == [True]


def test_a_torn_last_line_counts_once_its_writer_is_gone(home: Home, store: Store) -> None:
    with Journal(home, "job-1") as journal:
        journal.append(Phase(text="whole"))
        whole = journal.path.read_bytes()
        with journal.path.open("ab") as file:
            file.write(whole[:-5])
        assert store.fold().events == 1
        assert store.status().torn_lines == 0
    assert store.status().torn_lines == 1
    assert store.status().pending_segments == 0  # nobody will finish it: not looked at again and again
    # and a line taken back and replaced by one that ends at the very same place is not missed
    journal.path.write_bytes(whole + whole[:-6] + b"\n")
    assert store.fold().bad_lines == 1


def test_nothing_new_folds_nothing(home: Home, store: Store) -> None:
    assert store.fold().events == 0
    assert not home.root.exists()
    with Journal(home, "job-1") as journal:
        journal.append(CREATED)
    assert (store.fold().events, store.fold().events) == (1, 0)


def test_small_batches_give_the_same_rows(home: Home, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    for job in range(3):
        with Journal(home, f"job-{job}") as journal:
            journal.append_many([random_payload(rng) for _ in range(40)])
    store.fold()
    whole = tables(store)
    monkeypatch.setattr(fold_module, "BATCH_EVENTS", 7)
    assert store.rebuild().events == 120
    assert tables(store) == whole
    monkeypatch.setattr(fold_module, "BATCH_BYTES", 300)
    assert store.rebuild().events == 120
    assert tables(store) == whole


@settings(max_examples=settings().max_examples // 20)
@given(seed=st.integers(0, 2**32), steps=st.lists(st.integers(0, 12), min_size=1, max_size=6))
def test_folding_bit_by_bit_equals_folding_at_once(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: list[int]
) -> None:
    rng = random.Random(seed)
    folder: Path = tmp_path_factory.mktemp("home")
    home = Home.find(folder / ".skillfleet")
    store = Store(home)
    for step in steps:
        with Journal(home, f"job-{rng.randrange(3)}") as journal:
            for _ in range(step):
                journal.append(random_payload(rng))
                if rng.random() < 0.1:
                    with journal.path.open("r+b") as file:  # damage its end as a crash would
                        file.seek(-1, 2)
                        file.write(b"x")
                    break
        if rng.random() < 0.7:
            store.fold()
    bit_by_bit = tables(store)
    store.rebuild()
    assert tables(store) == bit_by_bit
    shutil.rmtree(folder)
