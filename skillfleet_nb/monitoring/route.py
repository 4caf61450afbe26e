"""A program that answers as an A/B test says: each unit by one variant, always the same."""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dspy

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import InputError, SkillfleetError
from skillfleet_nb.events.monitoring import ABAnswered, ABScored
from skillfleet_nb.lm.off_loop import awaited
from skillfleet_nb.lm.prices import Tokens, price_of
from skillfleet_nb.lm.tap import own_models
from skillfleet_nb.monitoring.assignment import OVER, new_call, read_call, unit_hash, variant_of
from skillfleet_nb.monitoring.guardrails import read_guardrail
from skillfleet_nb.monitoring.scores import read_score
from skillfleet_nb.store import Journal, follow, new_stream
from skillfleet_nb.store.backups import streams

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from skillfleet_nb.monitoring.ab_tests import ABTest, ABTests
    from skillfleet_nb.store import Follower, Home

_LOOK_S = 0.25
_REVIEW_EVERY, _MORE = 25, 1.2  # scores given here, after which split and guardrails are looked at; later less often
_ID = "_skillfleet_call"


class ABRoute(dspy.Module):  # type: ignore[misc]
    """Answers by the variants of an A/B test; made by :meth:`skillfleet_nb.Fleet.ab`.

    ``route(unit="user-17", text=…)`` answers by the variant that the unit got at its first call, in this or any other
    process; ``route.feedback(answer, score)`` tells later how good the answer was.  Once a test is over, its winner, or
    the control, answers all.

    Parameters
    ----------
    home, tests
        The home and its tests.
    name
        Of the test.
    programs
        The program of each variant, by label.
    review
        Looks at the split and the guardrails of a test.

    Attributes
    ----------
    trouble
        Why calls are not recorded; empty where they are.
    last_call
        Id of the last call that ended, of whatever thread.
    """

    def __init__(
        self,
        home: Home,
        tests: ABTests,
        name: str,
        programs: Mapping[str, dspy.Module],
        review: Callable[[str], object],
    ) -> None:
        super().__init__()
        self.programs, self.trouble, self.last_call = dict(programs), "", ""
        self._home, self._tests, self._review = home, tests, review
        self._test = tests.find(name)
        self._opening, self._looking = threading.Lock(), threading.Lock()
        self._journal: Journal | None = None
        self._units: dict[str, tuple[int, int]] = {}
        self._followed: dict[str, Follower] = {}
        self._given, self._next_review = 0, _REVIEW_EVERY
        self._counts_cost = any(read_guardrail(one).what == "cost" for one in self._test.started.guardrails)
        self._prices = Settings.load(home.config).prices
        self._look(self._test)
        self._next_look = time.monotonic() + _LOOK_S

    def forward(self, unit: object = None, **inputs: Any) -> Any:
        """Answer for a unit."""
        test, key, place, epoch = self._assigned(unit)
        label = test.labels[place]
        started, tracked, answer, error = time.perf_counter(), None, None, None
        try:
            if self._counts_cost:
                with dspy.track_usage() as tracked:
                    answer = self.programs[label](**inputs)
            else:
                answer = self.programs[label](**inputs)
        except BaseException as exc:
            error = f"{type(exc).__name__}: {exc}"
            raise
        finally:
            self._tell(test, key, (place, epoch), started, tracked, answer, error)
        return answer

    async def aforward(self, unit: object = None, **inputs: Any) -> Any:
        """Answer for a unit in async code."""
        test, key, place, epoch = self._assigned(unit)
        started, tracked, answer, error = time.perf_counter(), None, None, None
        program = self.programs[test.labels[place]]
        try:
            if self._counts_cost:
                with dspy.track_usage() as tracked:
                    answer = await awaited(program, **inputs)
            else:
                answer = await awaited(program, **inputs)
        except BaseException as exc:
            error = f"{type(exc).__name__}: {exc}"
            raise
        finally:
            self._tell(test, key, (place, epoch), started, tracked, answer, error)
        return answer

    def variant(self, unit: object) -> str:
        """Return the label of the variant that answers a unit; raises `InputError` for a missing one."""
        test, _, place, _ = self._assigned(unit)
        return test.labels[place]

    @staticmethod
    def id_of(answer: object) -> str:
        """Return the id of the call that gave an answer, by which feedback may be given from anywhere.

        Raises
        ------
        InputError
            If no test answered it.
        """
        call = answer if isinstance(answer, str) else getattr(answer, "__dict__", {}).get(_ID)
        if not call:
            raise InputError(f"{type(answer).__name__} is no answer of an A/B test: give one, or the id of its call.")
        return str(call)

    def feedback(self, answer: object, score: float) -> bool:
        """Tell how good an answer was.

        It may come late, or twice, from this or another process: the first score of a call counts, and of a unit that
        of its first scored call.  On answers that were given after the end it is taken, and counts for nothing.

        Parameters
        ----------
        answer
            The answer, or :meth:`id_of` it.
        score
            In [0, 1]; a bool counts as 0 or 1.

        Returns
        -------
        bool
            Whether the test still ran.

        Raises
        ------
        InputError
            If the id is none of this test's, or the score is out of its range.
        """
        run = self._test.started.run
        call = self.id_of(answer)
        said = read_call(run, call)
        value = read_score(score)
        if said.epoch == OVER:
            return False
        test = self._current()
        label = test.labels[said.variant]
        event = ABScored(run=run, call=call, unit=said.unit, variant=label, epoch=said.epoch, score=value)
        self._open().post(lambda: (event,), now=True)
        self._given += 1
        if test.ended is None and self._given >= self._next_review:
            self._next_review = max(self._given + _REVIEW_EVERY, int(self._given * _MORE))
            self._review(test.name)
        return test.ended is None

    def close(self) -> None:
        """Write what was recorded; it may be called after that all the same."""
        with self._opening:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def __repr__(self) -> str:
        return f"<ABRoute {self._test.name}: {', '.join(f'{k}={v}' for k, v in self._test.started.variants.items())}>"

    def _assigned(self, unit: object) -> tuple[ABTest, str, int, int]:
        test = self._current()
        key = unit_hash(test.started.run, unit)
        if test.ended is not None:
            return test, key, test.labels.index(test.ended.winner), OVER
        if test.started.strategy == "fixed":
            return test, key, variant_of(key, test.splits[0]), 0
        place, epoch = self._units.setdefault(key, (variant_of(key, test.splits[-1]), test.epoch))
        return test, key, place, epoch

    def _current(self) -> ABTest:
        # one thread looks, and the others go on with what there is
        if time.monotonic() >= self._next_look and self._looking.acquire(blocking=False):
            try:
                with suppress(SkillfleetError, OSError):  # a home out of reach: the test goes on as it was
                    test = self._tests.find(self._test.name)
                    if test.started.run == self._test.started.run:
                        self._look(test)
            finally:
                self._next_look = time.monotonic() + _LOOK_S
                self._looking.release()
        return self._test

    def _look(self, test: ABTest) -> None:
        """Take in how the test stands, and which units others have met, where a hash alone does not tell."""
        self._test = test
        if test.started.strategy == "fixed":
            return
        places = {label: place for place, label in enumerate(test.labels)}
        for stream in [s for s in streams(self._home.journal) if s.startswith(f"{_stream(test)}-")]:
            follower = self._followed.setdefault(stream, follow(self._home, stream))
            for event in follower.read():
                if event.kind in {"ab_answered", "ab_scored"}:
                    fields = event.fields
                    self._units.setdefault(fields["unit"], (places[fields["variant"]], fields["epoch"]))

    def _tell(
        self,
        test: ABTest,
        unit: str,
        met: tuple[int, int],
        started: float,
        tracked: Any,
        answer: object,
        error: str | None,
    ) -> None:
        latency = time.perf_counter() - started
        self.last_call = call = new_call(test.started.run, unit, *met)
        if hasattr(answer, "__dict__"):
            vars(answer)[_ID] = call
        if test.ended is not None:
            return
        event = ABAnswered(
            run=test.started.run,
            call=call,
            unit=unit,
            variant=test.labels[met[0]],
            epoch=met[1],
            latency_s=latency,
            cost_usd=None if tracked is None else self._cost(tracked.usage_data),
            error=error,
        )
        try:
            if error is not None:  # a provider may repeat the key it refuses
                program = self.programs[test.labels[met[0]]]
                self._open().redactor.add([dspy.settings.lm, *own_models(program)])
            self._open().post(lambda: (event,), now=True)
        except (SkillfleetError, OSError) as trouble:  # recording never breaks an answer
            self.trouble = f"calls are not recorded: {trouble}"

    def _cost(self, usage: Mapping[str, list[dict[str, Any]]]) -> float | None:
        total = 0.0
        for model, entries in usage.items():
            configured = dspy.settings.lm
            lm = configured if getattr(configured, "model", None) == model else SimpleNamespace(model=model)
            price = price_of(lm, self._prices)
            if price is None:
                return None
            total += sum(price.cost(*Tokens.of(entry)[:4]) for entry in entries)
        return total

    def _open(self) -> Journal:
        with self._opening:
            if self._journal is None:
                self._journal = journal = Journal(self._home, new_stream(_stream(self._test)))
                weakref.finalize(self, _close, journal)  # as the process ends, too
            return self._journal


def _stream(test: ABTest) -> str:
    return f"ab.{test.started.run}"


def _close(journal: Journal) -> None:
    with suppress(SkillfleetError, OSError):  # the process ends, and so does its disk perhaps
        journal.close()
