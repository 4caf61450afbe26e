"""Numbers of model calls: what they depend on, and what they came to in runs as they may go."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

REHEARSALS = 60
LEVEL = 0.8
"""Level of every interval of a forecast."""
COUNTS = (
    "task", "task_cached", "prompt", "prompt_cached", "task_demos", "task_rewritten", "prompt_examples",
    "prompt_texts", "prompt_runs", "prompt_runs_demos",
)  # fmt: skip
"""What of a :class:`Use` adds up."""


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
    raced
        Whether evaluations end that can no longer win, of loops that only take a maximum.
    window
        Examples that such an evaluation still asks, for several are asked at the same time.
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
    raced: bool = False
    window: int = 0


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
    played
        Share of the search that was played, in (0, 1]; the counts are scaled up from it.
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
    played: float = 1.0

    @property
    def bought(self) -> float:
        """Calls that cost money."""
        return self.task + self.prompt

    @property
    def issued(self) -> float:
        """All calls, those answered from the cache too."""
        return self.bought + self.task_cached + self.prompt_cached

    def scale(self, share: float, since: Use | None = None) -> None:
        """Multiply what was counted `since` then, which is this `share` of what there is to count."""
        for name in COUNTS:
            before = getattr(since, name) if since is not None else 0.0
            setattr(self, name, before + (getattr(self, name) - before) / share)
        self.played *= share


class Calls(NamedTuple):
    """The least and the most model calls to expect, cached ones included.

    `runs` holds the calls by role of many runs as they may go; an optimizer that cannot tell leaves it
    empty, and its calls count as the program's own.
    """

    low: int
    high: int
    runs: tuple[Use, ...] = ()

    @classmethod
    def of(cls, runs: Sequence[Use]) -> Calls:
        """Bound the calls of runs as they may go."""
        issued = [run.issued for run in runs]
        return cls(math.floor(min(issued)), math.ceil(max(issued)), tuple(runs))


def uses(calls: Calls) -> tuple[Use, ...]:
    """Return the runs as they may go, of an optimizer that only gave bounds too."""
    if calls.runs:
        return calls.runs
    return tuple(
        Use(task=calls.low + (calls.high - calls.low) * (number + 0.5) / REHEARSALS, changed=True)
        for number in range(REHEARSALS)
    )


def together(first: Use, second: Use) -> Use:
    """Add up two optimizers run one after the other; the second's program is returned."""
    summed = {name: getattr(first, name) + getattr(second, name) for name in COUNTS}
    return replace(
        second, **summed, demos=max(first.demos, second.demos), rewritten=first.rewritten or second.rewritten,
        changed=first.changed or second.changed, unscored=0, played=min(first.played, second.played),
    )  # fmt: skip
