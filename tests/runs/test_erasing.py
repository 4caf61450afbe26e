"""Erasing jobs: nothing of them is left, nothing of others goes, and there is a proof."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import dspy
import pytest

import skillfleet_nb as sf
from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.errors import JobError, NotFoundError
from skillfleet_nb.store import Journal, queries

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.runs.jobs.job import Job


def _run(fleet: Fleet, name: str, word: str) -> Job:
    rows = [dspy.Example(n=f"{word} {n}", odd=bool(n % 2)).with_inputs("n") for n in range(16)]
    job = fleet.optimize(
        dspy.Predict("n -> odd: bool"), train=rows, metric=lambda e, p, trace=None: e.odd == p.odd,
        optimizer="labeled_fewshot", lm=sf.offline_lm(), name=name,
    )  # fmt: skip
    job.result()
    return job


def _holding(folder: Path, word: str) -> list[str]:
    files = [file for file in folder.rglob("*") if file.is_file() and word.encode() in file.read_bytes()]
    return sorted(str(file.relative_to(folder)) for file in files)


def _shell(line: str) -> tuple[Any, str]:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        status = main(line.split())
    return status, out.getvalue()


def test_a_job_is_erased_from_everywhere_and_the_others_stay(tmp_path: Path) -> None:
    fleet = Fleet()
    home = fleet.home.root
    doomed, kept = _run(fleet, "doomed", "zanzibar"), _run(fleet, "kept", "quokka")
    programs = set(queries.job_programs(fleet.store, kept.id).program_id)
    fleet.store.reset()  # now there is a backup of both
    (backup,) = fleet.home.backups.iterdir()
    fleet.store.restore(backup)
    (backup / "fleet.duckdb").write_bytes(b"zanzibar")  # as `db migrate` leaves one
    fleet.store.export(tmp_path / "facts", "json")
    assert any(place.startswith("backups") for place in _holding(home, "zanzibar"))

    (would,) = fleet.curation.erase(["doomed"], dry_run=True)
    assert len(would.folders) == 2
    assert _shell("erase doomed")[0] == 2, "nobody is asked in a shell without a terminal: --yes is needed"
    status, told = _shell("erase doomed --yes")
    assert status in {0, None}, told
    assert f"erased doomed ({doomed.id}): 2 folders" in told
    assert "nothing of it was found again" in told
    assert f"an export that may hold it: {tmp_path / 'facts'}" in told

    assert _holding(home, "zanzibar") == []
    assert Fleet().jobs().name.tolist() == ["kept"]
    assert programs <= {file.stem for file in fleet.home.programs_dir.iterdir()}, "what others refer to stays"
    assert _holding(backup, "quokka"), "and so do they in the backup"
    entries = fleet.audit.entries()
    begun, done = entries[entries.action == "job.erase"].detail
    assert begun.removeprefix("begun: ") == would.in_words
    assert done == f"done: {would.in_words}; nothing of it was found again"
    assert fleet.audit.verify().is_intact


def test_a_job_is_erased_out_of_the_trash_and_none_that_is_at_work(tmp_path: Path) -> None:
    fleet = Fleet()
    job = _run(fleet, "doomed", "zanzibar")
    with Journal(fleet.home, job.id), pytest.raises(JobError, match="'doomed' is at work"):
        fleet.curation.erase(["doomed"])
    fleet.curation.tag(["doomed"], add=["private"])
    fleet.curation.delete(["doomed"])
    (erased,) = fleet.curation.erase(["doomed"])
    assert _holding(fleet.home.root, "zanzibar") == []
    assert [place.rpartition("/")[0] for place in erased.named_in] == ["journal/curation"], "a tag is no data of it"
    with pytest.raises(NotFoundError):
        fleet.curation.erase(["doomed"])
