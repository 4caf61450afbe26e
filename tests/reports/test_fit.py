"""Saved programs against changed code: found, named, migrated on request, and never lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dspy
import pytest

import skillfleet_nb as sf
from skillfleet_nb.cli import main
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.programs.state import dump_state, save, save_state

if TYPE_CHECKING:
    from pathlib import Path


@sf.signature_version("2.0", migrations={"1.0": lambda saved: saved.rename("intent", "label")})
class Classify(dspy.Signature):
    """Classify the message."""

    text: str = dspy.InputField()
    label: str = dspy.OutputField()


class Classifier(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sort = dspy.Predict(Classify)

    def forward(self, text: str) -> Any:
        return self.sort(text=text)


def old() -> dict[str, Any]:
    """Return a program's state as it was saved when `Classify` was at 1.0."""
    state = json.loads(json.dumps(dump_state(Classifier())).replace('"label"', '"intent"'))
    state["metadata"]["skillfleet"]["signatures"]["sort"][1] = "1.0"
    state["sort"]["signature"]["fields"][1]["description"] = "as tuned"
    state["sort"]["demos"] = [{"text": "a", "intent": "refund"}]
    return dict(state)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sf.Fleet:
    monkeypatch.setenv("SKILLFLEET_HOME", str(tmp_path / "home"))
    return sf.Fleet()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Make a folder with a program that fits, one of an earlier version, one that does not fit, and other JSON."""
    folder = tmp_path / "saved"
    (folder / "deeper").mkdir(parents=True)
    save(Classifier(), folder / "fits.json")
    save_state(old(), folder / "deeper" / "old.json")
    broken = old()
    broken["metadata"]["skillfleet"]["signatures"]["sort"][1] = "0.5"
    save_state(broken, folder / "broken.json")
    (folder / "package.json").write_text('{"name": "x"}')
    (folder / "notes.json").write_text("no JSON")
    return folder


def test_a_folder_is_checked_and_migrated_with_a_backup(fleet: sf.Fleet, saved: Path) -> None:
    report = fleet.registry.check(saved)
    assert {p.name.rpartition("/")[2]: p.fit for p in report.programs} == {
        "fits.json": "fits", "old.json": "migrates", "broken.json": "differs",
    }  # fmt: skip
    assert not report.ok
    assert "made for version 0.5, and there are migrations from 1.0 to 2.0" in str(report)
    before = {path: path.read_bytes() for path in saved.rglob("*.json")}
    fleet.registry.migrate_all(saved)
    assert {path: path.read_bytes() for path in saved.rglob("*.json")} == before, "it was a dry run"
    assert "Classify 1.0 → 2.0: written" in str(fleet.registry.migrate_all(saved, apply=True))
    now = json.loads((saved / "deeper" / "old.json").read_text())
    assert now["sort"]["demos"] == [{"text": "a", "label": "refund"}]
    assert now["sort"]["signature"]["fields"][1]["description"] == "as tuned"
    assert (saved / "deeper" / "old.json.bak").read_bytes() == before[saved / "deeper" / "old.json"]
    assert (saved / "broken.json").read_bytes() == before[saved / "broken.json"]
    assert {p.fit for p in fleet.registry.check(saved).programs} == {"fits", "differs"}


def test_registered_programs_become_new_versions_and_aliases_stay(fleet: sf.Fleet, tmp_path: Path) -> None:
    save_state(old(), tmp_path / "old.json")
    fleet.register(str(tmp_path / "old.json"), "intents")
    fleet.alias("intents", "production", 1)
    assert [(p.name, p.fit, p.told) for p in fleet.registry.check().programs] == [
        ("intents@1", "migrates", "Classify 1.0 → 2.0")
    ]
    assert (fleet.registry.check().ok, fleet.registry.check(migration=True).ok) == (True, False)
    fleet.registry.migrate_all(apply=True)
    assert fleet.registry.aliases("intents") == {"production": 1}
    assert fleet.versions("intents").note[0] == "intents@1 migrated: Classify 1.0 → 2.0"
    assert [(p.name, p.fit) for p in fleet.registry.check().programs] == [
        ("intents@1", "migrates"), ("intents@2", "fits"),
    ]  # fmt: skip
    again = fleet.registry.migrate_all(apply=True)
    assert "registered as intents@2" in str(again), "the same program stays the version it is"
    history = fleet.registry.signatures("intents")
    assert history.signature.tolist() == ["Classify 1.0", "Classify 2.0"]
    assert history.changed.tolist() == [False, True]
    assert fleet.registry.signatures("Classify").equals(history), "asked by the name of the signature"
    for ref in ("intents@1", "intents@2"):
        assert list(fleet.program(ref).sort.signature.fields) == ["text", "label"]  # type: ignore[attr-defined]


def test_a_migration_at_load_is_recorded_once_and_what_was_saved_stays(fleet: sf.Fleet, tmp_path: Path) -> None:
    save_state(old(), tmp_path / "old.json")
    fleet.register(str(tmp_path / "old.json"), "intents")
    assert fleet.sql("from signature_migrations").empty
    for _ in range(2):
        assert list(fleet.program("intents@1").sort.signature.fields) == ["text", "label"]  # type: ignore[attr-defined]
    rows = fleet.sql("from signature_migrations").drop(columns="migrated_at")
    assert rows.to_dict("records") == [
        {"name": "intents", "version": 1, "predictor": "sort", "signature": "Classify", "from_version": "1.0",
         "to_version": "2.0"}
    ]  # fmt: skip
    assert fleet.registry.signatures("intents").loaded_as.tolist() == ["2.0"]
    assert sf.Fleet().registry.signatures("intents").loaded_as.tolist() == ["2.0"], "another process knows it too"
    kept = fleet.registry.state("intents@1")
    assert kept["sort"]["demos"] == [{"text": "a", "intent": "refund"}]
    was = fleet.versions("intents")
    assert len(was) == 1


def test_a_class_of_another_name_is_not_migrated_and_no_step_is_recorded(fleet: sf.Fleet, tmp_path: Path) -> None:
    state = json.loads(json.dumps(dump_state(Classifier())))
    state["metadata"]["skillfleet"]["signatures"]["sort"] = ["Sorter", "1.0"]
    save_state(state, tmp_path / "other.json")
    fleet.register(str(tmp_path / "other.json"), "intents")
    assert list(fleet.program("intents@1").sort.signature.fields) == ["text", "label"]  # type: ignore[attr-defined]
    assert fleet.sql("from signature_migrations").empty
    assert [p.fit for p in fleet.registry.check().programs] == ["fits"]


def test_the_commands_fail_where_something_does_not_fit(
    fleet: sf.Fleet, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["signatures", "check"]) == 0
    assert "no saved program was found" in capsys.readouterr().out
    assert main(["signatures", "check", "--root", str(saved)]) == 1
    assert "3 saved programs: 1 fits, 1 migrates, 1 differs" in capsys.readouterr().out
    (saved / "broken.json").unlink()
    assert main(["signatures", "migrate-all", "--root", str(saved), "--apply"]) == 0
    assert main(["signatures", "check", "--root", str(saved / "nowhere")]) == 2
    assert "is no folder" in capsys.readouterr().err
    fleet.register(Classifier(), "intents")
    assert main(["signatures", "history", "intents"]) == 0
    assert "Classify 2.0" in capsys.readouterr().out


def test_what_is_not_there_is_told(fleet: sf.Fleet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        fleet.registry.check(tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match="unknown registered program"):
        fleet.registry.signatures("nope")
