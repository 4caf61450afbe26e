"""Semantic similarity of two texts by the cosine of their embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Embed = Callable[[Sequence[str]], NDArray[np.float32]]

CHUNK_WORDS = 180
"""Words per chunk: MiniLM reads 256 tokens, which is about that many words of technical English."""


def chunks(text: str, words: int = CHUNK_WORDS) -> list[str]:
    """Cut a text at white space into pieces of equal length, none above `words` words.

    Examples
    --------
    >>> chunks("a b c d e", 2)
    ['a b', 'c d', 'e']
    >>> chunks("  ")
    []
    """
    parts = text.split()
    n = -(-len(parts) // words)
    size = -(-len(parts) // n) if n else 1
    return [" ".join(parts[start : start + size]) for start in range(0, len(parts), size)]


def semantic_similarity(text: str, reference: str, embed: Embed) -> float:
    """Compare meanings: cosine of the two texts' mean chunk vectors, below 0 counted as 0.

    Parameters
    ----------
    text, reference
        Any texts; of long ones, every chunk counts the same.
    embed
        Texts to unit vectors of shape (n, d), such as ``skillfleet_nb.lm.embed.Embedder()``.

    Returns
    -------
    float
        In [0, 1]; 1 for the same meaning.  Two empty texts are alike, one alone is not.

    Examples
    --------
    >>> import numpy as np
    >>> letters = lambda texts: np.array([[t.count("a"), t.count("b")] for t in texts], dtype=np.float32)
    >>> semantic_similarity("a", "b", letters), semantic_similarity("b", "b", letters)
    (0.0, 1.0)
    """
    import numpy as np

    left, right = chunks(text), chunks(reference)
    if not left or not right:
        return float(left == right)
    vectors = np.asarray(embed([*left, *right]), dtype=np.float64)
    one, two = vectors[: len(left)].mean(axis=0), vectors[len(left) :].mean(axis=0)
    lengths = float(np.linalg.norm(one) * np.linalg.norm(two))
    return min(1.0, max(0.0, float(one @ two) / lengths)) if lengths else 0.0
