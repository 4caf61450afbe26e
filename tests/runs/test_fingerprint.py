"""What a metric is, by content: what it changes while it runs is not part of it, what it reads is."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from skillfleet_nb.runs.fingerprint import metric_content

if TYPE_CHECKING:
    from collections.abc import Callable

SEEN: list[Any] = []
COUNTS: Counter[str] = Counter()
BY_LABEL: defaultdict[str, list[Any]] = defaultdict(list)
WEIGHTS = {"a": 1.0}


class Tally:
    def __init__(self, weight: float) -> None:
        self.n, self.weight = 0, weight

    def __call__(self, gold: str, pred: str, trace: object = None) -> float:
        self.n += 1
        return self.weight * (gold == pred)


STATE = Tally(1.0)


def appends(gold: str, pred: str, trace: object = None) -> float:
    SEEN.append((gold, pred))
    return float(gold == pred)


def counts(gold: str, pred: str, trace: object = None) -> float:
    COUNTS[gold] += 1
    return float(gold == pred)


def groups(gold: str, pred: str, trace: object = None) -> float:
    BY_LABEL[gold].append(pred)
    return float(gold == pred)


def keeps(gold: str, pred: str, trace: object = None, kept: dict[str, str] = {}) -> float:  # noqa: B006
    kept[gold] = pred
    return float(gold == pred)


def tells(gold: str, pred: str, trace: object = None) -> float:
    STATE.n = STATE.n + 1
    return float(gold == pred)


def within(gold: str, pred: str, trace: object = None) -> float:
    def note() -> None:
        SEEN.extend([gold, pred])

    note()
    return float(gold == pred)


def closing() -> Callable[..., float]:
    seen = set()

    def metric(gold: str, pred: str, trace: object = None) -> float:
        seen.add(gold)
        return float(gold == pred)

    return metric


@pytest.mark.parametrize("metric", [appends, counts, groups, keeps, tells, within, closing(), Tally(0.5), STATE])
def test_what_a_metric_changes_by_running_does_not_make_it_another(metric: Callable[..., float]) -> None:
    before = metric_content(metric)
    metric("a", "b")
    metric("b", "b")
    assert metric_content(metric) == before


def weighted(gold: str, pred: str, trace: object = None) -> float:
    return WEIGHTS[gold] * (gold == pred)


def test_what_it_only_reads_does(monkeypatch: pytest.MonkeyPatch) -> None:
    before = metric_content(weighted)
    monkeypatch.setitem(WEIGHTS, "a", 2.0)
    assert metric_content(weighted) != before
    assert metric_content(Tally(0.5)) != metric_content(Tally(1.0))
