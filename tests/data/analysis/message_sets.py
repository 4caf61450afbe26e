"""Rows and vectors of the tests' own making: no model is loaded, and words decide what is near."""

from __future__ import annotations

import random
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TOPICS = {
    "billing": ["invoice", "charge", "refund", "price", "cost", "bill", "fee", "pay", "amount", "receipt"],
    "access": ["login", "password", "account", "locked", "user", "sign", "permission", "reset", "key", "token"],
    "delivery": ["parcel", "shipping", "arrive", "courier", "late", "tracking", "address", "box", "delay", "depot"],
    "outage": ["down", "server", "crash", "offline", "error", "unavailable", "slow", "restart", "incident", "status"],
}
FILLERS = ["please", "my", "the", "about", "why", "is", "it", "again", "today", "still", "with", "help", "need", "what"]


class WordVectors:
    """Unit vectors of hashed words; counts the texts it was asked for."""

    fingerprint = "words@64"

    def __init__(self) -> None:
        self.texts = 0

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += len(texts)
        rows = np.zeros((len(texts), 64), np.float32)
        for at, text in enumerate(texts):
            for word in text.lower().split():
                rows[at] += np.random.default_rng(zlib.crc32(word.encode("utf-8", "surrogatepass"))).normal(size=64)
        sizes = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.divide(rows, sizes, out=np.full_like(rows, 0.125), where=sizes > 0)


def made_up(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Messages of four topics, all different."""
    rng = random.Random(seed)
    found: dict[str, dict[str, Any]] = {}
    while len(found) < n:
        topic = sorted(TOPICS)[len(found) % 4]
        words = rng.sample(TOPICS[topic], 4) + rng.sample(FILLERS, 3)
        rng.shuffle(words)
        text = " ".join(words)
        found[text] = {"text": text, "topic": topic}
    return list(found.values())


def flipped(rows: list[dict[str, Any]], share: float, seed: int = 0) -> tuple[list[dict[str, Any]], set[int]]:
    """The same rows, a share of them with another label, and which."""
    rng = random.Random(seed)
    wrong = set(rng.sample(range(len(rows)), round(share * len(rows))))
    changed = [dict(r) for r in rows]
    for at in wrong:
        changed[at]["topic"] = rng.choice([t for t in sorted(TOPICS) if t != rows[at]["topic"]])
    return changed, wrong
