#!/bin/sh
# pyarrow 26.0.1: a decimal cast to float64 is not always the nearest one.
#
# Guessed before it was run: the cast of 999.9 gives 999.9, as float(Decimal("999.9")) does.
# Seen: it gives 999.9000000000001, one step beside it; of the 10,000 decimals from 0.0 to 999.9 in steps of 0.1 the
# script prints how many differ. DuckDB's cast and Python's give the nearest for each.
#
# Fails if that changes. Needs Python 3.11 or newer and a package registry.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet pyarrow==26.0.1
"$place/venv/bin/python" - <<'PY'
from decimal import Decimal

import pyarrow as pa

assert pa.__version__ == "26.0.1", pa.__version__
values = [Decimal(n) / 10 for n in range(10_000)]
cast = pa.array(values, pa.decimal128(4, 1)).cast(pa.float64()).to_pylist()
beside = [(value, seen) for value, seen in zip(values, cast) if seen != float(value)]
print(f"{len(beside):,} of {len(values):,} differ, such as {beside[-1][0]}: {beside[-1][1]!r}")
assert (Decimal("999.9"), 999.9000000000001) in beside
PY
