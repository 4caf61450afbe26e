"""Similarity at scale: 100,000 skills with made-up vectors, queries and edits with the real model."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skillfleet_nb.lm.embed import Embedder
from skillfleet_nb.skills.similarity.index import SimilarityIndex
from skillfleet_nb.skills.similarity.segments import IndexEntry, IndexRow

if TYPE_CHECKING:
    from collections.abc import Callable

N, WIDTH, CHUNKS = 100_000, 384, 3
DATA = Path(__file__).parents[2] / "data"
BODY = "\n\n".join(f"## Part {n}\n\n" + f"Read page {n} and write down every field you see. " * 12 for n in range(8))


def run() -> list[dict[str, object]]:
    """Measure medians; the model is loaded before."""
    embed = Embedder()
    embed(["load the model"])
    with tempfile.TemporaryDirectory() as place:
        return [*_retrieval(embed, Path(place)), *_scale(embed, Path(place))]


def _retrieval(embed: Embedder, place: Path) -> list[dict[str, object]]:
    cards = json.loads((DATA / "skill_cards.json").read_text("utf-8"))["cards"]
    queries = json.loads((DATA / "skill_paraphrases.json").read_text("utf-8"))
    for card in cards:
        _write(place / "cards" / card["name"], card["description"], "")
    index = SimilarityIndex(place / "small", embed)
    index.build(place / "cards")
    rows: list[dict[str, object]] = []
    for kind, target in (("paraphrases", 0.95), ("situations", None)):
        for k in (1, 3):
            found = [q["expected"] in {m.name for m in index.query(q["query"], k).matches} for q in queries[kind]]
            rows.append(_row(f"{kind} found in top {k} of {len(cards)}", statistics.mean(found), "share", target))
    return rows


def _scale(embed: Embedder, place: Path) -> list[dict[str, object]]:
    file = _write(place / "tree" / "edited", "Reads pages.", BODY)
    index = SimilarityIndex(place / "large", embed)
    index.build(place / "tree")
    rng = np.random.default_rng(0)
    made = _unit(rng.standard_normal((N, 2 + CHUNKS, WIDTH), dtype=np.float32))
    titles = ("Overview", "When to Use", "Quick Start")
    rows = [
        IndexRow(
            IndexEntry(
                f"s{n}", f"{n:024x}", f"s{n}", "A made-up skill.", titles, tuple(f"{n}-{c}" for c in range(CHUNKS))
            ),
            v[:2],
            v[2:],
        )
        for n, v in enumerate(made)
    ]
    current = index._files.read()  # made-up vectors come in below the public surface
    assert current is not None
    name = index._files.write(rows)
    index._files.commit(index.model, current.root, [name, *(s.name for s in current.segments)])
    del rows, made
    cold = _seconds(lambda n: SimilarityIndex(place / "large", embed).query(f"cold {n}"), 1)
    index.query("warm")
    edits = iter(range(10_000))

    def edit(_: int) -> None:
        index.update(_write(file.parent, "Reads pages.", BODY.replace("page 3", f"page {next(edits)}", 1)))

    _write(file.parent, "Reads pages.", BODY)
    index.update(file)
    return [
        _row(
            f"query at {N:,} skills, embedding included",
            1000 * _seconds(lambda n: index.query(f"fill form {n}"), 15),
            "ms",
            100,
        ),
        _row(f"update of one changed skill at {N:,}", 1000 * _seconds(edit, 15), "ms", 200),
        _row(f"first query of a process at {N:,}, files cached", 1000 * cold, "ms", None),
    ]


def _write(folder: Path, description: str, body: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "SKILL.md"
    file.write_text(f"---\nname: {folder.name}\ndescription: {description}\n---\n\n{body}\n", "utf-8")
    return file


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors


def _seconds(work: Callable[[int], object], times: int) -> float:
    taken = []
    for n in range(times):
        start = time.perf_counter()
        work(n)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def _row(what: str, value: float, unit: str, target: float | None) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "target": target}


if __name__ == "__main__":
    for row in run():
        print(row)  # noqa: T201  a script reports to the terminal
