"""Evolution: populations and fronts, the operators, and what a run tells of its generations."""

from __future__ import annotations

import random
from itertools import product
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import SMALL, Counting, counted_lm, exact, program, rows

from skillfleet_nb import Fleet
from skillfleet_nb.charts.generations import generations_data
from skillfleet_nb.charts.population import population_data
from skillfleet_nb.errors import InputError
from skillfleet_nb.optimizers import create
from skillfleet_nb.optimizers.breeding import Demos, crossed, demo_pools, genome_of, individual, shows
from skillfleet_nb.optimizers.fronts import crowding, dominates, order_of, ranks

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb import Job

PARAMS = {"population": 4, "generations": 2, "max_demos": 4}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fleet, Job, Counting]:
    lm, engine = counted_lm()
    fleet, data = Fleet(tmp_path_factory.mktemp("evolve") / "home"), rows(15)
    job = fleet.optimize(
        program(), lm=lm, train=data[:24], val=data[24:44], test=data[44:60], metric=exact, optimizer="evolve",
        params=PARAMS, seed=4, num_threads=2, name="bred",
    )  # fmt: skip
    job.result()
    return fleet, job, engine


@pytest.fixture(scope="module")
def individuals(ended: tuple[Fleet, Job, Counting]) -> pd.DataFrame:
    return ended[0].sql("from individuals order by generation, score desc nulls last")


@pytest.mark.parametrize("seed", range(20))
def test_fronts_are_those_of_comparing_everything_with_everything(seed: int) -> None:
    rng = random.Random(seed)
    values = [tuple(float(rng.randrange(5)) for _ in range(3)) for _ in range(rng.randrange(1, 14))]
    rank = ranks(values)  # type: ignore[arg-type]
    for i, own in enumerate(values):
        better = [
            rank[j]
            for j, other in enumerate(values)
            if all(b >= a for a, b in zip(own, other, strict=True))
            and any(b > a for a, b in zip(own, other, strict=True))
        ]
        assert rank[i] == max(better, default=-1) + 1, "just behind the last front of those that dominate it"
    order = order_of(values)  # type: ignore[arg-type]
    assert sorted(order) == list(range(len(values)))
    assert [rank[i] for i in order] == sorted(rank)


def test_the_least_crowded_of_a_front_come_first() -> None:
    front = [(0.0, 10.0), (1.0, 9.0), (1.5, 8.5), (6.0, 4.0), (10.0, 0.0)]
    spread = crowding(front)
    by_hand = [(front[i + 1][0] - front[i - 1][0] + front[i - 1][1] - front[i + 1][1]) / 10 for i in (1, 2, 3)]
    assert spread[1:4] == pytest.approx(by_hand)
    assert order_of(front)[2:] == [3, 2, 1]
    assert crowding([(1.0, 1.0)] * 3) == [0.0] * 3, "where all are alike nobody stands apart"
    assert not dominates((1.0, 1.0), (1.0, 1.0))


def test_children_have_the_genes_of_their_parents_and_new_demos_come_from_the_pool() -> None:
    rng, two = random.Random(0), dspy.Predict("text -> intent")
    train = rows(3)
    pool = demo_pools(two, train, [])
    assert pool == (tuple(train),), "an example that has the answers is a demo"
    demos = Demos(pool, most=6)
    given = genome_of(two)
    drawn = demos.drawn(given, rng)
    assert 3 <= len(drawn[0].demos) <= 6
    assert len({demo.intent for demo in drawn[0].demos}) >= 3, "of every answer in turn"
    for _ in range(30):
        swapped = demos.swapped(drawn, rng)[0].demos
        assert set(map(id, swapped)) <= set(map(id, train))
        assert swapped != drawn[0].demos
        assert len(swapped) <= 6
    other = individual(two, given, "given", ()).genome
    mixed = demos.mixed(drawn, other, rng)
    assert sorted(map(id, mixed[0].demos)) == sorted(map(id, drawn[0].demos))
    rewritten = (type(given[0])(given[0].signature.with_instructions("Sort."), ()),)
    cross = crossed(rewritten, drawn, rng)
    assert (cross[0].signature.instructions, cross[0].demos) == ("Sort.", drawn[0].demos)
    both = crossed((*rewritten, *given), (*drawn, *drawn), rng)
    allowed = product(("Sort.", given[0].signature.instructions), ((), drawn[0].demos))
    assert (both[0].signature.instructions, both[0].demos) in list(allowed)


def test_an_example_among_the_demos_says_nothing_of_what_a_parent_fails_on() -> None:
    train = rows(3)
    two = dspy.Predict("text -> intent")
    run = dspy.Example(augmented=True, text=train[1].text, intent="another")
    two.demos = [train[0], run, dspy.Example(text="else", intent=train[2].intent)]
    assert [shows(genome_of(two), example) for example in train[:4]] == [True, True, False, False]


def test_each_generation_is_told_with_parents_and_operators(individuals: pd.DataFrame) -> None:
    first = individuals[individuals.generation == 0]
    assert set(first.operator) >= {"given", "reflect"}
    assert not individuals.duplicated(["generation", "program_id"]).any()
    for number, generation in individuals.groupby("generation"):
        survivors = generation[generation.survives]
        assert 1 < len(survivors) <= PARAMS["population"]
        assert survivors.score.max() == generation.score.max(), "the best always survives"
        assert set(generation[generation.front == 0].program_id), number
        ended_by_screening = generation[generation.score.isna()]
        assert ended_by_screening.screened.notna().all()
        assert not ended_by_screening.survives.any()
        if number:
            before = individuals[(individuals.generation == number - 1) & individuals.survives]
            children = generation[~generation.program_id.isin(before.program_id)]
            assert set(before.program_id) <= set(generation.program_id)
            assert {one for parents in children.parent_ids for one in parents} <= set(before.program_id)


def test_the_best_is_returned_with_its_population(
    ended: tuple[Fleet, Job, Counting], individuals: pd.DataFrame
) -> None:
    fleet, job, engine = ended
    result = job.result()
    assert result.best_score == individuals.score.max()
    assert result.lm_calls == engine.calls
    assert result.individuals is not None
    assert set(result.individuals.program_id) == set(individuals.program_id)
    front = individuals[(individuals.generation == individuals.generation.max()) & (individuals.front == 0)]
    assert set(front.program_id) <= set(fleet.sql("select program_id from programs").program_id)
    trials = fleet.sql("select program_id, parent_ids from trials where split = 'val'")
    by_trial = {t.program_id: set(t.parent_ids) for t in trials.itertuples()}
    children = individuals[individuals.operator.isin(["cross", "mix demos", "swap demos", "reflect"])]
    assert all(by_trial[one.program_id] == set(one.parent_ids) for one in children.itertuples())


def test_generations_and_the_population_are_drawn(
    ended: tuple[Fleet, Job, Counting], individuals: pd.DataFrame
) -> None:
    fleet, _, _ = ended
    data = generations_data(individuals)
    assert data.best.iloc[-1] == 100 * individuals.score.max()
    assert data.groupby("generation").best.first().is_monotonic_increasing
    placed = population_data(individuals)
    assert placed.program.is_unique
    for one in placed[placed.front].itertuples():
        assert not ((placed.tokens <= one.tokens) & (placed.score > one.score)).any()
    assert fleet.charts.generations("bred").svg.startswith("<svg")
    assert fleet.charts.pareto("bred").title.startswith("Population of")
    assert fleet.charts.pareto("bred", by="calls").title.startswith("Score against cost")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"population": 1}, "population = 1: Input should be greater than or equal to 2"),
        ({"generations": 0}, "generations = 0"),
        ({"promoted": 1.5}, "promoted = 1.5"),
        ({"screen": "most"}, "screen = 'most'"),
    ],
)
def test_bad_options_are_refused_before_anything_is_spent(params: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        create("evolve", params)


def test_it_is_raced_and_a_member_like_others(tmp_path: Any) -> None:
    lm, _ = counted_lm()
    fleet, data = Fleet(tmp_path / "home"), rows(12)
    splits = {"train": data[:24], "val": data[24:36], "test": data[36:48]}
    raced = fleet.optimize(
        program(),
        lm=lm,
        metric=exact,
        optimizer="evolve",
        params=SMALL["evolve"],
        race="exact",
        num_threads=2,
        **splits,
    )
    assert raced.result().best_score is not None
    assert fleet.sql("from trials where bound is not null").empty is False
    members = {"members": "evolve,labeled_fewshot", "settings": {"evolve": SMALL["evolve"]}, "requests": 150}
    joined = fleet.optimize(
        program(), lm=lm, metric=exact, optimizer="portfolio", params=members, num_threads=2, **splits
    ).result()
    assert joined.members is not None
    assert "evolve" in set(joined.members.member)
    assert "evolve" in set(fleet.sql("select member from individuals").member)
