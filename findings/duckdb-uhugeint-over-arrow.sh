#!/bin/sh
# DuckDB 2.0.0 with pyarrow 26.0.1: integers of 128 bits go to Arrow as decimal128(38, 0), which has too few digits for
# the largest of them.
#
# Guessed before it was run: values from 10^38 on raise an error.
# Seen: no error. The largest UHUGEINT, 2^128 - 1, arrives as -1; one of 2^127 as -2^127. HUGEINT's largest arrives
# right, but with 39 digits, which its own type does not allow. fetchall() gives all of them right.
#
# Fails if that changes. Needs Python 3.11 or newer and a package registry.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet duckdb==2.0.0 pyarrow==26.0.1
"$place/venv/bin/python" - <<'PY'
import duckdb

assert duckdb.__version__ == "2.0.0", duckdb.__version__
for value, kind, arrives in (
    (2**128 - 1, "UHUGEINT", -1),
    (2**127, "UHUGEINT", -(2**127)),
    (10**37, "UHUGEINT", 10**37),
    (2**127 - 1, "HUGEINT", 2**127 - 1),
):
    relation = duckdb.sql(f"SELECT '{value}'::{kind} AS n")
    assert relation.fetchall() == [(value,)]
    column = relation.to_arrow_table().column(0)
    (seen,) = column.to_pylist()
    print(f"{kind} {value}: {column.type} {seen}")
    assert str(column.type) == "decimal128(38, 0)", column.type
    assert int(seen) == arrives, seen
PY
