"""How many model calls an optimizer makes: its loop, played through many times without a model.

An optimizer's number of calls depends on scores that nobody knows beforehand: how many traces succeed,
which proposals are taken, which programs come twice and are answered from the cache.  So an optimizer
plays its own loop on a :class:`Rehearsal`, which counts what a real run would ask, and
:func:`rehearsed` does so many times.  The spread of the counts is the interval.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

REHEARSALS = 60
LEVEL = 0.8
"""Level of every interval of a forecast."""


class Shape(NamedTuple):
    """What a number of calls depends on.

    Attributes
    ----------
    train, val
        Sizes of the splits.
    predictors
        Predictors of the program.
    score, solved
        Mean score of the given program, and the share of examples on which it is above 0; None where that is
        not known.
    per_run
        Calls of one run of the program; None is one for each predictor.
    cached
        Whether the model's answers are cached: what is asked twice is then bought once.
    repeats
        Share of proposals from one prompt that say the same again, in [0, 1]; None where that is not known.
    """

    train: int
    val: int
    predictors: int
    score: float | None = None
    per_run: float | None = None
    cached: bool = True
    repeats: float | None = None
    solved: float | None = None


@dataclass
class Use:
    """What one run of an optimizer asks of the models, as it may go.

    Attributes
    ----------
    task, task_cached
        Calls of the program's model: bought, and answered from the cache.
    prompt, prompt_cached
        Calls of the model that proposes or reflects.
    task_demos
        Demos in the prompts of the bought `task` calls, all together.
    task_rewritten
        How many of the bought `task` calls carry an instruction that was proposed.
    prompt_examples, prompt_texts
        Training examples, and earlier answers of the proposer, shown in the bought `prompt` calls, all together.
    prompt_runs, prompt_runs_demos
        How many of the bought `prompt` calls only run the program, and the demos in their prompts.
    unscored
        Validation examples on which the program it returns has still to be scored.
    demos, rewritten
        Demos in the prompt of the program it returns, and whether its instruction is a proposed one.
    changed
        Whether it returns another program than it was given.
    """

    task: float = 0.0
    task_cached: float = 0.0
    prompt: float = 0.0
    prompt_cached: float = 0.0
    task_demos: float = 0.0
    task_rewritten: float = 0.0
    prompt_examples: float = 0.0
    prompt_texts: float = 0.0
    prompt_runs: float = 0.0
    prompt_runs_demos: float = 0.0
    unscored: int = 0
    demos: float = 0.0
    rewritten: bool = False
    changed: bool = True

    @property
    def bought(self) -> float:
        """Calls that cost money."""
        return self.task + self.prompt

    @property
    def issued(self) -> float:
        """All calls, those answered from the cache too."""
        return self.bought + self.task_cached + self.prompt_cached


class Calls(NamedTuple):
    """The least and the most model calls to expect, cached ones included.

    `runs` holds the calls by role of many runs as they may go; an optimizer that cannot tell leaves it
    empty, and its calls count as the program's own.
    """

    low: int
    high: int
    runs: tuple[Use, ...] = ()


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
    """

    shape: Shape
    rng: random.Random
    use: Use = field(default_factory=Use)

    def __post_init__(self) -> None:
        given = self.shape.score
        # How well the program does is drawn as it may be: near what is known of it, or anything.
        self.score = self.rng.betavariate(1.6, 1.3) if given is None else _near(given, self.rng)
        # With demos a program mostly solves more: what bootstrapping and later candidates start from.
        left = self.rng.uniform(0.35, 0.95)
        self.helped = 1 - (1 - self.score) * left
        solved = self.score if self.shape.solved is None else _near(self.shape.solved, self.rng)
        self._succeeds = 1 - (1 - solved) * left
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

    def measure(self, score: float) -> float:
        """Draw what a program that solves a share of `score` solves of the validation set."""
        held = min(1.0, max(0.0, score))
        n = max(1, self.shape.val)
        drawn = self.rng.gauss(held, math.sqrt(held * (1 - held) / n))
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
        for at in range(1, len(program) + 1):
            key = (split, program[:at])
            own = (split, at, program[at - 1])
            new = unseen = self._unseen(key, n, size)
            if at > 1:  # an answer that stayed the same asks the next predictor the same
                new = (1 - self.steady) * unseen + self.steady * min(unseen, self._unseen(own, n, size))
            self._seen[key] = min(size, self._seen.get(key, 0.0) + unseen)
            self._seen[own] = min(size, self._seen.get(own, 0.0) + new)
            self.ask(new, program[at - 1], cached=n - new)

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
        found = tried = 0
        attempts = 0
        while found < demos and tried < self.shape.train:
            tried += 1
            for _ in range(rounds):
                attempts += 1
                if self.rng.random() < self._succeeds:
                    found += 1
                    break
        shown = min(labeled, self.shape.train)
        if prompt:
            calls = attempts * (self.shape.per_run or self.shape.predictors)
            self.use.prompt += calls
            self.use.prompt_runs += calls
            self.use.prompt_runs_demos += calls * shown
        else:
            teacher = tuple(State(s.instruction, ("teacher", key if shown else None), shown) for s in self.start)
            self.evaluate(teacher, f"train-{rounds}", attempts, of=self.shape.train * rounds)
        return found

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
        for at in range(1, len(program) + 1):
            self._seen[split, program[:at]] = self._seen[split, at, program[at - 1]] = n


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
    for at in range(n):
        one = Rehearsal(shape, random.Random(1_000_003 * at + 7))
        play(one)
        runs.append(one.use)
    issued = [use.issued for use in runs]
    return Calls(int(min(issued)), -int(-max(issued) // 1), tuple(runs))


def uses(calls: Calls) -> tuple[Use, ...]:
    """Return the runs as they may go, of an optimizer that only gave bounds too."""
    if calls.runs:
        return calls.runs
    return tuple(
        Use(task=calls.low + (calls.high - calls.low) * (at + 0.5) / REHEARSALS, changed=True)
        for at in range(REHEARSALS)
    )


def together(first: Use, second: Use) -> Use:
    """Add up two optimizers run one after the other; the second's program is returned."""
    summed = {
        name: getattr(first, name) + getattr(second, name)
        for name in (
            "task", "task_cached", "prompt", "prompt_cached", "task_demos", "task_rewritten", "prompt_examples",
            "prompt_texts", "prompt_runs", "prompt_runs_demos",
        )
    }  # fmt: skip
    return replace(
        second, **summed, demos=max(first.demos, second.demos), rewritten=first.rewritten or second.rewritten,
        changed=first.changed or second.changed, unscored=0,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _spread(score: float) -> tuple[float, float]:
    held = min(0.98, max(0.02, score))
    return 12 * held, 12 * (1 - held)


def _near(score: float, rng: random.Random) -> float:
    return rng.betavariate(*_spread(score))
