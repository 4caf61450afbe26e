"""Evolution: a population of programs, bred from one another by reflection, paraphrase and crossing.

A genome holds the signature and the demos of each predictor.  In each generation parents are chosen by tournaments on
their scores, and children are made of them by operators, of which those are taken more often whose children survived.
Nothing that was there before is scored again.  Children are screened on the validation examples that the population
disagrees on; the best of them are scored on all of validation, and those survive that score best, and of the rest
those that stand in the first fronts over score, tokens and length, the least crowded first (see ``fronts``).
"""

from __future__ import annotations

import math
import random
from collections import Counter
from functools import partial
from statistics import pvariance
from typing import TYPE_CHECKING, Any

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.format import counted, points
from skillfleet_nb.lm.faults import in_short
from skillfleet_nb.optimizers.base import Bred, Optimizer, OptimizerParams, Preset, Proposals, Task, Tier
from skillfleet_nb.optimizers.breeding import Demos, Individual, crossed, demo_pools, genome_of, individual, shows
from skillfleet_nb.optimizers.failures import Failures, Row
from skillfleet_nb.optimizers.fronts import order_of, ranks
from skillfleet_nb.optimizers.reflection import Reflector, paraphrased
from skillfleet_nb.optimizers.rehearsal import Calls, Shape, rehearsed
from skillfleet_nb.optimizers.rehearsal.evolve import REFLECTED_ON, evolve, promoted, screened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.typing import Example, Program

_ATTEMPTS = 6  # at a child, until one is new
_ELITE = 0.5  # of a population: those that score best survive, whatever they cost


class EvolveParams(OptimizerParams):
    """Parameters of evolution."""

    population: int = Field(12, ge=2, le=200, description="programs that survive a generation")
    generations: int = Field(8, ge=1, le=1000, description="generations after the first, at most")
    patience: int = Field(3, ge=1, description="generations without a gain after which it ends")
    tournament: int = Field(3, ge=1, description="programs drawn for each parent, of which the best is taken")
    promoted: float = Field(0.34, gt=0, le=1, description="share of the children that is scored on all of validation")
    screen: float = Field(0.25, gt=0, le=1, description="share of validation that children are screened on")
    max_demos: int = Field(16, ge=0, description="demos of a predictor; 0 evolves instructions alone")
    examples: int = Field(24, ge=1, description="failures shown to the model that reflects")
    sample: int = Field(100, ge=1, description="training examples, at most, that the given program runs on")


class Evolve(Optimizer):
    """Breed programs from one another, and return the one that scores best on validation."""

    name = "evolve"
    summary = "a population of programs, bred by reflection, paraphrase and crossing"
    changes = frozenset({"instructions", "demos"})
    builds_on = frozenset({"instructions", "demos"})
    needs = "best with a metric that returns dspy.Prediction(score, feedback)"
    presets = (Preset(params={"population": 6, "generations": 6}, prior_gain=0.161, tier=Tier.LIGHT),)
    prompt_role = "reflection"
    Params = EvolveParams
    params: EvolveParams
    proposals = Proposals(
        template=700, per_example=2.5, answer=150, answer_label=45, instruction=100, instruction_label=52
    )

    @override
    def calls(self, shape: Shape) -> Calls:
        return rehearsed(shape, partial(evolve, params=self.params))

    @override
    def build(self, task: Task) -> Any:
        from dspy.teleprompt import Teleprompter

        params = self.params

        class Evolution(Teleprompter):  # type: ignore[misc]  # dspy is untyped
            """The search in the form of DSPy's own optimizers."""

            def compile(self, student: Any, *, trainset: Any, valset: Any, teacher: object = None) -> Any:
                del teacher
                return _Evolution(task, params, trainset, valset).run(student)

        return Evolution()


class _Evolution:
    """One run: a first generation, and those bred from it."""

    def __init__(self, task: Task, params: EvolveParams, train: Sequence[Example], val: Sequence[Example]) -> None:
        self._task, self._params, self._val = task, params, list(val)
        self._rng = random.Random(task.seed)
        self._train = list(train) if len(train) <= params.sample else self._rng.sample(list(train), params.sample)
        self._reflector = Reflector(task)
        self._shown: Counter[int] = Counter()
        self._bred: Counter[str] = Counter()
        self._survived: Counter[str] = Counter()
        self._keys: set[str] = set()

    def run(self, program: Program) -> Program:
        """Evolve until all generations are used, none gains any more, or one is perfect."""
        first = individual(program, genome_of(program), "given", ())
        self._keys.add(first.key)
        self._score(first)
        self._task.say("running the given program on training examples")
        rows = [row for row in self._reflector.scored(program, self._train) if row is not None]
        self._failures = {first.key: Failures.of(rows)}
        right = self._reflector.steps(program, self._failures[first.key].right) if self._params.max_demos else []
        self._demos = Demos(demo_pools(program, self._train, right), self._params.max_demos)
        population, waited = [first], 0
        for generation in range(self._params.generations + 1):
            best = population[0].score or 0.0
            stage = f"generation {generation} of {self._params.generations}: best {points(best)}"
            self._task.say(f"{stage}, breeding")
            children = self._children(population, generation)
            if not children:
                self._task.say("nothing new can be bred")
                break
            population = self._judged(population, children, generation, stage)
            waited = 0 if (population[0].score or 0.0) > best else waited + 1
            if (population[0].score or 0.0) >= 1 or waited > self._params.patience:
                break
        return population[0].program

    def _children(self, population: Sequence[Individual], generation: int) -> list[Individual]:
        """Breed as many children as the population holds, of which none was there before."""
        children: list[Individual] = []
        n = self._params.population
        for place in range(n):
            for _ in range(_ATTEMPTS):
                child = self._founder(population[0], place) if generation == 0 else self._child(population)
                if child is not None and child.key not in self._keys:
                    self._keys.add(child.key)
                    children.append(child)
                    break
        return children

    def _founder(self, first: Individual, place: int) -> Individual | None:
        """Make one of the first generation: other demos, other instructions, or both."""
        rewritten = place % 2 == 0 or not self._demos.are_there
        made = self._reflected(first) if rewritten else first
        if made is None or not self._demos.are_there or place == 0:
            return made
        return self._made(
            self._demos.drawn(made.genome, self._rng), made.operator if rewritten else "draw demos", first
        )

    def _child(self, population: Sequence[Individual]) -> Individual | None:
        """Choose an operator and parents, and breed."""
        one = self._parent(population)
        other = self._parent([own for own in population if own is not one] or population)
        operator = self._operator(population)
        self._bred[operator] += 1
        if operator == "reflect":
            return self._reflected(one)
        if operator == "paraphrase":
            return self._paraphrased(one)
        if operator == "cross":
            return self._made(crossed(one.genome, other.genome, self._rng), operator, one, other)
        if operator == "mix demos":
            return self._made(self._demos.mixed(one.genome, other.genome, self._rng), operator, one, other)
        if operator == "draw demos":
            return self._made(self._demos.drawn(one.genome, self._rng), operator, one)
        return self._made(self._demos.swapped(one.genome, self._rng), operator, one)

    def _operator(self, population: Sequence[Individual]) -> str:
        """Choose an operator by how often its children survived."""
        operators = ["reflect", "paraphrase"]
        operators += ["cross"] if len(population) > 1 else []
        operators += ["swap demos", "draw demos"] if self._demos.are_there else []
        operators += ["mix demos"] if self._demos.are_there and len(population) > 1 else []
        weights = [(self._survived[name] + 1) / (self._bred[name] + 2) for name in operators]
        return self._rng.choices(operators, weights)[0]

    def _parent(self, population: Sequence[Individual]) -> Individual:
        """Let some compete: the best by score is taken, of equals the one that sends less."""
        drawn = self._rng.sample(list(population), min(self._params.tournament, len(population)))
        return min(drawn, key=_standing)

    def _made(self, genome: Any, operator: str, *parents: Individual) -> Individual:
        return individual(parents[0].program, genome, operator, parents)

    def _reflected(self, parent: Individual) -> Individual | None:
        """Let the model rewrite the signature of one predictor for what fails."""
        failures = self._failures_of(parent)
        if not failures.rows:
            return None
        wrong = failures.chosen(self._params.examples, self._shown, self._rng)
        right = failures.kept(max(1, self._params.examples // 2), self._shown, self._rng)
        self._shown.update(id(row.example) for row in (*wrong, *right))
        names = {self._rng.choice([name for name, _ in parent.program.named_predictors()])}
        proposal = self._reflector.propose(parent.program, failures.told(), wrong, right, names=names)
        return None if proposal is None else self._made(genome_of(proposal.program), "reflect", parent)

    def _failures_of(self, parent: Individual) -> Failures:
        if parent.key not in self._failures:
            unshown = [example for example in self._train if not shows(parent.genome, example)] or self._train
            examples = self._rng.sample(unshown, min(REFLECTED_ON, len(self._val), len(unshown)))
            scored: list[Row | None] = self._reflector.scored(parent.program, examples)
            self._failures[parent.key] = Failures.of([row for row in scored if row is not None])
        return self._failures[parent.key]

    def _paraphrased(self, parent: Individual) -> Individual | None:
        name = self._rng.choice([name for name, _ in parent.program.named_predictors()])
        try:
            program = paraphrased(self._task, parent.program, name, self._rng)
        except Exception as exc:  # noqa: BLE001  an answer that cannot be read or made is a child less
            self._task.say(f"no paraphrase could be read: {in_short(exc)}")
            return None
        return self._made(genome_of(program), "paraphrase", parent)

    def _judged(
        self, population: list[Individual], children: list[Individual], generation: int, stage: str
    ) -> list[Individual]:
        """Score children, and return who survives, the best first."""
        places, left = self._screening(population), list[Individual]()
        if places:
            self._task.say(f"{stage}, screening {counted(children, 'new program')}")
            for child in children:
                self._run(child, places)
                child.screened = child.mean(places)
            children = sorted(children, key=lambda child: -child.mean(places))
            keep = promoted(self._params.population, self._params.promoted, generation)
            children, left = children[:keep], children[keep:]
        for child in children:
            self._task.say(f"{stage}, scoring a program of {child.operator}")
            self._score(child)
        everyone = sorted([*population, *children], key=_standing)
        fronts = ranks([_values(own) for own in everyone])
        survivors = _surviving(everyone, self._params.population)
        self._survived.update(child.operator for child in children if child in survivors)
        for own, front in [*zip(everyone, fronts, strict=True), *((child, None) for child in left)]:
            self._tell(own, generation, front, survives=own in survivors)
        return survivors

    def _tell(self, own: Individual, generation: int, front: int | None, *, survives: bool) -> None:
        parents = [parent.program for parent in own.parents]
        self._task.bred(
            Bred(
                generation, own.program, own.operator, parents, own.score, own.screened, own.tokens, own.length,
                front, survives,
            )
        )  # fmt: skip

    def _screening(self, population: Sequence[Individual]) -> list[int]:
        """Choose the validation examples that tell children apart: those on which the population disagrees most."""
        n = len(self._val)
        size = screened(n, self._params.screen)
        spread = [pvariance([own.rows[place] for own in population]) for place in range(n)]
        order = {place: self._rng.random() for place in range(n)}
        return sorted(range(n), key=lambda place: (-spread[place], order[place]))[:size]

    def _score(self, own: Individual) -> None:
        """Score a program on all of validation."""
        self._run(own, range(len(self._val)))
        own.score = own.mean(range(len(self._val)))

    def _run(self, own: Individual, places: Sequence[int]) -> None:
        import dspy

        self._task.lineage(own.program, [parent.program for parent in own.parents])
        evaluate = dspy.Evaluate(
            devset=[self._val[place] for place in places], metric=self._task.metric,
            num_threads=self._task.num_threads, max_errors=len(places) + 1,
        )  # fmt: skip
        for place, (_, _, score) in zip(places, evaluate(own.program).results, strict=True):
            own.rows[place] = float(score)


def _standing(own: Individual) -> tuple[float, int]:
    return (-(own.score or 0.0), own.tokens)


def _surviving(everyone: Sequence[Individual], n: int) -> list[Individual]:
    """Choose who goes on, of programs in the order of their scores; they stay in that order."""
    elite = everyone[: max(1, math.ceil(_ELITE * n))]
    rest = everyone[len(elite) :]
    others = order_of([_values(own) for own in rest])[: n - len(elite)]
    return [*elite, *(rest[i] for i in sorted(others))]


def _values(own: Individual) -> tuple[float, float, float]:
    """Return what counts of a program: its score, and that it sends few tokens and says little."""
    return (own.score or 0.0, -float(own.tokens), -float(own.length))
