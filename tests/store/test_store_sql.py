from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from store_samples import CREATED, call, trial

from skillfleet_nb.cli import main
from skillfleet_nb.errors import HomeError, InputError, QueryError
from skillfleet_nb.events import StateChanged
from skillfleet_nb.store import Home, Journal, StaleWarning, Store, access, guard, schema
from skillfleet_nb.store.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator

RELATIONS = ("jobs", "events", "trials", "scores", "lm_calls", "programs")
RELATIONS += ("reviews", "example_history", "examples", "example_outcomes", "recommendations", "decisions", "members")
RELATIONS += ("shares", "individuals", "skill_paths")
RELATIONS += ("program_versions", "alias_history", "program_aliases", "signature_migrations", "live_answers")
RELATIONS += ("ab_tests", "ab_splits", "ab_answers", "ab_feedback", "ab_units", "drift_checks")
RELATIONS += ("golden_history", "golden_examples", "learn_steps", "feedback", "notes", "insight_decisions")
RELATIONS += ("spans", "predictions")
DOCUMENT = Path(__file__).parents[2] / "docs" / "sql.md"


def fill(home: Home) -> Store:
    with Journal(home, "job-1") as journal:
        journal.append_many([CREATED, StateChanged(state="running"), trial(0), trial(1, 0.75), call(1), call(2)])
    (home.root / "secret.key").write_text("secret")
    (home.root.parent / "outside.csv").write_text("a\n1\n")
    return Store(home)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = fill(Home.find(tmp_path_factory.mktemp("shared") / ".skillfleet"))
    store.fold()
    return store


def test_no_bar_of_a_long_query_is_drawn_on_standard_output(filled: Store) -> None:
    asked = "select value from duckdb_settings() where name = 'enable_progress_bar'"
    assert [ask(asked).value.item() for ask in (filled.sql, filled.frame)] == ["false", "false"]


@pytest.mark.parametrize("relation", RELATIONS)
def test_each_relation_is_documented_column_by_column(filled: Store, relation: str) -> None:
    section = DOCUMENT.read_text("utf-8").split(f"\n## {relation}\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE)
    described = filled.sql(f"describe {relation}")
    assert documented == list(zip(described.column_name, described.column_type, strict=True))


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("select count(*) from lm_calls", 2),
        ("FROM jobs SELECT name", "triage"),
        ("with best as (select max(score) as s from trials) select s from best", 0.75),
        ("values (1)", 1),
        ("select sum(lm_calls) from jobs", 2),  # a 38-digit sum comes back as a plain integer
        ("select sum(170141183460469231731687303715884105727::hugeint / 2)", 85070591730234615865843651857942052864.0),
        ("select 1.50", 1.5),
        ("select name from (show tables) limit 1", "ab_answers"),
        ("select column_name from (describe jobs) limit 1", "job_id"),
        ("select count(*) from (summarize trials)", 16),
        ("select running from (pivot jobs on state in ('interrupted', 'running') using count(*))", 0),
        ("with recursive t(n) as (select 1 union all select n + 1 from t where n < 5) select max(n) from t", 5),
        ("select trials.at > timestamptz '2020-01-01' from trials limit 1", True),
        ('select "at" < now() from trials limit 1', True),
        ("select count(*) from jobs union all select 2 order by 1 limit 1", 1),
        ("select count(*) from trials t, lateral (select unnest(range(3)))", 6),
        ("select payload->>'optimizer' from events where kind = 'job_created'", "gepa"),
        ("select count(*) from duckdb_columns() where table_name = 'jobs' and database_name = 'memory'", 40),
    ],
)
def test_queries_that_read_are_answered(filled: Store, query: str, answer: object) -> None:
    frame = filled.sql(query)
    assert isinstance(frame, pd.DataFrame)
    assert frame.iloc[0, 0] == answer


@pytest.mark.parametrize(
    "query",
    [
        "describe jobs",
        "show tables",
        "explain from jobs",
        "explain analyze from jobs",
        "-- why\n/* so */ explain from jobs",
    ],
)
def test_queries_about_the_tables_are_answered(filled: Store, query: str) -> None:
    assert not filled.sql(query).empty


@pytest.mark.parametrize(
    "query", ["from (show tables) where name = 'jobs'", "select view_name as name from duckdb_views()"]
)
def test_relations_are_listed_whatever_was_asked_before(home: Home, query: str) -> None:
    store = Store(home)
    store.sql("from trials")
    assert set(store.sql(query).name) >= ({"jobs"} if "where" in query else set(schema.RELATIONS))


def test_values_without_names_are_told_how_they_are_given(filled: Store) -> None:
    with pytest.raises(QueryError, match="parameters is a list: give values by name"):
        filled.sql("select name from jobs where name = ?", ["triage"])  # type: ignore[arg-type]


def test_files_inside_the_home_can_be_read(filled: Store) -> None:
    assert len(filled.sql(f"from read_json('{filled.home.journal}/*/*.jsonl')")) == 6


@pytest.mark.parametrize(
    "query",
    [
        "insert into jobs values (1)",
        "insert into fleet.raw.jobs (job_id) values ('x')",
        "update fleet.raw.jobs set name = 'x'",
        "delete from fleet.raw.jobs",
        "create table t as select 1",
        "create temp table t as select 1",
        "create macro m() as 1",
        "drop view jobs",
        "alter table fleet.raw.jobs drop name",
        "truncate fleet.raw.jobs",
        "merge into fleet.raw.jobs j using jobs on true when matched then delete",
        "with x as (insert into fleet.raw.jobs (job_id) values ('x') returning 1) from x",
        "with x as (delete from fleet.raw.jobs returning 1) from x",
        "select * from (with x as (update fleet.raw.jobs set name = 'x' returning 1) from x)",
        "copy jobs to '{inside}/x.csv'",
        "copy jobs to '{outside}/x.csv'",
        "with x as (copy (select 1) to '{inside}/x.csv') from x",
        "with x as (copy (select 1) to '{outside}/x.csv') select * from x",
        "explain analyze copy (select 1) to '{inside}/x.csv'",
        "explain analyze with x as (copy (select 1) to '{inside}/x.csv') from x",
        "from query('with x as (copy (select 1) to ''{inside}/x.csv'') from x')",
        "from json_execute_serialized_sql(json_serialize_sql('select 1'))",
        "export database '{outside}/x'",
        "import database '{outside}/x'",
        "attach '{outside}/x.duckdb' as x",
        "detach fleet",
        "use fleet",
        "install httpfs",
        "load httpfs",
        "set threads = 1",
        "set enable_external_access = true",
        "reset lock_configuration",
        "set variable x = 1",
        "pragma memory_limit='1GB'",
        "pragma enable_profiling",
        "checkpoint",
        "vacuum",
        "call force_checkpoint('fleet')",
        "from checkpoint('fleet')",
        "from enable_logging(storage = 'file', storage_config = {{'path': '{inside}'}})",
        "from enable_profiling()",
        "select write_log('x')",
        "prepare q as select 1",
        "begin",
        "create secret (type s3)",
        "from pandas_scan(0, 0, 0)",
        "from arrow_scan(0, 0, 0)",
        "from '{outside}/outside.csv'",
        "from read_csv('{outside}/outside.csv')",
        "select * from read_text('{outside}/*')",
        "select (select content from read_text('{outside}/outside.csv'))",
        "from read_text('{home}/secret.key')",
        "from read_text('{inside}/../secret.key')",
        "from glob('{outside}/*')",
        "from sniff_csv('{outside}/outside.csv')",
        "from read_duckdb('{outside}/x.duckdb')",
        "from read_csv('https://localhost:1/x.csv')",
        "select getenv('HOME')",
        "from read_text('/proc/self/environ')",
        "select 1; drop view jobs",
        "select 1; select 2",
    ],
)
def test_queries_that_do_more_than_read_are_refused_in_one_line(
    filled: Store, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = filled.home.root.parent
    monkeypatch.chdir(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(QueryError) as caught:
        filled.sql(query.format(home=filled.home.root, inside=filled.home.journal, outside=folder))
    assert "\n" not in str(caught.value)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize(
    "query",
    [
        "from read_csv('{outside}/outside.csv')",
        "copy (select 1) to '{outside}/x.csv'",
        "attach '{outside}/x.duckdb' as x",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "from enable_logging(storage = 'file')",
        "install httpfs",
    ],
)
def test_the_engine_refuses_what_a_parser_might_miss(tmp_path: Path, query: str) -> None:
    import duckdb

    (tmp_path / "outside.csv").write_text("a\n1\n")
    with duckdb.connect() as con:
        guard.lock_down(con, [tmp_path / "inside"])
        with pytest.raises(duckdb.Error):
            con.execute(query.format(outside=tmp_path))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select scor from trials", r'Referenced column "scor" not found.*Candidate bindings: .*"score"'),
        ("from job", r'Table with name job does not exist! Did you mean "jobs"\?$'),
        ("from trials join job using (job_id)", r'Table with name job does not exist! Did you mean "jobs"\?$'),
        ("selec 1", r'syntax error at or near "selec"'),
        ("select at from trials", r'the column "at" needs its quotes, or its table: trials\.at'),
        ("from read_csv('/x.csv')", r"^Cannot access file \"/x.csv\" - queries read files of the home's journal,"),
        ("", "the query is empty"),
        ("  -- nothing\n", "the query is empty"),
        ("select 1; select 2", "2 statements given, one is allowed"),
        ("insert into jobs values (1)", "INSERT is refused: queries here only read"),
        ("with x as (delete from jobs returning 1) from x", "DELETE inside the query is refused"),
        ("pivot jobs on state using count(*)", r"write PIVOT … ON column IN"),
        ("select 'x'::int", "Could not convert string 'x' to INT32"),
        ("select * from jobs where job_id = $1", "parameter"),
        ("from read_json('/nowhere.json')", "Cannot access file"),
    ],
)
def test_errors_are_one_line_and_say_what_to_do(filled: Store, query: str, message: str) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        filled.sql(query)
    assert "\n" not in str(caught.value)


def test_names_of_the_caller_are_out_of_reach(filled: Store) -> None:
    secret = pd.DataFrame({"a": [1]})
    assert not secret.empty
    with pytest.raises(QueryError, match="secret does not exist"):
        filled.sql("from secret")


def test_values_are_bound_not_pasted(filled: Store) -> None:
    assert filled.frame("select * from jobs where name = ?", ["triage' or true --"]).empty
    assert len(filled.frame("select * from jobs where name = $name", {"name": "triage"})) == 1
    with pytest.raises(QueryError):
        filled.frame("select nothing from jobs")


def documented() -> Iterator[tuple[str, str]]:
    """Yield the queries of the pages, but for what is typed into a client of one's own."""
    for page in sorted(DOCUMENT.parent.glob("*.md")):
        text = page.read_text("utf-8")
        blocks = re.findall(r"^```sql\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        blocks += re.findall(r"^(%%skillfleet sql\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
        for query in [*blocks, *re.findall(r'\bfleet\.sql\("([^"]+)"', text)]:
            if not query.startswith("ATTACH"):
                yield page.name, query.removeprefix("%%skillfleet sql\n")


def test_every_query_of_the_pages_is_answered(tmp_path: Path) -> None:
    store = fill(Home.find(tmp_path / ".skillfleet"))
    with Journal(store.home, "job-1") as journal:
        journal.append(StateChanged(state="completed"))
    store.compact(everything=True)
    given = {"least": 0.5, "optimizers": ["gepa"]}
    refused = {}
    for page, query in documented():
        try:
            store.sql(query.replace("/your/project/.skillfleet", str(store.home.root)), given)
        except QueryError as error:
            refused[page, query] = str(error)
    assert refused == {}
    assert len({page for page, _ in documented()}) > 8


def test_values_of_numpy_are_bound_as_what_they_are(filled: Store) -> None:
    trials = filled.sql("from trials")
    bound = filled.sql("from trials where trial in :ids", {"ids": list(trials.trial.unique())})
    assert bound.trial.tolist() == trials.trial.tolist() == [0, 1]
    at, span = np.datetime64("2026-01-02T03:04:05.000006", "ns"), np.timedelta64(1500, "ms").astype("m8[ns]")
    told = filled.sql("select :at as one, :all as several, :span as span", {"at": at, "all": [at], "span": span})
    one, several, spans = told.iloc[0]
    assert (one, several[0], spans) == (pd.Timestamp(at), pd.Timestamp(at), pd.Timedelta(span))
    assert len(filled.sql("from trials where trials.at < :now", {"now": np.datetime64("2100-01-01", "ns")})) == 2


@pytest.mark.parametrize(
    ("query", "message"),
    [(None, "the query is None: give one statement as text"), ("select '\ud83d'", "holds '.*', half")],
)
def test_what_is_no_text_is_refused_in_one_line(filled: Store, query: Any, message: str) -> None:
    with pytest.raises(QueryError, match=message) as refused:
        filled.sql(query)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("file_format", ["parquet", "csv", "json"])
def test_an_export_holds_every_relation(filled: Store, tmp_path: Path, file_format: str) -> None:
    folder = tmp_path / "it's here"
    paths = filled.export(folder, file_format)  # type: ignore[arg-type]
    assert [p.name for p in paths] == [f"{name}.{file_format}" for name in RELATIONS]
    reader = {"parquet": pd.read_parquet, "csv": pd.read_csv, "json": lambda p: pd.read_json(p, lines=True)}
    read = {p.stem: reader[file_format](p) for p in paths}
    assert read["jobs"].name.tolist() == ["triage"]
    assert sorted(read["trials"].score) == [0.5, 0.75]
    filled.export(folder, file_format)  # type: ignore[arg-type]  # again, over the earlier one


def test_an_export_that_cannot_be_is_one_line(filled: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="use parquet, csv or json"):
        filled.export(tmp_path / "x", "xlsx")  # type: ignore[arg-type]
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match="cannot write"):
        filled.export(tmp_path / "file")


def test_the_attach_line_of_the_status_works_in_any_client(home: Home) -> None:
    import duckdb

    store = fill(home)
    store.fold()
    status = store.status()
    assert (status.jobs, status.events) == (1, 6)
    assert (status.schema_version, status.pending_migrations) == (len(schema.MIGRATIONS), ())
    assert status.database_bytes == store.home.database.stat().st_size
    assert status.journal_bytes > 0
    with duckdb.connect() as con:
        con.execute(status.attach)
        assert con.execute("select name, state from fleet.jobs").fetchall() == [("triage", "running")]
        with pytest.raises(duckdb.Error, match="read-only"):
            con.execute("delete from fleet.raw.jobs")


def test_status_tells_what_is_waiting_without_folding_it(home: Home) -> None:
    status = fill(home).status()
    assert (status.jobs, status.pending_segments, status.schema_version) == (0, 1, 0)
    assert not home.database.exists()


ENDLESS = "select sum(a.range * b.range % 7) from range(1000000000) a, range(1000000000) b"


def test_a_query_ends_at_its_time_and_the_home_serves_the_next(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fill(home)
    monkeypatch.setenv("SKILLFLEET_SQL_SECONDS", "0.2")
    with pytest.raises(QueryError, match=r"took over 0\.2 s and was ended: .*sql_seconds"):
        store.sql(ENDLESS)
    monkeypatch.delenv("SKILLFLEET_SQL_SECONDS")
    assert store.sql("select count(*) as n from lm_calls").n[0] == 2


def test_a_query_ends_at_its_memory(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fill(home)
    monkeypatch.setenv("SKILLFLEET_SQL_MEMORY_GB", "0.1")
    with pytest.raises(QueryError, match=r"allow more with the setting sql_memory_gb"):
        store.sql("select list(range) from range(100000000)")


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Interrupt the process as soon as a query begins, also where the tests were started in the background."""

    def begun(*arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        check(*arguments)  # type: ignore[arg-type]

    check = guard.check
    monkeypatch.setattr(guard, "check", begun)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupted")
def test_an_interrupt_ends_a_query_and_nothing_else(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fill(home)
    with pytest.raises(KeyboardInterrupt):
        store.sql(ENDLESS)
    assert [thread.name for thread in threading.enumerate() if thread.name == "skillfleet-query"] == []
    assert main(["sql", ENDLESS, "--home", str(home.root)]) == 130
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    with pytest.raises(UsageError, match="interrupted"):
        shell.run_line_magic("skillfleet", f'sql "{ENDLESS}" --home {home.root}')
    monkeypatch.undo()
    assert store.sql("select count(*) as n from lm_calls").n[0] == 2


@pytest.mark.parametrize("query", ["select sleep_ms(1)", "select pg_sleep(0)", "from jobs where pg_sleep(0) is null"])
def test_functions_that_only_wait_are_refused(filled: Store, query: str) -> None:
    with pytest.raises(QueryError, match="only waits"):
        filled.sql(query)


def test_every_function_that_waits_is_known(filled: Store) -> None:
    names = filled.sql("select distinct function_name from duckdb_functions()").function_name
    assert set(names[names.str.contains("sleep|wait|delay")]) == guard._ONLY_WAIT


def test_an_answer_that_lacks_what_was_written_last_says_how_old_it_is(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = fill(home)
    assert store.sql("select count(*) as n from lm_calls").n[0] == 2
    with Journal(home, "job-2") as journal:
        journal.append_many([CREATED, call(3)])
    monkeypatch.setattr(access, "FOLD_WAIT_S", 0.0)
    with locked(home.lock, shared=True):  # as a query holds it
        with pytest.warns(StaleWarning, match=r"until \d+ s ago, and newer facts of 1 job .*busy"):
            assert store.sql("select count(*) as n from lm_calls").n[0] == 2
        assert main(["sql", "select count(*) as n from lm_calls", "--home", str(home.root)]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("skillfleet: the answer shows what was written until ")
    assert len(said.err.splitlines()) == 1
    monkeypatch.undo()
    assert store.sql("select count(*) as n from lm_calls").n[0] == 3
