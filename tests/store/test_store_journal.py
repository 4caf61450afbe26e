from __future__ import annotations

import os
import re
import resource
import shutil
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_samples import CREATED, call, trial

from skillfleet_nb.envelope import read_event, unsealed
from skillfleet_nb.errors import HomeError, JobError
from skillfleet_nb.events import PAYLOADS, JobCreated, Landmarked, Payload, Phase, StateChanged
from skillfleet_nb.store import Home, Journal, Store, clear_text, follow, is_alive, read_requests, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Make the operating system refuse to let files grow beyond `size`, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_appended_is_read_back(home: Home) -> None:
    before = datetime.now(UTC)
    payloads = [CREATED, trial(0), call(1, prompt='"quoted"\n☃\0')]
    with Journal(home, "job-1") as journal:
        assert [journal.append(payloads[0]), journal.append_many(payloads[1:], sync=True)] == [1, 3]
    events = follow(home, "job-1").poll()
    assert [e.seq for e in events] == [1, 2, 3]
    assert [e.payload for e in events] == payloads
    assert all(e.at.utcoffset() == timedelta(0) and before <= e.at <= datetime.now(UTC) for e in events)


@given(st.text(st.characters(codec=None), max_size=30))
def test_any_text_survives_except_lone_surrogates(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    home = Home.find(tmp_path_factory.mktemp("home"))
    with Journal(home, "j") as journal:
        journal.append(Phase(text=text))
    (event,) = follow(home, "j").poll()
    assert event.payload.text == text.encode("utf-8", "replace").decode()


def test_values_json_does_not_know_are_written_as_text(home: Home, tmp_path: Path) -> None:
    spec = {"path": tmp_path, "nan": float("nan"), "bad": object, "text": "\ud800", 3: (1, 2)}
    with Journal(home, "j") as journal:
        journal.append(JobCreated.model_construct(**CREATED.model_dump(exclude={"spec"}), spec=spec))
    (event,) = follow(home, "j").poll()
    assert event.payload.spec["path"] == str(tmp_path)
    assert event.payload.spec["nan"] is None
    assert event.payload.spec["3"] == [1, 2]


def test_a_stream_has_one_live_writer(home: Home) -> None:
    assert not is_alive(home, "job-1")
    with Journal(home, "job-1"):
        assert is_alive(home, "job-1")
        with pytest.raises(JobError, match="'job-1' is being written by a live process"):
            Journal(home, "job-1")
        Journal(home, "job-2").close()
    assert not is_alive(home, "job-1")


def test_a_second_writer_counts_on_in_a_segment_of_its_own(home: Home) -> None:
    with Journal(home, "j") as first:
        first.append_many([Phase(text="a"), Phase(text="b")])
    with first.path.open("ab") as file:
        file.write(b'{"seq":3,"at":"2026')  # torn by a crash
    with Journal(home, "j") as second:
        assert second.append(Phase(text="c")) == 3
    assert second.path != first.path
    follower = follow(home, "j")
    assert [(e.seq, e.payload.text) for e in follower.poll()] == [(1, "a"), (2, "b"), (3, "c")]
    assert follower.torn == 1


def test_the_count_goes_on_behind_long_lines_and_segments_of_garbage(home: Home) -> None:
    with Journal(home, "j") as journal:
        journal.append(Phase(text="x" * 300_000))
    (journal.path.parent / "000002.jsonl").write_bytes(b"\0" * 200_000 + b"\nnot an event\n")
    with Journal(home, "j") as after:
        assert after.append(Phase(text="y")) == 2


def test_a_closed_journal_takes_nothing(home: Home) -> None:
    journal = Journal(home, "j")
    journal.close()
    journal.close()
    with pytest.raises(JobError, match="closed"):
        journal.append(Phase(text="late"))


def test_threads_share_a_journal(home: Home) -> None:
    with Journal(home, "j") as journal:

        def write(thread: int) -> None:
            for number in range(200):
                journal.append(Phase(text=f"{thread}:{number}"))

        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    events = follow(home, "j").poll()
    assert [e.seq for e in events] == list(range(1, 801))
    for thread_number in range(4):
        own = [e.payload.text for e in events if e.payload.text.startswith(f"{thread_number}:")]
        assert own == [f"{thread_number}:{n}" for n in range(200)]


def test_a_full_disk_is_one_line_and_tears_nothing(home: Home) -> None:
    with Journal(home, "j") as journal:
        journal.append(Phase(text="before"))
        with files_up_to(1000), pytest.raises(HomeError, match=r"cannot write .*File too large; free some space"):
            journal.append(Phase(text="x" * 2000))
        with files_up_to(1000):
            journal.append(Phase(text="small"))
        journal.append(Phase(text="after"))
    follower = follow(home, "j")
    assert [e.payload.text for e in follower.poll()] == ["before", "small", "after"]
    assert follower.torn == 0


def test_a_follower_waits_for_the_rest_of_a_line(home: Home) -> None:
    follower = follow(home, "j")
    assert follower.poll() == []
    with Journal(home, "j") as journal:
        journal.append(Phase(text="one"))
        whole = journal.path.read_bytes()
        for cut in (1, len(whole) // 2, len(whole) - 1):
            journal.path.write_bytes(whole[:cut])
            assert follower.poll() == []
        journal.path.write_bytes(
            whole + b"garbage\n" + unsealed(whole)[0].replace(b'1,"at"', b'2,"at"').replace(b"one", b"two")
        )
        assert [e.payload.text for e in follower.poll()] == ["one", "two"]
        assert follower.poll() == []
        assert follower.torn == 1


@given(cuts=st.lists(st.integers(0, 2000), max_size=12), damage=st.lists(st.sampled_from(["", "x", '{"seq":1}'])))
def test_a_follower_sees_each_event_once_however_the_bytes_arrive(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], damage: list[str]
) -> None:
    home = Home.find(tmp_path_factory.mktemp("home"))
    with Journal(home, "j") as journal:
        journal.append_many([Phase(text=str(n)) for n in range(10)])
    data = journal.path.read_bytes() + "".join(line + "\n" for line in damage).encode()
    follower, seen = follow(home, "j"), []
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        journal.path.write_bytes(data[:cut])
        seen += [e.payload.text for e in follower.poll()]
    assert seen == [str(n) for n in range(10)]
    assert follower.torn == len(damage)


def test_a_forked_child_does_not_keep_a_job_alive(home: Home) -> None:
    journal = Journal(home, "j")
    from_child, to_parent = os.pipe()
    from_parent, to_child = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(to_parent, b"x")
        os.read(from_parent, 1)  # lives on until the parent has looked
        os._exit(0)
    try:
        os.read(from_child, 1)
        journal.close()
        assert not is_alive(home, "j")
    finally:
        os.write(to_child, b"x")
        assert os.waitpid(child, 0)[1] == 0
        for fd in (from_child, to_parent, from_parent, to_child):
            os.close(fd)


def test_requests_reach_the_writer_from_outside(home: Home) -> None:
    assert read_requests(home, "j") == []
    request(home, "j", "cancel")
    with (home.journal_dir("j") / "control.jsonl").open("ab") as file:
        file.write(b'{"at":\n')
    request(home, "j", "answer", text='say "no"\nand \ud800', choice="revise")
    requests = read_requests(home, "j")
    assert [(r.command, r.body) for r in requests] == [
        ("cancel", {}),
        ("answer", {"text": 'say "no"\nand ?', "choice": "revise"}),
    ]
    assert requests[0].at.utcoffset() == timedelta(0)
    assert not is_alive(home, "j")
    file = home.journal_dir("j") / "control.jsonl"
    size = file.stat().st_size
    for _ in range(2):
        clear_text(home, "j")
        request(home, "j", "pause")
        cleared = [r._replace(body={**r.body, "text": ""}) if r.body else r for r in requests]
        assert read_requests(home, "j")[:2] == cleared, "they stay, each in its place"
        assert b"no" not in file.read_bytes()
    assert file.read_bytes()[size:].count(b"pause") == 2


def test_what_is_posted_is_written_soon_and_before_what_is_appended_later(home: Home) -> None:
    with Journal(home, "j") as journal:
        follower = follow(home, "j")
        journal.post(lambda: [Phase(text="posted alone")])
        alone = next(filter(None, iter(follower.poll, None)))  # as soon as it is there
        for n in range(100):
            journal.post(lambda n=n: [Phase(text=str(n))])
        journal.append(Phase(text="appended"))
        after = follower.poll()
        journal.post(lambda: [Phase(text="posted at the end")])
    assert [e.payload.text for e in alone] == ["posted alone"]
    assert [e.payload.text for e in after] == [*map(str, range(100)), "appended"]
    (last,) = follower.poll()
    assert (last.payload.text, last.seq) == ("posted at the end", 103)


def test_threads_that_post_keep_their_order_and_never_wait_for_more_than_so_many(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillfleet_nb.store.journal._GATHER_S", 3600)  # nobody else writes them
    monkeypatch.setattr("skillfleet_nb.store.journal._MOST_WAITING", 10)
    with Journal(home, "j") as journal:

        def work(name: str) -> None:
            for n in range(50):
                journal.post(lambda n=n: [Phase(text=f"{name} {n}")])

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(follow(home, "j").poll()) >= 200 - 10
    told = [e.payload.text for e in follow(home, "j").poll()]
    for name in "abcd":
        assert [t for t in told if t.startswith(name)] == [f"{name} {n}" for n in range(50)]
    assert len(told) == 200


def test_what_is_posted_now_is_written_when_that_returns(home: Home) -> None:
    with Journal(home, "j") as journal:
        lost: list[str] = []

        def work(name: str) -> None:
            for n in range(25):
                journal.post(lambda n=n: [Phase(text=f"{name} {n};")], now=True)
                written = b"".join(f.read_bytes() for f in home.journal_dir("j").glob("*.jsonl")).decode()
                lost.extend([f"{name} {n}"] * (f"{name} {n};" not in written))

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not lost


def test_a_posted_event_that_could_not_be_written_is_told_to_the_next(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(home, "j") as journal:
        journal.append(Phase(text="short"))
        monkeypatch.setattr("skillfleet_nb.store.journal._MOST_WAITING", 1)
        with files_up_to(200):
            journal.post(lambda: [Phase(text="long " * 1000)])
            with pytest.raises(HomeError, match="free some space"):
                journal.post(lambda: [Phase(text="another")])
        journal.append(Phase(text="goes on"))
    assert [e.payload.text for e in follow(home, "j").poll()] == ["short", "goes on"]
    with pytest.raises(JobError, match="closed"):
        journal.post(lambda: [Phase(text="late")])


def test_a_posted_event_that_cannot_be_made_takes_no_other_with_it(home: Home) -> None:
    def broken() -> list[Phase]:
        raise ValueError("not an event")

    with Journal(home, "j") as journal:
        journal.post(lambda: [Phase(text="before")])
        journal.post(broken)
        journal.post(lambda: [Phase(text="after"), Phase(text="and another")])
        with pytest.raises(ValueError, match="not an event"):
            journal.append(Phase(text="told"))
        journal.append(Phase(text="goes on"))
    assert [e.payload.text for e in follow(home, "j").poll()] == ["before", "after", "and another", "goes on"]


def test_a_payload_that_is_in_no_list_of_kinds_cannot_be_written(home: Home) -> None:
    class Secret(Payload):
        kind: str = "secret"

    class OwnPhase(Phase):
        """Of a kind there is, and yet another class."""

    with Journal(home, "j") as journal:
        for payload in (Secret(), OwnPhase(text="x")):
            with pytest.raises(TypeError, match=f"{type(payload).__name__} is no kind of event: add it to AnyPayload"):
                journal.append(payload)
        journal.post(lambda: [Secret()])
        with pytest.raises(TypeError, match="Secret is no kind of event"):
            journal.append(Phase(text="after"))
    assert follow(home, "j").poll() == []


def test_every_payload_the_package_defines_can_be_written_and_read() -> None:
    def below(cls: type[Payload]) -> set[type[Payload]]:
        return {cls}.union(*(below(sub) for sub in cls.__subclasses__()))

    own = {cls for cls in below(Payload) - {Payload} if cls.__module__.startswith("skillfleet_nb.")}
    assert own == set(PAYLOADS.values())
    assert all(kind == payload.model_fields["kind"].default for kind, payload in PAYLOADS.items())
    event = read_event(
        b'{"seq":1,"at":"2026-01-01T00:00:00Z","kind":"landmarks",'
        b'"payload":{"key":"k","nearest":null,"words":0.5,"named":1}}'
    )
    assert event is not None
    assert event.payload == Landmarked(key="k", nearest=None, words=0.5, named=1.0)


@given(st.data())
def test_a_flipped_bit_is_found_counted_and_spoils_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    home = Home.find(tmp_path_factory.mktemp("home"))
    with Journal(home, "j") as journal:
        journal.append_many([Phase(text="first"), call(1), Phase(text="third")])
    whole = bytearray(journal.path.read_bytes())
    places = st.sampled_from([at for at, byte in enumerate(whole) if byte != ord("\n")])
    at, bit = data.draw(places), data.draw(st.integers(0, 7))
    if whole[at] ^ 1 << bit == ord("\n"):  # a line parted in two is two that are damaged
        return
    whole[at] ^= 1 << bit
    journal.path.write_bytes(whole)
    hit = whole[:at].count(b"\n") + 1
    follower = follow(home, "j")
    assert [event.seq for event in follower.poll()] == [seq for seq in (1, 2, 3) if seq != hit]
    assert follower.torn == 1


def test_a_copied_segment_doubles_nothing(home: Home, store: Store) -> None:
    with Journal(home, "j") as journal:
        journal.append_many([CREATED, call(1), call(2)])
    shutil.copy(journal.path, journal.path.with_name("000002.jsonl"))
    shutil.copytree(journal.path.parent, home.journal_dir("k"))
    with journal.path.open("ab") as file:
        file.write(journal.path.read_bytes())
    follower = follow(home, "j")
    assert [event.seq for event in follower.poll()] == [1, 2, 3]
    assert follower.torn == 6
    assert store.sql("select job_id, count(*) as n from events group by all").to_numpy().tolist() == [["j", 3]]
    assert store.status().torn_lines == 3 + 3 + 9 - 3
    with Journal(home, "j") as journal:
        assert journal.append(Phase(text="goes on")) == 4, "no number is used twice"
    assert [event.seq for event in follower.poll()] == [4]


_EDITS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], list[int], int]] = {
    "a line doubled": (lambda lines: [*lines[:3], lines[2], *lines[3:]], [1, 2, 3, 4, 5, 6], 1),
    "a line doubled further down": (lambda lines: [*lines[:5], lines[1], lines[5]], [1, 2, 3, 4, 5, 6], 1),
    "the last line doubled": (lambda lines: [*lines, lines[-1]], [1, 2, 3, 4, 5, 6], 1),
    "each line doubled": (lambda lines: [line for line in lines for _ in range(2)], [1, 2, 3, 4, 5, 6], 6),
    "a block doubled": (lambda lines: [*lines[:4], *lines[1:4], *lines[4:]], [1, 2, 3, 4, 5, 6], 3),
    "a line taken out": (lambda lines: [*lines[:2], *lines[3:]], [1, 2, 4, 5, 6], 0),
    "a line made longer": (
        lambda lines: [*lines[:2], lines[2].replace(b"answer", b"other answer"), *lines[3:]],
        [1, 2, 4, 5, 6],
        1,
    ),
    "a line parted": (lambda lines: [*lines[:2], lines[2].replace(b",", b",\n", 1), *lines[3:]], [1, 2, 4, 5, 6], 2),
    "a line put ahead": (lambda lines: [lines[0], lines[3], *lines[1:3], *lines[4:]], [1, 4, 5, 6], 2),
}


def test_what_was_done_to_a_line_costs_no_other(home: Home, store: Store) -> None:
    followers = {}
    for number, (edit, (change, left, torn)) in enumerate(_EDITS.items()):
        with Journal(home, f"j{number}") as journal:
            journal.append_many([CREATED, *(call(n).model_copy(update={"response": "answer" * n}) for n in range(4))])
            journal.append(StateChanged(state="completed"))
        lines = change(journal.path.read_bytes().splitlines(keepends=True))
        journal.path.write_bytes(b"")
        growing, seqs = follow(home, f"j{number}"), []
        for line in lines:
            with journal.path.open("ab") as file:
                file.write(line)
            seqs += [event.seq for event in growing.poll()]
        followers[edit] = whole = follow(home, f"j{number}")
        assert [event.seq for event in whole.poll()] == seqs == left, edit
        assert growing.torn == whole.torn == torn, edit

    def folded() -> list[tuple[str, list[int]]]:
        rows = store.frame("select job_id, list(seq order by seq) as seqs from events group by job_id order by job_id")
        return [(job_id, list(seqs)) for job_id, seqs in zip(rows.job_id, rows.seqs, strict=True) if job_id[0] == "j"]

    assert folded() == [(f"j{n}", left) for n, (_, left, _) in enumerate(_EDITS.values())]
    assert store.status().torn_lines == sum(torn for _, _, torn in _EDITS.values())
    for number, edit in enumerate(_EDITS):
        with Journal(home, f"j{number}", join=True) as journal:  # behind lines that have moved
            assert journal.append(Phase(text="goes on"), sync=True) == 7, "no number is used twice"
            journal.append(StateChanged(state="completed"))
        assert [event.seq for event in followers[edit].poll()] == [7, 8], edit
    expected = [(f"j{n}", [*left, 7, 8]) for n, (_, left, _) in enumerate(_EDITS.values())]
    assert folded() == expected
    for settings, compacted in (("", "000001.*.parquet"), ("keep_prompts_days = 0", "000001.*.hashed.parquet")):
        home.config.write_text(settings)
        store.compact(everything=True)
        assert len(list(home.journal.glob(f"j?/{compacted}"))) == len(_EDITS)
        store.rebuild()
        assert folded() == expected


def test_a_journal_without_checksums_is_read_and_gone_on_with(home: Home) -> None:
    with Journal(home, "j") as journal:
        journal.append_many([CREATED, call(1)])
    bare = [unsealed(line)[0] for line in journal.path.read_bytes().splitlines(keepends=True)]
    assert bare[0].startswith(b'{"seq":1,')
    journal.path.write_bytes(b"".join(bare))
    with Journal(home, "j", join=True) as journal:
        journal.append(Phase(text="now with one"))
    follower = follow(home, "j")
    assert [event.seq for event in follower.poll()] == [1, 2, 3]
    assert follower.torn == 0


def test_a_line_doubled_in_a_journal_without_checksums_is_read_once_and_told(home: Home, store: Store) -> None:
    with Journal(home, "j") as journal:
        journal.append_many([CREATED, call(1), call(2), call(3)])
    bare = [unsealed(line)[0] for line in journal.path.read_bytes().splitlines(keepends=True)]
    journal.path.write_bytes(b"".join([*bare[:2], bare[1], bare[0], *bare[2:]]))
    follower = follow(home, "j")
    assert [event.seq for event in follower.poll()] == [1, 2, 3, 4]
    assert follower.torn == 2
    assert store.frame("select count(*) as n from events").n[0] == 4
    with journal.path.open("ab") as file:  # behind what was read already
        file.write(bare[3])
    assert follower.poll() == []
    assert store.frame("select count(*) as n from events").n[0] == 4
    assert (follower.torn, store.status().torn_lines) == (3, 3)


@pytest.mark.parametrize("compacted", [False, True])
def test_a_copied_segment_without_checksums_of_its_place_doubles_nothing_and_is_told(
    home: Home, store: Store, *, compacted: bool
) -> None:
    for n in range(2):
        with Journal(home, "j") as journal:
            journal.append_many([CREATED if n == 0 else call(9), call(n), StateChanged(state="completed")])
    first = home.journal / "j" / "000001.jsonl"
    if compacted:
        store.compact(everything=True)
        (first,) = home.journal.glob("j/000001.*.parquet")
    else:
        for file in (first, journal.path):
            bare = [unsealed(line)[0] for line in file.read_bytes().splitlines(keepends=True)]
            file.write_bytes(b"".join(bare))
    before = store.frame("select count(*) as n from events where job_id <> 'audit'").n[0]
    shutil.copy(first, first.with_name(first.name.replace("000001", "000003")))
    follower = follow(home, "j")
    assert [event.seq for event in follower.poll()] == list(range(1, 7))
    assert follower.torn == 3
    assert store.frame("select count(*) as n from events where job_id <> 'audit'").n[0] == before == 6
    assert store.status().torn_lines == 3
    with Journal(home, "j") as journal:
        assert journal.append(Phase(text="goes on")) == 7
    assert [event.seq for event in follower.poll()] == [7]


@pytest.mark.parametrize(
    "line",
    [
        b'{"seq":"9","at":"2026-01-01T00:00:00Z","kind":"phase","payload":{"text":"x"}}',
        b'{"seq":0,"at":"2026-01-01T00:00:00Z","kind":"phase","payload":{"text":"x"}}',
        b'{"seq":9,"at":5,"kind":"phase","payload":{"text":"x"}}',
        b'{"seq":9,"at":"2026-01-01T00:00:00","kind":"phase","payload":{"text":"x"}}',
        b'{"seq":9,"at":"2026-01-01T00:00:00Z","kind":5,"payload":{}}',
        b'{"seq":9,"at":"2026-01-01T00:00:00Z","kind":"phase","payload":[]}',
        b'{"seq":9,"at":"2026-01-01T00:00:00Z","kind":"phase"}',
        b"null",
        b"\xff",
    ],
)
def test_a_line_that_is_no_event_reads_as_none(line: bytes) -> None:
    assert read_event(line) is None


@pytest.mark.parametrize("seen_as", [str.upper, lambda digits: digits.replace("0", " ", 1)])
def test_a_checksum_is_compared_as_it_was_written(home: Home, seen_as: Callable[[str], str]) -> None:
    with Journal(home, "j") as journal:
        journal.append_many([Phase(text=str(n)) for n in range(200)])
    whole = journal.path.read_text("ascii")
    changed = re.sub(r'(?<=\{"crc":")[0-9a-f]{8}(?=",)', lambda found: seen_as(found[0]), whole)
    journal.path.write_text(changed, "ascii")
    differ = sum(one != other for one, other in zip(whole.splitlines(), changed.splitlines(), strict=True))
    follower = follow(home, "j")
    assert len(follower.poll()) == 200 - differ
    assert 0 < follower.torn == differ
