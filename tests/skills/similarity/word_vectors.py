"""An embedding without a model, for what does not depend on meaning: hashed words, as unit vectors."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

WIDTH = 256


def embed_words(texts: Sequence[str]) -> np.ndarray:
    """Count words by hash; texts with the same words have cosine 1."""
    rows = np.zeros((len(texts), WIDTH), np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in re.findall(r"\w+", text.lower()):
            row[int.from_bytes(hashlib.sha256(word.encode()).digest()[:2], "big") % WIDTH] += 1
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def write_skill(folder: Path, description: str, body: str, name: str | None = None) -> Path:
    """Write a skill and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "SKILL.md"
    file.write_text(f"---\nname: {name or folder.name}\ndescription: {description}\n---\n# T\n\n{body}\n", "utf-8")
    return file
