"""How an A/B test stands: what can be said of it at any look, in words and as a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from skillfleet_nb.format import counted, one_line, percent, points, points_change
from skillfleet_nb.html import Readable, fill, table, text_table
from skillfleet_nb.monitoring.ab_planning import Spread, size_of
from skillfleet_nb.monitoring.betting import Bets, difference_bets, interval
from skillfleet_nb.monitoring.guardrails import Watch, read_guardrail, watch
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from skillfleet_nb.charts.chart import Chart
    from skillfleet_nb.monitoring.ab_tests import ABTest
    from skillfleet_nb.store import Store

SRM_ALPHA = 0.01
"""Risk of a false alarm of the check of the split, over all looks together."""
_HEADER = ("variant", "version", "share", "units", "scored", "mean", "errors", "against the first", "at every look")


@dataclass(frozen=True)
class Arm:
    """A variant: units that it answered and that are scored, mean score in [0, 1], units it failed on."""

    label: str
    ref: str
    share: float
    units: int
    scored: int
    mean: float
    errors: int


@dataclass(frozen=True)
class Difference:
    """A variant against the control: difference of mean scores, and bounds that hold at every look."""

    variant: str
    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False, repr=False)
class ABStatus(Readable):
    """How a test stands.

    Attributes
    ----------
    name, state
        Of the test; `state` is ``running``, ``stopped``, ``guardrail`` or ``promoted``.
    arms
        Its variants, the control first.
    differences
        Of each other variant and the control.
    winner
        The variant that is told to be better (or no worse, where the test asks that), None where none is yet.
    mismatch
        What is wrong with the split; empty where nothing is told to be.
    watches
        How the guardrails stand.
    """

    test: ABTest
    arms: Sequence[Arm]
    differences: Sequence[Difference]
    mismatch: str
    watches: Sequence[Watch]
    same: bool
    scores: pd.DataFrame

    @property
    def name(self) -> str:
        """Of the test."""
        return self.test.name

    @property
    def state(self) -> str:
        """Whether it runs, or how it ended."""
        return self.test.ended.how if self.test.ended else "running"

    @property
    def n(self) -> int:
        """Units that are scored."""
        return sum(arm.scored for arm in self.arms)

    @property
    def low(self) -> float:
        """Lower bound of what the second variant gains on the control, at any look."""
        return self.differences[0].low

    @property
    def high(self) -> float:
        """Upper bound of it."""
        return self.differences[0].high

    @property
    def broken(self) -> list[Watch]:
        """The guardrails that are broken."""
        return [one for one in self.watches if one.broken]

    @property
    def winner(self) -> str | None:
        """The variant that the scores tell for, none where the split is not to be trusted."""
        if self.mismatch:
            return None
        floor = -(self.test.started.margin or 0.0)
        better = [d for d in self.differences if d.low > floor]
        if better:
            return max(better, key=lambda d: d.mean).variant
        return self.test.control if all(d.high < floor for d in self.differences) else None

    def sentence(self) -> str:
        """Say in one line what can be said now."""
        asked = self.test.started
        sentences = [self._verdict()]
        if self.same:
            sentences.append("some variants are the same program: an A/A test, whose winner is a false alarm")
        sentences += [self.mismatch] if self.mismatch else []
        sentences += [
            f"{w.variant} breaks {w.guardrail}: {percent(w.share)} of its calls are above it" for w in self.broken
        ]
        if self.test.ended is not None:
            sentences.append(f"{self.state}: {self.test.ended.why}; {self.test.ended.winner} answers all")
        elif self.winner is None and self.n >= asked.rows:
            sentences.append(f"the {asked.rows:,} scored units that were planned are there")
        return "; ".join(sentences)

    def _verdict(self) -> str:
        margin, control, winner = self.test.started.margin, self.test.control, self.winner
        if not self.n:
            return f"nothing is scored yet; {self.plan()}"
        of = f"{counted(self.n, 'scored unit')} of {self.test.started.rows:,} planned"
        compared = [d for d in self.differences if not math.isnan(d.mean)]
        if winner is None and not compared:
            return f"no winner yet: {', '.join(a.label for a in self.arms if a.scored)} alone has scores, {of}"
        best = max(compared, key=lambda d: d.mean, default=self.differences[0]) if winner in {None, control} else None
        d = best or next(one for one in self.differences if one.variant == winner)
        by = f"{points_change(d.mean)} points ({_bounds(d)} at every look)"
        on = f"on {counted(d.n, 'scored unit')}"
        if winner is None:
            return f"no winner yet: {d.variant} against {control} {by} on {of}"
        if margin is not None:
            no = "not worse" if winner == d.variant else "worse"
            return f"{d.variant} is {no} than {control} by {points(margin)} points: {by} {on}"
        return f"{d.variant} is {'better' if winner == d.variant else 'worse'} than {control}: {by} {on}"

    def plan(self) -> str:
        """Say how many scored units tell what is to be told, and what those that there will be tell."""
        asked = self.test.started
        effect = asked.margin or asked.effect
        text = f"{asked.rows:,} scored units are planned, by which {points(effect)} points are told"
        text += f", of {asked.basis}" if asked.basis else ""
        if asked.units is None:
            return text
        spread = Spread(asked.variance, asked.basis)
        least = size_of(effect, asked.alpha, asked.power, asked.split, asked.strategy, spread, asked.units).smallest
        return f"{text}; {counted(asked.units, 'unit')} tell differences from {points(least)} points on"

    def timeline(self) -> Chart:
        """Draw how new units were split over time."""
        from skillfleet_nb.monitoring.ab_chart import timeline_chart

        return timeline_chart(self)

    def chart(self) -> Chart:
        """Draw the confidence sequence over time."""
        from skillfleet_nb.monitoring.ab_chart import sequence_chart

        return sequence_chart(self)

    @cached_property
    def bets(self) -> dict[str, Bets]:
        """What is bet on for each other variant, by label."""
        return {label: _bets(self.test, self.scores, label)[1] for label in self.test.labels[1:]}

    @property
    def alpha(self) -> float:
        """Risk of each comparison: the test's, shared among them."""
        return _alpha(self.test)

    def _rows(self) -> list[list[str]]:
        against = {d.variant: d for d in self.differences}
        rows = []
        for a in self.arms:
            d = against.get(a.label)
            gain = ["", ""] if d is None else [points_change(d.mean), _bounds(d)]
            counts = [f"{a.units:,}", f"{a.scored:,}", points(a.mean), str(a.errors)]
            rows.append([a.label, a.ref, percent(a.share), *counts, *gain])
        return rows

    def text(self) -> str:
        """Return it as text."""
        return f"{text_table(_HEADER, self._rows(), numeric=(2, 3, 4, 5, 6))}\n{self.sentence()}"

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Return it as HTML."""
        shown = table(_HEADER, self._rows(), title=f"A/B test {one_line(self.name)}", numeric=(2, 3, 4, 5, 6))
        return fill("{}<div>{}</div>", shown, self.sentence())


def status(store: Store, test: ABTest, contents: Mapping[str, str]) -> ABStatus:
    """Look how a test stands; `contents` has the content id of each variant, by which A/A tests are known."""
    run, asked = test.started.run, test.started
    scores, units = queries.ab_scores(store, run), queries.ab_units(store, run)
    arms = []
    for place, (label, ref) in enumerate(asked.variants.items()):
        mine, answered = scores[scores.variant == label], units[units.variant == label]
        mean, errors = float(mine.score.mean()) if len(mine) else math.nan, int(answered.error.notna().sum())
        arms.append(Arm(label, ref, test.splits[-1][place], len(answered), len(mine), mean, errors))
    guardrails = [read_guardrail(one) for one in asked.guardrails]
    each = max(1, len(guardrails) * (len(arms) - 1))
    pairs = [(guardrail, label) for guardrail in guardrails for label in test.labels[1:]]
    watches = [watch(guardrail, label, test.control, units, asked.alpha / each) for guardrail, label in pairs]
    wrong = mismatch(test, units, "units are answered") or mismatch(test, scores, "units are scored")
    differences = [_difference(test, scores, label) for label in test.labels[1:]]
    same = len(set(contents.values())) < len(contents)
    return ABStatus(test, arms, differences, wrong, watches, same, scores)


def mismatch(test: ABTest, units: pd.DataFrame, what: str) -> str:
    """Tell whether units are not split as they should be; empty where that is not told.

    A Bayes factor of counts with any split against those with the split that was asked for, at every look: Lindon and
    Malek (2022), Anytime-valid inference for multinomial count data, NeurIPS 35.
    """
    from scipy.special import gammaln

    if not len(units):
        return ""
    k, total, largest = len(test.labels), 0.0, 0.0
    for epoch, split in enumerate(test.splits):
        met = units[units.epoch == epoch].variant.to_numpy()
        if not len(met):
            continue
        counts = np.cumsum(np.stack([met == label for label in test.labels]), axis=1)
        n = counts.sum(axis=0)
        fair = (counts * np.log(np.maximum(split, 1e-12))[:, None]).sum(axis=0)
        grown = gammaln(k) - gammaln(k + n) + gammaln(1 + counts).sum(axis=0) - fair
        largest, total = max(largest, float(total + grown.max())), total + float(grown[-1])
    if largest < -math.log(SRM_ALPHA / 2):  # of two such checks
        return ""
    seen = ":".join(f"{int((units.variant == label).sum()):,}" for label in test.labels)
    return f"do not trust it: {what} {seen}, which is not the split that was asked for"


def _bounds(d: Difference) -> str:
    return f"{points_change(d.low)} to {points_change(d.high)}"


def _alpha(test: ABTest) -> float:
    return test.started.alpha / (len(test.labels) - 1)


def _difference(test: ABTest, scores: pd.DataFrame, label: str) -> Difference:
    both, bets = _bets(test, scores, label)
    low, high = interval(bets, _alpha(test))
    means = [both[both.variant == one].score.mean() for one in (test.control, label)]
    return Difference(label, len(both), float(means[1] - means[0]), low, high)


def _bets(test: ABTest, scores: pd.DataFrame, label: str) -> tuple[pd.DataFrame, Bets]:
    both = scores[scores.variant.isin([test.control, label])]
    place = test.labels.index(label)
    shares: Any = np.array([split[place] / (split[0] + split[place]) for split in test.splits])
    share = shares[both.epoch.to_numpy(dtype=int)]
    asked, treated = test.started, (both.variant == label).to_numpy()
    bets = difference_bets(
        both.score.to_numpy(dtype=float), treated, share, asked.margin or asked.effect, alpha=_alpha(test),
        power=asked.power, floor=-(asked.margin or 0.0),
    )  # fmt: skip
    return both, bets
