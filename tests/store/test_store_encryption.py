"""An encrypted home: nothing of it can be read without a key, and nothing is lost on the way there and back."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from made_up import counted_lm
from store_samples import call, tables

from skillfleet_nb import Fleet
from skillfleet_nb.errors import HomeError, InputError, JobError
from skillfleet_nb.events import Phase
from skillfleet_nb.lm.session import Session
from skillfleet_nb.store import (
    Encryption,
    Home,
    Journal,
    Store,
    Trail,
    clear_text,
    follow,
    load_program,
    read_requests,
    request,
    rewriting,
    save_program,
    segments,
    unlocking,
)
from skillfleet_nb.store.blobs import Blobs
from skillfleet_nb.store.cipher import Cipher
from skillfleet_nb.store.unlocking import LockedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET, FIRST, SECOND = "the customer's name", "a first passphrase", "a second passphrase"
IMAGE = (
    b"data:text/plain;base64," + b"dGhlIGN1c3RvbWVyJ3MgbmFtZSBpbiBhIGZpbGUgb2YgaXRzIG93biwgd2hpY2ggaXMgYmlnIGVub3VnaA=="
)


@pytest.fixture
def home(tmp_path: Path, memory_file_system: None) -> Iterator[Home]:
    """A home with something of everything, whose private folder goes with it."""
    home = Home.find(tmp_path / ".skillfleet").ensure()
    yield home
    if home.is_encrypted:
        unlocking.lock(home.root)


def fill(home: Home) -> tuple[str, str]:
    """Write facts, a program, a blob and requests; return the id of the program and a reference to the blob."""
    with Journal(home, "job-1") as journal:
        journal.append_many([call(n, prompt=f"{SECRET} {n}\r\n\x1b") for n in range(3)])
    request(home, "job-1", "answer", text=SECRET)
    Trail(home).record("export", "a file")
    return save_program(home, {"instructions": SECRET}), Blobs(home).taken_out(IMAGE).decode()


def leaks(home: Home) -> list[str]:
    texts = (SECRET.encode(), b"customer", b"export")
    files = [file for file in home.root.rglob("*") if file.is_file()]
    return [str(file) for file in files if any(text in file.read_bytes() for text in texts)]


def asked(home: Home) -> list[str]:
    return [one.body["text"] for one in read_requests(home, "job-1")]


def test_nothing_can_be_read_and_nothing_is_lost_on_the_way_there_and_back(home: Home) -> None:
    program, reference = fill(home)
    before = tables(Store(home))
    assert leaks(home)
    encryption = Encryption(home)
    first = encryption.encrypt(FIRST)
    # the trail tells of it, all else is as it was
    kept = {name: [row for row in rows if "home." not in row] for name, rows in tables(Store(home)).items()}
    for name in ("lm_calls", "programs", "jobs"):
        assert kept[name] == before[name]
    assert (load_program(home, program), asked(home)) == ({"instructions": SECRET}, [SECRET])
    assert Blobs(home).put_back(reference).encode() == IMAGE
    assert not leaks(home)
    assert not first.plain
    assert encryption.state().in_words.startswith("AES-256-GCM")
    fill(home)
    clear_text(home, "job-1")
    with Journal(home, "job-1") as journal:
        journal.append(Phase(text=SECRET))
    assert asked(home) == ["", ""]
    assert not leaks(home)
    second = encryption.rotate(SECOND)
    assert second.recovery_key != first.recovery_key
    rows = tables(Store(home))
    assert not leaks(home)
    assert Trail(home).verify().is_intact
    encryption.decrypt()
    assert not home.is_encrypted
    assert leaks(home)
    assert Trail(home).verify().is_intact
    assert tables(Store(home))["lm_calls"] == rows["lm_calls"]
    assert [e.kind for e in follow(home, "job-1").read()] == ["lm_call"] * 6 + ["phase"]


def test_a_damaged_marker_of_the_format_is_told_with_the_number_of_an_encrypted_home(home: Home) -> None:
    fill(home)
    Encryption(home).encrypt(FIRST)
    marker = home.root / "format"
    right = marker.read_text("utf-8").strip()
    marker.write_text("")
    with pytest.raises(
        HomeError, match=rf"unreadable format marker '': it should be {right}; write that into '.*format'"
    ):
        Home.find(home.root).ensure()
    marker.write_text(right)
    assert len(Store(Home.find(home.root)).sql("from lm_calls")) == 3


def test_only_the_passphrase_and_the_recovery_key_of_now_open_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(home)
    encryption = Encryption(home)
    old = encryption.encrypt(FIRST).recovery_key
    new = encryption.rotate(SECOND).recovery_key
    assert encryption.lock()
    assert not encryption.lock()
    assert encryption.state().is_locked
    for use in (lambda: Store(home).sql("from jobs"), lambda: list(follow(home, "job-1").read()), lambda: fill(home)):
        with pytest.raises(LockedError, match=r"encrypted and locked: .*db unlock.* or set SKILLFLEET_PASSPHRASE"):
            use()  # also of Parquet, which is not taken for damaged
    for wrong in (FIRST, old, "no", ""):
        with pytest.raises(InputError, match="does not open home"):
            encryption.unlock(str(wrong))
    monkeypatch.setenv("SKILLFLEET_PASSPHRASE", FIRST)
    with pytest.raises(LockedError, match="SKILLFLEET_PASSPHRASE does not open home"):
        Store(home).fold()
    monkeypatch.setenv("SKILLFLEET_PASSPHRASE", SECOND)
    assert len(Store(home).sql("from lm_calls")) == 3
    encryption.lock()
    monkeypatch.delenv("SKILLFLEET_PASSPHRASE")
    encryption.unlock(str(new).lower().replace("-", " "))
    assert len(Store(home).sql("from lm_calls")) == 3


def test_what_was_begun_goes_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    program, _ = fill(home)
    put, files = rewriting._put, []

    def dies(path: Path, *rest: object) -> None:
        if len(files) == 1:
            raise OSError(28, "No space left on device")
        files.append(path)
        put(path, *rest)  # type: ignore[arg-type]

    encryption = Encryption(home)
    for change, state in (
        (lambda: encryption.encrypt(FIRST), "encrypting"),
        (lambda: encryption.rotate(SECOND), "rotating"),
    ):
        files.clear()
        monkeypatch.setattr(rewriting, "_put", dies)
        with pytest.raises(OSError, match="No space"):
            change()
        assert encryption.state().unfinished == state
        assert load_program(home, program) == {"instructions": SECRET}
        assert len(Store(home).sql("from lm_calls")) == 3
        monkeypatch.setattr(rewriting, "_put", put)
        finished = encryption.encrypt(None)
        assert finished.recovery_key
        assert not leaks(home)
        assert not encryption.state().unfinished
    encryption.lock()
    encryption.unlock(SECOND)


def test_a_lost_key_file_is_told_and_nothing_is_written_in_its_absence(home: Home) -> None:
    fill(home)
    Encryption(home).encrypt(FIRST)
    kept = (home.root / "encryption.json").read_bytes()
    (home.root / "encryption.json").unlink()
    with pytest.raises(HomeError, match=r"is encrypted, and lacks encryption\.json"):
        Home.find(home.root)
    with pytest.raises(HomeError, match="lies in no encrypted home"):
        list(follow(home, "job-1").read())
    (home.root / "encryption.json").write_bytes(kept[:100])
    with pytest.raises(HomeError, match="is damaged, and nothing of the home can be read"):
        Store(home).fold()
    (home.root / "encryption.json").write_bytes(kept)
    assert len(Store(home).sql("from lm_calls")) == 3


def test_a_damaged_line_costs_no_other(home: Home) -> None:
    Encryption(home).encrypt(FIRST)
    with Journal(home, "job-1") as journal:
        for n in range(5):
            journal.append(Phase(text=str(n)))
    lines = segments.segments(home.journal / "job-1")[0].path.read_bytes().splitlines(keepends=True)
    assert len(lines) >= 5
    path = home.journal / "job-1/000001.jsonl"
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data)) if data[i : i + 1] == b"~" and (i == 0 or data[i - 1 : i] == b"\n")]
    data[starts[2] + 30] ^= 1 if data[starts[2] + 30] not in b"\n\x0b\x1a\x1b" else 4
    path.write_bytes(data + data[starts[4] :][:40])  # and a torn one
    follower = follow(home, "job-1")
    assert [event.payload for event in follower.read()] == [Phase(text=n) for n in "0134"]
    assert follower.torn == 1


def test_a_backup_of_before_is_encrypted_as_it_comes_back_and_one_of_another_key_is_refused(
    home: Home, tmp_path: Path
) -> None:
    fill(home)
    plain, closed = tmp_path / "plain", tmp_path / "closed"
    for name in ("journal", "programs", "blobs"):
        shutil.copytree(home.root / name, plain / name)
    encryption = Encryption(home)
    encryption.encrypt(FIRST)
    shutil.copytree(home.root / "journal", closed / "journal")
    store = Store(home)
    store.reset()
    assert store.restore(plain).bytes > 0
    assert not leaks(home)
    assert len(store.sql("from lm_calls")) == 3
    encryption.rotate(SECOND)
    with pytest.raises(InputError, match="encrypted with a key that this home does not have"):
        store.restore(closed)


def test_it_is_refused_while_somebody_writes(home: Home) -> None:
    with Journal(home, "job-1") as journal:
        journal.append(Phase(text="at work"))
        with pytest.raises(JobError, match=r"cannot encrypt the home while it is written: job-1\."):
            Encryption(home).encrypt(FIRST)
    with pytest.raises(InputError, match="a passphrase of 3 characters given: use 8"):
        Encryption(home).encrypt("abc")
    assert not home.is_encrypted


def test_a_keyring_opens_it_without_a_passphrase(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    from keyring.backend import KeyringBackend
    from keyring.backends import fail

    class InMemory(KeyringBackend):
        priority = 1  # type: ignore[assignment]
        kept: dict[tuple[str, str], str] = {}  # noqa: RUF012  of this test

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            del self.kept[service, username]

    before = keyring.get_keyring()
    keyring.set_keyring(InMemory())
    try:
        fill(home)
        Encryption(home).encrypt(None)
        Encryption(home).rotate(None)
        assert len(InMemory.kept) == 1
        Encryption(home).lock()
        assert len(Store(home).sql("from lm_calls")) == 3
        Encryption(home).lock()
        keyring.set_keyring(fail.Keyring())  # as where none is installed
        with pytest.raises(HomeError, match=r"does not answer \(NoKeyringError.*unlock the home with its recovery key"):
            Store(home).sql("from lm_calls")
    finally:
        keyring.set_keyring(before)


def test_answers_of_an_encrypted_home_are_its_own(tmp_path: Path, memory_file_system: None) -> None:
    """Found again by its own runs, of this process and others; not by other homes, nor in the kernel."""
    import dspy

    lm, engine = counted_lm()
    closed, other, plain = (Fleet(tmp_path / name) for name in ("closed", "other", "plain"))
    for fleet in (closed, other):
        fleet.encryption.encrypt(FIRST)
    before = dspy.cache

    def asked(fleet: Fleet, model: Any = lm) -> int:
        calls = engine.calls
        with (
            Session.opened(fleet.home, fleet.settings, "asked", [model]) as session,
            session.models(session.gate(), model) as metered,
        ):
            metered(f"a question of {tmp_path}")
        return engine.calls - calls

    assert [asked(closed), asked(closed)] == [1, 0]
    assert [asked(other), asked(other)] == [1, 0]
    assert (closed.home.derived / "answers").is_dir()
    assert asked(plain) == 1, "what an encrypted home bought is in no other"
    assert asked(plain) == 0
    lm(f"a question of {tmp_path}")
    assert engine.calls == 3, "the kernel finds what the plain home bought, in the cache that it had"
    assert dspy.cache is before
    closed.encryption.lock()
    assert not closed.encryption.lock()
    closed.encryption.unlock(FIRST)
    assert [asked(closed), asked(closed)] == [1, 0], "locked, its answers are gone, from this process too"
    Encryption(closed.home).lock()  # as another process does
    Encryption(closed.home).unlock(FIRST)
    assert [asked(closed), asked(closed)] == [1, 0]
    closed.encryption.decrypt()
    assert asked(closed) == 0, "it is a plain home now, with DSPy's own cache"
    other.encryption.lock()


def test_a_memory_file_system_is_needed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLFLEET_MEMORY", "/proc")  # a folder under pytest's may lie in memory
    with pytest.raises(HomeError, match="is no memory file system"):
        Encryption(home).encrypt(FIRST)
    assert not home.is_encrypted


def test_a_line_of_one_length_stays_that_and_files_of_any_size_come_back() -> None:
    cipher = Cipher({"00000000": bytes(32)}, "00000000")
    lines = cipher.lines("job-1/control")
    assert len({len(lines.encrypted_evenly(b"x" * 90 + b"\n")) for _ in range(20)}) == 1
    for text in (b"\n", bytes(b for b in range(256) if b != 10) * 9 + b"\n"):
        for closed in (lines.encrypted(text), lines.encrypted_evenly(text)):
            assert closed.count(b"\n") == 1
            assert lines.decrypted(closed) == text
            assert cipher.lines("job-2/control").decrypted(closed) == closed
    for data in (b"", b"a", bytes(16 << 20), bytes((16 << 20) + 1)):
        closed = cipher.encrypted(data)
        assert cipher.decrypted(closed) == data
        with pytest.raises(HomeError, match="damaged"):
            cipher.decrypted(closed[:-17] if len(data) > 1 else closed[:-1])
