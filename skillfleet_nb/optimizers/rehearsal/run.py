"""A run of an optimizer, played without a model."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.optimizers.rehearsal.calls import REHEARSALS, Calls, Shape, Use

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator


_ATTEMPT = 0.02  # of the work of an evaluation
_HELPED = 0.7
"""Share of runs with anything better to find: 77 % of the 738 published in LangProBe ended above the given program."""

MOST_WORK = 10_000
"""Evaluations of a predictor that one rehearsal plays; the largest presets take some thousand."""


class State(NamedTuple):
    """What makes one predictor's prompt: two predictors of equal state are answered from the cache."""

    instruction: Hashable = 0
    demos: Hashable = 0
    n_demos: float = 0.0


@dataclass
class Rehearsal:
    """One run, played without a model; `shape` is of the task, `rng` decides what scores would.

    Parameters
    ----------
    shape
        Sizes.
    rng
        Where the unknown comes from.
    use
        What was counted so far.
    work
        What playing it took so far, in evaluations of a predictor.
    """

    shape: Shape
    rng: random.Random
    use: Use = field(default_factory=Use)
    work: float = 0.0

    def __post_init__(self) -> None:
        # How well the program does is drawn as it may be: near what is known of it, or anything.
        score = self.shape.score
        self.score = self.rng.betavariate(1.6, 1.3) if score is None else _near(score, self.rng)
        # With demos a program mostly solves more: what bootstrapping and later candidates start from.
        left = _left(self.rng.random())
        self.helped = max(0.0, 1 - (1 - self.score) * left)
        solved = self.score if self.shape.solved is None else _near(self.shape.solved, self.rng)
        self._succeeds = max(0.0, 1 - (1 - solved) * left)
        self.repeats = self.rng.uniform(0.0, 0.3) if self.shape.repeats is None else self.shape.repeats
        self.steady = self.rng.uniform(0.3, 1.0)  # answers that stay the same when their prompt changes
        self.measured = self.measure(self.score)  # what the run finds it to be on validation
        self._seen: dict[Hashable, float] = {}
        self.start: tuple[State, ...] = (State(),) * self.shape.predictors
        self._mark("val", self.start, self.shape.val)  # the run has scored the program as it was given
        self.use.unscored = self.shape.val

    @property
    def per_call(self) -> float:
        """Calls of one predictor in one run of the program."""
        return (self.shape.per_run or self.shape.predictors) / self.shape.predictors

    def rounds(self, n: int, *, grows: bool = False) -> Iterator[int]:
        """Count from 0 to `n` as ``range`` does, as far as it can be afforded; what was counted meanwhile is scaled up.

        Parameters
        ----------
        n
            Rounds of the loop; the first one is always played.
        grows
            Whether each round asks for as much again as the first one did, and not all the same.
        """
        since = replace(self.use)
        for number in range(n):
            share = number * (number + 1) / (n * (n + 1)) if grows else number / n
            if number and not self.affords(share, since):
                return
            yield number

    def affords(self, share: float, since: Use | None = None) -> bool:
        """Tell whether to play on; if not, what was counted `since` then is scaled up from this `share` of the loop."""
        if self.work < MOST_WORK:
            return True
        self.use.scale(share, since)
        return False

    def measure(self, score: float) -> float:
        """Draw what a program that solves a share of `score` solves of the validation set."""
        share = min(1.0, max(0.0, score))
        n = max(1, self.shape.val)
        drawn = self.rng.gauss(share, math.sqrt(share * (1 - share) / n))
        return min(1.0, max(0.0, round(drawn * n) / n))

    def evaluate(self, program: tuple[State, ...], split: str, n: float, *, of: float | None = None) -> None:
        """Run `program` on `n` random examples of a split; those it has run on before are cached.

        Parameters
        ----------
        program
            The state of each predictor; the first ones' answers reach the later ones.
        split
            ``"train"``, ``"val"``, or any other name of a set of examples.
        n, of
            How many examples, and the size of the set where it is neither of the two splits.
        """
        size = of if of is not None else (self.shape.train if split == "train" else self.shape.val)
        self.work += len(program)
        for depth, state in enumerate(program, 1):
            key = (split, program[:depth])
            own = (split, depth, state)
            new = unseen = self._unseen(key, n, size)
            if depth > 1:  # an answer that stayed the same asks the next predictor the same
                new = (1 - self.steady) * unseen + self.steady * min(unseen, self._unseen(own, n, size))
            self._seen[key] = min(size, self._seen.get(key, 0.0) + unseen)
            self._seen[own] = min(size, self._seen.get(own, 0.0) + new)
            self.ask(new, state, cached=n - new)

    def raced(self, program: tuple[State, ...], best: float, score: float) -> None:
        """Run `program`, which scores `score`, on validation until it cannot beat `best` any more.

        Hard examples come first: the losses it takes are met after as many examples at the earliest, and spread
        evenly among all at the latest.
        """
        share = 1.0
        if self.shape.raced and score <= best < 1:
            share = self.rng.uniform(1 - best, min(1.0, (1 - best) / max(1e-9, 1 - score)))
        elif self.shape.raced and best >= 1:
            share = 1 / max(1, self.shape.val)
        self.evaluate(program, "val", min(self.shape.val, math.ceil(share * self.shape.val) + self.shape.window))

    def _unseen(self, key: Hashable, n: float, size: float) -> float:
        if not self.shape.cached:
            return n
        return max(0.0, n * (1 - self._seen.get(key, 0.0) / size)) if size else 0.0

    def ask(self, n: float, state: State, *, cached: float = 0.0) -> None:
        """Count `n` bought runs of one predictor, and those answered from the cache."""
        self.use.task += n * self.per_call
        self.use.task_cached += cached * self.per_call
        self.use.task_demos += n * self.per_call * state.n_demos
        self.use.task_rewritten += n * self.per_call * (state.instruction != 0)

    def propose(self, n: float, examples: float = 0.0, texts: float = 0.0) -> None:
        """Count `n` calls of the proposing model, which show so many examples and earlier answers of its own each."""
        self.use.prompt += n
        self.use.prompt_examples += n * examples
        self.use.prompt_texts += n * texts

    def bootstrap(
        self, demos: int, labeled: int, *, rounds: int = 1, key: Hashable = None, prompt: bool = False
    ) -> int:
        """Run the program on training examples until `demos` traces succeed; return how many did.

        Parameters
        ----------
        demos, labeled
            Traces wanted, and labeled demos in the prompt meanwhile.
        rounds
            Attempts at an example.
        key
            What the prompts depend on: without labeled demos all sets ask the same, and it is None.
        prompt
            Whether the proposing model runs the program.
        """
        successes = tried = attempts = 0
        while successes < demos and tried < self.shape.train and (not tried or self.work < MOST_WORK):
            tried += 1
            for number in range(rounds):
                if number * _ATTEMPT > MOST_WORK:  # it hardly ever succeeds
                    attempts += rounds - number
                    break
                attempts += 1
                self.work += _ATTEMPT
                if self.rng.random() < self._succeeds:
                    successes += 1
                    break
        if successes < demos and tried < self.shape.train:  # too long to be played to its end
            goes_on = min(self.shape.train / tried, demos / successes if successes else math.inf)
            attempts, successes = round(attempts * goes_on), round(successes * goes_on)
            self.use.played /= goes_on
        shown = min(labeled, self.shape.train)
        if prompt:
            calls = attempts * (self.shape.per_run or self.shape.predictors)
            self.use.prompt += calls
            self.use.prompt_runs += calls
            self.use.prompt_runs_demos += calls * shown
        else:
            teacher = tuple(State(s.instruction, ("teacher", key if shown else None), shown) for s in self.start)
            self.evaluate(teacher, f"train-{rounds}", attempts, of=self.shape.train * rounds)
        return successes

    def chosen(self, *, demos: float = 0.0, rewritten: bool = False, unscored: int = 0, changed: bool = True) -> None:
        """Say what the optimizer returns."""
        self.use.demos, self.use.rewritten = demos, rewritten
        self.use.unscored, self.use.changed = unscored, changed

    def offered(self, *, demos: float = 0.0, rewritten: bool = False) -> None:
        """Say what the optimizer returns without a score: the run takes it unless validation speaks against it."""
        better = self.measure(self.helped) >= self.measured
        self.chosen(demos=demos, rewritten=rewritten, unscored=self.shape.val, changed=better)

    def happens(self, probability: float) -> bool:
        """Decide by chance."""
        return self.rng.random() < probability

    def _mark(self, split: str, program: tuple[State, ...], n: float) -> None:
        for depth, state in enumerate(program, 1):
            self._seen[split, program[:depth]] = self._seen[split, depth, state] = n


def rehearsed(shape: Shape, play: Callable[[Rehearsal], None], n: int = REHEARSALS) -> Calls:
    """Play a loop `n` times.

    Parameters
    ----------
    shape
        Sizes of the task.
    play
        Plays the optimizer's loop on a :class:`Rehearsal`.
    n
        How often.

    Returns
    -------
    Calls
        With one :class:`Use` a run; the same shape gives the same calls.

    Examples
    --------
    >>> twice = rehearsed(Shape(train=10, val=5, predictors=1), lambda r: r.evaluate(r.start, "train", 10))
    >>> twice.low, twice.high
    (10, 10)
    """
    runs = []
    for number in range(n):
        run = Rehearsal(shape, random.Random(1_000_003 * number + 7))
        play(run)
        runs.append(run.use)
    return Calls.of(runs)


def _left(drawn: float) -> float:
    """Turn a number drawn from [0, 1) into how much of what was wrong stays wrong: most searches help."""
    if drawn < _HELPED:
        return 0.35 + 0.6 * drawn / _HELPED
    return 0.95 + 0.25 * (drawn - _HELPED) / (1 - _HELPED)


@lru_cache(maxsize=4096)
def _spread(score: float) -> tuple[float, float]:
    share = min(0.98, max(0.02, score))
    return 12 * share, 12 * (1 - share)


def _near(score: float, rng: random.Random) -> float:
    return rng.betavariate(*_spread(score))
