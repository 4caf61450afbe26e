"""Answers of DuckDB as pandas frames: one dtype for each type, whatever the rows hold.

pandas alone would make Python objects of dates, intervals and maps, and another dtype of a column once a NULL
is in it.  What neither Arrow nor Python can hold is shown as DuckDB writes it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    import pandas as pd
    import pyarrow as pa
    from duckdb.sqltypes import DuckDBPyType

_WIDE = {"hugeint", "uhugeint"}
# Arrow has no such types, or drops a part of them: the zone of a time, the digits of 128 bits.
_AS_TEXT = {*_WIDE, "union", "bignum", "bit", "time with time zone", "geometry", "variant"}
_NESTED = {"list", "array", "struct", "map", "tuple"}
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # of Python, as days since 1970
_BEYOND = (ValueError, TypeError, OverflowError, NotImplementedError)  # Arrow's errors derive from these
_DAYS_A_MONTH, _US_A_DAY = 30, 86_400_000_000  # as DuckDB compares intervals


def frame_of(relation: duckdb.DuckDBPyRelation) -> pd.DataFrame:
    """Run a query and return its answer, with the dtypes that ``docs/sql.md`` names."""
    import pandas as pd

    types = relation.types
    if any(handed_over := [_handed_over(kind) for kind in types]):
        columns = [
            f"CAST(#{i} AS {other}) AS {_quoted(name)}" if other else f"#{i}"
            for i, (name, other) in enumerate(zip(relation.columns, handed_over, strict=True), 1)
        ]
        relation = relation.project(", ".join(columns))
    table = relation.to_arrow_table()
    names = table.column_names
    table = table.rename_columns([str(i) for i in range(len(names))])  # two may have the same
    frame = _plain(table, types)
    for i, kind in enumerate(types):
        if str(i) not in frame:
            frame.insert(i, str(i), _series(table.column(i), kind))
    frame.columns = pd.Index(names)
    return frame


def _plain(table: pa.Table, types: Sequence[DuckDBPyType]) -> pd.DataFrame:
    """Convert the columns that pandas takes as they are, in one go: one by one takes five times as long."""
    import pandas as pd
    import pyarrow.types as t

    plain = [
        field.name
        for field, kind in zip(table.schema, types, strict=True)
        if not (t.is_nested(field.type) or t.is_interval(field.type) or _is_whole_number(kind))
    ]
    with suppress(*_BEYOND):
        for name in plain:
            if t.is_temporal(table.schema.field(name).type):
                _check(table.column(name))
        frame: pd.DataFrame = table.select(plain).to_pandas(
            date_as_object=False, types_mapper=_masked, ignore_metadata=True
        )
        return frame
    return pd.DataFrame(index=range(table.num_rows))


def _handed_over(kind: DuckDBPyType) -> str | None:
    """Name the type that values of `kind` are handed over to Arrow as; None where it takes them as they are."""
    if kind.id in _AS_TEXT:
        return "VARCHAR"
    if kind.id == "decimal":  # Arrow makes 999.9000000000001 of 999.9
        return "DOUBLE" if dict(kind.children)["scale"] else "VARCHAR"
    if kind.id not in _NESTED:
        return None
    children: list[Any] = [child for _, child in kind.children]  # of an array its size, too
    inside = [_handed_over(child) for child in children if getattr(child, "id", "decimal") != "decimal"]
    return "VARCHAR" if any(inside) else None


def _series(column: pa.ChunkedArray, kind: DuckDBPyType) -> Any:
    if _is_whole_number(kind):
        return _whole_numbers(column.to_pylist())
    with suppress(*_BEYOND):
        return _converted(column)
    return _converted(_written(column))


def _is_whole_number(kind: DuckDBPyType) -> bool:
    """Whether values are whole numbers of a size that Arrow has no type for."""
    return kind.id in _WIDE or (kind.id == "decimal" and not dict(kind.children)["scale"])


def _converted(column: pa.ChunkedArray) -> Any:
    """Convert a column; raises where Python cannot hold a value."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.types as t

    kind = column.type
    if t.is_interval(kind):
        spans = [None if v is None else (v.months * _DAYS_A_MONTH + v.days) * _US_A_DAY + v.nanoseconds // 1000
                 for v in column.to_pylist()]  # fmt: skip
        return pa.chunked_array([pa.array(spans, pa.duration("us"))]).to_pandas()
    if t.is_nested(kind):
        return pd.Series(column.to_pylist(maps_as_pydicts="strict"), dtype=object)
    if t.is_temporal(kind):
        _check(column)
    return column.to_pandas(date_as_object=False, types_mapper=_masked)


def _masked(kind: pa.DataType) -> Any:
    """Name the dtype of pandas that has a place for NULL, where NumPy's has none."""
    import pandas as pd
    import pyarrow.types as t

    if t.is_boolean(kind):
        return pd.BooleanDtype()
    if t.is_integer(kind):
        return pd.api.types.pandas_dtype(str(kind).replace("int", "Int").replace("uI", "UI"))
    text = pd.api.types.pandas_dtype("str")
    return text if t.is_string(kind) and hasattr(text, "__from_arrow__") else None  # pandas 2 has none for it


def _whole_numbers(values: Sequence[str | None]) -> pd.Series[Any]:
    """Make of whole numbers of any size ``Int64``, or where one is beyond it Python's integers."""
    import pandas as pd

    numbers = [None if value is None else int(value) for value in values]
    try:
        return pd.Series(numbers, dtype="Int64")
    except (OverflowError, TypeError):
        return pd.Series(numbers, dtype=object)


def _check(column: pa.ChunkedArray) -> None:
    """Raise `ValueError` where a date or time is none of Python's."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_time(column.type):
        column.to_pylist()  # DuckDB has 24:00:00
        return
    days = column.cast(pa.date32(), safe=False).cast(pa.int32())
    ends = pc.min_max(days).as_py()
    if ends["min"] is not None and not (_FIRST_DAY <= ends["min"] <= ends["max"] <= _LAST_DAY):
        raise ValueError("beyond the years of Python")


def _written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as DuckDB writes its values."""
    import duckdb
    import pyarrow as pa

    with duckdb.connect() as scratch:
        scratch.execute("SET TimeZone = 'UTC'")
        written = scratch.from_arrow(pa.table({"told": column})).project("CAST(told AS VARCHAR) AS told")
        return written.to_arrow_table().column(0)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
