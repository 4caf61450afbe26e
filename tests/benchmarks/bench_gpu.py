"""Texts to vectors, pairs of vectors and permutations on a GPU, against the processor; where there is none, it says so.

1. 4,096 texts of the bundled intents, numbered, are embedded by the packaged model.
2. 20,000 vectors are compared with each other, a block at a time.
3. Two samples of 2,000 vectors are tested for drift.

Each is done once beforehand, which loads what is needed.  Results must be those of the processor: vectors within 1e-4,
p-values within 0.002.

Run: ``python tests/benchmarks/bench_gpu.py``.
"""

# ruff: noqa: T201  a benchmark reports to the terminal

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import numpy as np

from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.lm.devices import CPU, Product, chosen, described
from skillfleet_nb.lm.embed import Embedder
from skillfleet_nb.monitoring.two_sample import compare

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS, VECTORS, BLOCK, SAMPLE, WIDTH = 4096, 20_000, 2048, 2000, 384


def row(what: str, value: float, unit: str, target: float | str | None) -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "target": target}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    work()
    started = time.perf_counter()
    made = work()
    return time.perf_counter() - started, made


def pairs(vectors: Any, device: str) -> Any:
    product = Product(vectors.T, device)
    return np.array([product(vectors[n : n + BLOCK]).max() for n in range(0, len(vectors), BLOCK)])


def run() -> list[dict[str, Any]]:
    """Measure everything, where there is a GPU."""
    device = chosen("auto")
    if device == CPU:
        return [row("no GPU here: not measured", 0, "GPUs", None)]
    rng = np.random.default_rng(0)
    known = [one["text"] for one in bundled("intents")]
    texts = [f"{known[n % len(known)]} ({n})" for n in range(TEXTS)]
    vectors = rng.standard_normal((VECTORS, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    first, second = vectors[:SAMPLE], vectors[SAMPLE : 2 * SAMPLE]
    works: dict[str, tuple[Callable[[str], Any], float]] = {
        f"{TEXTS:,} texts embedded": (lambda on: Embedder(device=on)(texts), 1e-4),
        f"{VECTORS:,} vectors compared with each other": (lambda on: pairs(vectors, on), 1e-4),
        f"drift of {SAMPLE:,} vectors": (lambda on: np.array(compare(first, second, device=on).p_value), 0.002),
    }
    rows = []
    for what, (work, tolerance) in works.items():
        (here, expected), (there, made) = (timed(partial(work, on)) for on in (CPU, device))
        apart = float(np.abs(expected - made).max())
        rows += [
            row(f"{what}: on {described(device)}, against the processor", there / here, "ratio", "≤ 1"),
            row(f"{what}: largest difference from the processor's", apart, "", f"≤ {tolerance}"),
        ]
    return rows


if __name__ == "__main__":
    for one in run():
        print(f"{one['what']}: {one['value']:.3g} {one['unit']} (target {one['target']})")
