"""Train, val and test: three sets that share no input, the same ones every time.

An optimizer learns from train, candidates are chosen on val, and the test split is sealed until the
end.  Where a split is not given it is cut from train by a hash of the seed and each input, so that
the cut depends neither on the order of the rows nor on the platform, and rows with the same input
always land in the same split.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from skillfleet_nb.data.checks import check_leaks
from skillfleet_nb.data.identity import canonical_json, content_hash, example_id, parts
from skillfleet_nb.data.labels import find_label
from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.format import counted
from skillfleet_nb.html import table

if TYPE_CHECKING:
    from collections.abc import Mapping

Row = TypeVar("Row")

MAX_SEED = 2**32 - 1  # the largest that NumPy's older generators take, which libraries use

MIN_INPUTS = 10  # different inputs, below which a set is not cut: val or test would hold one or two
_NAMES = ("train", "val", "test")
_FEW_CLASSES = 3  # more are told by how many there are and how large they are


def check_seed(seed: object) -> None:
    """Refuse what no generator of random numbers could begin with.

    Raises
    ------
    InputError
        If it is no whole number, or a library would refuse it later.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed = {seed!r}: it must be a whole number from 0 to {MAX_SEED}")


@dataclass(frozen=True)
class Splits(Generic[Row]):
    """Three lists of rows without a common input, and how each came about.

    `origins` tells by the split's name whether it was given or cut, in words; `label` is the output
    whose values the cut kept in proportion, None where there was nothing to cut or to balance.
    `test` is sealed: nothing but the final score may read it.
    """

    train: list[Row]
    val: list[Row]
    test: list[Row]
    seed: int
    label: str | None
    origins: Mapping[str, str]

    def describe(self) -> str:
        """Say in three lines what each split holds and where it comes from.

        Examples
        --------
        >>> rows = [{"n": n, "odd": bool(n % 2)} for n in range(40)]
        >>> print(make_splits(rows, input_fields=["n"], seed=7).describe())
        train  20 rows  cut from train (seed 7, balanced on 'odd')  False 10, True 10
        val    10 rows  cut from train (seed 7, balanced on 'odd')  False 5, True 5
        test   10 rows  cut from train (seed 7, balanced on 'odd')  False 5, True 5  sealed until the end
        """
        width = max(len(str(len(self._rows(name)))) for name in _NAMES)
        lines = []
        for name in _NAMES:
            classes = self._classes(name)
            line = f"{name:<5}  {len(self._rows(name)):>{width}} rows  {self.origins[name]}"
            lines.append(line + f"  {classes}" * bool(classes) + "  sealed until the end" * (name == "test"))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            [name + " (sealed)" * (name == "test"), str(len(self._rows(name))), self.origins[name], self._classes(name)]
            for name in _NAMES
        ]
        return str(table(["split", "rows", "origin", self.label or ""], rows, numeric=[1]))

    def _rows(self, name: str) -> list[Row]:
        return cast("list[Row]", getattr(self, name))

    def _classes(self, name: str) -> str:
        if self.label is None:
            return ""
        counts = Counter(str(cast("Any", row).get(self.label)) for row in self._rows(name))
        if len(counts) <= _FEW_CLASSES:
            return ", ".join(f"{value} {n}" for value, n in sorted(counts.items()))
        low, high = min(counts.values()), max(counts.values())
        return f"{len(counts)} classes, {low} each" if low == high else f"{len(counts)} classes, {low} to {high} each"


def make_splits(
    train: Sequence[Row],
    val: Sequence[Row] | None = None,
    test: Sequence[Row] | None = None,
    *,
    seed: int = 0,
    input_fields: Sequence[str] | None = None,
    label: str | None = None,
    ratios: tuple[float, float, float] = (0.5, 0.25, 0.25),
    max_val: int = 300,
    max_test: int = 500,
) -> Splits[Row]:
    """Make train, val and test of what was given.

    Parameters
    ----------
    train, val, test
        Rows: mappings or `dspy.Example` objects.  What is given stays as it is, in its order; what
        is not is cut from `train`.
    seed
        Chooses the cut.
    input_fields
        Input fields of rows that do not say.
    label
        Output to keep in proportion.  Without it, the set's label (see `data.labels`); where there is
        none, the cut is plainly random.
    ratios
        Shares of train, val and test.  If only one of val and test is missing, it takes its share
        against train: a third by default.
    max_val, max_test
        Most rows to cut for each: every row of val is paid for with each candidate.  What is over
        stays in train.

    Returns
    -------
    Splits
        Sizes are the shares to within one row, where inputs do not repeat.

    Raises
    ------
    InputError
        If a given set is empty, two given sets share an input, or `train` has fewer than 10
        different inputs to cut from or a split would be empty.
    NotFoundError
        If `label` is not an output.

    Examples
    --------
    >>> rows = [{"n": n, "odd": bool(n % 2)} for n in range(40)]
    >>> splits = make_splits(rows, input_fields=["n"], seed=7)
    >>> len(splits.train), len(splits.val), len(splits.test), splits.label
    (20, 10, 10, 'odd')
    """
    check_seed(seed)
    sets = {name: list(rows) for name, rows in zip(_NAMES, (train, val, test), strict=True) if rows is not None}
    for name, rows in sets.items():
        if not rows:
            raise InputError(f"{name} is empty: give examples" + (", or leave it out." if name != "train" else "."))
    check_leaks(sets, input_fields=input_fields)
    wanted = [name for name in _NAMES[1:] if name not in sets]
    if not wanted:
        return Splits(sets["train"], sets["val"], sets["test"], seed, None, dict.fromkeys(_NAMES, "given"))

    groups = _groups(sets["train"], input_fields, seed)
    if len(groups) < MIN_INPUTS:
        raise InputError(
            f"train has {counted(groups, 'different input')}, too few to cut {' and '.join(wanted)} from it: "
            f"give at least {MIN_INPUTS}, or give {' and '.join(w + '=' for w in wanted)}."
        )
    label = _label(sets["train"], input_fields, label)
    cut = _cut(groups, label, _shares(wanted, ratios, {"val": max_val, "test": max_test}, len(sets["train"])))
    if bare := [name for name, rows in cut.items() if not rows]:
        raise InputError(f"{bare[0]} would hold no row of {len(sets['train'])}: give it a larger share in ratios=.")
    how = f"cut from train (seed {seed}, {f'balanced on {label!r}' if label else 'random'})"
    return Splits(
        train=cut["train"],
        val=cut["val"] if "val" in cut else sets["val"],
        test=cut["test"] if "test" in cut else sets["test"],
        seed=seed,
        label=label,
        origins={name: how if name in cut else "given" for name in _NAMES},
    )


def _groups(rows: list[Row], input_fields: Sequence[str] | None, seed: int) -> list[list[Row]]:
    """Gather rows with the same input, in an order that depends on contents and seed alone."""
    by_input: dict[str, list[tuple[str, Row]]] = defaultdict(list)
    for row in rows:
        inputs, outputs = parts(row, input_fields)
        by_input[content_hash(inputs)].append((example_id(inputs, outputs), row))
    ranked = sorted(by_input, key=lambda key: sha256(f"{seed}:{key}".encode()).digest())
    return [[row for _, row in sorted(by_input[key], key=lambda pair: pair[0])] for key in ranked]


def _label(rows: list[Row], input_fields: Sequence[str] | None, label: str | None) -> str | None:
    """Check the label that was named, or find the set's."""
    outputs = [parts(row, input_fields)[1] for row in rows]
    names = sorted({name for fields in outputs for name in fields})
    if label is not None and label not in names:
        raise unknown("label", label, names)
    return label or find_label(outputs)


def _shares(wanted: list[str], ratios: tuple[float, float, float], most: Mapping[str, int], n: int) -> dict[str, float]:
    if not (isinstance(ratios, Sequence) and len(ratios) == len(_NAMES) and all(map(_is_share, ratios))):
        raise InputError(f"ratios are {ratios!r}: give three positive shares, such as (0.5, 0.25, 0.25).")
    ratio = dict(zip(_NAMES, ratios, strict=True))
    whole = ratio["train"] + sum(ratio[name] for name in wanted)
    shares = {name: min(ratio[name] / whole, most[name] / n) for name in wanted}
    return {"train": 1 - sum(shares.values()), **shares}


def _is_share(ratio: object) -> bool:
    return isinstance(ratio, int | float) and 0 < ratio < float("inf")


def _cut(groups: list[list[Row]], label: str | None, shares: Mapping[str, float]) -> dict[str, list[Row]]:
    """Deal the groups, class by class, each to the split that is furthest below its share.

    The debt carries over from class to class, so that each class and the whole are in proportion.
    """

    def class_of(group: list[Row]) -> str:
        return canonical_json(cast("Any", group[0]).get(label)) if label else ""

    dealt: dict[str, set[int]] = {name: set() for name in shares}
    debt = dict.fromkeys(shares, 0.0)
    for index in sorted(range(len(groups)), key=lambda i: (class_of(groups[i]), i)):
        for name, share in shares.items():
            debt[name] += share * len(groups[index])
        taker = max(debt, key=debt.__getitem__)
        debt[taker] -= len(groups[index])
        dealt[taker].add(index)
    return {name: [row for index in sorted(taken) for row in groups[index]] for name, taken in dealt.items()}
