"""The gate for SQL that people write: it may read, and nothing else.

Two walls.  The query is parsed by DuckDB into its JSON tree, and only node and function kinds known
to read are let through: DuckDB 2 accepts ``WITH x AS (COPY … TO …)`` and ``WITH x AS (INSERT …)``
inside what it types as a SELECT, and has table functions with side effects.  The engine is then
locked: the database is attached read-only, files outside `readable` are out of reach, and no
setting can change.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import QueryError
from skillfleet_nb.messages import as_typed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import duckdb

_FILES = "queries read files of the home's journal, programs and exports folders alone, by their whole path"
_QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_TABLE_FUNCTIONS = {
    *("range", "generate_series", "repeat", "repeat_row", "unnest", "summary", "histogram", "histogram_values"),
    *("json_each", "json_tree", "glob", "read_csv", "read_csv_auto", "sniff_csv", "read_text", "read_blob"),
    *("read_json", "read_json_auto", "read_json_objects", "read_json_objects_auto"),
    *("read_ndjson", "read_ndjson_auto", "read_ndjson_objects", "read_parquet", "parquet_scan"),
    *("parquet_metadata", "parquet_schema", "parquet_file_metadata", "parquet_kv_metadata"),
    *("duckdb_columns", "duckdb_databases", "duckdb_functions", "duckdb_keywords", "duckdb_schemas"),
    *("duckdb_settings", "duckdb_tables", "duckdb_types", "duckdb_views", "pragma_table_info", "pragma_version"),
    *("pg_timezone_names", "icu_calendar_names"),
}
_SIDE_EFFECTS = {"write_log", "nextval", "setval", "setseed"}
_ONLY_WAIT = {"sleep_ms", "pg_sleep"}
_SPACE = r"(?:\s|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/)"  # comments are space
_EXPLAIN = re.compile(rf"{_SPACE}*EXPLAIN\b({_SPACE}+ANALYZE\b)?({_SPACE}*\([^()]*\))?", re.IGNORECASE)


def check(con: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuse a query that is not one statement that only reads.

    Parameters
    ----------
    con
        Any connection; the query is parsed, not run.
    query
        One SELECT (also written FROM, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE), or EXPLAIN of one.

    Raises
    ------
    QueryError
        If it does not parse, is not one statement, or would do more than read.
    """
    tree = _parse(con, query)
    if tree.get("error") and (explain := _EXPLAIN.match(query)):
        tree = _parse(con, query[explain.end() :])
    if tree.get("error"):
        raise QueryError(_refusal(con, query, tree))
    if not tree["statements"]:
        raise QueryError("the query is empty: write one, for example `from jobs`.")
    if len(tree["statements"]) > 1:
        raise QueryError(f"{len(tree['statements'])} statements given, one is allowed: run them one at a time.")
    for node in _nodes(tree):
        if "cte_map" in node and node.get("type") not in _QUERIES:
            verb = str(node.get("type")).removesuffix("_QUERY_NODE").replace("_", " ")
            raise QueryError(f"{verb} inside the query is refused: {_read_only()}.")
        name = str(node.get("function_name", "")).lower()
        if name in _SIDE_EFFECTS | _ONLY_WAIT:
            why = "it only waits, and others would wait for it" if name in _ONLY_WAIT else _read_only()
            raise QueryError(f"function {name}() is refused: {why}.")
        if node.get("type") == "TABLE_FUNCTION":
            called = str(node["function"].get("function_name", "")).lower()
            if called not in _TABLE_FUNCTIONS:
                raise QueryError(f"table function {called}() is refused: {_read_only()}.")


def lock_down(con: duckdb.DuckDBPyConnection, folders: Sequence[Path], files: Sequence[Path] = ()) -> None:
    """Close a connection to everything but what is attached and these folders and files, for good."""
    con.execute(
        f"SET allowed_directories = [{_listed(folders)}]; SET allowed_paths = [{_listed(files)}]; "
        "SET enable_external_access = false; SET lock_configuration = true"
    )


def one_line(error: Exception) -> str:
    """Put DuckDB's message, with its candidates and without its picture of the query, on one line."""
    head, _, picture = str(error).partition("\n\nLINE ")
    text = " ".join(head.split("\n\nStack Trace")[0].split())
    text = re.sub(r"^(Binder|Parser|Catalog|Conversion|Invalid Input|Permission|IO|Out of Memory) Error: ", "", text)
    if (
        "syntax error" in text
        and re.search(r'or near ("at"|"[,)>=<;]|"from"|"is")', text)
        and re.search(r"(?<![\w.\"])at(?![\w\"])", picture, re.IGNORECASE)
    ):
        text += '; the column "at" needs its quotes, or its table: trials.at'
    text = text.replace("file system operations are disabled by configuration", _FILES)
    return text if text.endswith("?") else text.rstrip(".!") + "."


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)


def _parse(con: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    [(text,)] = con.execute("SELECT json_serialize_sql(?)", [query]).fetchall()  # to its end: the connection goes on
    tree: dict[str, Any] = json.loads(text)
    return tree


def _refusal(con: duckdb.DuckDBPyConnection, query: str, tree: dict[str, Any]) -> str:
    import duckdb

    try:
        statements = con.extract_statements(query)
        kinds = [statement.type.name.replace("_", " ") for statement in statements]
    except duckdb.Error as error:
        return one_line(error)
    except ValueError:  # a statement type the Python client does not know yet
        kinds = [query.split(maxsplit=1)[0].upper()]
    if kinds == ["MULTI"]:
        return "PIVOT without its values needs a second statement: write PIVOT … ON column IN (value, …)."
    if any(kind != "SELECT" for kind in kinds):
        return f"{'; '.join(kinds)} is refused: {_read_only()}."
    return str(tree.get("error_message", "the query cannot be parsed"))


def _nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    waiting: list[Any] = [tree]  # a stack of our own: a query may nest deeper than Python's
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _read_only() -> str:
    return f"queries here only read; to write files use {as_typed('db export')}, to work freely attach a copy"
