"""Choosing a label by the evidence in a prompt: names, descriptions, rules, cues and demos in one bag a label.

Each label has a bag of features (stems and pairs of stems).  A label's own name counts three times, a
demo or a cue as often as it was seen.  A bag is a vector of ``log(1 + count) · idf`` (idf over labels),
the input one of ``weight · idf``; the label with the greatest cosine wins (Rocchio's classifier, as in
Manning, Raghavan and Schütze, *Introduction to Information Retrieval*, §14.2).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from skillfleet_nb.offline.text import cosine, draw, features, fuzzy, name_words, words

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST_FUZZY = 0.5
_LONG_ENOUGH = 4
_PRIORS = (0.0, 0.05, 0.2, 0.6, 2.0)
_SKEW = 2.0


@dataclass(frozen=True)
class Manner:
    """How evidence is weighed; an instruction may ask for another manner in words.

    Attributes
    ----------
    rare
        Exponent of idf: above 1, rare words decide more.
    pairs, stops, names
        Weights of a pair of neighbours, of a function word and of a label's own name.
    spelling
        Credit for a word that is only spelt alike; 0 asks for exact words.
    nearest
        Share of the single most similar example in the decision.
    common
        Push towards labels seen more often; None learns it from the demos.
    """

    rare: float = 1.0
    pairs: float = 0.5
    stops: float = 0.5
    names: float = 3.0
    spelling: float = 0.8
    nearest: float = 0.0
    common: float | None = None


# What an instruction can ask for, as (what to look for, the manner's fields it sets, a sentence that asks for it).
MANNERS: tuple[tuple[str, dict[str, float], str], ...] = (
    (r"\b(?:rare|unusual|distinctive)\b", {"rare": 1.6}, "Give rare and distinctive words the most weight."),
    (r"\b(?:every|all) words?\b", {"stops": 1.0}, "Count every word of the input, small ones too."),
    (r"\bcontent words|\bkey ?words only", {"stops": 0.1}, "Look at content words and ignore filler."),
    (r"\bphrases?\b|\bword order\b", {"pairs": 1.0}, "Compare whole phrases and their word order, not only words."),
    (r"\bsingle words\b", {"pairs": 0.0}, "Compare single words and stay free of their order."),
    (r"\bexact words\b", {"spelling": 0.0}, "Match exact words."),
    (r"\btypos?\b|\bmisspel", {"spelling": 1.0}, "Allow for typos and other forms of a word."),
    (r"\bnames? of (?:the|each) (?:label|option)", {"names": 6.0}, "Rely on the name of each label and what it says."),
    (r"\bmost similar example|\bnearest example", {"nearest": 0.5}, "Follow the most similar example."),
    (r"\bmore common\b|\bmost frequent\b", {"common": 0.2}, "In doubt prefer the more common answer."),
)


def read_manner(instruction: str) -> Manner:
    """Read from an instruction how evidence should be weighed.

    Examples
    --------
    >>> read_manner("Match exact words.").spelling
    0.0
    """
    manner = Manner()
    for pattern, fields, _ in MANNERS:  # the values are all floats, which is what every field of Manner takes
        if re.search(pattern, instruction, re.IGNORECASE):
            manner = replace(manner, **fields)
    return manner


class LabelModel:
    """Evidence for each of a set of labels.

    Parameters
    ----------
    labels
        The labels, in the order the prompt gives them; not empty.
    manner
        How evidence is weighed.
    """

    def __init__(self, labels: Sequence[str], manner: Manner) -> None:
        self.labels = tuple(dict.fromkeys(labels))
        self._manner = manner
        self._bags: dict[str, dict[str, float]] = {label: {} for label in self.labels}
        self._seen = dict.fromkeys(self.labels, 0.0)
        self._demos: list[tuple[dict[str, float], str]] = []
        self._ready = False
        for label in self.labels:
            self.tell(label, name_words(label), weight=manner.names)

    def tell(self, label: str, text: str, *, weight: float = 1.0) -> None:
        """Add a text that speaks for `label`."""
        self._add(label, features(text, pairs=self._manner.pairs, stops=self._manner.stops), weight)

    def count(self, label: str, cues: dict[str, int], seen: int) -> None:
        """Add cues with how often they were seen, in `seen` examples."""
        self._add(label, {cue: n * (self._manner.pairs if " " in cue else 1.0) for cue, n in cues.items()}, 1.0)
        self._seen[label] += seen

    def show(self, label: str, text: str) -> None:
        """Add a demo: an input that has this label."""
        weights = features(text, pairs=self._manner.pairs, stops=self._manner.stops)
        self._add(label, weights, 1.0)
        self._seen[label] += 1
        self._demos.append((weights, label))

    def _add(self, label: str, weights: dict[str, float], weight: float) -> None:
        bag = self._bags[label]
        for feature, value in weights.items():
            bag[feature] = bag.get(feature, 0.0) + weight * value

    def fit(self) -> None:
        """Turn the bags into vectors; call once, when all evidence is in."""
        spread: dict[str, int] = {}
        for bag in self._bags.values():
            for feature in bag:
                spread[feature] = spread.get(feature, 0) + 1
        total = len(self.labels)
        self._idf = {f: math.log(1 + total / n) ** self._manner.rare for f, n in spread.items()}
        self._index: dict[str, list[tuple[int, float]]] = {}
        for i, label in enumerate(self.labels):
            norm = self._norm(self._bags[label])
            for feature, value in self._bags[label].items():
                share = math.log1p(value) * self._idf[feature] ** 2 / norm
                self._index.setdefault(feature, []).append((i, share))
        self._trigrams: dict[str, list[str]] = {}
        for feature in spread:
            if " " not in feature and len(feature) >= _LONG_ENOUGH:
                for j in range(len(feature) - 2):
                    self._trigrams.setdefault(feature[j : j + 3], []).append(feature)
        counted = sum(self._seen.values())
        self._share = [self._seen[label] / counted if counted else 0.0 for label in self.labels]
        self._common = self._manner.common if self._manner.common is not None else self._learn_prior()
        self._ready = True

    def _norm(self, bag: dict[str, float]) -> float:
        return math.sqrt(sum((math.log1p(v) * self._idf[f]) ** 2 for f, v in bag.items())) or 1.0

    def _learn_prior(self) -> float:
        """Choose how much frequent labels are favoured by leaving each demo out once (idf kept)."""
        if not self._demos or max(self._share) < _SKEW / len(self.labels):
            return 0.0
        n = len(self._demos)
        hits = [0] * len(_PRIORS)
        for weights, label in self._demos:
            own = self.labels.index(label)
            scores = self._cosines(weights)
            rest = {f: v - weights.get(f, 0.0) for f, v in self._bags[label].items() if v - weights.get(f, 0.0) > 0}
            dot = sum(w * self._idf[f] ** 2 * math.log1p(rest[f]) for f, w in weights.items() if f in rest)
            length = math.sqrt(sum((w * self._idf[f]) ** 2 for f, w in weights.items())) or 1.0
            scores[own] = dot / (self._norm(rest) * length)
            share = [(self._seen[other] - (other == label)) / max(n - 1, 1) for other in self.labels]
            for k, prior in enumerate(_PRIORS):
                mixed = [round(s + prior * p, 9) for s, p in zip(scores, share, strict=True)]
                hits[k] += max(range(len(mixed)), key=mixed.__getitem__) == own
        return _PRIORS[hits.index(max(hits))]

    def _cosines(self, weights: dict[str, float]) -> list[float]:
        scores = [0.0] * len(self.labels)
        size = 0.0
        for feature, weight in weights.items():
            if feature not in self._idf:
                continue
            size += (weight * self._idf[feature]) ** 2
            for i, share in self._index[feature]:
                scores[i] += weight * share
        size = math.sqrt(size) or 1.0
        return [score / size for score in scores]

    def _known(self, text: str) -> dict[str, float]:
        """Give the features of `text`, unknown words replaced by the known one spelt most alike."""
        weights = features(text, pairs=self._manner.pairs, stops=self._manner.stops)
        if not self._manner.spelling:
            return weights
        extended = dict(weights)
        for word, weight in weights.items():
            if word in self._idf or " " in word or len(word) < _LONG_ENOUGH:
                continue
            near = {other for j in range(len(word) - 2) for other in self._trigrams.get(word[j : j + 3], ())}
            alike = max(((fuzzy(word, other), other) for other in near), default=(0.0, ""))
            if alike[0] >= _LEAST_FUZZY:
                extended[alike[1]] = extended.get(alike[1], 0.0) + weight * alike[0] * self._manner.spelling
        return extended

    def scores(self, text: str) -> list[float]:
        """Score each label for `text`, in the order of `labels`; higher is better."""
        if not self._ready:
            self.fit()
        weights = self._known(text)
        mixed = [s + self._common * p for s, p in zip(self._cosines(weights), self._share, strict=True)]
        if self._manner.nearest:
            for demo, label in self._demos:
                i = self.labels.index(label)
                mixed[i] = max(mixed[i], self._manner.nearest * 2 * cosine(weights, demo))
        return mixed

    def choose(self, text: str, *, sample: tuple[str, float] | None = None, avoid: str = "") -> str:
        """Choose the label for `text`.

        Parameters
        ----------
        text
            The input.
        sample
            ``(key, temperature)`` draws a label instead of taking the best one: scores get Gumbel noise
            that depends on `key` alone.
        avoid
            A text; labels it names in backticks after *not* are taken only if nothing else is left.
        """
        ranked = [round(score, 9) for score in self.scores(text)]
        if sample is not None:
            key, temperature = sample
            noise = [-math.log(-math.log(draw(key, label) * 0.999998 + 1e-6)) for label in self.labels]
            ranked = [r + 0.05 * temperature * g for r, g in zip(ranked, noise, strict=True)]
        if max(ranked) <= 0:  # nothing speaks for any label: the most frequent one, then the one spelt most alike
            tokens = words(text)
            ranked = [p + 1e-3 * max((fuzzy(t, w) for t in tokens for w in words(name_words(label))), default=0.0)
                      for label, p in zip(self.labels, self._share, strict=True)]  # fmt: skip
        allowed = [i for i, label in enumerate(self.labels) if f"not `{label}`" not in avoid]
        return self.labels[max(allowed or range(len(ranked)), key=ranked.__getitem__)]
