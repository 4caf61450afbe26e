"""Drift of outputs: other answers come, or come more often, than came before.

Of each field of the answers are compared, as far as it has them: the shares of answers that come often, lengths,
numbers, and how often it is missing, does not fit the field's type, or declines to answer.  All of them make one test:
its p-value comes from permutations of answers, which keep what belongs together, so it is exact whatever is compared,
and each part is told at the risk of all (Westfall and Young 1993, Resampling-based multiple testing).
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skillfleet_nb.data.identity import canonical_json
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, is_missing, one_line, percent, visible
from skillfleet_nb.monitoring.drift_inputs import POWER
from skillfleet_nb.monitoring.drift_report import Details, Finding, Share
from skillfleet_nb.monitoring.two_sample import permutation_test

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Answers = Sequence[Mapping[str, Any]]

_REFUSES = re.compile(
    r"\b(?:i(?:'|\u2019)?m sorry|i am sorry|i apologi[sz]e|as an ai\b|i (?:can(?:no|'|\u2019)?t|am unable|am not able)"
    r"|unable to (?:help|assist|answer|comply))",
    re.IGNORECASE,
)
_MOST_LABELS, _LEAST_EACH = 20, 3  # answers that come often: so many at most, each so often on average
_CHANGE = 0.2  # of the share of an answer, that is planned for
_SHOWN = 6


class Part(NamedTuple):
    """A part of what is compared: its columns, and what each stands for."""

    field: str
    what: str
    columns: NDArray[np.float32]
    labels: Sequence[str] = ()


class OutputDrift(NamedTuple):
    """What was found, with the shares of answers that come often."""

    finding: Finding
    shares: Sequence[Share]


def output_drift(reference: Answers, live: Answers, types: Mapping[str, Any], spent: float, seed: int) -> OutputDrift:
    """Compare live answers with those of a reference.

    Parameters
    ----------
    types
        The fields of an answer and the type that each is declared to have, None where that is not known.  One that no
        live answer has is not compared: it was not recorded.

    Raises
    ------
    InputError
        If no field is among the answers.
    """
    n, parts = len(live), []
    recorded = {field: kind for field, kind in types.items() if any(field in row for row in live)}
    for field, kind in recorded.items():
        parts += _parts(field, [row.get(field) for row in (*reference, *live)], len(reference), kind)
    if not parts:
        names = ", ".join(types) or "none"
        raise InputError(f"no answers to compare: give live rows with the program's outputs ({names}).")
    features = np.concatenate([part.columns for part in parts], axis=1)
    edges = np.cumsum([0, *(part.columns.shape[1] for part in parts)])

    def statistics(apart: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([(apart[:, a:b] ** 2).sum(axis=1) for a, b in pairwise(edges)], axis=1)

    rng = np.random.default_rng(seed)
    result = permutation_test(features, n, statistics, alpha=spent, rng=rng)
    far = [_far(part, n) for part in parts]
    most = max(far)
    order = sorted(range(len(parts)), key=lambda place: (result.each[place], -far[place]))[:_SHOWN]
    rows = [[parts[p].field, parts[p].what, *_before_and_now(parts[p], n), f"{result.each[p]:.2g}"] for p in order]
    on = f"{counted(n, 'live answer')} against {len(reference):,}"
    if unrecorded := [field for field in types if field not in recorded]:
        on += f" ({', '.join(unrecorded)} left out: in no live row)"
    needed, first = _rows_to_tell(_CHANGE, spent / len(parts), len(reference)), parts[order[0]]
    least = f"{on} hardly show a change of {percent(_CHANGE)} of the answers"
    more = "the reference is too small for any number of them" if needed is None else f"{needed:,} show it"
    finding = Finding(
        "output", result.p_value, spent, most, n, len(reference), needed,
        f"the outputs have drifted, first {first.what} of {first.field}, {on}",
        f"no drift of outputs is told, {on}",
        f"{least}; {more}",
        details=(Details(("output", "what", "before", "now", "p-value"), rows),),
    )  # fmt: skip
    return OutputDrift(finding, [share for part in parts for share in _shares(part, n)])


def _parts(field: str, values: Sequence[Any], n_reference: int, kind: object) -> list[Part]:
    missing = np.array([is_missing(value) or value == "" for value in values])
    parts = [Part(field, "missing answers", _column(missing))] if missing.any() else []
    if missing.all():
        return parts
    if kind is not None:
        unfit = np.array([not gone and not _fits(value, kind) for value, gone in zip(values, missing, strict=True)])
        parts += [Part(field, "answers that do not fit", _column(unfit))] if unfit.any() else []
    texts = ["" if gone else _text(value) for value, gone in zip(values, missing, strict=True)]
    refused = np.array([bool(_REFUSES.search(text)) for text in texts])
    parts += [Part(field, "refusals", _column(refused))] if refused.any() else []
    labels = sorted({text for text, gone in zip(texts[:n_reference], missing, strict=False) if not gone})
    if labels and len(labels) <= min(_MOST_LABELS, n_reference / _LEAST_EACH):
        others = ~np.isin(texts, labels) & ~missing
        columns = [np.array(texts) == label for label in labels] + ([others] if others.any() else [])
        return [*parts, Part(field, "shares", _weighed(columns), [*labels, *(["others"] if others.any() else [])])]
    if all(
        isinstance(v, int | float) and not isinstance(v, bool) for v, m in zip(values, missing, strict=True) if not m
    ):
        numbers = np.array([0.0 if gone else float(value) for value, gone in zip(values, missing, strict=True)])
        return [*parts, Part(field, "size", _ranks(numbers))]
    return [*parts, Part(field, "length", _ranks(np.array([len(text) for text in texts], float)))]


def _column(of: NDArray[Any]) -> NDArray[np.float32]:
    return of.astype(np.float32)[:, None]


def _weighed(columns: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Weigh the shares of answers as Pearson's chi-squared does: a change of a rare one counts for more."""
    made = np.stack(columns, axis=1).astype(np.float32)
    made /= np.sqrt(np.maximum(made.mean(axis=0), 1 / len(made)))
    return made


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float32]:
    order = np.sort(values)
    ranks = (np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")) / (2 * len(values))
    return _column(ranks)


def _fits(value: object, kind: Any) -> bool:
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def _text(value: object) -> str:
    return value if isinstance(value, str) else canonical_json(value)


def _means(part: Part, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    of = part.columns if part.what != "shares" else (part.columns > 0).astype(np.float32)
    return of[:-n].mean(axis=0, dtype=np.float64), of[-n:].mean(axis=0, dtype=np.float64)


def _far(part: Part, n: int) -> float:
    """Tell how far apart a part is, in [0, 1]: of shares the part of the answers that are others."""
    before, now = _means(part, n)
    return float(min(1.0, np.abs(now - before).sum() / 2 if part.labels else abs(now - before).sum()))


def _before_and_now(part: Part, n: int) -> tuple[str, str]:
    before, now = _means(part, n)
    if part.labels:
        place = int(np.abs(now - before).argmax())
        label = visible(one_line(part.labels[place], 30))
        return f"{label} {percent(before[place])}", f"{label} {percent(now[place])}"
    if part.what in {"length", "size"}:
        return f"rank {percent(before[0])}", f"rank {percent(now[0])}"
    return percent(before[0]), percent(now[0])


def _shares(part: Part, n: int) -> list[Share]:
    before, now = _means(part, n)
    return [Share(part.field, label, float(a), float(b)) for label, a, b in zip(part.labels, before, now, strict=False)]


def _rows_to_tell(change: float, alpha: float, n_reference: int) -> int | None:
    """Return the live answers that tell a change of a share in 8 of 10 checks, None where no number of them does."""
    normal = NormalDist()
    needed = (change / (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(POWER))) ** 2 / 0.25 - 1 / n_reference
    return math.ceil(1 / needed) if needed > 0 else None
