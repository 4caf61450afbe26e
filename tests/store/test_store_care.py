from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from store_samples import CREATED, call, start, tables

from skillfleet_nb.errors import HomeError, InputError, JobError, NotFoundError
from skillfleet_nb.events import StateChanged
from skillfleet_nb.store import Home, Journal, Store, follow, load_program, locks, save_program, schema

V1 = Path(__file__).parent / "assets" / "schema_v1.tar.gz"


def fill(home: Home, *jobs: str) -> str:
    for job in jobs:
        with Journal(home, job) as journal:
            journal.append_many(
                [CREATED.model_copy(update={"name": job}), call(1), call(2), StateChanged(state="completed")]
            )
    return save_program(home, {"demos": []})


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_reset_moves_everything_to_a_backup_and_leaves_a_home_that_works(home: Home, store: Store) -> None:
    program = fill(home, "job-1", "job-2")
    home.config.write_text("num_threads = 3")
    before, events = tables(store), follow(home, "job-1").poll()
    would = store.reset(dry_run=True)
    assert (would.jobs, would.left) == (("job-1", "job-2"), ())
    assert would.bytes > 0
    assert tables(store) == before
    report = store.reset()
    assert (report.jobs, report.bytes, report.backup.parent) == (would.jobs, would.bytes, home.backups)
    assert store.status().backups == (report.backup.name,)
    assert home.config.exists()
    assert store.frame("from jobs").empty
    assert store.fold().events == 0
    with pytest.raises(NotFoundError):
        load_program(home, program)
    fill(home, "job-3")
    assert store.frame("from jobs").job_id.tolist() == ["job-3"]
    kept = snapshot(report.backup)
    back = store.restore(report.backup.name)
    assert (back.jobs, back.left) == (("job-1", "job-2"), ())
    assert snapshot(report.backup) == kept
    assert store.frame("from jobs order by job_id").job_id.tolist() == ["job-1", "job-2", "job-3"]
    assert load_program(home, program) == {"demos": []}
    assert follow(home, "job-1").poll() == events
    again = store.restore(report.backup)
    assert (again.jobs, again.left) == ((), ("job-1", "job-2"))
    shutil.rmtree(home.journal / "job-3")
    store.rebuild()
    assert tables(store) == before


def test_backups_are_never_overwritten(home: Home, store: Store) -> None:
    for number in range(3):
        fill(home, "job-1")
        store.reset()
        kept = {name: snapshot(home.backups / name) for name in store.status().backups}
        assert len(kept) == number + 1
    assert all("journal/job-1/000001.jsonl" in files for files in kept.values())


def test_an_empty_home_needs_no_backup(home: Home, store: Store) -> None:
    assert store.reset().jobs == ()
    assert not home.root.exists()
    home.ensure()
    assert store.reset().jobs == ()
    assert not home.backups.exists()


def test_jobs_at_work_are_named_and_nothing_is_moved(home: Home, store: Store) -> None:
    fill(home, "job-1")
    with Journal(home, "job-2") as journal:
        journal.append(CREATED)
        with pytest.raises(JobError, match=r"cannot reset while jobs run: triage \(job-2\)\. Cancel"):
            store.reset()
    assert len(store.frame("from jobs")) == 2
    assert not home.backups.exists()
    assert store.reset().jobs == ("job-1", "job-2")


RESETTER = """
    import sys
    from skillfleet_nb.store import Home, Store

    store = Store(Home.find(sys.argv[1]))
    print("ready", flush=True)
    store.reset()
"""


@pytest.mark.parametrize("after_s", [0.002, 0.005, 0.02])
def test_a_reset_that_is_killed_loses_nothing(home: Home, store: Store, after_s: float) -> None:
    fill(home, *(f"job-{n:03d}" for n in range(40)))
    before = tables(store)
    resetter = start(RESETTER, home.root)
    resetter.stdout.readline()
    if not resetter.ends_within(after_s):
        resetter.kill()
    assert resetter.communicate()[1] == ""
    for backup in store.status().backups:
        if (home.backups / backup / "journal").exists():
            store.restore(backup)
    assert tables(store) == before
    assert load_program(home, save_program(home, {"demos": []})) == {"demos": []}


def test_an_unknown_backup_is_refused_with_those_there_are(home: Home, store: Store, tmp_path: Path) -> None:
    fill(home, "job-1")
    name = store.reset().backup.name
    with pytest.raises(NotFoundError, match=f"unknown backup 'yesterday'. Allowed: {name}"):
        store.restore("yesterday")
    with pytest.raises(InputError, match="holds no jobs"):
        store.restore(tmp_path)


def test_a_migration_on_request_keeps_the_old_database(tmp_path: Path) -> None:
    shutil.unpack_archive(V1, tmp_path, filter="data")
    home = Home.find(tmp_path / "home")
    old = home.database.read_bytes()
    store = Store(home)
    applied, backup = store.migrate()
    assert applied == tuple(m.__name__ for m in schema.MIGRATIONS[1:])
    assert backup is not None
    assert (backup / "fleet.duckdb").read_bytes() == old
    assert store.status().pending_migrations == ()
    assert store.migrate() == ((), None)
    assert store.status().backups == (backup.name,)
    with pytest.raises(InputError, match="holds no jobs: the database alone is made anew"):
        store.restore(backup.name)


def test_there_is_nothing_to_migrate_where_there_is_no_database(home: Home, store: Store) -> None:
    assert store.migrate() == ((), None)
    assert not home.root.exists()


def test_a_home_is_made_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKILLFLEET_HOME")
    Home.init(tmp_path)
    deep = tmp_path / "a" / "b"
    assert Home.init(deep).root == deep / ".skillfleet"
    monkeypatch.chdir(deep)
    assert Home.find().root == deep / ".skillfleet"
    fill(Home.find(), "job-1")
    kept = snapshot(deep)
    assert Home.init(deep / ".skillfleet").root == Home.init().root == deep / ".skillfleet"
    assert snapshot(deep) == kept
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match="cannot read home"):
        Home.init(tmp_path / "file")


def test_a_file_system_whose_locks_exclude_nobody_is_refused_at_the_first_use(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(home, "job-1")
    store.fold()
    locks.prove.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(locks.portalocker, "lock", lambda *_: None)  # as such a file system answers
        for use in (lambda: Journal(home, "job-2"), store.fold, store.status, lambda: store.sql("from jobs")):
            with pytest.raises(HomeError, match=r"locks do not work in '.*': .*Put the home on a local disk") as caught:
                use()
            assert "\n" not in str(caught.value)
    assert len(store.sql("from jobs")) == 1
    assert not [path for path in home.root.iterdir() if "probe" in path.name]


def test_a_file_system_that_has_no_locks_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    locks.prove.cache_clear()

    def no_locks(*_: object) -> None:
        raise locks.portalocker.LockException("[Errno 37] No locks available")

    monkeypatch.setattr(locks.portalocker, "lock", no_locks)
    with pytest.raises(HomeError, match=r"cannot lock .*No locks available\. Put the home on a local disk"):
        Journal(home, "job-1")


def test_locks_are_proved_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    lock = locks.portalocker.lock
    monkeypatch.setattr(locks.portalocker, "lock", lambda *a: (asked.append(a), lock(*a))[1])
    Journal(home, "job-1").close()
    first = len(asked)
    Journal(home, "job-2").close()
    assert (first, len(asked) - first) == (3, 1)


def test_a_backup_brings_in_nothing_that_its_links_lead_to(home: Home, store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "000001.jsonl").write_text("secret\n")
    backup = tmp_path / "backup"
    for place in ("journal/sound", "programs"):
        (backup / place).mkdir(parents=True)
        (backup / place / "link.json").symlink_to(outside / "000001.jsonl")
    (backup / "journal" / "sound" / "000001.jsonl").write_text("")
    (backup / "journal" / "linked").symlink_to(outside)
    report = store.restore(backup)
    assert (report.jobs, report.left) == (("sound",), ("linked",))
    assert [
        f.name for f in home.root.rglob("*") if f.is_symlink() or (f.is_file() and b"secret" in f.read_bytes())
    ] == []
