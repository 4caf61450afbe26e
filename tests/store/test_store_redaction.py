"""Redaction: personal data is found by its shape, and is not in a home that says so."""

from __future__ import annotations

import base64
import os
import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

import dspy
import numpy as np
import pytest
from made_up import counted_lm
from made_up_secrets import KINDS, made_up

from skillfleet_nb import Fleet, monitored
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.events import ExampleScore, Trial
from skillfleet_nb.lm.embed import Embedder
from skillfleet_nb.redaction import Patterns
from skillfleet_nb.store import Home, Journal, follow
from skillfleet_nb.store.redacting import opened, sealed
from skillfleet_nb.store.unlocking import read_bytes, write_bytes

if TYPE_CHECKING:
    from pathlib import Path

ALL = 'kinds = ["key", "email", "phone", "card", "iban"]'


def _home(folder: Path, settings: str) -> Home:
    home = Home.find(folder / "home").ensure()
    home.config.write_text(f"[redact]\n{settings}\n")
    return home


@pytest.mark.parametrize("kind", KINDS)
def test_made_up_secrets_are_found_wherever_they_stand(kind: str) -> None:
    rng, patterns = random.Random(kind), Patterns(KINDS)
    for _ in range(60):
        secret = made_up(kind, rng)
        text = rng.choice(["Please use {} now.", "{}", "(it is {}), thanks", 'say "{}"', "a\n{}\nb"]).format(secret)
        clean, counts = patterns.sub(text)
        assert secret not in clean, text
        assert sum(counts.values()) == 1, (text, clean)


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112 has no sum that fits, and DE00370400440532013000 neither",
        "on 2026-01-02 03:04:05 or 01/02/2026 12:00, and 12.05.2026 09:30",
        "version 1.23.456.7890, 20260101-120000-ab12cd, c96e6ac33f0d85f1",
        "it costs 1,234,567.89 or 0.1234567890123456; mean 0.0123 0.0456 0.0789",
        "see me @ noon, or a@b",
    ],
)
def test_what_only_looks_like_it_is_left(text: str) -> None:
    assert Patterns(KINDS).sub(text) == (text, {})


def test_a_run_asks_with_the_true_text_and_writes_none_of_it(tmp_path: Path) -> None:
    home = _home(tmp_path, f'{ALL}\npatterns = {{ badge = "E\\\\d{{6}}" }}')
    fleet, rng = Fleet(home.root), random.Random(1)
    planted = [made_up(kind, rng) for kind in KINDS for _ in range(4)] + ["E123456"]
    rows = [dspy.Example(text=f"note {s}", label="note").with_inputs("text") for s in planted]
    scored: list[str] = []
    lm, engine = counted_lm()

    def metric(example: Any, prediction: Any, trace: Any = None) -> bool:
        scored.append(example.text)
        return bool(example.label == prediction.label)

    fleet.optimize(
        dspy.Predict("text -> label"), train=rows[:12], val=rows[12:], metric=metric, optimizer="labeled_fewshot",
        lm=lm, name="notes",
    ).result()  # fmt: skip
    for secret in planted[12:]:  # of the validation split, each of which is asked about
        assert any(secret in prompt for prompt in engine.prompts), "the model sees the true text"
        assert any(secret in text for text in scored), "the metric sees the true text"
    fleet.store.export(tmp_path / "facts", "json")
    raw = {
        file: file.read_bytes()
        for folder in (home.journal, home.programs_dir, tmp_path / "facts")
        for file in folder.rglob("*")
        if file.is_file() and file.suffix in {".jsonl", ".json", ".log"}
    }
    assert len(raw) > 4
    assert [(secret, file.name) for secret in planted for file, text in raw.items() if secret.encode() in text] == []
    counts = fleet.redactions()
    assert set(counts.what) == {*KINDS, "badge"}
    assert counts.name.tolist() == ["notes"] * 6
    assert fleet.redact("write to ann@example.org") == ("write to [email]", {"email": 1})


def test_nothing_of_a_home_shows_what_its_settings_take_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what runs are started with either, nor files in prompts, indexes, proposals, programs in use and tests."""
    home, rng = _home(tmp_path, ALL), random.Random(2)
    fleet = Fleet(home.root)
    planted = {name: made_up("email", rng) for name in ("data", "file", "unit", "asked", "score", "skill", "trial")}
    lm, engine = counted_lm()
    attached = base64.b64encode(f"a letter from {planted['file']}, as a file of the prompt".encode()).decode()
    rows = [
        dspy.Example(text=f"{n} {planted['data']} data:text/plain;base64,{attached}", label="note").with_inputs("text")
        for n in range(12)
    ]
    job = fleet.optimize(
        dspy.Predict("text -> label"), train=rows[:4], val=rows[4:8], test=rows[8:], optimizer="labeled_fewshot", lm=lm,
        metric=lambda example, prediction, trace=None: example.label == prediction.label, name="notes",
    )  # fmt: skip
    job.result()
    assert any(attached in prompt for prompt in engine.prompts), "the model is given the file as it is"
    assert fleet.job("notes").parcel().request.train[0].text == rows[0].text, "what a run needs comes back whole"
    blobs = [file.read_text() for file in home.blobs.iterdir()]
    assert blobs == ["a letter from [email], as a file of the prompt"]
    with dspy.context(lm=lm):
        fleet.register(dspy.Predict("text -> label"), "notes")
        with closing(monitored(dspy.Predict("text -> label"), home=home.root)) as watched:
            watched(text=planted["asked"])
        fleet.start_ab("trial", ["notes@1", "notes@1"])
        with closing(fleet.ab("trial")) as route:
            route.feedback(route(unit=planted["unit"], text=planted["trial"]), 1.0)
    skill = tmp_path / "skills/file-notes"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text(
        f"---\nname: file-notes\ndescription: Files notes for {planted['skill']}.\n---\n\n# For {planted['skill']}\n"
    )
    monkeypatch.setattr(Embedder, "of", lambda *_: lambda texts: np.eye(3)[[len(text) % 3 for text in texts]])
    index = fleet.skills.index(skill.parent)
    index.build(skill.parent)
    assert index.query("file notes").matches[0].description == "Files notes for [email]."
    assert not index.build(skill.parent).embedded
    place = home.root / "improvements/one.json"
    secret = planted["score"].encode()
    place.parent.mkdir()
    write_bytes(home.root, place, sealed(home, secret))
    assert opened(read_bytes(place)) == secret
    raw = {file: file.read_bytes() for file in home.root.rglob("*") if file.is_file()}
    assert {"parcel.bin", "one.json"} <= {file.name for file in raw}
    assert [
        (name, file) for name, secret in planted.items() for file, text in raw.items() if secret.encode() in text
    ] == []
    assert "sealed with this user's key" in fleet.reports.compliance().text()


def test_what_is_looked_up_is_left_as_it_is(tmp_path: Path) -> None:
    home = _home(tmp_path, ALL)
    number = "4111111111111111"  # an id may have any digits
    scores = (ExampleScore(number, 1.0, f"not {number}"),)
    with Journal(home, "job-1") as journal:
        journal.append(
            Trial(trial=0, split="val", full_eval=True, n_examples=1, score=1.0, program_id=number, scores=scores)
        )
    told, counted = follow(home, "job-1").poll()
    assert (told.fields["program_id"], told.fields["scores"][0][0]) == (number, number)
    assert told.fields["scores"][0][2] == "not [card]"
    assert counted.fields == {"counts": {"card": 1}}


def test_a_pattern_that_is_none_is_told_in_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    home = _home(tmp_path, 'patterns = { badge = "E(" }')
    with pytest.raises(InputError, match=r"redact\.patterns.*'badge' is no regular expression \(.*\): 'E\('"):
        Journal(home, "job-1")
    home.config.write_text('[redact]\nkinds = ["mail"]\n')
    with pytest.raises(InputError, match=r"'redact\.kinds\.0'.*'key', 'email', 'phone', 'card' or 'iban'"):
        Journal(home, "job-1")
    home.config.write_text('[redact]\nhook = "presido"\n')
    with pytest.raises(NotFoundError, match="unknown hook of redact 'presido'"):
        Journal(home, "job-1")


def test_a_hook_finds_more_and_one_that_fails_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    (folder / "finder-1.dist-info").mkdir(parents=True)
    (folder / "finder-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: finder\nVersion: 1\n")
    (folder / "finder-1.dist-info/entry_points.txt").write_text(
        "[skillfleet_nb.redactors]\nnames = finder_of_names:find\nbroken = finder_of_names:fail\n"
    )
    (folder / "finder_of_names.py").write_text(
        "from types import SimpleNamespace\n"
        "def find(text):\n"
        "    at = text.find('Ann')\n"
        "    return [SimpleNamespace(start=at, end=at + 3, entity_type='PERSON')] if at >= 0 else []\n"
        "def fail(text):\n"
        "    raise RuntimeError(text)\n"
    )
    monkeypatch.syspath_prepend(os.fspath(folder))
    home = _home(tmp_path, 'hook = "names"')
    assert Fleet(home.root).redact("ask Ann, today") == ("ask [person], today", {"person": 1})
    home.config.write_text('[redact]\nhook = "broken"\n')
    assert Fleet(home.root).redact("ask Ann, today") == ("[not looked through]", {"failed": 1})
