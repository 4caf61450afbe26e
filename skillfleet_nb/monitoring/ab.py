"""A/B tests of registered programs: ``fleet.monitoring.ab``."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from skillfleet_nb.errors import InputError, JobError, NotFoundError
from skillfleet_nb.messages import as_typed
from skillfleet_nb.monitoring.ab_planning import spread_of
from skillfleet_nb.monitoring.ab_report import ABStatus, status
from skillfleet_nb.monitoring.ab_tests import RAMP, ABTest, ABTests, checked_start
from skillfleet_nb.programs.registry import Registry, parse
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import dspy
    import pandas as pd

    from skillfleet_nb.monitoring.ab_planning import Spread
    from skillfleet_nb.monitoring.golden_sets import GoldenSets
    from skillfleet_nb.monitoring.route import ABRoute
    from skillfleet_nb.programs.registry import Move
    from skillfleet_nb.reports.registered import Registered
    from skillfleet_nb.store import Store
    from skillfleet_nb.typing import Metric, Model, Program, Rows

_RAMP_UNITS = 30  # scored units of the candidate at a step of a ramp, before the next
_LEAST_ADAPTIVE = 0.2  # share that all variants get together, whatever is known
_DRAWS = 4000


class AB:
    """A/B tests of a home: started, looked at, stopped, promoted.

    Parameters
    ----------
    store
        Of the home.
    registered
        Its registered programs.
    golden
        Its golden sets, on whose scores tests are planned.
    """

    def __init__(self, store: Store, registered: Registered, golden: Callable[[], GoldenSets]) -> None:
        self._store, self._registered, self._golden = store, registered, golden
        self._registry, self._tests = Registry(store.home), ABTests(store.home)
        self._reviewing = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Names of all tests."""
        return self._tests.names

    def start(
        self,
        name: str,
        variants: Mapping[str, str] | Sequence[str],
        *,
        split: Sequence[float] | str | None = None,
        metric: Metric | str | None = None,
        alpha: float = 0.05,
        guardrails: Sequence[str] = (),
        effect: float = 0.05,
        power: float = 0.9,
        margin: float | None = None,
        units: int | None = None,
    ) -> ABStatus:
        """Start a test; see :meth:`skillfleet_nb.Fleet.start_ab`."""
        labels = [chr(ord("A") + place) for place in range(len(variants))]
        named = dict(variants.items() if hasattr(variants, "items") else zip(labels, variants, strict=True))
        refs = {label: self._registry.find(ref).ref for label, ref in named.items()}
        called = metric if isinstance(metric, str) or metric is None else _called(metric)
        asked = checked_start(
            name,
            refs,
            split=split,
            alpha=alpha,
            guardrails=guardrails,
            effect=effect,
            power=power,
            margin=margin,
            metric=called,
            units=units,
            spread=self._spread(next(iter(refs.values()), None)),
        )
        return self._status(self._tests.start(asked))

    def status(self, name: str) -> ABStatus:
        """Look how a test stands; a look costs nothing of its certainty. Raises `NotFoundError` where there is none."""
        return self._status(self.review(name))

    def route(self, name: str, onto: Program | type[dspy.Signature] | None = None) -> ABRoute:
        """Make the program that answers by a test; see :meth:`skillfleet_nb.Fleet.ab`."""
        from skillfleet_nb.monitoring.route import ABRoute

        test = self._tests.find(name)
        variants = test.started.variants.items()
        programs = {label: self._registered.load(ref, onto, check=False) for label, ref in variants}
        return ABRoute(self._store.home, self._tests, name, programs, self.review)

    def replay(
        self,
        name: str,
        rows: Rows,
        metric: Metric,
        *,
        lm: Model | None = None,
        max_calls: int | None = None,
        count: Callable[[int, int], None] | None = None,
    ) -> ABStatus:
        """Run a test on logged rows; see :func:`skillfleet_nb.monitoring.replay.replay`."""
        from skillfleet_nb.monitoring.replay import replay

        route = self.route(name)
        try:
            replay(self._store.home, route, rows, metric, lm=lm, max_calls=max_calls, count=count)
        finally:
            route.close()
        return self.status(name)

    def stop(self, name: str, why: str = "stopped by hand") -> ABStatus:
        """End a test: the control answers all from now on; raises `JobError` where it is over."""
        test = self._tests.find(name)
        return self._status(self._tests.end(test, "stopped", test.control, why))

    def promote(self, name: str, alias: str = "production", *, force: str | None = None) -> tuple[Move, ABStatus]:
        """Set an alias to the variant that won, with the test as its evidence.

        Parameters
        ----------
        alias
            Of the program that was tested.
        force
            Why the variant with the best mean is promoted although no test tells so.

        Raises
        ------
        JobError
            If there is no winner, the split is not to be trusted or a guardrail is broken, and `force` gives no reason;
            or if another moved the alias meanwhile.
        InputError
            If the variants are not versions of one name.
        """
        test = self._tests.find(name)
        status = self._status(test)
        if len(programs := {parse(ref).name for ref in test.started.variants.values()}) > 1:
            raise InputError(f"{name!r} compares {' and '.join(sorted(programs))}: set an alias of either by hand.")
        broken = {one.variant for one in status.broken}
        winner = status.winner if status.winner not in broken else None
        if winner is None and not (force or "").strip():
            typed = as_typed(f"ab promote {name} --force REASON")
            raise JobError(f"nothing is promoted: {status.sentence()}. {typed} promotes the best mean all the same.")
        if winner is None:
            winner = max((a for a in status.arms if a.scored), key=lambda a: a.mean, default=status.arms[0]).label
        ref = parse(test.started.variants[winner])
        evidence = f"A/B test {name}: {status.sentence()}"
        moves: list[Move] = []
        with suppress(NotFoundError):  # the alias is made
            moves = self._registry.history(ref.name, alias)
        if moves and moves[-1].version == int(ref.at):
            moved = moves[-1]
        else:
            moved = self._registry.move(ref.name, alias, int(ref.at), since=len(moves), evidence=evidence, forced=force)
        if test.ended is None or test.ended.how == "stopped":
            self._tests.end(test, "promoted", winner, f"{ref.name}@{ref.at} to {alias}")
        return moved, self._status(self._tests.find(name))

    def listing(self) -> pd.DataFrame:
        """List tests, the newest first: the relation ``ab_tests``."""
        return queries.ab_tests(self._store)

    def review(self, name: str) -> ABTest:
        """Look at the guardrails of a test that runs, and at its split where that changes; return it as it is then."""
        test = self._tests.find(name)
        needless = test.started.strategy == "fixed" and not test.started.guardrails
        if test.ended is not None or needless or not self._reviewing.acquire(blocking=False):
            return test
        try:
            status = self._status(test)
            if status.broken:
                why = "; ".join(f"{w.variant} breaks {w.guardrail}" for w in status.broken)
                return self._tests.end(test, "guardrail", test.control, why)
            if test.started.strategy == "ramp":
                return self._tests.split(test, lambda now: _next_step(now, status))
            if test.started.strategy == "adaptive" and status.n:
                return self._tests.split(test, lambda now: _thompson(now, status))
        except JobError:  # another process ended it, or is changing it: it has looked
            return self._tests.find(name)
        finally:
            self._reviewing.release()
        return test

    def _spread(self, control: str | None) -> Spread:
        """Return how far the control's scores lie apart on the golden set of its name, where that has one."""
        golden = None
        if control is not None:
            with suppress(NotFoundError):
                golden = self._golden().find(parse(control).name)
        return spread_of(golden)

    def _status(self, test: ABTest) -> ABStatus:
        contents = {label: self._registry.find(ref).content_id for label, ref in test.started.variants.items()}
        return status(self._store, test, contents)


def _next_step(test: ABTest, status: ABStatus) -> tuple[tuple[float, ...], str] | None:
    """Go on with a ramp once the candidate is scored on enough units of this step, and is not told to be worse."""
    share = test.splits[-1][1]
    later = [step for step in RAMP if step > share]
    scored = int(((status.scores.epoch == test.epoch) & (status.scores.variant == test.labels[1])).sum())
    if not later or scored < _RAMP_UNITS or status.high < 0 or status.mismatch:
        return None
    return (1 - later[0], later[0]), f"{scored} scored units of {test.labels[1]} at {share:.0%}, no guardrail broken"


def _thompson(test: ABTest, status: ABStatus) -> tuple[tuple[float, ...], str] | None:
    """Give each variant new units by the chance that it is the best (Thompson sampling), and a least share."""
    rng = np.random.default_rng(test.epoch)
    hits = [a.scored * a.mean if a.scored else 0.0 for a in status.arms]
    drawn = np.stack([rng.beta(1 + h, 1 + a.scored - h, _DRAWS) for h, a in zip(hits, status.arms, strict=True)])
    best = np.bincount(drawn.argmax(axis=0), minlength=len(hits)) / _DRAWS
    split = tuple(float(p) for p in _LEAST_ADAPTIVE / len(hits) + (1 - _LEAST_ADAPTIVE) * best)
    if max(abs(a - b) for a, b in zip(split, test.splits[-1], strict=True)) < 0.02:  # noqa: PLR2004
        return None
    return split, f"chance to be the best, after {status.n} scored units"


def _called(metric: object) -> str:
    return str(getattr(metric, "__name__", type(metric).__name__))
