"""The loop of ``MIPROv2``: sets of demos, proposed instructions, and a Bayesian search among both."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from skillfleet_nb.optimizers.rehearsal.demos import filled
from skillfleet_nb.optimizers.rehearsal.run import State

if TYPE_CHECKING:
    from skillfleet_nb.optimizers.rehearsal.run import Rehearsal

_STARTUP_TRIALS = 10  # optuna's sampler draws by chance so long
_EXPLORES = (0.4, 0.9)  # how often it then leaves what scored well, by variable
_GIVEN, _LABELED, _UNSHUFFLED = -3, -2, -1  # the first seeds of sets of demos: none, labeled ones, all at their size
_RANKED = 0.1  # a combination, of the work of an evaluation
_VIEW = 10  # examples that the proposer looks at at once
_MOST_VIEWS = 9  # beyond the first one


class Plan(NamedTuple):
    """What MIPROv2 has decided on before it starts.

    Attributes
    ----------
    instructions, sets
        Candidates of each predictor's instruction, and sets of demos.
    bootstrapped, labeled
        Most demos of a set.
    zero_shot
        Whether demos only inform the proposer.
    trials
        Combinations tried.
    val, batch
        Validation examples used, and how many of them score a trial.
    minibatch, full_every
        Whether a trial is scored on a part, and after how many trials the best one is scored on all.
    """

    instructions: int
    sets: int
    bootstrapped: int
    labeled: int
    zero_shot: bool
    trials: int
    val: int
    batch: int
    minibatch: bool
    full_every: int


def miprov2(run: Rehearsal, plan: Plan) -> None:
    """Play the three steps: demos, instructions, search."""
    shape = run.shape
    demos = _demo_sets(run, plan)
    views = 1 + min(len(range(_VIEW, shape.train, _VIEW)), _MOST_VIEWS)
    for view in range(views):
        run.propose(1, min(_VIEW, shape.train), view)
    run.propose(1, 0, views)
    run.propose(3 * plan.instructions * shape.predictors, 0, 1.0)
    run.evaluate(run.start, "val", plan.val)
    search = _Search(run, plan.instructions, [0.0] if plan.zero_shot else demos, plan.val)
    number = 1  # the given program is the sampler's first trial
    last = plan.trials + plan.trials // plan.full_every + (plan.trials % plan.full_every != 0)
    for _ in run.rounds(plan.trials):
        number += 1
        search.trial(plan.batch)
        if plan.minibatch and (number % (plan.full_every + 1) == 0 or number == last):
            search.full()
            number += 1
    best_demos, rewritten = search.best()
    unscored = shape.val - plan.val if plan.minibatch or plan.val < shape.val else 0
    run.chosen(demos=best_demos, rewritten=rewritten, unscored=unscored, changed=bool(best_demos or rewritten))


def _demo_sets(run: Rehearsal, plan: Plan) -> list[float]:
    """Bootstrap the sets of demos; return how many demos each holds."""
    most, labeled = (3, 0) if plan.zero_shot else (plan.bootstrapped, plan.labeled)
    sizes = []
    for number in run.rounds(plan.sets):
        seed = number + _GIVEN
        if seed == _GIVEN:
            sizes.append(0.0)
        elif seed == _LABELED and labeled > 0:
            sizes.append(float(min(labeled, run.shape.train)))
        else:
            size = most if seed == _UNSHUFFLED else run.rng.randint(1, max(1, most))
            sizes.append(filled(run.bootstrap(size, labeled, key=seed), labeled, run.shape))
    return sizes


class _Search:
    """MIPROv2's Bayesian search: at first by chance, then mostly around what scored well."""

    def __init__(self, run: Rehearsal, instructions: int, demos: list[float], val: int) -> None:
        self._run, self._instructions, self._demos, self._val = run, instructions, demos, val
        self._explores = run.rng.uniform(*_EXPLORES)
        start = (0, 0) * run.shape.predictors
        self._scores: dict[tuple[int, ...], float] = {start: run.measured}
        self._full = {start}
        self._true: dict[tuple[int, ...], float] = {start: run.measured}
        self._tried = 1

    def trial(self, batch: int) -> None:
        """Score one combination on `batch` examples."""
        combination = self._next()
        self._tried += 1
        self._run.evaluate(self._program(combination), "val", batch)
        self._scores[combination] = self._score(combination)

    def full(self) -> None:
        """Score the best combination that has not been scored on all of validation."""
        partly = {c: s for c, s in self._scores.items() if c not in self._full}
        if partly:
            combination = max(partly, key=lambda c: partly[c])
            self._run.evaluate(self._program(combination), "val", self._val)
            self._full.add(combination)
        self._tried += 1

    def best(self) -> tuple[float, bool]:
        """Return the demos of the best program, and whether an instruction of it was proposed."""
        best = max(self._scores, key=lambda c: self._scores[c])
        return self._demos[best[1]], any(best[::2])

    def _next(self) -> tuple[int, ...]:
        rng = self._run.rng
        drawn = [
            rng.randrange(self._instructions if variable % 2 == 0 else len(self._demos))
            for variable in range(2 * self._run.shape.predictors)
        ]
        if self._tried < _STARTUP_TRIALS:
            return tuple(drawn)
        self._run.work += len(self._scores) * _RANKED
        ranked = sorted(self._scores, key=lambda c: -self._scores[c])
        good = ranked[: max(1, len(ranked) // 5)]
        source = rng.choice(good)
        return tuple(d if rng.random() < self._explores else s for d, s in zip(drawn, source, strict=True))

    def _score(self, combination: tuple[int, ...]) -> float:
        if combination not in self._true:
            helped = self._run.helped if any(self._demos[d] for d in combination[1::2]) else self._run.score
            self._true[combination] = self._run.measure(self._run.rng.gauss(helped, 0.05))
        return self._true[combination]

    def _program(self, combination: tuple[int, ...]) -> tuple[State, ...]:
        pairs = zip(combination[::2], combination[1::2], strict=True)
        return tuple(State(i, d, self._demos[d]) for i, d in pairs)
