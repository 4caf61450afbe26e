"""Racing: a candidate that can no longer win is not paid for.

While a search scores a candidate on all examples of a split with ``dspy.Evaluate``, the best scoring so far is
known.  Once the candidate cannot beat it any more, its program answers the examples that are left with nothing, which
scores 0 and asks no model; those in flight end as ever.  So the optimizer sees a mean that is below the best one, and
a maximum stays what it would have been.

*exact* goes by the best possible mean: as if every example that is left scored 1.  Examples are asked in the order of
what they told so far, hard ones first, which finds losses early; the rows are put back in their own order.  *on* also
goes by a test, where there are enough examples for one to tell earlier.  They are then drawn one after the other, hard
ones with a better chance, which reaches the bound later.  Which of both pays hangs on the task: a best one that is
nearly always right leaves few losses to find, and a test much to prove.  So the first races take turns, and those after
them go the way that has bought less.

Each example drawn makes an unbiased estimate of the mean difference to the best; a capital that bets on losses is a
supermartingale where the candidate is at least as good, so that it ever reaches 1/ALPHA with a probability of at most
ALPHA, however often it is looked at (Ville's inequality).  Sources: Shekhar, Xu, Lipton, Liang, Ramdas, "Risk-limiting
financial audits via weighted sampling without replacement", UAI 2023, for the estimate; Waudby-Smith, Ramdas,
"Estimating means of bounded random variables by betting", Journal of the Royal Statistical Society B 86 (2024), for
the bets.
"""

from __future__ import annotations

import math
import random
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from skillfleet_nb.lm.everywhere import here
from skillfleet_nb.lm.shares import search
from skillfleet_nb.runs.lanes import is_judging
from skillfleet_nb.runs.running_program import Searched, mixed_with

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import ExitStack

    import dspy

    from skillfleet_nb.runs.metric import RunMetric, Score
    from skillfleet_nb.typing import Example, Prediction, Program

Mode = Literal["off", "exact", "on"]
RACES: tuple[Mode, ...] = ("off", "exact", "on")
ALPHA = 0.05
"""Of *on*: how likely a candidate that is at least as good as the best so far is dropped, at most."""
_BET = 0.75  # of the capital that may be lost at once
_TESTED_FROM = 200  # examples; with fewer the bound alone is reached earlier
_TRIED = 2  # races with a test and as many without, before the better way is taken
_FLOOR = 0.1  # of the weight of an example
_PATIENCE_S = 10.0  # how long an example waits at most for those that it hangs on: one of them may never end
_PRIOR = 1.0  # how many examples' worth what is expected before any was seen counts

_race: ContextVar[Race | None] = ContextVar("skillfleet_race", default=None)


class PairedTest:
    """A test, valid at every look, that a candidate's mean over all examples is below that of the best.

    Parameters
    ----------
    best
        The best one's scores, in the order in which the examples are asked: drawn one after the other, each with a
        chance in proportion to its weight among those that are left.
    weights
        In the same order.

    Examples
    --------
    >>> test = PairedTest([1.0] * 40, [1.0] * 40)
    >>> for _ in range(12):
    ...     test.add(0.0)
    >>> test.capital >= 1 / ALPHA
    True
    """

    def __init__(self, best: Sequence[float], weights: Sequence[float]) -> None:
        self.capital = 1.0
        self._best, self._n, self._seen = best, len(best), 0
        self._total = list(accumulate(reversed(weights)))[::-1]  # of the weights that are left
        self._weights = weights
        # How far the best may be beaten on an example, over its weight: the most among those that are left.
        beaten = [(1 - score) / weight for score, weight in zip(best, weights, strict=True)]
        self._most = list(accumulate(reversed(beaten), max))[::-1]
        self._sum = self._gained = self._squares = 0.0
        self._mean, self._variance = 0.0, 0.25

    def add(self, score: float) -> None:
        """Take in the candidate's score on the next example."""
        n, total = self._seen, self._total[self._seen]
        most = (total * self._most[n] + self._sum) / self._n
        difference = score - self._best[n]
        # An estimate of the mean difference; given what was seen before, it is right on average.
        estimate = (difference * total / self._weights[n] + self._sum) / self._n
        bet = max(0.0, -self._mean / (self._variance + self._mean**2))
        if most > 0:
            self.capital *= 1 - min(bet, _BET / most) * estimate
        elif most < 0:  # it is behind by more than it can make up
            self.capital = math.inf
        self._seen += 1
        self._sum += difference
        self._gained += estimate
        self._mean = self._gained / (_PRIOR + self._seen)
        self._squares += (estimate - self._mean) ** 2
        self._variance = (0.25 * _PRIOR + self._squares) / (_PRIOR + self._seen)


@dataclass(frozen=True)
class _Best:
    """The best scoring so far: DSPy's score, which is rounded, the mean, and the score of each example by ``id()``."""

    score: float
    mean: float
    scores: dict[int, float]


class Race:
    """One evaluation, against the best before it; its examples have places, from 0, in the order they are asked in.

    Whether an example is asked hangs on the scores of those that stand more than `window` places before it, and on
    nothing else: what is bought is the same however threads run, so that a run can be replayed.

    Parameters
    ----------
    order
        The examples.
    best
        What is to be beaten.
    nothing
        What the program answers once the race is over.
    weights
        Chances with which `order` was drawn, for a test; none where it was not.
    window
        So many may be asked at the same time.

    Attributes
    ----------
    bound
        Once it is over: the mean that the candidate has at most on all examples; with a test up to its error.
    """

    def __init__(
        self, order: Sequence[Example], best: _Best, nothing: Prediction, weights: Sequence[float], window: int
    ) -> None:
        self.nothing = nothing
        self.bound: float | None = None
        self._best, self._n, self._window = best, len(order), window
        self._test = PairedTest([best.scores[id(e)] for e in order], weights) if weights else None
        self._scores: list[float | None] = [None] * self._n
        self._known, self._sum, self._over_at = 0, 0.0, self._n
        self._asked: dict[frozenset[tuple[str, int]], list[int]] = {}
        self._scored: dict[int, list[int]] = {}
        for place, example in reversed(list(enumerate(order))):  # of examples that repeat the first is at the end
            self._asked.setdefault(_key(example.inputs()), []).append(place)
            self._scored.setdefault(id(example), []).append(place)
        self._turn = threading.Condition()

    @property
    def is_tested(self) -> bool:
        """Whether it may end by a test."""
        return self._test is not None

    def place(self, inputs: Mapping[str, object]) -> int | None:
        """Return the place of the example with these inputs; None where it was asked for already, or there is none."""
        with self._turn:
            left = self._asked.get(_key(inputs))
            return left.pop() if left else None

    def buys(self, place: int) -> bool:
        """Tell whether an example is asked, once the scores are there that it hangs on."""
        needed = place - self._window
        gate = here()
        with self._turn:
            self._turn.wait_for(
                lambda: needed <= self._known or needed >= self._over_at or (gate is not None and gate.closed),
                _PATIENCE_S,
            )
            return needed < self._over_at

    def told(self, example: Example, score: float) -> None:
        """Take in the score of an example, on whatever thread computed it."""
        with self._turn:
            left = self._scored.get(id(example))
            place = left.pop() if left else None
        if place is not None:
            self.settle(place, score)

    def settle(self, place: int, score: float) -> None:
        """Take in what stands at a place."""
        with self._turn:
            if self._scores[place] is None:
                self._scores[place] = score
            while self._known < self._n and (next_score := self._scores[self._known]) is not None:
                self._sum += next_score
                self._known += 1
                if self._test is not None:
                    self._test.add(next_score)
                if self.bound is None and self._known < self._n and (bound := self._most()) is not None:
                    self.bound, self._over_at = bound, self._known
            self._turn.notify_all()

    def _most(self) -> float | None:
        """Return what the candidate's mean is at most, where that is too little to win."""
        most = (self._sum + self._n - self._known) / self._n
        if most <= self._best.mean and round(100 * most, 2) <= self._best.score:
            return most
        if self._test is None or self._test.capital < 1 / ALPHA:
            return None
        ceiling = (self._sum + self._window) / self._n  # what the optimizer would see at most
        return self._best.mean if ceiling < self._best.mean else None


def _key(inputs: Mapping[str, object]) -> frozenset[tuple[str, int]]:
    return frozenset((name, id(value)) for name, value in inputs.items())


@dataclass
class _Told:
    """What an example told so far."""

    total: float = 0.0
    n: int = 0

    def add(self, score: float) -> None:
        self.total, self.n = self.total + score, self.n + 1

    @property
    def ease(self) -> float:
        return (self.total + 1) / (self.n + 2)


@dataclass
class _Search:
    """What one search of a run has scored: its best scoring by split, what examples told, and how its races went.

    `bought` has the share of the examples that each race asked, of those with a test and of those without one.
    """

    best: dict[str, _Best] = field(default_factory=dict)
    told: dict[int, _Told] = field(default_factory=dict)
    bought: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})

    @property
    def is_tested(self) -> bool:
        """Whether a test pays for the next race, by those before it."""
        tested, plain = self.bought[True], self.bought[False]
        if min(len(tested), len(plain)) < _TRIED:
            return len(tested) < len(plain)
        return fmean(tested) < fmean(plain)


@dataclass
class Racing:
    """The races of one run; of several searches at the same time each has its own.

    Parameters
    ----------
    mode
        ``"exact"`` or ``"on"``.
    metric
        The run's; what another one says, nobody knows the range of.
    seed
        Of the random orders.
    warn
        Told in words, once, why an evaluation is not raced.
    members
        Of several searches those that are raced; None for all.
    """

    mode: Mode
    metric: RunMetric
    seed: int
    warn: Callable[[str], object]
    members: frozenset[str] | None = None
    _searches: dict[str | None, _Search] = field(default_factory=dict)
    _warned: bool = False

    @property
    def _search(self) -> _Search:
        return self._searches.setdefault(search(), _Search())

    def begin(self, evaluate: dspy.Evaluate, inputs: dict[str, Any], split: str, inside: ExitStack) -> Race | None:
        """Start the race of an evaluation on all of a split, up to the end of `inside`; None where there is none."""
        import dspy

        if not self._may_race(evaluate, inputs):
            return None
        devset = inputs.get("devset")
        rows, best = list(devset or evaluate.devset), self._search.best.get(split)
        if best is None or any(id(row) not in best.scores for row in rows):
            return None
        weights: list[float] = []
        if devset is None:  # the order of a list that somebody holds is not ours to change
            rows, weights = self._in_order(rows)
            inside.callback(setattr, evaluate, "devset", evaluate.devset)
            evaluate.devset = rows
        threads = evaluate.num_threads if inputs.get("num_threads") is None else inputs["num_threads"]
        threads = threads or dspy.settings.num_threads
        race = Race(rows, best, dspy.Prediction(), weights, window=2 * (threads - 1))
        token = _race.set(race)
        inside.callback(_race.reset, token)
        return race

    def _may_race(self, evaluate: dspy.Evaluate, inputs: dict[str, Any]) -> bool:
        name = search()
        if is_judging() or (name is not None and self.members is not None and name not in self.members):
            return False
        metric = inputs.get("metric") or evaluate.metric
        ours = getattr(metric, "__self__", metric) is self.metric
        if not ours and not self._warned:
            self._warned = True
            self.warn("racing is off: the optimizer scores with a metric of its own, whose range is not known")
        return ours and not evaluate.failure_score

    def _in_order(self, rows: list[Example]) -> tuple[list[Example], list[float]]:
        """Put hard examples first: surely, or where a test needs chance with the weights that are returned."""
        own = self._search
        ease = {id(row): history.ease if (history := own.told.get(id(row))) else 0.5 for row in rows}
        if self.mode != "on" or len(rows) < _TESTED_FROM or not own.is_tested:
            return sorted(rows, key=lambda row: ease[id(row)]), []
        rng = random.Random(f"{self.seed}-{len(own.bought[True])}")
        drawn = [(rng.expovariate(_FLOOR + 1 - ease[id(row)]), n) for n, row in enumerate(rows)]
        order = [rows[n] for _, n in sorted(drawn)]
        return order, [_FLOOR + 1 - ease[id(row)] for row in order]

    def end(self, race: Race | None, results: list[Any], split: str, score: float, devset: Sequence[Example]) -> None:
        """Take in the rows of an evaluation on all of a split, and put them in the order of `devset`."""
        rows: dict[int, list[Any]] = {}
        for row in results:
            rows.setdefault(id(row[0]), []).append(row)
        results[:] = [rows[id(example)].pop(0) for example in devset]
        scores = {id(row[0]): float(getattr(row[2], "score", row[2])) for row in results}
        bought = [row for row in results if race is None or row[1] is not race.nothing]
        own = self._search
        if race is not None:
            own.bought[race.is_tested].append(len(bought) / len(results))
        for row in bought:
            own.told.setdefault(id(row[0]), _Told()).add(scores[id(row[0])])
        before = own.best.get(split)
        if len(bought) == len(results) and (before is None or score > before.score):
            own.best[split] = _Best(score, sum(scores[id(row[0])] for row in results) / len(results), scores)

    def on_score(self, example: Example, score: Score | None) -> None:
        """Take in a score on the thread that computed it; None where the program or the metric failed."""
        if (race := _race.get()) is not None:
            race.told(example, 0.0 if score is None else float(score))


def is_unbought(prediction: object) -> bool:
    """Tell whether a prediction is one that a race left out."""
    race = _race.get()
    return race is not None and prediction is race.nothing


def raced(program: Program) -> Program:
    """Return `program` as one that asks nothing more once its race is over; it takes over its state."""
    return mixed_with(_Raced, program)


class _Raced(Searched):
    """Mixed in before a program's own class."""

    def __call__(self, *args: object, **kwargs: object) -> Any:
        race = _race.get()
        place = race.place(kwargs) if race is not None else None
        if race is None or place is None:
            return super().__call__(*args, **kwargs)  # type: ignore[misc]  # a mixin
        if not race.buys(place):
            return race.nothing
        try:
            return super().__call__(*args, **kwargs)  # type: ignore[misc]  # a mixin
        except BaseException:
            race.settle(place, 0.0)  # as DSPy counts it
            raise
