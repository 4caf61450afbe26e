"""The page for whoever asks: it says what is there, what was done, and what is not right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError
from skillfleet_nb.events import Phase
from skillfleet_nb.store import Journal

if TYPE_CHECKING:
    from pathlib import Path


def test_the_page_says_what_is_stored_and_who_did_what(tmp_path: Path) -> None:
    fleet = Fleet()
    home = fleet.home.ensure()
    home.root.chmod(0o700)
    home.config.write_text('keep_prompts_days = 90\n[redact]\nkinds = ["email"]\n')
    with Journal(home, "job-1") as journal:
        journal.append(Phase(text="write to ann@example.org <b>now</b>"))
    fleet.store.export(tmp_path / "facts")
    report = fleet.reports.compliance()
    told = report.text()
    for line in (
        r"until deleted; prompts and answers 90 days, by db compact",
        r"its owner alone (drwx------)",
        r"taken out: email",
        r"1 email",
        r"none of its own: keep the home on an encrypted disk",
        r"intact, 1 line",
        str(tmp_path / "facts"),
    ):
        assert line in told, line
    exported = next(part for part in report.parts if part.title == "What left the home")
    assert exported.rows[0][-1] == "yes, not encrypted"
    page = report.save(tmp_path / "compliance.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "until deleted; prompts" in page
    assert report.save(tmp_path / "compliance.txt").read_text("utf-8") == told + "\n"
    with pytest.raises(InputError, match=r"'x\.pdf' is neither a page nor a text: end it in \.html or \.txt"):
        report.save(tmp_path / "x.pdf")
    file = next((home.journal / "audit").glob("*.jsonl"))
    file.write_bytes(file.read_bytes().replace(b"parquet", b"nothing"))
    assert "TAMPERED WITH: line 1 was altered" in fleet.reports.compliance().text()


def test_an_empty_home_has_a_page_too() -> None:
    told = Fleet().reports.compliance().text()
    assert "Who did what\n\nnothing" in told
    assert "intact, 0 lines" in told
