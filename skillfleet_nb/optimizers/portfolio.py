"""Several searches under one budget, which goes round by round to those whose learning curves may reach the most.

All start small.  Then, by rounds, half as many as before get the next share, by the upper tail of what each may reach
with it, until one takes all that is left: successive halving (Jamieson, Talwalkar, "Non-stochastic best arm
identification and hyperparameter optimization", AISTATS 2016), but that a search which gets nothing only waits, as in
freeze-thaw optimisation (Swersky, Snoek, Adams, arXiv:1406.3896): it may go on in a later round, from where it stands.
That the best it may reach decides, and not its mean, is as in the bandits of a maximum (Cicirello, Smith, "The max
k-armed bandit", AAAI 2005).  What one does not use is shared out again.  From the second round on two kinds of
searches join: optimizers that go on from the best program of another, and crosses of what several have found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.format import points
from skillfleet_nb.optimizers.base import MemberResult, ShareDecision, Task
from skillfleet_nb.optimizers.members import (
    FEWEST,
    MembersParams,
    OfMembers,
    Search,
    lanes_of,
    optimism_of,
    stop_of,
)
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, Use, together, uses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.optimizers.base import Changes, Optimizer, Scoring, SideBySide
    from skillfleet_nb.typing import Program

CROSSES = "cross-breeding"
OVER_ONE = 1.5
"""Without a limit: so many times what its costliest member is forecast to ask."""
_TAIL = 0.9  # quantile of what may be reached
_PRIOR_CANDIDATES = 2.0  # that what is expected of a member counts for
_SPREAD = 0.08  # of candidates' scores, until some are known
_FADES = 0.85  # weight of a candidate against the one after it: a search moves on
_SECOND_HAND = 0.5  # of its gain, what an optimizer is expected to add to the program of another
_MOST_CROSSES = 4  # in a round
_LEAST_SHARE = 1.25  # candidates that a share has to reach for


class PortfolioParams(MembersParams):
    """Parameters of a portfolio."""

    members: tuple[str, ...] = Field(
        ("bootstrap_random_search", "infer_rules", "miprov2", "gepa"),
        description='optimizers, each alone or at a size ("miprov2 medium"), the most promising first',
    )
    requests: int | None = Field(
        None, ge=1, description="different requests of the whole search; by default what the limits pay for"
    )
    expected: dict[str, float] = Field(
        default_factory=dict, description="share of what is left to gain that each member is expected to win"
    )
    crossbreed: bool = Field(default=True, description="cross instructions of one member with demos of another")
    hand_on: bool = Field(default=True, description="let members go on from the best program of another")


@dataclass
class _Arm(Search):
    """A search of a portfolio.

    `expects` are mean and spread of its candidates' scores before any is known, `begins` the score that it starts from;
    `member` is whose optimizer it runs, None for crosses; `start` a program that it goes on from, and `changes` what in
    its programs is not as given.
    """

    expects: tuple[float, float] = (0.5, _SPREAD)
    begins: float = 0.0
    changes: frozenset[Changes] = frozenset()
    member: str | None = None
    start: Program | None = None
    scorings: tuple[Scoring, ...] = ()
    used: int = 0

    @property
    def best(self) -> Scoring | None:
        """The best that it has scored on all of validation."""
        return max((s for s in self.scorings if s.program is not None), key=lambda s: s.score, default=None)

    def again(self, find: Callable[[Task], Program | None], expects: tuple[float, float]) -> None:
        """Let it search once more, for something else."""
        self.find, self.expects, self.thread, self.has_ended = find, expects, None, False

    def tail(self, requests: float, size: int) -> float:
        """Forecast what it may reach with so many requests more, where a candidate takes about `size` of them."""
        # One that came to no candidate for what some take found nothing that is better than what it began with.
        scores = [s.score for s in self.scorings] or [self.begins] * (self.used // size)
        return tail(scores, self.expects, self.used, requests, size)


def tail(scores: Sequence[float], expects: tuple[float, float], used: int, requests: float, size: int) -> float:
    """Return the upper end of what a search may reach: the best of the candidates so far and of those to come.

    Candidates are taken as draws from a normal distribution, of which the later ones tell more, and which is shrunk
    to what was expected of the search before it had any.

    Parameters
    ----------
    scores
        Of its candidates so far, in order.
    expects
        Mean and standard deviation before any is known.
    used, requests
        Made so far, and those it would get.
    size
        Requests that a candidate takes about, until it is known.

    Examples
    --------
    >>> rising, flat = [0.5, 0.6, 0.7], [0.6, 0.6, 0.6]
    >>> tail(rising, (0.6, 0.1), 300, 300, 100) > tail(flat, (0.6, 0.1), 300, 300, 100)
    True
    >>> tail(flat, (0.6, 0.1), 300, 600, 100) > tail(flat, (0.6, 0.1), 300, 100, 100)
    True
    """
    prior_mean, prior_sd = expects
    weights = [_FADES ** (len(scores) - 1 - n) for n in range(len(scores))]
    total = _PRIOR_CANDIDATES + sum(weights)
    mean = (_PRIOR_CANDIDATES * prior_mean + sum(w * s for w, s in zip(weights, scores, strict=True))) / total
    squares = sum(w * (s - mean) ** 2 for w, s in zip(weights, scores, strict=True))
    sd = math.sqrt((_PRIOR_CANDIDATES * (prior_sd**2 + (prior_mean - mean) ** 2) + squares) / total)
    coming = requests / max(1.0, used / len(scores)) if scores else (used + requests) / size
    reach = mean + sd * NormalDist().inv_cdf(_TAIL ** (1 / max(1.0, coming))) if sd > 0 else mean
    best = max(scores, default=0.0)
    # With less than a candidate takes, none may come.
    return min(1.0, max(best, best + min(1.0, coming) * (reach - best)))


@dataclass
class _State:
    """Where a portfolio stands between two rounds: its searches, the requests that are `left`, and the round.

    `size` is how many requests a candidate takes about.
    """

    task: Task
    lanes: SideBySide
    arms: list[_Arm]
    size: int
    left: float
    round: int = 0
    crossed: set[tuple[str, str]] = field(default_factory=set)

    @property
    def found(self) -> list[tuple[_Arm, Scoring]]:
        """Searches that found something, with the best of it, the best first; of equals the one named first."""
        pairs = [(arm, best) for arm in self.arms if (best := arm.best) is not None]
        return sorted(pairs, key=lambda pair: -pair[1].score)

    def give(
        self, share: float, chosen: Sequence[_Arm], reasons: Mapping[str, str], tails: Mapping[str, float]
    ) -> None:
        """Give each of the chosen so many requests, tell why, and wait until they are used up."""
        self.round += 1
        for arm in self.arms:
            requests, best = int(share) if arm in chosen else 0, arm.best
            if arm.name in reasons:
                self.lanes.shared(
                    ShareDecision(
                        self.round, arm.name, requests, arm.used, None if best is None else best.score,
                        tails.get(arm.name), reasons[arm.name],
                    )
                )  # fmt: skip
        shares = ", ".join(f"{arm.name} ({reasons[arm.name]})" for arm in chosen)
        self.task.say(f"round {self.round}: {int(share):,} requests to {shares}")
        for arm in chosen:
            self.lanes.give(arm.name, int(share))
            if arm.thread is None:
                arm.begin(self.task, start=arm.start)
        self.lanes.settle([arm.name for arm in chosen])
        for arm in chosen:
            used = self.lanes.used(arm.name)
            arm.scorings, arm.used, self.left = tuple(self.lanes.scorings(arm.name)), used, self.left - used + arm.used


class Portfolio(OfMembers):
    """Start several optimizers, move the budget to those that gain, and return the best program by validation."""

    name = "portfolio"
    summary = "several optimizers, the budget goes to those that gain"
    Params = PortfolioParams
    params: PortfolioParams

    @override
    def calls(self, shape: Shape) -> Calls:
        per_run = shape.per_run or shape.predictors
        requests = self._requests(shape)
        runs = []
        for parts in zip(*(uses(o.expected_calls(shape)) for o in self.optimizers().values()), strict=True):
            whole = Use(task_cached=shape.val * per_run)
            for own in parts:
                whole = together(whole, own)
                whole.task += own.unscored * per_run
            # Others go on from what is found: all that was given is mostly used.
            runs.append(_scaled(whole, requests / max(1.0, whole.bought)))
        return Calls.of(runs)

    def _requests(self, shape: Shape) -> int:
        """Return how many requests are shared out."""
        if self.params.requests is not None:
            return self.params.requests
        played = (uses(optimizer.expected_calls(shape)) for optimizer in self.optimizers().values())
        return math.ceil(OVER_ONE * max(fmean(use.bought for use in runs) for runs in played))

    @override
    def compile(self, task: Task) -> Program:
        predictors = len(list(task.program.predictors()))
        shape = Shape(len(task.train), len(task.val), max(1, predictors), raced=True)
        lanes, members = lanes_of(task), self.able(task)
        arms = [
            _Arm(name, partial(_found, optimizer), expects=self._expects(name, optimizer, lanes.baseline),
                begins=lanes.baseline,
                 changes=optimizer.changes, member=name)
            for name, optimizer in members.items()
        ]  # fmt: skip
        state = _State(task, lanes, arms, shape.val * shape.predictors, float(self._requests(shape)))
        try:
            self._rounds(state, members)
        finally:
            for arm in state.arms:
                lanes.end(arm.name)
            for arm in state.arms:
                arm.join()
        return _best(state)

    def _expects(self, name: str, optimizer: Optimizer, start: float, share: float = 1.0) -> tuple[float, float]:
        """Return mean and spread of the candidates that a member is expected to score, from a program of `start`."""
        declared = max((preset.prior_gain for preset in optimizer.presets), default=0.1)
        gain = self.params.expected.get(name, declared) * share
        return start + gain * (1 - start), _SPREAD

    def _rounds(self, state: _State, members: Mapping[str, Optimizer]) -> None:
        """Share the budget out until it is used up, or nobody can go on."""
        rounds = 1 + math.ceil(math.log2(max(FEWEST, len(members))))
        least = _LEAST_SHARE * state.size
        first = min(state.left, max(state.left / rounds, least))
        width = min(len(members), max(1, int(first // least)))
        started = state.arms[:width]
        why = f"{width} of {len(members)} start, as many as the budget lets score a candidate"
        why = "all start small" if width == len(members) else why
        state.give(first / width, started, {arm.name: why for arm in started}, {})
        while state.left >= 1 and stop_of(state.arms) is None:
            state.arms[:] = [arm for arm in state.arms if arm.thread is not None or arm.used or arm.member == arm.name]
            state.arms += self._joining(state, members)
            live = [arm for arm in state.arms if not arm.has_ended]
            if not live:
                return
            part = state.left / (rounds - state.round) if state.round < rounds else max(2 * state.size, state.left / 3)
            part = min(state.left, max(part, least))
            width = max(1, min(len(live), width // 2, int(part // least)))
            share = max(1.0, part / width)
            tails = {arm.name: arm.tail(share, state.size) for arm in live}
            ranked = sorted(live, key=lambda arm: -tails[arm.name])  # of equals the one named first
            state.give(share, ranked[:width], _reasons(ranked, width, tails), tails)

    def _joining(self, state: _State, members: Mapping[str, Optimizer]) -> list[_Arm]:
        """Propose what goes on from what was found: members from another's best program, and crosses."""
        joining: list[_Arm] = []
        finds = state.found
        if not finds:
            return []
        top, best = finds[0]
        taken = {arm.name for arm in state.arms}
        for name, optimizer in members.items() if self.params.hand_on else ():
            made = f"{name} from {top.name}"
            if name != top.member and top.changes & optimizer.builds_on and made not in taken:
                expects = self._expects(name, optimizer, best.score, _SECOND_HAND)
                joining.append(
                    _Arm(made, partial(_found, optimizer), expects=expects, changes=top.changes | optimizer.changes,
                         member=name, start=_like(state.task.program, best.program), begins=best.score)
                )  # fmt: skip
        crosses = next((arm for arm in state.arms if arm.name == CROSSES), None)
        is_free = crosses is None or crosses.has_ended
        if self.params.crossbreed and is_free and (pairs := _pairs(state)):
            expects = (fmean(best.score for pair in pairs for _, best in pair), _SPREAD / 2)
            find = partial(_crossed, state, pairs)
            if crosses is None:
                both: frozenset[Changes] = frozenset({"instructions", "demos"})
                joining.append(_Arm(CROSSES, find, expects=expects, changes=both))
            else:
                crosses.again(find, expects)
        return joining


def _scaled(use: Use, factor: float) -> Use:
    for name in ("task", "prompt", "task_demos", "task_rewritten", "prompt_examples", "prompt_texts", "prompt_runs",
                 "prompt_runs_demos"):  # fmt: skip
        setattr(use, name, getattr(use, name) * min(1.0, factor))
    return use


def _reasons(ranked: Sequence[_Arm], width: int, tails: Mapping[str, float]) -> dict[str, str]:
    """Say of each search why it gets a share, or has to wait."""
    reasons, bar = {}, points(tails[ranked[width - 1].name])
    for n, arm in enumerate(ranked):
        stands = f"stands at {points(arm.best.score)}, " if arm.best is not None else ""
        waits = "" if n < width else f": those that go on may reach {bar}"
        reasons[arm.name] = f"{stands}may reach {points(tails[arm.name])}{waits}"
    return reasons


def _found(optimizer: Optimizer, task: Task) -> Program:
    """Search, and score what is found where the search itself does not score on validation: else it is cached."""
    program = optimizer.compile(task)
    _evaluate(task, program)
    return program


def _evaluate(task: Task, program: Program) -> None:
    import dspy

    with lanes_of(task).judging():
        dspy.Evaluate(devset=list(task.val), metric=task.metric, num_threads=task.num_threads)(program)


_Pair = tuple[tuple["_Arm", "Scoring"], tuple["_Arm", "Scoring"]]


def _pairs(state: _State) -> list[_Pair]:
    """Return pairs of searches, of which the first gives instructions and the second demos, the best first."""
    finds = state.found
    pairs = [
        (one, other)
        for one in finds
        for other in finds
        if one is not other and _are_worth_crossing(one[1], other[1]) and _key((one, other)) not in state.crossed
    ]
    return sorted(pairs, key=lambda pair: -sum(best.score for _, best in pair))[:_MOST_CROSSES]


def _key(pair: _Pair) -> tuple[str, str]:
    (one, first), (other, second) = pair
    return f"{one.name} {first.used}", f"{other.name} {second.used}"


def _are_worth_crossing(one: Scoring, other: Scoring) -> bool:
    """Tell whether a cross would be a program that neither is."""
    first, second = one.program.predictors(), other.program.predictors()
    other_words = any(a.signature.instructions != b.signature.instructions for a, b in zip(first, second, strict=True))
    other_demos = any(list(a.demos) != list(b.demos) for a, b in zip(first, second, strict=True))
    return other_words and other_demos and any(b.demos for b in second)


def _crossed(state: _State, pairs: Sequence[_Pair], task: Task) -> None:
    """Score programs with the instructions of one and the demos of another."""
    state.crossed.update(_key(pair) for pair in pairs)
    for (one, first), (other, second) in pairs:
        task.say(f"instructions of {one.name}, demos of {other.name}")
        _evaluate(task, _like(task.program, second.program, words=first.program))


def _like(program: Program, source: Program, *, words: Program | None = None) -> Program:
    """Return a copy of the given program with what was found in another; its instructions may be a third one's."""
    made = program.deepcopy()
    instructing = (source if words is None else words).predictors()
    for own, other, instructed in zip(made.predictors(), source.predictors(), instructing, strict=True):
        own.signature, own.demos = instructed.signature, list(other.demos)
    return made


def _best(state: _State) -> Program:
    """Tell what every search came to, and return the best program by validation."""
    finds = state.found
    if not finds:
        errors = [stop_of(state.arms), *(arm.error for arm in state.arms if isinstance(arm.error, Exception))]
        if (error := next((e for e in errors if e is not None), None)) is not None:
            raise error
        state.task.say("no member scored a candidate within its share: give a larger budget")
        return state.task.program
    optimism = optimism_of([best.rows for _, best in finds], state.task.seed)
    for n, (arm, best) in enumerate(finds):
        result = MemberResult(arm.name, best.program, best.score, n == 0, optimism if n == 0 else None)
        state.lanes.told(result)
    return finds[0][1].program
