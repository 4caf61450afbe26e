"""Answers of SQL as frames: one dtype for each type, and nothing that cannot be shown."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import altair as alt
import duckdb
import pandas as pd
import pytest

from skillfleet_nb.store import Home, Store
from skillfleet_nb.store.frames import frame_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "sql.md"
SOME = {
    "BOOLEAN": "true",
    "BIGINT": "7::bigint",
    "HUGEINT": "sum(7)",
    "DOUBLE": "0.5::double",
    "DECIMAL": "1.50::decimal(4, 2)",
    "VARCHAR": "'a'",
    "DATE": "date '2026-03-01'",
    "TIMESTAMP": "timestamp '2026-03-01 12:00:00'",
    "TIMESTAMP WITH TIME ZONE": "timestamptz '2026-03-01 12:00:00+00'",
    "INTERVAL": "interval 90 minutes",
    "LIST": "[1, 2]",
    "STRUCT": "{a: 1}",
    "MAP": "map {'a': 1}",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(Home.find(tmp_path_factory.mktemp("frames") / ".skillfleet"))


@pytest.mark.parametrize("kind", SOME)
def test_a_column_has_the_documented_dtype_whether_or_not_a_null_is_in_it(store: Store, kind: str) -> None:
    documented = re.search(rf"^\| `{kind}`[^|]*\| `([^`]+)`", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert documented is not None
    for where in ("i = 0", "true", "i = 1", "false"):  # a value, both, NULL alone, nothing
        one = f"select i, case when i = 0 then x end as x from (select {SOME[kind]} as x), range(2) r(i)"  # noqa: S608
        frame = store.sql(f"select x from ({one}) where {where}")  # noqa: S608
        assert str(frame.x.dtype) == documented[1]


def test_durations_are_averaged_sorted_and_grouped(store: Store) -> None:
    frame = store.sql("""
        select i % 2 as k, timestamptz '2026-01-01' + to_hours(i) - timestamptz '2026-01-01' as took
        from range(5) t(i) union all select 0, null""")
    assert frame.took.mean() == timedelta(hours=2)
    assert frame.groupby("k").took.sum().tolist() == [timedelta(hours=6), timedelta(hours=4)]
    assert frame.sort_values("took", ascending=False).took.iloc[0] == timedelta(hours=4)
    assert frame.took.isna().sum() == 1
    frame["hours"] = frame.pop("took").dt.total_seconds() / 3600
    spec = alt.Chart(frame).mark_bar().encode(x="hours", y="count()").to_dict()
    assert spec["encoding"]["x"]["type"] == "quantitative"


def test_days_and_counts_can_be_charted(store: Store) -> None:
    frame = store.sql("""
        select (timestamptz '2026-01-01' + to_days(i % 3))::date as day, count(*) as n,
            max(case when i > 4 then i end) as most
        from range(6) t(i) group by day order by day""")
    assert frame.day.dt.day.tolist() == [1, 2, 3]
    spec = alt.Chart(frame).mark_bar().encode(x="day", y="n").to_dict()
    assert (spec["encoding"]["x"]["type"], spec["encoding"]["y"]["type"]) == ("temporal", "quantitative")
    assert [row["n"] for row in next(iter(spec["datasets"].values()))] == [2, 2, 2]
    assert [row["most"] for row in next(iter(spec["datasets"].values()))] == [None, None, 5]


def test_a_map_is_a_mapping_and_what_is_nested_stays_exact(store: Store) -> None:
    row = store.sql(
        "select map {'a': 1, 'b': null} as m, [9007199254740993, null] as l, {x: null::int, y: 3} as s"
    ).iloc[0]
    assert row.m == {"a": 1, "b": None}
    assert row.l == [9007199254740993, None]
    assert row.s == {"x": None, "y": 3}
    assert store.sql("select map {[1]: 2} as m").m[0] == "{[1]=2}"  # no key of a dict


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("select 170141183460469231731687303715884105727::hugeint", 2**127 - 1),
        ("select 340282366920938463463374607431768211455::uhugeint", 2**128 - 1),
        ("select sum(9223372036854775807::bigint) from range(3)", 3 * (2**63 - 1)),
        ("select 18446744073709551615::ubigint", 2**64 - 1),
        ("select 999.9::decimal(4, 1)", 999.9),
        ("select date 'infinity'", "infinity"),
        ("select date '12000-01-01'", "12000-01-01"),
        ("select timestamp '-infinity'", "-infinity"),
        ("select timestamptz '0044-03-15 (BC) 12:00:00+00'", "0044-03-15 (BC) 12:00:00+00"),
        ("select time '24:00:00'", "24:00:00"),
        ("select '10:00:00+02'::timetz", "10:00:00+02"),
        ("select interval 1 month", timedelta(days=30)),
        ("select interval 170000000 years", "170000000 years"),
        ("select union_value(age := 3)", "3"),
        ("select [union_value(age := 3)]", "[3]"),
        ("select '101'::bit", "101"),
        ("select ('1' || repeat('0', 60))::bignum", "1" + 60 * "0"),
    ],
)  # fmt: skip
def test_what_python_cannot_hold_is_shown_as_duckdb_writes_it(store: Store, query: str, shown: object) -> None:
    frame = store.sql(query)
    assert frame.iloc[0, 0] == shown
    assert str(shown) in frame.to_string() or not isinstance(shown, str)


def test_every_type_of_duckdb_is_shown() -> None:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        every = con.sql("from test_all_types()")
        for column in every.columns:
            frame = frame_of(every.project(f'"{column}"'))
            assert frame.columns.tolist() == [column]
            assert frame.iloc[2, 0] is None or frame.iloc[2].isna().all()
            assert len(frame.to_html()) > 0
        whole = frame_of(every)
        assert whole.shape == (3, len(every.columns))
    assert pd.api.types.is_integer_dtype(whole.bigint.dtype)


def test_names_of_columns_may_hold_anything_and_repeat(store: Store) -> None:
    assert store.sql("""select 1::hugeint as "a ""b", 2 as "select" """).columns.tolist() == ['a "b', "select"]
    assert store.sql("select 1 as a, 2 as a").shape == (1, 2)
