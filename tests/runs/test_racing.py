"""Racing: what can no longer win is not bought, and what is chosen is the same."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import SMALL, Data, counted_lm, exact, program, rows

from skillfleet_nb import Fleet
from skillfleet_nb.charts.convergence import PRUNED, convergence_data
from skillfleet_nb.errors import NotFoundError
from skillfleet_nb.optimizers import Calls, Optimizer, Shape, create, rehearsed
from skillfleet_nb.runs.racing import _TESTED_FROM, ALPHA, PairedTest, _Search

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb import Job


def searched(home: Path, race: str | None = None, optimizer: str = "bootstrap_random_search", **options: Any) -> Job:
    """Search on messages whose answers are partly wrong, so that candidates differ."""
    data = Data(rows(20))
    given = {"params": {"num_candidate_programs": 6, "max_labeled_demos": 3}, "metric": exact, "seed": 4}
    lm, _ = counted_lm()
    job = Fleet(home).optimize(
        program(), optimizer=optimizer, race=race, lm=lm, **{**given, **options}, **data.splits()
    )
    job.result()
    return job


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Job]:
    """The same search, with a race of two threads and without."""
    where = tmp_path_factory.mktemp("racing")
    return searched(where / "off", "off"), searched(where / "default", num_threads=2)


def test_the_same_program_is_chosen_with_fewer_calls(pair: tuple[Job, Job]) -> None:
    off, raced = pair
    assert raced.progress.spec["race"] == "exact"
    assert off.progress.spec["race"] == "off"
    assert raced.progress.best_program == off.progress.best_program
    assert (raced.result().best_score, raced.result().test_score) == (off.result().best_score, off.result().test_score)
    assert raced.result().lm_calls < off.result().lm_calls


def test_a_pruned_trial_tells_its_bound(pair: tuple[Job, Job]) -> None:
    off, raced = pair
    trials, n = Fleet(raced.home.root).trials(raced.id), len(Data(rows(20)).val)
    whole = Fleet(off.home.root).trials(off.id)
    pruned = trials[trials.pruned]
    assert len(pruned) > 0
    assert not pruned.full_eval.any()
    assert (pruned.n_examples < n).all()
    assert (pruned.bound <= pruned.best_so_far).all()
    true = whole[whole.full_eval & (whole.split == "val")].groupby("program_id").score.first()
    assert all(true[program_id] <= bound for program_id, bound in zip(pruned.program_id, pruned.bound, strict=True))
    assert not whole.pruned.any()
    assert whole.bound.isna().all()
    drawn = convergence_data(trials)
    assert sorted(drawn[drawn.kind == PRUNED].score) == pytest.approx(sorted(100 * pruned.bound))
    picture = raced.picture()
    assert [trial for trial, _ in picture["curve"]["pruned"]] == pruned.trial.tolist()
    assert picture["failures"] == []


def test_the_optimizer_is_given_rows_in_the_order_of_its_list(pair: tuple[Job, Job]) -> None:
    off, raced = ({c["seed"]: c for c in job.program.candidate_programs} for job in pair)
    assert off.keys() == raced.keys()
    best = max(c["score"] for c in off.values())
    for seed, candidate in raced.items():
        whole = [float(s) for s in off[seed]["subscores"]]
        got = [float(s) for s in candidate["subscores"]]
        assert all(one in {0.0, other} for one, other in zip(got, whole, strict=True))
        assert got == whole or candidate["score"] < best
        assert type(candidate["program"]) is type(pair[0].given)


class OwnScale(Optimizer):
    """Scores candidates on a scale of its own."""

    name, summary, changes = "own_scale", "two scorings", frozenset({"demos"})

    def calls(self, shape: Shape) -> Calls:
        return rehearsed(shape, lambda run: None)

    def build(self, task: Any) -> Any:
        class Twice:
            def compile(self, student: Any, **_: Any) -> Any:
                evaluate = dspy.Evaluate(devset=list(task.val), metric=lambda e, p: 10 * task.metric(e, p))
                evaluate(student)
                evaluate(student)
                return student

        return Twice()


def test_a_metric_of_unknown_range_is_not_raced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skillfleet_nb.runs.prepare.create", lambda *_: OwnScale(OwnScale.Params()))
    job = searched(tmp_path / "home", "exact", "own_scale")
    assert [w for w in job.progress.warnings if "metric of its own, whose range is not known" in w]
    assert not Fleet(tmp_path / "home").trials(job.id).pruned.any()


def test_what_does_not_evaluate_with_dspy_is_said_to_be_unraced(tmp_path: Path) -> None:
    job = searched(tmp_path / "home", "exact", "simba", params=SMALL["simba"])
    assert "race = 'exact': simba scores outside of dspy.Evaluate, where nothing is raced" in job.progress.warnings


def test_gepa_which_traces_what_it_scores_is_said_to_be_unraced(tmp_path: Path) -> None:
    job = searched(tmp_path / "home", "exact", "gepa", params=SMALL["gepa"])
    assert [w for w in job.progress.warnings if "metric of its own, whose range is not known" in w]
    assert not Fleet(tmp_path / "home").trials(job.id).pruned.any()


def test_an_unknown_race_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"'exakt'.*exact"):
        searched(tmp_path, "exakt")


def test_searches_that_read_scores_are_not_raced_unless_asked() -> None:
    by_default = {name for name in ("bootstrap_random_search", "infer_rules", "miprov2", "gepa", "simba", "copro")
                  if create(name).takes_maximum}  # fmt: skip
    assert by_default == {"bootstrap_random_search", "infer_rules"}


def test_a_forecast_knows_of_races() -> None:
    plain, raced = (
        create("bootstrap_random_search").expected_calls(Shape(24, 80, 1, raced=raced)) for raced in (False, True)
    )
    mean = [sum(run.issued for run in calls.runs) / len(calls.runs) for calls in (plain, raced)]
    assert 0.4 < mean[1] / mean[0] < 0.85


def _drawn(rng: random.Random, best: list[float], other: list[float], ease: list[float]) -> bool:
    """Run the test on examples in random order; tell whether it ever found the other worse."""
    weights = [1.1 - e for e in ease]
    order = [n for _, n in sorted((rng.expovariate(w), n) for n, w in enumerate(weights))]
    test = PairedTest([best[n] for n in order], [weights[n] for n in order])
    for n in order:
        test.add(other[n])
        if test.capital >= 1 / ALPHA:
            return True
    return False


def test_a_candidate_as_good_as_the_best_is_rarely_dropped_however_often_it_is_looked_at() -> None:
    rng, wrong, n, times = random.Random(5), 0, 60, 1500
    for _ in range(times):
        ease = [rng.betavariate(1.2, 0.5) for _ in range(n)]
        best = [float(rng.random() < e) for e in ease]
        won, lost = [[k for k in range(n) if best[k] == score] for score in (1.0, 0.0)]
        swapped = min(len(won), len(lost))  # as many gained as lost: their means are equal, which is the hardest case
        other = list(best)
        for k in (*rng.sample(won, swapped), *rng.sample(lost, swapped)):
            other[k] = 1 - best[k]
        wrong += _drawn(rng, best, other, ease)
    assert wrong / times <= ALPHA


def test_a_much_worse_candidate_is_found_by_the_test() -> None:
    rng, n = random.Random(6), _TESTED_FROM
    ease = [0.8] * n
    best = [float(rng.random() < 0.8) for _ in range(n)]
    assert sum(_drawn(rng, best, [b * (rng.random() < 0.6) for b in best], ease) for _ in range(20)) == 20


@pytest.mark.parametrize("pays", [True, False])
def test_races_take_turns_and_then_go_the_way_that_buys_less(*, pays: bool) -> None:
    own, ways = _Search(), []
    for _ in range(8):
        ways.append(own.is_tested)
        own.bought[ways[-1]].append(0.3 if ways[-1] is pays else 0.6)
    assert ways == [False, True, False, True, *([pays] * 4)]
    own.bought[pays] += [1.0] * 20  # it no longer does
    assert own.is_tested is not pays
