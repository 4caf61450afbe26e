"""What a program fails on, by kind: unreadable answers, exceptions, labels confused, fields that are wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from skillfleet_nb.data.labels import categories, label_text
from skillfleet_nb.format import is_missing

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping, Sequence

    from skillfleet_nb.typing import Example, Prediction

_T = TypeVar("_T")
UNREADABLE = "the answer could not be read"
LOW = "scored low, though no field that has a right value differs from it"


class Row(NamedTuple):
    """An example as a program did on it: its score in [0, 1], what the metric said, and what was raised, if so."""

    example: Example
    prediction: Prediction | None
    score: float
    feedback: str | None = None
    error: Exception | None = None


@dataclass(frozen=True)
class Failures:
    """The rows that a program did not get wholly right, and of what kinds each is.

    Attributes
    ----------
    rows
        Those that scored below 1.
    kinds
        Of each row, in words; one for every field that is wrong.
    right
        The rows that did best: all that scored 1, or else those above the mean.
    """

    rows: tuple[Row, ...]
    kinds: tuple[tuple[str, ...], ...]
    right: tuple[Row, ...]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Failures:
        """Sort rows into what failed and what went right."""
        labels = _categorical(rows)
        failed = [row for row in rows if row.score < 1]
        mean = sum(row.score for row in rows) / len(rows) if rows else 0.0
        perfect = [row for row in rows if row.score >= 1]
        right = perfect or [row for row in rows if row.score > mean]
        return cls(tuple(failed), tuple(kinds_of(row, labels) for row in failed), tuple(right))

    def counts(self) -> Counter[str]:
        """Count the failures of each kind."""
        return Counter(kind for kinds in self.kinds for kind in kinds)

    def told(self, most: int = 20) -> str:
        """Tell the kinds, the most frequent first, one a line."""
        counts = sorted(self.counts().items(), key=lambda pair: (-pair[1], pair[0]))
        lines = [f"{n} of {len(self.rows)}: {kind}" for kind, n in counts[:most]]
        return "\n".join(lines + [f"and {len(counts) - most} rarer kinds"] * (len(counts) > most))

    def chosen(self, n: int, shown: Mapping[int, int], rng: random.Random) -> list[Row]:
        """Choose `n` failures: of every kind in turn, those shown least often first, then those that scored worst.

        Parameters
        ----------
        shown
            How often each example was shown, by its ``id()``.
        """
        order = {id(row): rng.random() for row in self.rows}
        by_kind: dict[str, list[Row]] = {}
        for row, kinds in zip(self.rows, self.kinds, strict=True):
            for kind in kinds:
                by_kind.setdefault(kind, []).append(row)
        for members in by_kind.values():
            members.sort(key=lambda row: (shown.get(id(row.example), 0), row.score, order[id(row)]))
        turns = sorted(by_kind, key=lambda kind: (-len(by_kind[kind]), kind))
        return in_turns([by_kind[kind] for kind in turns], n)

    def kept(self, n: int, shown: Mapping[int, int], rng: random.Random) -> list[Row]:
        """Choose `n` rows that went right, of every answer in turn, those shown least often first."""
        order = {id(row): rng.random() for row in self.right}
        by_answer: dict[str, list[Row]] = {}
        for row in sorted(self.right, key=lambda row: (shown.get(id(row.example), 0), order[id(row)])):
            labels = row.example.labels().toDict()
            by_answer.setdefault(label_text(labels) if labels else "", []).append(row)
        return in_turns(list(by_answer.values()), n)


def kinds_of(row: Row, labels: Iterable[str] = ()) -> tuple[str, ...]:
    """Say of what kinds a failure is.

    Parameters
    ----------
    row
        The failure.
    labels
        Fields that hold one of few values: of these, which was given for which.

    Examples
    --------
    >>> import dspy
    >>> example = dspy.Example(text="refund", team="billing", why="money").with_inputs("text")
    >>> row = Row(example, dspy.Prediction(team="tech", why="it says so"), 0.0)
    >>> kinds_of(row, ["team"])
    ("team: 'tech' instead of 'billing'", 'why: not the right value')
    """
    if row.error is not None:
        from dspy.utils.exceptions import AdapterParseError

        unread = isinstance(row.error, AdapterParseError)
        return (UNREADABLE if unread else f"raised {type(row.error).__name__}",)
    if row.prediction is None:
        return (UNREADABLE,)
    answered_fields = row.prediction.keys() if hasattr(row.prediction, "keys") else ()
    kinds = []
    for name, right in row.example.labels().toDict().items():
        if name not in answered_fields or is_missing(right):
            continue
        answered = row.prediction[name]
        if label_text(_plain(answered)) == label_text(_plain(right)):
            continue
        confused = f"{name}: {answered!r} instead of {right!r}"
        kinds.append(confused if name in labels else f"{name}: not the right value")
    return tuple(kinds) or (LOW,)


def _categorical(rows: Sequence[Row]) -> list[str]:
    labels = [row.example.labels().toDict() for row in rows]
    names = dict.fromkeys(name for label in labels for name in label)
    return [name for name in names if categories(label.get(name) for label in labels)]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | dict) or value is None else str(value)


def in_turns(groups: Sequence[Sequence[_T]], n: int) -> list[_T]:
    """Take from every group in turn, nothing twice, until there are `n`."""
    taken: dict[int, _T] = {}
    rest = [iter(group) for group in groups]
    while rest and len(taken) < n:
        for group in list(rest):
            row = next((row for row in group if id(row) not in taken), None)
            if row is None:
                rest.remove(group)
            elif len(taken) < n:
                taken[id(row)] = row
    return list(taken.values())
