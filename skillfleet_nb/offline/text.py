"""Words of a text as evidence: tokens, stems, features, and choices that are the same on every platform."""

from __future__ import annotations

import ast
import hashlib
import math
import re
from collections import Counter
from typing import Any

STOP_WORDS = frozenset(
    """
    a about after again all also an and any are as at be because been before being but by can cannot cant could
    did didnt do does doesnt doing dont for from get got had has have having he her here him his how i id if ill
    im in into is isnt it its ive just like many may me might more most much must my no nor not of on once only or
    other our out over own please same shall she should so some such than that thats the their them then there
    these they this those through to too until up us use very want was wasnt we were what when where which while
    who whom why will with without wont would you your
    """.split()  # noqa: SIM905  a list of quoted words is harder to read
)
_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_STOP_WEIGHT = 0.5
_PAIR_WEIGHT = 0.5
_TRIES = 20

# (suffix, replacement, shortest stem left): a light suffix stripper in the manner of Lovins (1968), longest first.
_SUFFIXES = (
    ("ization", "ize", 4), ("ations", "ate", 3), ("ation", "ate", 3), ("ingly", "", 3), ("edly", "", 3),
    ("ying", "y", 2), ("sses", "ss", 2), ("ment", "", 4), ("ness", "", 4), ("ies", "y", 2), ("ied", "y", 2),
    ("ing", "", 3), ("ed", "", 3), ("ly", "", 3), ("es", "", 3), ("al", "", 4), ("er", "", 4), ("or", "", 4),
    ("s", "", 3), ("e", "", 3),
)  # fmt: skip


def words(text: str) -> list[str]:
    """Split `text` into lower-case words; apostrophes join, underscores separate.

    Examples
    --------
    >>> words("I can't log_in!")
    ['i', 'cant', 'log', 'in']
    """
    return _WORD.findall(text.lower().replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", ""))


def name_words(name: str) -> str:
    """Spell an identifier as words: ``card_arrival``, ``cardArrival`` and ``card-arrival`` read alike."""
    return _CAMEL.sub(" ", name).replace("_", " ").replace("-", " ").replace("/", " ")


def stem(word: str) -> str:
    """Strip common English endings, so that ``waiting`` and ``waits`` meet.

    Examples
    --------
    >>> stem("waiting"), stem("cards"), stem("cancellation") == stem("cancellations")
    ('wait', 'card', True)
    """
    least = 3
    if len(word) <= least:
        return word
    for suffix, new, kept in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= kept and not (suffix == "s" and word.endswith("ss")):
            word = word[: -len(suffix)] + new
            break
    if len(word) > least and word[-1] == word[-2] and word[-1] not in "sl":
        word = word[:-1]
    if len(word) > least and word[-1] == "e":
        word = word[:-1]
    return word[:-1] + "y" if len(word) > least and word[-1] == "i" else word


def features(text: str, *, pairs: float = _PAIR_WEIGHT, stops: float = _STOP_WEIGHT) -> dict[str, float]:
    """Weigh the stems of `text` and the pairs of neighbours; words such as *the* weigh `stops`.

    Returns
    -------
    dict[str, float]
        Feature to weight, in order of first appearance; a pair is two stems with a blank between.
    """
    tokens = words(text)
    stems = [stem(token) for token in tokens]
    weights: dict[str, float] = {}
    for token, root in zip(tokens, stems, strict=True):
        weights[root] = weights.get(root, 0.0) + (stops if token in STOP_WORDS else 1.0)
    if pairs:
        for i in range(len(stems) - 1):
            both_stop = tokens[i] in STOP_WORDS and tokens[i + 1] in STOP_WORDS
            pair = f"{stems[i]} {stems[i + 1]}"
            weights[pair] = weights.get(pair, 0.0) + pairs * (stops if both_stop else 1.0)
    return weights


def content_words(text: str) -> list[str]:
    """Give the distinct words that carry meaning, in order of appearance."""
    return list(dict.fromkeys(word for word in words(text) if word not in STOP_WORDS))


def sentences(text: str) -> list[str]:
    """Split `text` into sentences and lines, without the empty ones."""
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def kebab(text: str) -> str:
    """Join the words of `text` with hyphens, in lower case."""
    return "-".join(words(text))


def overlap(a: str, b: str) -> float:
    """Token F1 of two texts, in [0, 1]; 1 for two empty texts.

    F1 is ``2·|A∩B| / (|A|+|B|)`` over the multisets of words (as in SQuAD's scorer).
    """
    left, right = Counter(words(a)), Counter(words(b))
    total = sum(left.values()) + sum(right.values())
    return 2 * sum((left & right).values()) / total if total else 1.0


def fuzzy(a: str, b: str) -> float:
    """Dice coefficient of the letter trigrams of two words, in [0, 1]: how alike they are spelt."""
    left, right = _trigrams(a), _trigrams(b)
    return 2 * len(left & right) / (len(left) + len(right))


def _trigrams(word: str) -> set[str]:
    padded = f"^{word}$"
    return {padded[i : i + 3] for i in range(max(1, len(padded) - 2))}


def draw(*keys: object) -> float:
    """Draw a number in [0, 1) that depends on `keys` alone: the same on every platform and in every process."""
    digest = hashlib.blake2b("\x1f".join(map(str, keys)).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def cosine(query: dict[str, float], bag: dict[str, float]) -> float:
    """Cosine of two sparse vectors with weights >= 0, in [0, 1]; 0 if either is empty."""
    dot = sum(weight * bag[key] for key, weight in query.items() if key in bag)
    size = math.sqrt(sum(w * w for w in query.values()) * sum(w * w for w in bag.values()))
    return dot / size if size else 0.0


def literal(text: str) -> Any:
    """Read a Python literal.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> literal("['a', 1]")
    ['a', 1]
    """
    for _ in range(_TRIES):
        try:
            return ast.literal_eval(text)
        except SystemError:  # CPython 3.11 counts the depths of threads that parse at the same time as one
            continue
        except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise ValueError(f"no literal: {error}") from error
    raise ValueError("no literal could be read")
