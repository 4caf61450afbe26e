"""Data sets and skill files that people could have: sound ones, and what becomes of them on the way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from pathlib import Path

VALUES = (
    *(None, True, 0, -1, 2**63, 2**200, 0.1, 1e400, "", " ", "a", "\x00", "\u202e", "\ud800", "\U0001f98a", "x" * 3000),
    *([], {}, [1, "a", None], {"a": {"b": []}}, "2026-02-30", "NaN", "=1+1", "a,b", '"', "a\nb", "\r"),
)
NAMES = ("text", "label", "", "a b", "id", "select", "x" * 200, "\u202e", "a.b", "inputs", "Text", "demos")
SKILL = """---
name: invoice-reader
description: Reads invoices and lists what is due. Use it when a user asks what to pay.
metadata:
  version: 1.0.0
  tags: [finance, reading]
---

# Invoice reader

## When to use
When invoices are to be read.

## Steps
1. Open the file.
2. List the lines with `read()`.

```python
print("due")
```
"""
PIECES = (
    *(
        "---",
        "\n---\n",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "!!python/object",
        "!!binary x",
        "|",
        ">",
        "#",
        "\t",
    ),
    *("```", "~~~", "<!--", "-->", "<script>", "|a|b|", "\x00", "\x1b[31m", "\u202e", "\ufeff", "\r\n", "\r", "\x0c"),
    *("name:", "name: [1]", "description:", "metadata: 1", "metadata: {a: {b: c}}", "license: ~", "allowed-tools: 3"),
    *("[a](b.md)", "![x](../../etc)", "=" * 80, "- " * 40, ">" * 60, "(" * 200, "1e999", "2026-02-30", "\U0001f98a"),
)


def data_set(rng: random.Random, folder: Path) -> Path:
    """Write a data set, of rows that mostly go together."""
    names = rng.sample(NAMES, rng.randint(1, 5))
    rows = []
    for n in range(rng.choice((0, 1, 2, 5, 30))):
        odd = rng.random() < 0.2
        row = {name: rng.choice(VALUES) if odd or rng.random() < 0.1 else f"{name[:9]} {n % 7}" for name in names}
        if rng.random() < 0.05:
            row.pop(rng.choice(names))
        rows.append(row)
    kind = rng.choice((".jsonl", ".json", ".csv"))
    file = folder / f"data{kind}"
    if kind == ".jsonl":
        text = "\n".join(map(json.dumps, rows))
    elif kind == ".json":
        text = json.dumps(rows)
    else:
        lines = [names, *([str(row.get(name, "")) for name in names] for row in rows)]
        text = "\n".join(",".join(f'"{v}"' if rng.random() < 0.9 else v for v in line) for line in lines)
    file.write_bytes(_spoiled(text.encode("utf-8", "surrogatepass"), rng))
    return file


def skill(rng: random.Random, folder: Path) -> Path:
    """Write a skill, with pieces put in, taken out and repeated."""
    text = SKILL
    for _ in range(rng.randint(0, 6)):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice((0, 0, 1, 9, 60)))
        text = text[:at] + rng.choice((*PIECES, "", text[at:end] * 3)) + text[end:]
    place = folder / rng.choice(("invoice-reader", "Odd name", "x"))
    place.mkdir()
    (place / "SKILL.md").write_bytes(_spoiled(text.encode("utf-8", "surrogatepass"), rng))
    return place


def _spoiled(data: bytes, rng: random.Random) -> bytes:
    """Cut, flip or prefix some bytes, once in four times."""
    if not data or rng.random() < 0.75:
        return data
    at = rng.randrange(len(data))
    flipped = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    utf_16 = data.decode("utf-8", "replace").encode("utf-16")
    return rng.choice((data[:at], flipped, b"\xef\xbb\xbf" + data, data + b"\xff", utf_16))
