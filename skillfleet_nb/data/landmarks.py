"""Landmarks of a labelled data set: how well three simple learners do on it, before any model is asked.

A task on which near inputs share a label is one where well-chosen demos do the work; one whose labels
follow from words is one that rules can put into an instruction.  One whose labels say what they mean needs
no examples at all.  Each is told by a learner that costs milliseconds, as in the landmarking of Pfahringer,
Bensusan and Giraud-Carrier (2000).
"""

from __future__ import annotations

import random
import warnings
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.data.labels import labelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from skillfleet_nb.typing import Example

MOST_ROWS = 200
_FOLDS = 10
_FEWEST = 10  # rows: fewer tell nothing
_NEAR = 5
_SCALE = 20.0  # of cosines in a softmax: what sentence-transformers trains its models with


class Landmarks(NamedTuple):
    """How far simple learners get, as shares in [0, 1]; None where the data have no label (see `data.labels`).

    Attributes
    ----------
    nearest
        Share of the five nearest other examples, by embeddings, with the same label: less a matter of luck than
        whether the very nearest has it.  None without an embedding model too.
    words
        By naive Bayes on words, cross-validated.
    named
        Probability of the label by how near its own name is, by embeddings: without examples; None as for `nearest`.
    """

    nearest: float | None = None
    words: float | None = None
    named: float | None = None


def landmarks(rows: Sequence[Example], embed: Callable[[list[str]], NDArray[np.float32]] | None = None) -> Landmarks:
    """Find the landmarks of training and validation examples.

    Parameters
    ----------
    rows
        ``dspy.Example`` with inputs; of many, 200 are looked at.
    embed
        Texts to unit vectors; None leaves `nearest` and `named` out.

    Examples
    --------
    >>> import dspy
    >>> rows = [dspy.Example(text=f"{a} {n}", kind=a).with_inputs("text") for a in ("pay", "ask") for n in range(8)]
    >>> landmarks(rows).words
    1.0
    """
    _, sample = labelled(rows, MOST_ROWS, random.Random(0))
    if len(sample) < _FEWEST:
        return Landmarks()
    texts, labels = [inputs_text(row) for row, _ in sample], [label for _, label in sample]
    words = _words(texts, labels)
    if embed is None:
        return Landmarks(words=words)
    names = sorted(set(labels))
    vectors = embed([*texts, *(name.replace("_", " ") for name in names)])
    inputs = vectors[: len(texts)]
    return Landmarks(_nearest(inputs, labels), words, _named(inputs, labels, vectors[len(texts) :], names))


def inputs_text(row: Example) -> str:
    """Join the inputs of an example into one text."""
    return " ".join(map(str, row.inputs().toDict().values()))


def _nearest(vectors: NDArray[np.float32], labels: Sequence[str]) -> float:
    import numpy as np

    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -np.inf)
    near = np.argsort(-similar, axis=1, kind="stable")[:, :_NEAR]
    answers = np.array(labels)
    return float((answers[near] == answers[:, None]).mean())


def _named(
    vectors: NDArray[np.float32], labels: Sequence[str], of_names: NDArray[np.float32], names: Sequence[str]
) -> float:
    import numpy as np

    scaled = _SCALE * vectors @ of_names.T
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    right = odds[np.arange(len(labels)), [names.index(label) for label in labels]]
    return float((right / odds.sum(axis=1)).mean())


def _words(texts: Sequence[str], labels: Sequence[str]) -> float | None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.naive_bayes import ComplementNB
    from sklearn.pipeline import make_pipeline

    learner = make_pipeline(TfidfVectorizer(sublinear_tf=True, token_pattern=r"\b\w+\b"), ComplementNB())  # noqa: S106
    folds = KFold(min(_FOLDS, len(texts)), shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a label that a fold has all rows of
        try:
            predicted = cross_val_predict(learner, list(texts), list(labels), cv=folds)
        except ValueError:  # no words at all
            return None
    return float(sum(a == b for a, b in zip(predicted, labels, strict=True)) / len(labels))
