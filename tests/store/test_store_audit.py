"""The audit trail: what is done is in it, and no change of it goes unseen."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tampering import KINDS, tampered

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError
from skillfleet_nb.events.audit import Audited
from skillfleet_nb.security import user_folder
from skillfleet_nb.store import Home, Store, Trail

if TYPE_CHECKING:
    from pathlib import Path

_WRITER = """
import sys
from skillfleet_nb.store import Home, Trail
trail = Trail(Home.find(sys.argv[1]))
for n in range(int(sys.argv[2])):
    trail.record("export", f"{sys.argv[3]}-{n}")
    print(n, flush=True)
"""


def _written(folder: Path, n: int) -> Trail:
    trail = Trail(Home.find(folder))
    for number in range(n):
        trail.record("export", f"folder-{number}", "parquet")
    return trail


def test_a_trail_says_who_did_what_and_is_intact(tmp_path: Path) -> None:
    trail = _written(tmp_path / "home", 3)
    trail.append(Audited(user="ann", action="POST jobs", status=201, job="a-1", budget_usd=0.7))
    listed = trail.entries()
    assert listed.action.tolist() == ["export"] * 3 + ["POST jobs"]
    assert listed.user.tolist()[-1] == "ann"
    looked = trail.verify()
    assert looked.is_intact, looked
    assert looked.entries == 4
    assert trail.verify(looked.head).is_intact, "a checkpoint that was kept elsewhere is in the trail"
    with pytest.raises(InputError, match=r"'3:zz' is no checkpoint"):
        trail.verify("3:zz")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tampering_is_found(tmp_path: Path, kind: str) -> None:
    trail = _written(tmp_path / "home", 6)
    rng = random.Random(kind)
    for _ in range(3):
        with tampered(trail, kind, rng) as what:
            assert not trail.verify().is_intact, what
    assert trail.verify().is_intact, "as it was before"


def test_what_was_cut_stays_seen_when_the_trail_goes_on_until_it_is_accepted(tmp_path: Path) -> None:
    trail = _written(tmp_path / "home", 4)
    head = trail.verify().head
    file = next((tmp_path / "home/journal/audit").glob("*.jsonl"))
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    assert "was cut or replaced" in str(trail.verify())
    trail.record("export", "later")
    assert "line 3 does not follow the line before it" in str(trail.verify())
    with pytest.raises(InputError, match="give a reason"):
        trail.accept(" ")
    trail.accept("restored from a backup of last week")
    looked = trail.verify()
    assert looked.is_intact
    assert [fault.line for fault in looked.accepted] == [3]
    assert not trail.verify(head).is_intact, "whoever kept the checkpoint sees what is gone"
    file.write_bytes(file.read_bytes().replace(b"folder-1", b"folder-9"))
    assert not trail.verify().is_intact, "only what was there was accepted"


def test_a_home_made_anew_is_told_from_the_one_before(tmp_path: Path) -> None:
    trail = _written(tmp_path / "home", 2)
    for file in (tmp_path / "home/journal/audit").iterdir():
        file.unlink()
    assert "knows a line 2, which is not there" in str(trail.verify())
    trail.record("export", "anew")
    assert not trail.verify().is_intact


def test_a_home_that_was_moved_says_what_cannot_be_told(tmp_path: Path) -> None:
    _written(tmp_path / "home", 2)
    (tmp_path / "home").rename(tmp_path / "moved")
    looked = Trail(Home.find(tmp_path / "moved")).verify()
    assert looked.is_intact
    assert "it may lack its end" in str(looked)


def test_an_altered_checkpoint_is_told_and_keeps_nobody_from_going_on(tmp_path: Path) -> None:
    trail = _written(tmp_path / "home", 2)
    kept = max((user_folder() / "audit").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    kept.write_bytes(kept.read_bytes().replace(b'"line":2', b'"line":1'))
    assert "was altered or made with another key" in str(trail.verify())
    trail.record("export", "later")
    assert "line 3 does not follow" in str(trail.verify())


def test_processes_that_append_at_once_make_one_trail(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(tmp_path / "home"), "20"]
    writers = [subprocess.Popen([*command, str(n)], stdout=subprocess.DEVNULL) for n in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    trail = Trail(Home.find(tmp_path / "home"))
    assert trail.verify().is_intact, trail.verify()
    assert len(set(trail.entries().target)) == 40


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_kill_while_appending_is_no_alarm(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(tmp_path / "home"), "100000", "k"]
    trail = Trail(Home.find(tmp_path / "home"))
    told = 0
    for after in (1, 7):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(after):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        told += after
        assert trail.verify().is_intact, trail.verify()
        assert len(trail.entries()) >= told, "what was acknowledged is there"
    file = max((tmp_path / "home/journal/audit").glob("*.jsonl"))
    with file.open("ab") as torn:  # as a kill in the middle of the write leaves it
        torn.write(b'{"crc":"0000')
    assert trail.verify().is_intact
    trail.record("export", "later")
    assert trail.verify().is_intact
    assert trail.entries().target.iloc[-1] == "later"


def test_secrets_and_odd_letters_are_kept_out_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "mailbox-0815-lantern")
    trail = Trail(Home.find(tmp_path / "home"))
    trail.record("export", "to mailbox-0815-lantern\n\udcff" + "x" * 900)
    assert trail.verify().is_intact, trail.verify()
    assert b"0815" not in b"".join(file.read_bytes() for file in (tmp_path / "home/journal/audit").iterdir())


def test_a_reset_leaves_the_trail_and_is_in_it(tmp_path: Path) -> None:
    import dspy

    import skillfleet_nb as sf

    fleet = Fleet(tmp_path / "home")
    rows = [dspy.Example(n=str(n), odd=bool(n % 2)).with_inputs("n") for n in range(20)]
    job = fleet.evaluate(
        dspy.Predict("n -> odd: bool"), rows, lambda e, p, trace=None: e.odd == p.odd, lm=sf.offline_lm(), name="odd"
    )
    job.result()
    job.save(tmp_path / "program.json")
    fleet.store.export(tmp_path / "facts")
    fleet.curation.delete(["odd"])
    fleet.curation.restore()
    fleet.store.reset()
    listed = fleet.audit.entries()
    wanted = ["job.start", "export", "export", "job.delete", "job.restore", "home.reset"]
    assert listed.action.tolist() == wanted
    assert listed.target.iloc[0] == job.id
    assert fleet.audit.verify().is_intact
    assert Store(fleet.home).sql("select count(*) as n from events where kind = 'audited'").n[0] == len(wanted)


def test_a_trail_without_a_place_for_a_key_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    trail = _written(tmp_path / "home", 2)
    assert "no seal can be looked at" in str(trail.verify())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert re.search(r"line 1 bears no seal", str(trail.verify()).replace("1 fault: ", ""))
