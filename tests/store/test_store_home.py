from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest
from store_samples import CREATED

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import HomeError, InputError, NotFoundError
from skillfleet_nb.store import Home, Journal, Store, load_program, save_program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SKILLFLEET_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


def test_without_any_home_it_will_be_in_the_working_folder_but_only_once_written(tmp_path: Path) -> None:
    home = Home.find()
    assert home.root == tmp_path / ".skillfleet"
    assert Store(home).frame("from jobs").empty
    assert Store(home).status().jobs == 0
    assert list(tmp_path.iterdir()) == []
    home.ensure()
    assert (home.root / ".gitignore").read_text() == "*\n"


def test_the_nearest_ancestor_that_has_a_home_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".skillfleet").mkdir()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert Home.find().root == tmp_path / ".skillfleet"
    (tmp_path / "a" / ".skillfleet").mkdir()
    assert Home.find().root == tmp_path / "a" / ".skillfleet"


def test_the_variable_beats_ancestors_and_the_argument_beats_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".skillfleet").mkdir()
    monkeypatch.setenv("SKILLFLEET_HOME", str(tmp_path / "elsewhere"))
    assert Home.find().root == tmp_path / "elsewhere"
    assert Home.find(tmp_path / "given").root == tmp_path / "given"


def test_a_home_that_somebody_else_made_is_used_where_it_is_named_or_trusted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, mine, elsewhere = tmp_path / "theirs", tmp_path / "mine", tmp_path / "elsewhere"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "somebody"))
    made = Home.init(theirs)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "me"))
    (theirs / "deeper").mkdir()
    monkeypatch.chdir(theirs / "deeper")
    with pytest.raises(HomeError, match=r"came with its folder, .*look through it, .*db trust"):
        Home.find()
    assert Home.find(made.root) == made
    Home.nearest().trust()
    assert Home.find() == made
    Home.init(mine)
    monkeypatch.chdir(mine)
    assert Home.find().root == mine / ".skillfleet"
    shutil.copytree(mine, elsewhere)
    monkeypatch.chdir(elsewhere)
    with pytest.raises(HomeError, match="came with its folder"):
        Home.find()


def test_a_home_of_a_newer_version_is_refused_with_both_versions(home: Home) -> None:
    home.ensure()
    (home.root / "format").write_text("3\n")
    with pytest.raises(HomeError, match=r"format 3, this version knows up to 2: upgrade"):
        Home.find(home.root)


def test_an_unreadable_marker_is_refused(home: Home) -> None:
    home.ensure()
    (home.root / "format").write_text("one")
    with pytest.raises(HomeError, match="unreadable format marker 'one'"):
        Home.find(home.root)


def test_a_home_that_no_path_can_be_is_refused() -> None:
    with pytest.raises(HomeError, match=r"home 'a\\x00b' has a null character: no path may; give another"):
        Home.find("a\0b")


def test_a_file_in_place_of_the_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match="is a file, not a folder"):
        Home.find(tmp_path / "file")


def test_a_home_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match=r"cannot read home '.*': Not a directory; set SKILLFLEET_HOME"):
        Home.find(tmp_path / "file" / ".skillfleet")


def test_a_home_that_cannot_be_written_is_one_line(home: Home) -> None:
    home.ensure()
    home.journal.touch()
    home.programs_dir.touch()
    with pytest.raises(HomeError, match=r"cannot write '.*': Not a directory; make it writable"):
        Journal(home, "job-1")
    with pytest.raises(HomeError, match="cannot write"):
        save_program(home, {})


@pytest.mark.parametrize("stream", ["", "../x", "a/b", ".hidden", "a" * 201, "é", "a b"])
def test_a_stream_must_be_able_to_name_a_folder(home: Home, stream: str) -> None:
    with pytest.raises(InputError, match="cannot name a job"):
        Journal(home, stream)


def test_programs_are_kept_once_by_content(home: Home) -> None:
    state = {"b": [1, {"text": "é\ud800"}], "a": None}
    first = save_program(home, state)
    assert save_program(home, {"a": None, "b": [1, {"text": "é\ud800"}]}) == first
    assert len(first) == 16
    assert load_program(home, first) == state
    assert save_program(home, {"a": 1}) != first
    assert len(list(home.programs_dir.iterdir())) == 2


def test_a_kept_program_has_its_fields_in_the_order_that_prompts_show_them(home: Home) -> None:
    state = {"demos": [{"person": {"name": "Ann", "age": 3, "before": {"z": 1, "a": 2}}}]}
    assert json.dumps(load_program(home, save_program(home, state))) == json.dumps(state)


def test_a_program_of_a_home_of_before_is_read(home: Home) -> None:
    written = '{"a":1,"b":"é"}'.encode()  # as where something was redacted
    program_id = hashlib.sha256(written).hexdigest()[:16]
    save_program(home, {})
    (home.programs_dir / f"{program_id}.json").write_bytes(written)
    assert load_program(home, program_id) == {"a": 1, "b": "é"}


def test_a_missing_or_damaged_program_is_told(home: Home) -> None:
    with pytest.raises(NotFoundError, match=r"unknown program '\.\./\.\./etc'"):
        load_program(home, "../../etc")
    program_id = save_program(home, {"a": 1})
    with pytest.raises(NotFoundError, match=f"did you mean '{program_id}'"):
        load_program(home, program_id[:-1] + "_")
    (home.programs_dir / f"{program_id}.json").write_text('{"a":2}')
    with pytest.raises(NotFoundError, match="does not match its hash"):
        load_program(home, program_id)
    (home.programs_dir / f"{program_id}.json").write_text('{"a":')
    with pytest.raises(NotFoundError, match="does not match its hash"):
        load_program(home, program_id)


def test_settings_come_from_the_environment_then_the_file_then_defaults(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.load(home.config) == Settings(record_prompts=True, num_threads=None)
    home.ensure()
    home.config.write_text("record_prompts = false\nnum_threads = 3\n")
    assert Settings.load(home.config) == Settings(record_prompts=False, num_threads=3)
    monkeypatch.setenv("SKILLFLEET_NUM_THREADS", "5")
    assert Settings.load(home.config).num_threads == 5
    assert Settings.load(home.config).record_prompts is False
    monkeypatch.setenv("SKILLFLEET_NUM_THREADS", "6")
    assert Settings.load(home.config).num_threads == 6
    monkeypatch.delenv("SKILLFLEET_NUM_THREADS")
    Settings.load(home.config).prices["m"] = (1.0, 1.0)
    assert Settings.load(home.config) == Settings(record_prompts=False, num_threads=3), "each has one of its own"
    home.config.unlink()
    assert Settings.load(home.config) == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_threads = 0", r"setting 'num_threads': .*greater than or equal to 1; given 0 in"),
        ("record_prompt = true", r"unknown setting 'record_prompt': did you mean 'record_prompts'"),
        ('[prices]\n"acme/one" = [inf, 2]', r"setting 'prices.acme/one.0': .*finite number; given inf in"),
        ("record_prompts =", r"cannot read settings from"),
    ],
)
def test_a_wrong_setting_is_one_line(home: Home, text: str, message: str) -> None:
    home.ensure()
    home.config.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        Settings.load(home.config)
    assert "\n" not in str(caught.value)


def test_one_home_serves_jobs_from_several_folders(home: Home, tmp_path: Path) -> None:
    with Journal(home, "job-1") as journal:
        journal.append(CREATED)
    (home.root.parent / "sub").mkdir()
    assert Store(Home.find(tmp_path / ".skillfleet")).frame("from jobs").job_id.tolist() == ["job-1"]
