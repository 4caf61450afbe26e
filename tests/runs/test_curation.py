"""Jobs put in order: their name, note and tags; out of sight, into the trash and back."""

from __future__ import annotations

import base64
import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.commands.complete import offers
from skillfleet_nb.errors import InputError, JobError, NotFoundError
from skillfleet_nb.events import JobCreated, JobState, Result, StateChanged, Warned
from skillfleet_nb.store import Home, Journal, Trail, queries
from skillfleet_nb.store.blobs import Blobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def begun(home: Home, name: str) -> Journal:
    journal = Journal(home, f"{name}-1")
    given = {"program": "p", "metric": "m", "engine": "thread", "seed": 0, "tags": ("v1",)}
    journal.append(JobCreated(name=name, optimizer="gepa", **given))
    journal.append(StateChanged(state=JobState.RUNNING))
    return journal


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path / "home")
    for name in ("first", "second"):
        with begun(fleet.home, name) as journal:
            journal.append(Result(best_score=0.5, summary="s"))
            journal.append(StateChanged(state=JobState.COMPLETED))
    with begun(fleet.home, "at work"[:2]):
        yield fleet


def test_a_job_is_called_noted_and_tagged_and_everybody_hears_of_it(fleet: Fleet) -> None:
    handle = fleet.job("first")
    before = handle.progress.wall_s()
    fleet.curation.rename("first", " the one ")
    said = fleet.sql("select job_id, name from jobs order by created_at desc")
    assert queries.job_names(fleet.store).to_dict("list") == said.to_dict("list")
    fleet.curation.note("the one", "of March")
    fleet.curation.tag(["the one", "second"], add=["v2, support"], remove=["v1"])
    others = Fleet(fleet.home.root)
    for known in (handle, others.job("the one"), others.job("first-1")):
        assert (known.name, known.progress.note, known.progress.tags) == ("the one", "of March", ("v2", "support"))
        assert ("your note", "of March") in known.summary()
        assert known.progress.wall_s() == before, "what is said later is no part of what the job did"
    row = others.jobs(tag="v2", text="one").iloc[0]
    assert (row.job_id, row["name"], row.note, list(row.tags)) == ("first-1", "the one", "of March", ["v2", "support"])
    fleet.curation.note("the one", "")
    assert fleet.jobs(text="the one").note.isna().all()
    assert fleet.store.rebuild().events
    assert fleet.jobs(text="the one").job_id.tolist() == ["first-1"]


def test_a_name_that_is_taken_empty_or_unknown_is_refused(fleet: Fleet) -> None:
    with pytest.raises(InputError, match="'second' is the name of job second-1"):
        fleet.curation.rename("first", "second")
    with pytest.raises(InputError, match="letter"):
        fleet.curation.rename("first", "  ")
    with pytest.raises(NotFoundError, match="did you mean 'first'"):
        fleet.curation.tag(["second", "frist"], add=["v2"])
    assert fleet.jobs(tag="v2").empty, "nothing is changed where one of them is not found"


def test_an_archived_job_is_out_of_sight_until_it_is_wanted(fleet: Fleet) -> None:
    fleet.curation.archive(["first"])
    assert "first" not in set(fleet.jobs(archived=False)["name"])
    assert fleet.jobs(archived=True)["name"].tolist() == ["first"]
    assert "first" in set(fleet.jobs()["name"])
    fleet.curation.archive(["first"], undo=True)
    assert fleet.jobs(archived=True).empty


def test_a_deleted_job_is_gone_and_comes_back_whole(fleet: Fleet) -> None:
    fleet.curation.note("first", "keep me")
    before = fleet.sql("select * from jobs order by job_id")
    assert [d.name for d in fleet.curation.would_delete(["first"])] == ["first"]
    (gone,) = fleet.curation.delete(["first"])
    assert (gone.name, gone.bytes > 0) == ("first", True)
    assert set(fleet.jobs()["name"]) == {"second", "at"}
    assert fleet.sql("select count(*) as n from events where job_id = 'first-1'").n[0] == 0
    with pytest.raises(NotFoundError):
        fleet.job("first")
    fleet.store.rebuild()
    assert set(fleet.jobs()["name"]) == {"second", "at"}
    with pytest.raises(NotFoundError, match="unknown deleted job 'frst': did you mean 'first'"):
        fleet.curation.restore(["frst"])
    fleet.curation.restore()
    assert fleet.sql("select * from jobs order by job_id").equals(before)
    with pytest.raises(JobError, match="trash is empty"):
        fleet.curation.restore()


def test_a_deleted_job_whose_name_was_given_again_comes_back_under_a_free_one(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.curation.delete(["first"])
    fleet.curation.rename("second", "first")
    assert main(["delete", "first", "--undo", "--home", str(fleet.home.root)]) == 0
    assert "back: first-2 (first is another job's name by now), deleted" in capsys.readouterr().out
    others = Fleet(fleet.home.root)
    assert [others.job(name).id for name in ("first", "first-2")] == ["second-1", "first-1"]
    assert sorted(others.jobs()["name"]) == ["at", "first", "first-2"]
    others.curation.rename("first", "second")
    others.curation.delete(["first-2"])
    assert [d.name for d in others.curation.restore()] == ["first-2"]


def test_jobs_come_back_from_a_backup_with_their_names_notes_and_tags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(tmp_path / "home")

    def job(name: str, number: str) -> None:
        with Journal(fleet.home, f"{name}-{number}") as journal:
            journal.append(JobCreated(name=name, optimizer="gepa", program="p", metric="m", engine="thread", seed=0))
            journal.append(StateChanged(state=JobState.COMPLETED))

    job("first", "a")
    job("second", "a")
    fleet.curation.rename("first", "the one")
    fleet.curation.note("the one", "keep me")
    fleet.curation.tag(["the one"], add=["good"])
    fleet.notes.add("prompts of March are short")
    before = fleet.sql("select * from jobs where job_id = 'first-a'")
    backup = fleet.store.reset().backup
    job("second", "b")
    fleet.curation.tag(["second"], add=["fresh"])
    fleet.notes.add("prompts of April are long")
    assert main(["db", "restore", backup.name, "--home", str(fleet.home.root)]) == 0
    told = capsys.readouterr().out
    assert "second is another job's name by now: second-2" in told
    assert "left in the backup, since this home has its own: knowledge (db init FOLDER" in told
    assert fleet.sql("select * from jobs where job_id = 'first-a'").equals(before)
    others = Fleet(fleet.home.root)
    assert [others.job(name).id for name in ("second", "second-2", "the one")] == ["second-b", "second-a", "first-a"]
    assert others.job("second").progress.tags == ("fresh",)
    others.curation.note("the one", "")
    others.curation.delete(["the one"])
    others.curation.empty()
    assert others.store.restore(backup).renamed == {}
    assert (others.job("the one").progress.note, others.job("the one").progress.tags) == ("", ("good",))
    elsewhere = Fleet(tmp_path / "elsewhere")
    assert elsewhere.store.restore(backup).beside == ()
    assert elsewhere.job("the one").progress.note == "keep me"
    assert elsewhere.store.restore(backup).beside == (), "what is there already was not left behind"


@pytest.mark.parametrize("compacted", [False, True])
def test_the_emptied_trash_takes_along_what_only_its_jobs_refer_to(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], *, compacted: bool
) -> None:
    def kept(text: str) -> str:
        data = base64.b64encode(text.encode() * 20).decode()
        return Blobs(fleet.home).taken_out(f"data:text/plain;base64,{data}".encode()).decode()

    def typed(*line: str) -> str:
        assert main(["delete", "--empty-trash", *line, "--home", str(fleet.home.root)]) == 0
        return capsys.readouterr().out

    gone, shared, of_file, new = (kept(word) for word in ("gone", "shared", "of a file", "just met"))
    for name, texts in {"first-1": [gone, shared], "second-1": [shared]}.items():
        with Journal(fleet.home, name) as journal:
            journal.append_many([Warned(text=text) for text in texts])
    (fleet.home.root / "programs").mkdir(exist_ok=True)
    (fleet.home.root / "programs" / "x.json").write_text(of_file)
    if compacted:
        assert fleet.store.compact(everything=True)
    for blob in fleet.home.blobs.iterdir():
        os.utime(blob, (0, 0))
    kept("just met")
    fleet.curation.delete(["first"])
    assert typed("--dry-run").startswith("would delete 1 job (first) and 1 file of blobs")
    assert main(["delete", "--empty-trash", "--home", str(fleet.home.root)]) == 2, "nobody can be asked"
    assert "--yes does it" in capsys.readouterr().err
    assert [one.name for one in fleet.curation.deleted()] == ["first"]
    assert typed("--yes").startswith("deleted 1 job (first) and 1 file of blobs")
    assert typed() == "the trash is empty\n"
    blobs = Blobs(fleet.home)
    assert [blobs.put_back(one) == one for one in (gone, shared, of_file, new)] == [True, False, False, False]
    assert fleet.curation.deleted() == []
    assert set(fleet.jobs()["name"]) == {"second", "at"}
    assert main(["delete", "second", "--empty-trash", "--home", str(fleet.home.root)]) == 2


def test_a_job_at_work_is_not_deleted(fleet: Fleet) -> None:
    with pytest.raises(JobError, match="'at' is at work"):
        fleet.curation.delete(["first", "at"])
    assert len(fleet.jobs()) == 3


def test_each_has_a_command(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*line: str) -> str:
        assert main([*line, "--home", str(fleet.home.root)]) == 0
        return capsys.readouterr().out

    assert told("rename", "first", "the one") == "first is now the one\n"
    assert "noted of the one: of March" in told("note", "the one", "of March")
    assert "the one: v1, v2" in told("tag", "the one", "--add", "v2")
    assert "skillfleet archive 'the one' --undo puts them back" in told("archive", "the one")
    assert "the one" not in told("jobs")
    assert "the one" in told("jobs", "--archived")
    told("archive", "the one", "--undo")
    assert "would move 1 job: second" in told("delete", "second", "--dry-run")
    assert "second" in told("jobs")
    assert "skillfleet delete second --undo brings" in told("delete", "second")
    assert "second" not in told("jobs")
    assert told("delete", "--undo").startswith("back: second")
    assert "second" in told("jobs")
    for line in (["delete"], ["tag", "second"], ["delete", "nobody"]):
        assert main([*line, "--home", str(fleet.home.root)]) == 2


def test_what_was_put_aside_goes_by_its_age_and_is_named(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    home = fleet.home

    def typed(*line: str) -> str:
        assert main([*line, "--home", str(home.root)]) == 0
        return capsys.readouterr().out

    assert "into the trash, where skillfleet db compact leaves it for 90 days;" in typed("delete", "first")
    typed("delete", "second")
    entry = home.trash / "first-1.json"
    entry.write_text(re.sub(r'"at":"20\d\d', '"at":"2001', entry.read_text("utf-8")), "utf-8")
    both, only = (
        Blobs(home).taken_out(b"data:image/png;base64," + base64.b64encode(byte * 90)) for byte in (b"both", b"only")
    )
    for job, text in (("first-1", only + both), ("second-1", both)):
        (home.trash / job / "output.log").write_bytes(text)
    for blob in home.blobs.iterdir():
        os.utime(blob, (0, 0))
    now = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    for name in ("20010203-040506", "20010203-040506-2", now, "mine"):
        (home.backups / name / "journal").mkdir(parents=True)
    assert re.search("trash +2 jobs, ", typed("db", "status"))

    gone = "1 job of the trash (first) and 2 backups (20010203-040506, 20010203-040506-2)"
    home.config.write_text("keep_trash_days = 1e9\nkeep_backups_days = 1e9")
    assert "for good" not in typed("db", "compact")
    home.config.unlink()
    assert f"would delete for good, by their age: {gone}, " in typed("db", "compact", "--dry-run")
    assert len(fleet.curation.deleted()) == 2
    assert f"deleted for good, by their age: {gone}, " in typed("db", "compact")
    assert [one.name for one in fleet.curation.deleted()] == ["second"]
    assert [blob.read_bytes() for blob in home.blobs.iterdir()] == [b"both" * 90], "what the other refers to"
    assert fleet.store.status().backups == (now, "mine")
    assert Trail(home).entries().detail.str.contains(gone, regex=False).sum() == 1
    assert "for good" not in typed("db", "compact")
    typed("delete", "--undo")
    assert fleet.job("second").state.is_finished()


def test_tags_and_what_is_in_the_trash_are_completed(fleet: Fleet) -> None:
    def offered(line: str) -> set[str]:
        return {offer.text for offer in offers(line, {}, lambda: fleet)[1]}

    assert offered("tag first --add ") == {"v1"}
    fleet.curation.delete(["first"])
    assert offered("delete --undo ") == {"first"}
    assert offered("delete ") == {"second", "at"}
