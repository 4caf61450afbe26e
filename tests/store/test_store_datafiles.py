from __future__ import annotations

import codecs
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from skillfleet_nb.errors import InputError
from skillfleet_nb.store import read_examples

if TYPE_CHECKING:
    from pathlib import Path

ROWS: list[dict[str, Any]] = [
    {"question": "1+1?", "answer": 2, "tags": ["a", {"b": None}], "ok": True, "note": None},
    {"question": "été, ☃\n", "answer": 2.5, "tags": [], "ok": False, "note": "x"},
]


def test_json_is_read_as_written(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps(ROWS))
    assert read_examples(file) == ROWS
    assert read_examples(str(file)) == ROWS


def test_json_lines_are_read_as_written(tmp_path: Path) -> None:
    file = tmp_path / "data.JSONL"
    file.write_text("\n" + "\r\n".join(json.dumps(row) for row in ROWS) + "\n\n")
    assert read_examples(file) == ROWS


def test_parquet_is_read_with_its_types(tmp_path: Path) -> None:
    file = tmp_path / "odd [name]*.parquet"
    at = datetime(2026, 1, 1, tzinfo=UTC)
    parquet.write_table(pa.table({"q": ["a"], "n": [1], "l": [[1, 2]], "d": [Decimal("1.5")], "at": [at]}), file)
    assert read_examples(file) == [{"q": "a", "n": 1, "l": [1, 2], "d": 1.5, "at": at}]


def test_two_columns_of_one_name_in_parquet_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.parquet"
    parquet.write_table(pa.table([["a"], ["b"], ["c"]], names=["q", "label", "label"]), file)
    with pytest.raises(InputError, match="two columns named 'label'"):
        read_examples(file)


@pytest.mark.parametrize("n", [2**64, 2**64 - 1, -(2**63), -(2**63) - 1, 10**40])
@pytest.mark.parametrize("name", ["data.json", "data.jsonl"])
def test_whole_numbers_keep_all_their_digits(tmp_path: Path, name: str, n: int) -> None:
    row = {"n": n, "of": [n, n], "within": {"n": n}, "text": f"order {n}, paid", "x": 2.5, "tiny": 1e-300}
    file = tmp_path / name
    file.write_text(json.dumps(row) if name.endswith("l") else json.dumps([row], indent=1))
    (read,) = read_examples(file)
    assert (read, type(read["n"])) == (row, int)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-2", ""], [1, -2, None]),
        (["1", "2.5"], [1.0, 2.5]),
        (["0.1", "1e-5", ""], [0.1, 1e-5, None]),
        (["true", "FALSE", ""], [True, False, None]),
        (["01067", "2"], ["01067", "2"]),
        (["1", "two"], ["1", "two"]),
        (["12345678901234567890"], ["12345678901234567890"]),
        (["12e4567"], ["12e4567"]),
        (["+49", "1"], ["+49", "1"]),
        (["nan", "1"], ["nan", "1"]),
        (["1 ", "2"], ["1 ", "2"]),
        (["2026-01-01"], ["2026-01-01"]),
        (["", "x"], ["", "x"]),
        (["", ""], ["", ""]),
    ],
)
def test_a_csv_column_is_converted_only_where_every_value_is_clear(
    tmp_path: Path, cells: list[str], values: list[object]
) -> None:
    file = tmp_path / "data.csv"
    file.write_text("name,value\n" + "".join(f"n,{cell}\n" for cell in cells))
    read = [row["value"] for row in read_examples(file)]
    assert read == values
    assert list(map(type, read)) == list(map(type, values))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_separators_and_quotes(tmp_path: Path, delimiter: str) -> None:
    file = tmp_path / "data.csv"
    text = f'"the, question"{delimiter} answer\r\n"say ""hi""{delimiter}\n\nthere"{delimiter}x\r\n\r\ny{delimiter}\r\n'
    file.write_bytes(text.encode())
    assert read_examples(file) == [
        {"the, question": f'say "hi"{delimiter}\n\nthere', "answer": "x"},
        {"the, question": "y", "answer": ""},
    ]


def test_one_column_and_very_long_fields(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("text\n" + "x" * 500_000 + "\n")
    assert read_examples(file) == [{"text": "x" * 500_000}]


@pytest.mark.parametrize(
    ("bom", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
@pytest.mark.parametrize(
    ("name", "text"), [("d.csv", "a,b\né,1\n"), ("d.jsonl", '{"a":"é","b":1}\n'), ("d.json", '[{"a":"é","b":1}]')]
)
def test_marked_encodings_are_read(tmp_path: Path, name: str, text: str, bom: bytes, encoding: str) -> None:
    file = tmp_path / name
    file.write_bytes(bom + text.encode(encoding))
    assert read_examples(file) == [{"a": "é", "b": 1}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.txt", b"x", r"its ending must be \.json, \.jsonl, \.csv, \.parquet"),
        ("d", b"x", r"its ending must be"),
        ("d.csv", b"", "is empty: write at least one example"),
        ("d.parquet", b"", "is empty"),
        ("d.csv", b"a,b\n", "holds no examples"),
        ("d.csv", b"\n\n", "holds no examples"),
        ("d.json", b"[]", "holds no examples"),
        ("d.jsonl", b"\n\n", "holds no examples"),
        ("d.csv", b"a,b\n1,2\n1,2,3\n", r"line 3 has 3 values, the header has 2: put values that contain ','"),
        ("d.csv", b'a,b\n"x\ny",2\n\n1\n', r"line 5 has 1 value, the header has 2"),
        ("d.csv", b'a,b\n1,"x"y\n', "line 2 is not CSV"),
        ("d.csv", b'a,b\n1,2\n1,"x\n\n', "line 3 is not CSV"),
        ("d.csv", b"a,a\n1,2\n", "two columns named 'a'"),
        ("d.csv", b"a,,b\n1,2,3\n", "no name for column 2"),
        ("d.csv", "a\nok\nétoile\n".encode("cp1252"), r"not UTF-8 text \(byte 0xe9 in line 3\): .*'cp1252'"),
        ("d.csv", "a\né\n".encode("utf-16-le"), "UTF-16 without its mark|not UTF-8"),
        ("d.csv", codecs.BOM_UTF16_LE + b"a\x00\n", "not UTF-16-LE text"),
        ("d.jsonl", b"a\x00b\x00", "NUL bytes"),
        ("d.json", b'{"data": [1]}', r"holds an object with 'data': it must hold a list"),
        ("d.json", b"7", r"holds 7: it must hold a list of objects"),
        ("d.json", b'[{"a":1}, 5]', r"item 2 is 5: each example must be an object"),
        ("d.json", b'[{"a":1}', r"is not JSON: unexpected end"),
        ("d.json", b'{"a":1}\n{"a":2}\n', r"is not JSON: .* It looks like one object a line: name it \.jsonl"),
        ("d.jsonl", b'{"a":1}\n{"a":\n', r"line 2 is not JSON"),
        ("d.jsonl", b'[\n{"a":1}]', r"line 1 is not JSON: .* A list of objects belongs in a \.json file"),
        ("d.jsonl", b'{"a":1}\n\n[1]\n', r"line 3 is \[1\]: each example must be an object"),
        ("d.jsonl", b'{"a":1}\n{"b":2}\n', r"line 1 has the field 'a' and line 2 has not"),
        ("d.json", b'[{"a":1},{"a":2,"b":3}]', r"item 2 has the field 'b' and item 1 has not"),
        ("d.parquet", b"not parquet at all", "is not Parquet"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_examples(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}")
    with pytest.raises(InputError, match=r"did you mean '.*train\.jsonl'\?"):
        read_examples(tmp_path / "trian.jsonl")
    with pytest.raises(InputError, match=r"there is no file 'nowhere/x\.csv'; looked in"):
        read_examples("nowhere/x.csv")
    with pytest.raises(InputError, match=r"is a folder: name a file in it \(train\.jsonl\)"):
        read_examples(tmp_path)


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=2, max_size=2), min_size=1
    )
)
def test_any_text_survives_csv(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    import csv

    file = tmp_path_factory.mktemp("csv") / "d.csv"
    with file.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *([f"t{x}" for x in row] for row in rows)])
    assert [list(row.values()) for row in read_examples(file)] == [[f"t{x}" for x in row] for row in rows]
