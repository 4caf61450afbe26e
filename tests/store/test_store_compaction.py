from __future__ import annotations

import random
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import CREATED, call, random_payload, rewrite, start, tables, trial

from skillfleet_nb.config import Settings
from skillfleet_nb.envelope import seal
from skillfleet_nb.errors import HomeError
from skillfleet_nb.events import AUDIT, Phase, StateChanged
from skillfleet_nb.lm.calls import digest
from skillfleet_nb.store import Event, Home, Journal, Store, follow, is_alive, parquet, segment_reader, segments
from skillfleet_nb.store import fold as fold_module
from skillfleet_nb.store.compaction import compact
from skillfleet_nb.store.locks import locked

if TYPE_CHECKING:
    from pathlib import Path

TOLD = "My account number is 4711."


def finished_job(home: Home, name: str, events: int = 30, seed: int = 0) -> Path:
    """Write a job that is complete, and return its folder."""
    rng = random.Random(f"{name}{seed}")
    with Journal(home, name) as journal:
        journal.append(CREATED)
        journal.append_many([random_payload(rng) for _ in range(events)])
        journal.append(call(1, prompt=TOLD, response=f"Noted: {TOLD}"))
        journal.append(StateChanged(state="completed"))
    return journal.path.parent


def age(folder: Path) -> None:
    """Let a job have happened long ago."""
    for file in folder.glob("*.jsonl"):
        rewrite(file, lambda line: line.replace(b'"at":"2', b'"at":"1'))


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.name not in {"alive.lock", "control.jsonl"})


def read(home: Home, stream: str) -> list[Event]:
    return follow(home, stream).poll()


def exported(store: Store, folder: Path, file_format: str) -> dict[str, bytes]:
    """Export a home without its audit trail, which tells of each export."""
    shutil.rmtree(store.home.journal / AUDIT, ignore_errors=True)
    store.rebuild()
    files = store.export(folder / file_format, file_format)  # type: ignore[arg-type]
    return {file.name: file.read_bytes() for file in files}


def test_a_compacted_job_reads_as_before_and_takes_less_room(home: Home, store: Store) -> None:
    folder = finished_job(home, "job-1", 3000)
    before, events, size = tables(store), read(home, "job-1"), store.status().journal_bytes
    original = (folder / "000001.jsonl").read_bytes()
    report = store.compact(everything=True)
    assert (report.compacted, report.hashed, report.dropped) == (("job-1",), (), ())
    assert names(folder) == [f"000001.{len(original)}.parquet"]
    store.fold()
    status = store.status()
    trail = segments.bytes_on_disk(segments.segments(home.journal / AUDIT))
    assert (report.bytes_before, report.bytes_after) == (size, status.journal_bytes - trail)
    assert status.journal_bytes < size / 4
    assert (status.compacted, status.pending_segments, status.torn_lines) == (1, 0, 0)
    assert store.fold().events == 0
    assert tables(store) == before
    assert read(home, "job-1") == events
    assert not is_alive(home, "job-1")
    (segment,) = segments.segments(folder)
    assert b"".join(line for line, _ in segment_reader.raw_lines(segment)) == original
    assert store.compact(everything=True).compacted == ()


def test_its_parquet_can_be_asked_in_sql(home: Home, store: Store) -> None:
    finished_job(home, "job-1")
    store.compact(everything=True)
    told = store.sql(f"from read_parquet('{home.journal}/*/*.parquet') select seq, kind, payload->>'state' offset 32")
    assert told.values.tolist() == [[33, "state", "completed"]]


@pytest.mark.parametrize("file_format", ["parquet", "csv", "json"])
def test_rebuilding_from_either_form_gives_byte_equal_exports(
    home: Home, store: Store, tmp_path: Path, file_format: str
) -> None:
    for number in range(4):
        finished_job(home, f"job-{number}", 700)
    grown = exported(store, tmp_path / "grown", file_format)
    assert exported(store, tmp_path / "lines", file_format) == grown
    assert store.compact(everything=True).bytes_after
    assert exported(store, tmp_path / "compacted", file_format) == grown


def test_readers_half_way_through_go_on_in_the_other_form(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished_job(home, "job-1", 500)
    events = read(home, "job-1")
    follower = follow(home, "job-1")
    whole = (folder / "000001.jsonl").read_bytes()
    cut = whole.index(b"\n", len(whole) // 2) + 1
    (folder / "000001.jsonl").write_bytes(whole[:cut])
    seen = follower.poll()
    store.fold()
    (folder / "000001.jsonl").write_bytes(whole)
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 50)
    before = store.status().events
    compact_without_folding(home)
    assert names(folder) == [f"000001.{len(whole)}.parquet"]
    assert 0 < len(seen) < len(events)
    assert seen + follower.poll() == events
    assert follower.poll() == []
    assert store.status().pending_segments == 1
    monkeypatch.setattr(fold_module, "BATCH_EVENTS", 70)
    assert store.fold().events == len(events) - before


def compact_without_folding(home: Home) -> None:
    """Compact as another process would that folds into a database of its own."""
    jobs = [(folder.name, datetime.now(UTC)) for folder in home.journal.iterdir()]
    compact(home, jobs, Settings(), everything=True, dry_run=False, progress=lambda *_: None)


def test_a_later_attempt_writes_on_behind_the_compacted_one(home: Home, store: Store) -> None:
    folder = finished_job(home, "job-1")
    store.compact(everything=True)
    with Journal(home, "job-1") as journal:
        assert journal.path.name == "000002.jsonl"
        assert journal.append(StateChanged(state="running")) == 34
        assert store.frame("select state from jobs").state.tolist() == ["running"]
        assert store.compact(everything=True).compacted == ()
        journal.append(StateChanged(state="cancelled"))
    assert [event.seq for event in read(home, "job-1")] == list(range(1, 36))
    before = tables(store)
    assert store.status().compacted == 0
    store.compact(everything=True)
    assert len(names(folder)) == 2
    assert store.status().compacted == 1
    store.rebuild()
    assert tables(store) == before


def test_only_finished_jobs_of_some_age_are_compacted(home: Home, store: Store) -> None:
    finished_job(home, "young")
    age(finished_job(home, "old"))
    with Journal(home, "dead") as journal:
        journal.append_many([CREATED, StateChanged(state="running")])
    age(journal.path.parent)
    with Journal(home, "alive") as journal, Journal(home, "no-job") as other:
        journal.append_many([CREATED, StateChanged(state="running")])
        other.append(Phase(text="x"))
        age(journal.path.parent)
        assert sorted(store.compact(dry_run=True).compacted) == ["dead", "old"]
        assert store.compact(dry_run=True).bytes_after is None
        assert store.status().compacted == 0
        assert sorted(store.compact().compacted) == ["dead", "old"]
        assert store.compact(everything=True).compacted == ("young",)
        home.config.write_text("compact_after_days = 1e6")
    assert store.compact().compacted == ()
    assert store.status().orphans == ("alive", "dead")


def test_lines_that_are_no_events_and_odd_ones_are_kept_byte_by_byte(home: Home, store: Store) -> None:
    folder = finished_job(home, "job-1")
    odd = (
        b'\xff\xfe\nnot json\n\n{"seq":34, "at":"2026-01-01T00:00:00+02:00","kind":"phase","payload":{"text":"x"}}\n'
        b'{"seq":35,"at":"2026-01-01T00:00:00.000000Z","kind":"phase","payload":{},"more":1}\n'
        b'{"seq":36,"at":"2026-01-01T00:00:00.000000Z","kind":"phase","payload":%s}\n'
        b'{"seq":37,"at":"2026' % (b'{"a":' * 300 + b"1" + b"}" * 300)
    )
    with (folder / "000001.jsonl").open("ab") as file:
        file.write(odd)
    original = (folder / "000001.jsonl").read_bytes()
    before, events, torn = tables(store), read(home, "job-1"), store.status().torn_lines
    assert [event.seq for event in events[-2:]] == [33, 34]  # payloads that do not fit are for SQL alone
    store.compact(everything=True)
    (segment,) = segments.segments(folder)
    assert b"".join(line for line, _ in segment_reader.raw_lines(segment)) == original
    assert read(home, "job-1") == events
    assert tables(store) == before
    assert store.status().torn_lines == torn
    store.rebuild()
    assert tables(store) == before
    assert store.status().torn_lines == torn
    with Journal(home, "job-1") as journal:
        assert journal.append(Phase(text="next")) == 37


@settings(max_examples=settings().max_examples // 4)
@given(
    pieces=st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 2**40)), max_size=12), ends_in_a_line=st.booleans()
)
def test_any_bytes_come_back(
    tmp_path_factory: pytest.TempPathFactory, *, pieces: list[bytes | int], ends_in_a_line: bool
) -> None:
    folder = tmp_path_factory.mktemp("stream")
    lines = []
    for piece in pieces:
        if isinstance(piece, int):
            event = random_payload(random.Random(piece)).model_dump_json(exclude={"kind"}).encode()
            line = segments.format_line(piece + 1, moment(piece), "phase", event)
            here = segments.place(segments.seed(folder / "000001.jsonl"), sum(map(len, lines)))
            lines.append(seal(line[1:], here) if piece % 2 else line)
        else:
            lines.append(piece.replace(b"\n", b"") + b"\n")
    data = b"".join(lines) if ends_in_a_line else b"".join(lines)[:-1]
    plain = folder / "000001.jsonl"
    plain.write_bytes(data)
    (segment,) = segments.segments(folder)
    compacted = segment.as_compacted(hashed=False)
    parquet.write(compacted.path, segment_reader.raw_lines(segment), segments.seed(segment.path))
    assert b"".join(line for line, _ in segment_reader.raw_lines(compacted)) == data
    expected = list(segment_reader.read(segment))
    assert list(segment_reader.read(compacted)) == expected
    for _, end, _ in expected:
        behind = [list(segment_reader.read(form, end)) for form in (compacted, segment)]
        assert behind[0] == behind[1]
    assert segment_reader.last_seq([compacted]) >= segment_reader.last_seq([segment])
    shutil.rmtree(folder)


def moment(number: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=number)


def test_old_prompts_become_hashes_everywhere_once_the_settings_say_so(home: Home, store: Store) -> None:
    old = finished_job(home, "old")
    finished_job(home, "young")
    age(old)
    with (old / "000001.jsonl").open("ab") as file:
        file.write(b'{"seq":99,"payload":{"prompt":"' + TOLD.encode())
    store.compact(everything=True)
    before = tables(store)
    assert any(TOLD in str(row) for row in before["lm_calls"])
    home.config.write_text("keep_prompts_days = 30")
    assert store.compact(dry_run=True).hashed == ("old",)
    report = store.compact()
    assert (report.compacted, report.hashed) == (("old",), ("old",))
    assert [name.endswith(".hashed.parquet") for name in names(old)] == [True]
    prompts = store.frame("select job_id, prompt, response, cost_usd from lm_calls order by all")
    assert prompts[prompts.job_id == "old"].prompt.str.startswith("sha256:").all()
    assert prompts[prompts.job_id == "old"].response.str.startswith("sha256:").all()
    assert TOLD in set(prompts[prompts.job_id == "young"].prompt)
    after = tables(store)
    hashed = {"lm_calls", "scores", "events"}
    assert {n: rows for n, rows in after.items() if n not in hashed} == {
        n: rows for n, rows in before.items() if n not in hashed
    }
    assert len(after["events"]) == len(before["events"])
    for event in read(home, "old"):
        assert TOLD not in str(event.payload)
    assert store.compact().compacted == ()
    store.rebuild()
    assert tables(store) == after
    shutil.rmtree(home.journal / "young")
    store.rebuild()
    for file in home.root.rglob("*"):
        assert not file.is_file() or TOLD.encode() not in file.read_bytes()


def test_what_programs_answered_becomes_a_hash_along_with_prompts(home: Home, store: Store) -> None:
    answer = f'{{"note":"{TOLD}"}}'
    for name in ("old", "young"):
        with Journal(home, name) as journal:
            scores = (("a", 1.0, "right", answer), ("b", None))
            journal.append_many([CREATED, trial(scores=scores), StateChanged(state="completed")])
    age(home.journal / "old")
    query = "select job_id, example_id, score, feedback, output from scores order by all"
    before = store.frame(query)
    assert before.output.dropna().tolist() == [answer, answer]
    home.config.write_text("keep_prompts_days = 30")
    assert store.compact().hashed == ("old",)
    after = store.frame(query)
    assert after.drop(columns="output").equals(before.drop(columns="output"))
    assert after.output.dropna().tolist() == [digest(answer), answer]
    store.rebuild()
    assert store.frame(query).equals(after)
    assert TOLD not in str([event.payload for event in read(home, "old")])


def test_a_hash_is_that_of_a_call_whose_prompt_was_not_recorded(home: Home, store: Store) -> None:
    finished_job(home, "job-1", 0)
    home.ensure().config.write_text("keep_prompts_days = 0")
    store.compact()
    assert store.frame("select prompt from lm_calls").prompt.tolist() == [digest(TOLD)]


def test_old_jobs_go_once_the_settings_say_so(home: Home, store: Store) -> None:
    old = finished_job(home, "old")
    age(old)
    finished_job(home, "young")
    store.compact(everything=True)
    home.config.write_text("keep_jobs_days = 365")
    report = store.compact(dry_run=True)
    assert (report.compacted, report.dropped) == ((), ("old",))
    assert old.exists()
    assert store.compact().dropped == ("old",)
    assert not old.exists()
    assert store.frame("from jobs").job_id.tolist() == ["young"]
    assert set(store.frame("from events").job_id) == {"young", AUDIT}
    assert sorted(path.name for path in home.journal.iterdir()) == [AUDIT, "young"]


def test_a_damaged_parquet_file_is_counted_and_stops_nothing_but_its_resume(home: Home, store: Store) -> None:
    folder = finished_job(home, "job-1", 800)
    finished_job(home, "job-2")
    store.compact(everything=True)
    (file,) = folder.glob("*.parquet")
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:200] + bytes(200) + whole[400:], b"", whole[:-9] + bytes(9)):
        file.write_bytes(damaged)
        assert store.rebuild().bad_lines == 1
        assert store.status().torn_lines == 1
        assert store.status().pending_segments == 0
        assert "job-2" in set(store.frame("from jobs").job_id)
        follower = follow(home, "job-1")
        follower.poll()
        assert follower.torn == 1
    with pytest.raises(HomeError, match=r"is damaged .*: put a copy of it in its place, from a backup") as caught:
        Journal(home, "job-1")
    assert "\n" not in str(caught.value)
    file.write_bytes(whole)
    assert store.rebuild().bad_lines == 0


def test_an_original_goes_only_once_its_copy_reads_back_the_same(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished_job(home, "job-1")
    before = tables(store)
    write = parquet.write

    def forgetful(path: Path, lines: object, seed: int, cipher: object) -> None:
        write(path, list(lines)[:-1], seed, cipher)  # type: ignore[call-overload]

    monkeypatch.setattr(parquet, "write", forgetful)
    with pytest.raises(HomeError, match=r"does not read back as '000001\.jsonl'"):
        store.compact(everything=True)
    assert names(folder) == ["000001.jsonl"]
    assert tables(store) == before


def test_what_a_dead_compaction_left_is_tidied_and_read_right_meanwhile(home: Home, store: Store) -> None:
    folder = finished_job(home, "job-1")
    original = (folder / "000001.jsonl").read_bytes()
    before = tables(store)
    store.compact(everything=True)
    (folder / "000001.jsonl").write_bytes(original)  # it died before the original went
    (folder / ".compacting-00").write_bytes(b"half")
    shutil.copytree(folder, home.journal / ".aside-00")
    assert len(read(home, "job-1")) == 33
    store.rebuild()
    assert tables(store) == before
    store.compact(everything=True)
    assert names(folder) == [f"000001.{len(original)}.parquet"]
    assert sorted(path.name for path in home.journal.iterdir()) == [AUDIT, "job-1"]
    (folder / "000001.jsonl").write_bytes(original)
    rewrite(folder / "000001.jsonl", lambda line: line.replace(b"triage", b"changed"))
    with pytest.raises(HomeError, match="does not read back"):
        store.compact(everything=True)


def test_compactions_exclude_each_other(home: Home, store: Store) -> None:
    finished_job(home, "job-1")
    with locked(home.root / "compact.lock"), pytest.raises(HomeError, match="compacted just now"):
        store.compact(everything=True)


COMPACTOR = """
    import sys
    from skillfleet_nb.store import Home, Store

    store = Store(Home.find(sys.argv[1]))
    print("ready", flush=True)
    while True:
        store.compact(everything=True)
"""

FOLLOWER = """
    import sys
    from skillfleet_nb.store import Home, follow, is_alive

    home, last = Home.find(sys.argv[1]), int(sys.argv[2])
    followers = {f"job-{n}": follow(home, f"job-{n}") for n in range(6)}
    seen = {name: [] for name in followers}
    print("ready", flush=True)
    while any(len(seqs) < last for seqs in seen.values()):
        for name, follower in followers.items():
            seen[name] += [event.seq for event in follower.poll()]
            assert seen[name] == list(range(1, len(seen[name]) + 1)), (name, seen[name][-5:])
            assert follower.torn == 0
"""


def test_kills_of_a_compaction_lose_and_double_nothing_for_any_reader(home: Home, store: Store) -> None:
    """Six jobs of several attempts each, compacted under kills while others follow, fold and write."""
    rng = random.Random(4)
    attempts, per_attempt = 5, 402
    follower = start(FOLLOWER, home.root, attempts * per_attempt)
    follower.stdout.readline()
    for attempt in range(attempts):
        for number in range(6):
            with Journal(home, f"job-{number}") as journal:
                journal.append(CREATED)
                journal.append_many([call(n, prompt="x" * rng.randrange(300)) for n in range(per_attempt - 2)])
                journal.append(StateChanged(state="completed" if attempt % 2 else "cancelled"))
        for _ in range(2):
            compactor = start(COMPACTOR, home.root)
            compactor.stdout.readline()
            if not compactor.ends_within(rng.random() * 0.3):
                compactor.kill()
            _, errors = compactor.communicate()
            assert not errors
            assert store.frame("select count(*) as n from lm_calls").n[0] == 6 * (attempt + 1) * (per_attempt - 2)
    _, errors = follower.communicate()
    assert (follower.returncode, errors) == (0, "")
    before = tables(store)
    store.compact(everything=True)
    assert store.status().compacted == 6
    store.rebuild()
    assert tables(store) == before
    for number in range(6):
        assert [event.seq for event in read(home, f"job-{number}")] == list(range(1, attempts * per_attempt + 1))
