from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from store_samples import CREATED, call, random_payload, tables, trial

from skillfleet_nb.errors import HomeError, QueryError
from skillfleet_nb.store import Home, Journal, StaleWarning, Store, schema

if TYPE_CHECKING:
    import duckdb

ASSETS = Path(__file__).parent / "assets"
NOW = len(schema.MIGRATIONS)
VERSIONS = sorted(ASSETS.glob("schema_v*.tar.gz"), key=lambda path: (len(path.name), path.name))  # make_old_home.py


def m900_latency(con: duckdb.DuckDBPyConnection) -> None:
    """A migration as a later version might bring it: a column and what is known of it for old rows."""
    con.execute("ALTER TABLE fleet.raw.lm_calls ADD COLUMN slow BOOLEAN")
    con.execute("UPDATE fleet.raw.lm_calls SET slow = latency_s > 0.4")


def m901_broken(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("DROP TABLE fleet.raw.scores")
    con.execute("SELECT nothing")


def fill(home: Home) -> Store:
    with Journal(home, "job-1") as journal:
        journal.append_many([CREATED, trial(0), call(1), call(2, latency_s=0.1)])
    store = Store(home)
    store.fold()
    return store


def test_there_is_an_old_home_for_every_schema_version() -> None:
    assert [path.name for path in VERSIONS] == [f"schema_v{n}.tar.gz" for n in range(1, len(schema.MIGRATIONS) + 1)]


@pytest.mark.parametrize("old", VERSIONS, ids=lambda path: path.name)
def test_an_old_database_is_upgraded_and_says_what_a_new_one_says(old: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(old, tmp_path, filter="data")
    home = Home.find(tmp_path / "home")
    assert Store(home).status().events == 24
    upgraded = tables(Store(home))
    assert len(upgraded["events"]) == 24
    status = Store(home).status()
    assert (status.schema_version, status.pending_migrations) == (len(schema.MIGRATIONS), ())
    Store(home).rebuild()
    assert tables(Store(home)) == upgraded


def test_the_newest_old_database_has_the_schema_of_this_version(tmp_path: Path, home: Home) -> None:
    """A table or view changed without a migration would leave existing homes behind."""
    query = (
        "select sql from duckdb_tables() where database_name = 'fleet' "
        "union select sql from duckdb_views() where database_name = 'fleet' and not internal order by 1"
    )
    shutil.unpack_archive(VERSIONS[-1], tmp_path / "old", filter="data")
    old = Store(Home.find(tmp_path / "old" / "home"))
    assert old.frame(query).equals(fill(home).frame(query))


def test_a_database_that_is_copied_has_all_of_one_that_is_laid() -> None:
    import duckdb

    con = duckdb.connect(config={"python_enable_replacements": "false"})
    catalogues = []
    for _ in range(2):
        con.execute("ATTACH ':memory:' AS fleet")
        schema.migrate(con)
        catalogues.append(
            [
                sorted(map(str, con.execute(f"SELECT {what} WHERE database_name = 'fleet'").fetchall()))
                for what in (
                    "schema_name, view_name, sql FROM duckdb_views()",
                    "schema_name, table_name, sql FROM duckdb_tables()",
                    "table_name, column_name, data_type, is_nullable, column_default FROM duckdb_columns()",
                    "table_name, constraint_text FROM duckdb_constraints()",
                    "table_name, sql FROM duckdb_indexes()",
                    "sequence_name FROM duckdb_sequences()",
                )
            ]
        )
        assert schema.pending(con) == ()
        con.execute("DETACH fleet")
    assert con.execute("SELECT count(*) FROM duckdb_databases() WHERE database_name = 'empty_fleet'").fetchone() == (1,)
    laid, copied = catalogues
    assert copied == laid
    assert len(laid[0]) >= len(schema.VIEWS)


def test_a_second_migration_keeps_the_rows_and_runs_once(home: Home) -> None:
    before = tables(fill(home))
    newer = Store(home, migrations=(*schema.MIGRATIONS, m900_latency))
    assert newer.status().pending_migrations == ("m900_latency",)
    assert newer.frame("select call_id, slow from fleet.raw.lm_calls order by 1").slow.tolist() == [True, False]
    assert newer.status().schema_version == NOW + 1
    assert tables(newer) == before
    with Journal(home, "job-1") as journal:
        journal.append(call(3))
    assert newer.fold().events == 1
    assert newer.frame("select count(*) as n from fleet.raw.lm_calls where slow is null").n.tolist() == [1]


def test_a_migration_that_fails_changes_nothing(home: Home) -> None:
    import duckdb

    before = tables(fill(home))
    with pytest.raises(duckdb.Error, match="nothing"):
        Store(home, migrations=(*schema.MIGRATIONS, m900_latency, m901_broken)).fold()
    upgraded = Store(home, migrations=(*schema.MIGRATIONS, m900_latency))
    assert upgraded.status().schema_version == NOW + 1
    assert len(tables(upgraded)["scores"]) == len(before["scores"])


def test_a_database_of_a_newer_version_is_refused_with_both_versions(home: Home) -> None:
    fill(home)
    Store(home, migrations=(*schema.MIGRATIONS, m900_latency)).fold()
    for use in (Store(home).fold, Store(home).status, lambda: Store(home).sql("from jobs")):
        with pytest.raises(
            HomeError, match=f"has schema {NOW + 1}, this version knows up to {NOW}: upgrade skillfleet-nb"
        ):
            use()
    assert Store(home).rebuild().events == 4


@pytest.mark.parametrize("damage", ["empty", "garbage", "cut", "header", "middle", "wal", "folder of zeros"])
def test_a_damaged_database_is_put_aside_and_rebuilt(home: Home, damage: str) -> None:
    store = fill(home)
    with Journal(home, "job-2") as journal:
        rng = random.Random(5)
        journal.append_many([random_payload(rng) for _ in range(800)])
    before = tables(store)
    data = bytearray(home.database.read_bytes())
    wal = home.database.with_name("fleet.duckdb.wal")
    if damage == "empty":
        data.clear()
    elif damage == "garbage":
        data = bytearray(b"garbage" * 5000)
    elif damage == "cut":
        del data[len(data) // 3 :]
    elif damage == "header":
        data[4096:12288] = bytes(8192)
    elif damage == "middle":
        for start in range(12288, len(data), 20_000):
            data[start : start + 9] = b"\xa5" * 9
    elif damage == "wal":
        wal.write_bytes(b"\xff" * 300)
    else:
        data = bytearray(len(data))
    home.database.write_bytes(data)
    assert tables(store) == before
    assert store.fold().repaired is None
    assert tables(store) == before


def test_the_fold_tells_what_it_repaired(home: Home) -> None:
    store = fill(home)
    home.database.write_bytes(b"garbage" * 5000)
    report = store.fold()
    assert report.repaired is not None
    assert "not a valid DuckDB database file" in report.repaired
    assert "\n" not in report.repaired
    assert report.events == 4
    assert home.database.with_name("fleet.duckdb.damaged").exists()


def test_a_leftover_of_a_deleted_database_does_no_harm(home: Home) -> None:
    before = tables(fill(home))
    home.database.with_name("fleet.duckdb.wal").write_bytes(home.database.read_bytes()[:500])
    home.database.unlink()
    assert tables(Store(home)) == before


def test_a_database_whose_maker_died_at_once_is_taken_over(home: Home) -> None:
    import duckdb

    with Journal(home, "job-1") as journal:
        journal.append_many([CREATED, call(1)])
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{home.database}' AS fleet (TYPE duckdb)")
    assert Store(home).status().events == 0
    assert Store(home).frame("select lm_calls from jobs").lm_calls.tolist() == [1]


def test_what_is_no_stream_or_segment_is_left_alone(home: Home) -> None:
    store = fill(home)
    before = tables(store)
    (home.journal / "job-1" / "000009.jsonl").mkdir()
    (home.journal / "job-1" / "notes.jsonl").write_text("x\n")
    (home.journal / "stray.txt").touch()
    shutil.copytree(home.journal / "job-1", home.journal / "copy of job-1")
    assert tables(store) == before
    assert store.status().pending_segments == 0
    shutil.rmtree(home.journal / "job-1")
    assert tables(store) == before  # a deleted job leaves at the next rebuild
    store.rebuild()
    assert store.frame("from jobs").empty


def test_a_full_disk_loses_nothing_and_what_is_folded_can_be_read(home: Home) -> None:
    store = fill(home)
    with Journal(home, "job-2") as journal:
        journal.append_many([call(n, prompt=f"{n} " * 300) for n in range(2000)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (4096, 20_000, home.database.stat().st_size + 10_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.warns(
                StaleWarning, match=r"newer facts of 1 job could not be folded: .*File too large"
            ) as told:
                assert store.sql("select count(*) as n from lm_calls").n.tolist() == [2]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "\n" not in str(told[0].message)
    assert store.frame("select count(*) as n from lm_calls").n.tolist() == [2002]


@pytest.mark.parametrize("limit", [4096, 12_288, 20_000, 45_000, 300_000])
def test_on_a_full_disk_a_database_into_which_nothing_was_folded_is_as_none(home: Home, limit: int) -> None:
    with Journal(home, "job-1") as journal:
        journal.append_many([call(n, prompt=f"{n} " * 300) for n in range(2000)])
    store = Store(home)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        for _ in range(3):
            with pytest.warns(StaleWarning, match=r"read from the journal itself, .*File too large") as told:
                assert store.sql("select count(*) as n from lm_calls").n.tolist() == [2000]
            assert len(told) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.sql("select count(*) as n from lm_calls").n.tolist() == [2000]


READ_ONLY = """
import os, subprocess, sys
from skillfleet_nb.cli import main
if os.geteuid() == 0:  # whom rights do not stop
    subprocess.run(["mount", "--bind", "home", "home"], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", "home"], check=True)
else:
    subprocess.run(["chmod", "-R", "a-w", "home"], check=True)
sys.exit(main(["sql", "select count(*) as n from trials", "--home", "home"]) or main(["jobs", "--home", "home"]))
"""


@pytest.mark.parametrize("folded", [True, False])
def test_a_home_that_cannot_be_written_can_be_read(tmp_path: Path, *, folded: bool) -> None:
    store = fill(Home.find(tmp_path / "home"))
    if not folded:
        store.home.database.unlink()
    else:
        with Journal(store.home, "job-2") as journal:
            journal.append(CREATED)
    command = [sys.executable, "-c", READ_ONLY]
    if os.geteuid() == 0:
        if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
            pytest.skip("nothing can be mounted here")
        command = ["unshare", "-m", *command]
    try:
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(tmp_path)], check=True)
    told = ran.stderr.splitlines()
    assert (ran.returncode, len(told)) == (0, 2), ran.stderr
    why = "newer facts of 1 job could not be folded: " if folded else "read from the journal itself"
    assert all(why in line and "cannot write" in line for line in told)
    assert "1 job" in ran.stdout


HOLD = """
import duckdb, sys
con = duckdb.connect()
con.execute(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def _holder(statement: str) -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", textwrap.dedent(HOLD), statement], stdin=-1, stdout=-1, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_another_client_that_reads_only_delays_the_fold_and_breaks_nothing(
    home: Home,
) -> None:
    store = fill(home)
    with _holder(store.status().attach) as holder:
        with Journal(home, "job-1") as journal:
            journal.append(call(3))
        with pytest.warns(StaleWarning, match="newer facts of 1 job"):
            assert store.frame("select count(*) as n from lm_calls").n.tolist() == [2]
        report = store.fold()
        assert not report.complete
        assert f"PID {holder.pid}" in str(report.held_by)
        holder.communicate("")
    assert store.frame("select count(*) as n from lm_calls").n.tolist() == [3]


def test_another_client_that_writes_is_named(home: Home) -> None:
    store = fill(home)
    with _holder(f"ATTACH '{home.database}' AS fleet") as holder:
        with pytest.raises(HomeError, match=rf"another program holds the database: .*PID {holder.pid}") as caught:
            store.sql("from jobs")
        assert "\n" not in str(caught.value)
        holder.communicate("")
    assert len(store.sql("from jobs")) == 1


def test_the_kept_connections_mix_no_homes_and_hold_nothing(home: Home, tmp_path: Path) -> None:
    """They serve all homes of a process: one with dead jobs, one with live ones, one without a database."""
    dead, empty = fill(home), Store(Home.find(tmp_path / "other"))
    with Journal(Home.find(tmp_path / "live"), "job-1") as journal:
        journal.append_many([CREATED, call(1)])
        alive = Store(Home.find(tmp_path / "live"))
        for _ in range(2):
            states = [store.frame("from jobs").state.tolist() for store in (dead, alive, empty)]
            assert states == [["interrupted"], ["pending"], []]
            assert alive.sql("from lm_calls").call_id.tolist() == ["c1"]
            setting = "select current_setting('enable_external_access') as free"
            assert alive.sql(setting).free.tolist() == [False]
            assert alive.frame(setting).free.tolist() == [True]
    assert alive.frame("from duckdb_views() where view_name = 'incoming'").empty  # what was folded is let go of
    journals = [f"from read_text('{store.home.journal}/job-1/*.jsonl')" for store in (alive, dead)]
    for _ in range(2):
        assert len(alive.sql(journals[0])) == len(dead.sql(journals[1])) == 1
        for store, other in ((alive, journals[1]), (dead, journals[0])):
            with pytest.raises(QueryError, match="Cannot access file"):
                store.sql(other)
    assert not [fd for fd in Path("/dev/fd").iterdir() if fd.is_symlink() and "fleet.duckdb" in str(fd.resolve())]


FORKS = """
import os, sys
from skillfleet_nb.store import Home, Store

store = Store(Home.find(sys.argv[1]))
assert store.frame("from jobs").name.tolist() == ["triage"]
child = os.fork()
assert store.frame("from jobs").name.tolist() == ["triage"]
if child:
    sys.exit(os.waitpid(child, 0)[1])
"""


def test_a_process_may_fork_after_it_has_asked(home: Home) -> None:
    """A connection that a child inherits would crash it as it ends."""
    fill(home)
    subprocess.run([sys.executable, "-c", FORKS, str(home.root)], check=True)


def test_a_script_that_optimises_and_asks_ends_without_a_word_of_leaks(home: Home) -> None:
    script = """
        import sys
        import dspy, skillfleet_nb as sf

        rows = [dspy.Example(n=str(n), odd=bool(n % 2)).with_inputs("n") for n in range(20)]
        fleet = sf.Fleet(sys.argv[1])
        job = fleet.optimize(
            dspy.Predict("n -> odd: bool"), train=rows, metric=lambda e, p, trace=None: e.odd == p.odd,
            optimizer="labeled_fewshot", lm=sf.offline_lm(),
        )
        job.result()
        print(len(fleet.sql("from jobs")))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(home.root)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.stdout == "1\n", ran.stderr
    assert "leaked" not in ran.stderr
