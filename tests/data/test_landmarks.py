from __future__ import annotations

import random

import dspy
import numpy as np
import pytest

from skillfleet_nb.data.landmarks import MOST_ROWS, Landmarks, landmarks


def rows(n: int = 40, *, shuffled: bool = False) -> list[dspy.Example]:
    words = {"pay": ["invoice", "charge", "refund"], "fix": ["crash", "error", "frozen"]}
    rng = random.Random(1)
    made = [
        (f"the {rng.choice(words[kind])} of {i % 7} days", kind) for i in range(n) for kind in (["pay", "fix"][i % 2],)
    ]
    labels = [kind for _, kind in made]
    if shuffled:
        rng.shuffle(labels)
    return [dspy.Example(text=t, kind=k).with_inputs("text") for (t, _), k in zip(made, labels, strict=True)]


def lengths(texts: list[str]) -> np.ndarray:
    """Embed by the word that decides, as a model of meaning would."""
    found = np.zeros((len(texts), 2), dtype=np.float32)
    for at, text in enumerate(texts):
        found[at, int(any(w in text for w in ("crash", "error", "frozen", "fix")))] = 1
    return found


def test_labels_that_follow_the_inputs_are_found_and_shuffled_ones_are_not() -> None:
    assert landmarks(rows(), lengths) == pytest.approx(Landmarks(1.0, 1.0, 1.0))
    shuffled = landmarks(rows(shuffled=True), lengths)
    assert shuffled.words is not None
    assert shuffled.nearest is not None
    assert max(shuffled) < 0.75


def test_labels_that_mean_nothing_are_told_from_those_that_do() -> None:
    opaque = [
        dspy.Example(text=r.text, kind={"pay": "class_a", "fix": "class_b"}[r.kind]).with_inputs("text") for r in rows()
    ]
    found = landmarks(opaque, lengths)
    assert (found.nearest, found.words) == (1.0, 1.0)
    assert found.named == 0.5


def test_without_an_embedding_model_words_alone_are_looked_at() -> None:
    found = landmarks(rows())
    assert found == Landmarks(None, 1.0, None)


def test_nothing_is_told_of_few_rows_free_text_or_one_label() -> None:
    free = [dspy.Example(text=str(n), answer=f"answer {n}").with_inputs("text") for n in range(40)]
    one = [dspy.Example(text=str(n), answer="same").with_inputs("text") for n in range(40)]
    wordless = [dspy.Example(text="?!", kind=k).with_inputs("text") for k in "ab" * 10]
    assert landmarks(rows(6), lengths) == landmarks(free) == landmarks(one) == Landmarks()
    assert landmarks(wordless).words is None
    assert landmarks([]) == Landmarks()


def test_of_many_rows_a_part_is_looked_at() -> None:
    asked: list[int] = []

    def embed(texts: list[str]) -> np.ndarray:
        asked.append(len(texts))
        return lengths(texts)

    assert landmarks(rows(3 * MOST_ROWS), embed).nearest == 1.0
    assert asked == [MOST_ROWS + 2], "and the names of both labels"
