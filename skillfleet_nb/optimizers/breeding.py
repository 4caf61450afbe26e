"""What evolution breeds: programs as genes, and the operators on them that ask no model."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from skillfleet_nb.data.labels import label_text
from skillfleet_nb.optimizers.failures import in_turns
from skillfleet_nb.programs.state import dump_state, program_id

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.optimizers.failures import Row
    from skillfleet_nb.typing import Example, Program

_CHARS_PER_TOKEN = 4
_SWAPPED = 0.25  # of the demos of a set


@dataclass(frozen=True)
class Gene:
    """What evolves of one predictor: its signature, and its demos."""

    signature: Any
    demos: tuple[Any, ...]


Genome = tuple[Gene, ...]


@dataclass
class Individual:
    """A program of a population.

    Attributes
    ----------
    genome, program, key
        Its genes, the program that has them, and the hash of its content.
    operator, parents
        What made it, and of whom.
    tokens, length
        Tokens of instructions and demos that it sends with each answer, about, and words of its instructions.
    rows
        Score of each validation example on which it has run, by place.
    score
        Mean on all of validation; None where it was not worth that.
    screened
        Mean on those it was screened on, where it was.
    """

    genome: Genome
    program: Program
    key: str
    operator: str
    parents: tuple[Individual, ...] = field(default=(), repr=False)
    tokens: int = 0
    length: int = 0
    rows: dict[int, float] = field(default_factory=dict, repr=False)
    score: float | None = None
    screened: float | None = None

    def mean(self, places: Sequence[int]) -> float:
        """Return its mean on some validation examples that it has run on."""
        return sum(self.rows[place] for place in places) / len(places)


def genome_of(program: Program) -> Genome:
    """Read the genes of a program."""
    return tuple(Gene(predictor.signature, tuple(predictor.demos)) for predictor in program.predictors())


def individual(like: Program, genome: Genome, operator: str, parents: tuple[Individual, ...]) -> Individual:
    """Make a program of genes, in the form of another."""
    program = like.deepcopy()
    for predictor, gene in zip(program.predictors(), genome, strict=True):
        predictor.signature, predictor.demos = gene.signature, list(gene.demos)
    words = [gene.signature.instructions for gene in genome]
    described = [str(f.json_schema_extra.get("desc")) for gene in genome for f in gene.signature.fields.values()]
    demos = [json.dumps(dict(demo), default=str, ensure_ascii=False) for gene in genome for demo in gene.demos]
    return Individual(
        genome, program, program_id(dump_state(program)), operator, parents,
        tokens=math.ceil(sum(map(len, words + described + demos)) / _CHARS_PER_TOKEN),
        length=sum(len(text.split()) for text in words),
    )  # fmt: skip


def shows(genome: Genome, example: Example) -> bool:
    """Tell whether an example is among the demos, as it is or as a run on its inputs: then its answer is copied."""
    asked = example.inputs().toDict().items()
    return any(
        all(name in demo and demo[name] == value for name, value in asked) for gene in genome for demo in gene.demos
    )


@dataclass(frozen=True)
class Demos:
    """What each predictor's demos are drawn from, and how many it has at most.

    Attributes
    ----------
    pools
        Of each predictor.
    most
        Demos of one predictor.
    """

    pools: tuple[tuple[Any, ...], ...]
    most: int

    @property
    def are_there(self) -> bool:
        """Whether any predictor has some to draw."""
        return self.most > 0 and any(self.pools)

    def drawn(self, genome: Genome, rng: random.Random) -> Genome:
        """Give every predictor a new set: of as many as it may have, of every answer in turn."""
        return tuple(
            replace(gene, demos=self._set(pool, gene, rng)) for gene, pool in zip(genome, self.pools, strict=True)
        )

    def _set(self, pool: Sequence[Any], gene: Gene, rng: random.Random) -> tuple[Any, ...]:
        groups: dict[str, list[Any]] = {}
        for demo in rng.sample(pool, len(pool)):
            answer = {name: demo.get(name) for name in gene.signature.output_fields if name != "reasoning"}
            groups.setdefault(label_text(answer), []).append(demo)
        drawn = in_turns(list(groups.values()), self.most)
        rng.shuffle(drawn)
        return tuple(drawn)

    def swapped(self, genome: Genome, rng: random.Random) -> Genome:
        """Replace a quarter of the demos of one predictor by others, or give it some more."""
        able = [n for n, pool in enumerate(self.pools) if len(pool) > len(genome[n].demos)]
        if not able or not self.most:
            return genome
        n = rng.choice(able)
        demos = list(genome[n].demos)
        others = [demo for demo in self.pools[n] if demo not in demos]
        several = min(len(others), max(1, round(_SWAPPED * len(demos))))
        rng.shuffle(demos)
        kept = demos if len(demos) + several <= self.most and rng.random() < 1 / 2 else demos[several:]
        made = tuple([*kept, *rng.sample(others, several)][: self.most])
        return (*genome[:n], replace(genome[n], demos=made), *genome[n + 1 :])

    def mixed(self, one: Genome, other: Genome, rng: random.Random) -> Genome:
        """Draw the demos of each predictor from those of both parents; signatures are the first one's."""
        genes = []
        for mine, theirs in zip(one, other, strict=True):
            both = [*mine.demos, *(demo for demo in theirs.demos if demo not in mine.demos)]
            size = min(len(both), max(len(mine.demos), len(theirs.demos)))
            genes.append(replace(mine, demos=tuple(rng.sample(both, size))))
        return tuple(genes)


def crossed(one: Genome, other: Genome, rng: random.Random) -> Genome:
    """Take each predictor's signature, and its demos, from either parent."""
    genes = []
    for mine, theirs in zip(one, other, strict=True):
        signature, demos = (rng.choice([mine, theirs]), rng.choice([mine, theirs]))
        genes.append(Gene(signature.signature, demos.demos))
    if len(one) == 1 and one[0] in genes and one[0] != other[0]:  # of one predictor: surely what one of them is not
        return (Gene(one[0].signature, other[0].demos),)
    return tuple(genes)


def demo_pools(
    program: Program, train: Sequence[Example], runs: Sequence[tuple[Row, Mapping[str, tuple[Any, Any]]]]
) -> tuple[tuple[Any, ...], ...]:
    """Collect what may be shown to each predictor.

    Parameters
    ----------
    program
        Whose predictors.
    train
        Examples, each a demo of a predictor whose answers it has.
    runs
        Of the program on examples that it did best on: by predictor, what it was given and said.  Where that was not
        wholly right, an example that has the answers is shown instead.
    """
    import dspy

    pools = []
    for name, predictor in program.named_predictors():
        wanted = set(predictor.signature.output_fields) - {"reasoning"}
        asked = set(predictor.signature.input_fields)
        own, taken = [], set()
        for row, steps in runs:
            inputs, outputs = steps.get(name, (None, None))
            if outputs is None or (row.score < 1 and wanted <= set(row.example.keys())):
                continue
            own.append(dspy.Example(augmented=True, **dict(inputs.items()), **dict(outputs.items())))
            taken.add(id(row.example))
        labelled = [
            example
            for example in train
            if id(example) not in taken and wanted <= set(example.keys()) and asked & set(example.keys())
        ]
        pools.append((*own, *labelled))
    return tuple(pools)
