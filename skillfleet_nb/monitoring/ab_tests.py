"""A/B tests of a home: started, split, ended; every process that routes for them reads the same stream."""

from __future__ import annotations

import secrets
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError, JobError, unknown
from skillfleet_nb.events import AB_TESTS
from skillfleet_nb.events.monitoring import ABEnded, ABSplit, ABStarted
from skillfleet_nb.messages import as_typed
from skillfleet_nb.monitoring.ab_planning import size_of, spread_of
from skillfleet_nb.monitoring.guardrails import read_guardrail
from skillfleet_nb.monitoring.stream import writing
from skillfleet_nb.programs.registry import check_name
from skillfleet_nb.store import follow
from skillfleet_nb.store.people import person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from skillfleet_nb.monitoring.ab_planning import Spread
    from skillfleet_nb.store import Home, Journal

RAMP = (0.01, 0.05, 0.25, 0.5)
"""Shares of new units that a ramp gives the candidate, one after the other."""
_CLOSE = 1e-6
_LEAST_SHARE = 0.01


@dataclass
class ABTest:
    """A test as it stands.

    Attributes
    ----------
    started
        What was asked for.
    at
        When it began (UTC).
    splits
        Share of new units for each variant, one item an epoch.
    split_at, split_why
        When each began, and why.
    ended
        How it ended; None while it runs.
    """

    started: ABStarted
    at: datetime
    splits: list[tuple[float, ...]]
    split_at: list[datetime] = field(default_factory=list)
    split_why: list[str] = field(default_factory=list)
    ended: ABEnded | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.started.name

    @property
    def labels(self) -> list[str]:
        """The variants' labels, the control first."""
        return list(self.started.variants)

    @property
    def control(self) -> str:
        """The variant that others are compared with."""
        return self.labels[0]

    @property
    def epoch(self) -> int:
        """The number of the split now."""
        return len(self.splits) - 1


class ABTests:
    """The tests of a home; safe to share between threads.

    Parameters
    ----------
    home
        The home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._follower = follow(home, AB_TESTS)
        self._reading = threading.Lock()
        self._tests: dict[str, ABTest] = {}

    @property
    def names(self) -> list[str]:
        """Names of all tests, those that ended too."""
        return sorted(self._up_to_date())

    def find(self, name: str) -> ABTest:
        """Find the last test of a name, as it is now; raises `NotFoundError` where there is none."""
        tests = self._up_to_date()
        if name not in tests:
            raise unknown("A/B test", name, tests, hint=f"{as_typed('ab start NAME A=REF B=REF')} starts one.")
        test = tests[name]
        return replace(  # which does not change any more
            test, splits=list(test.splits), split_at=list(test.split_at), split_why=list(test.split_why)
        )

    def start(self, asked: ABStarted) -> ABTest:
        """Start a test; raises `JobError` where one of its name runs."""
        with self._writing() as journal:
            running = self._tests.get(asked.name)
            if running is not None and running.ended is None:
                stop = as_typed(f"ab stop {asked.name}")
                raise JobError(f"an A/B test {asked.name!r} is running: {stop}, or choose another name.")
            journal.append(asked, sync=True)
        return self.find(asked.name)

    def split(self, test: ABTest, decide: Callable[[ABTest], tuple[tuple[float, ...], str] | None]) -> ABTest:
        """Change the split of new units, as `decide` says of the test as it is by then; None leaves it."""
        with self._writing() as journal:
            now = self._tests[test.name]
            decided = decide(now) if now.ended is None and now.started.run == test.started.run else None
            if decided is not None:
                split, why = decided
                event = ABSplit(name=now.name, run=now.started.run, epoch=now.epoch + 1, split=split, why=why)
                journal.append(event, sync=True)
        return self.find(test.name)

    def end(self, test: ABTest, how: str, winner: str, why: str) -> ABTest:
        """End a test; raises `JobError` where it is over."""
        with self._writing() as journal:
            now = self._tests[test.name]
            over = now.ended if now.started.run == test.started.run else test.ended
            if over is not None and not (how == "promoted" and over.how == "stopped"):
                raise JobError(f"the A/B test {test.name!r} is over: {over.how}, {over.why}.")
            fields = {"name": test.name, "run": test.started.run, "how": how, "winner": winner, "why": why}
            journal.append(ABEnded.model_validate(fields | {"by": person()}), sync=True)
        return self.find(test.name)

    @contextmanager
    def _writing(self) -> Iterator[Journal]:
        with writing(self._home, AB_TESTS, "changing tests") as journal:
            self._up_to_date()
            yield journal

    def _up_to_date(self) -> dict[str, ABTest]:
        with self._reading:
            for event in self._follower.read():
                self._take(event.payload, event.at)
        return self._tests

    def _take(self, payload: object, at: datetime) -> None:
        if isinstance(payload, ABStarted):
            self._tests[payload.name] = ABTest(payload, at, [payload.split], [at], ["start"])
        elif isinstance(payload, ABSplit | ABEnded):
            test = self._tests.get(payload.name)
            if test is None or test.started.run != payload.run:
                return
            if isinstance(payload, ABEnded):
                test.ended = payload
            elif payload.epoch == test.epoch + 1:
                test.splits.append(payload.split)
                test.split_at.append(at)
                test.split_why.append(payload.why)


def checked_start(
    name: str,
    variants: Mapping[str, str],
    *,
    split: Sequence[float] | str | None = None,
    alpha: float = 0.05,
    guardrails: Sequence[str] = (),
    effect: float = 0.05,
    power: float = 0.9,
    margin: float | None = None,
    metric: str | None = None,
    units: int | None = None,
    spread: Spread | None = None,
) -> ABStarted:
    """Check what is asked of a test, and plan it; parameters are those of :meth:`skillfleet_nb.Fleet.start_ab`.

    Raises
    ------
    InputError
        Naming what was given, and what is allowed.
    """
    check_name(name, "name")
    if len(variants) < 2:  # noqa: PLR2004
        raise InputError(f"{len(variants)} variant(s): give at least two, as A=support-intents@3 B=support-intents@4.")
    for label in variants:
        check_name(label, "label")
    for what, value in (("alpha", alpha), ("power", power), ("effect", effect), ("margin", margin)):
        if value is not None and not 0 < value < 1:
            raise InputError(f"{what}={value!r}: give a number between 0 and 1, for example 0.05.")
    shares, strategy = _shares(split, len(variants))
    spread = spread or spread_of(None)
    if units is not None and (isinstance(units, bool) or units < 1):
        raise InputError(f"units={units!r}: give the units that there will be, from 1.")
    rows = size_of(margin or effect, alpha, power, shares, strategy, spread, units).rows
    options = {"strategy": strategy, "guardrails": tuple(str(read_guardrail(one)) for one in guardrails)}
    return ABStarted.model_validate(
        {
            "name": name,
            "run": secrets.token_hex(8),
            "variants": dict(variants),
            "split": shares,
            "alpha": alpha,
            "power": power,
            "effect": effect,
            "rows": rows,
            "variance": spread.variance,
            "basis": spread.basis,
            "units": units,
            "margin": margin,
            "metric": metric,
            "by": person(),
            **options,
        }
    )


def _shares(split: Sequence[float] | str | None, n: int) -> tuple[tuple[float, ...], str]:
    if split is None:
        return (1 / n,) * n, "fixed"
    if split == "ramp":
        if n != 2:  # noqa: PLR2004
            raise InputError(f"a ramp takes two variants, and there are {n}: leave one out, or give shares.")
        return (1 - RAMP[0], RAMP[0]), "ramp"
    if split == "adaptive":
        return (1 / n,) * n, "adaptive"
    try:
        numbers = [float(part) for part in (split.split(":") if isinstance(split, str) else split)]
    except (TypeError, ValueError):
        raise InputError(f"split={split!r}: give shares such as 50:50, or ramp, or adaptive.") from None
    total = sum(numbers)
    if len(numbers) != n:
        raise InputError(f"split={split!r} has {len(numbers)} shares for {n} variants: give one for each.")
    if not any(abs(total - whole) < _CLOSE * whole for whole in (1, 100)):
        raise InputError(f"split={split!r} sums to {total:g}: shares sum to 100 (50:50) or to 1 (0.5:0.5).")
    shares = tuple(number / total for number in numbers)
    if not all(share >= _LEAST_SHARE for share in shares):
        raise InputError(f"split={split!r}: every variant gets at least 1 % of the units.")
    return shares, "fixed"
