"""What charts draw: frames in, frames out, without a model or a picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillfleet_nb.charts.calls import cost_data, latency_data
from skillfleet_nb.charts.convergence import FULL, convergence_data
from skillfleet_nb.charts.lineage import lineage_data
from skillfleet_nb.charts.optimizers import optimizer_data
from skillfleet_nb.charts.outcomes import outcome_data, shown_trials
from skillfleet_nb.charts.pareto import pareto, pareto_data
from skillfleet_nb.charts.scores import difficulty, difficulty_data, score_data


def trials(*rows: tuple[object, ...]) -> pd.DataFrame:
    """Trials as (trial, split, full_eval, score, program_id, parent_ids)."""
    return pd.DataFrame(rows, columns=["trial", "split", "full_eval", "score", "program_id", "parent_ids"])


def test_a_long_curve_keeps_its_extremes_and_every_rise_of_the_best() -> None:
    rng = np.random.default_rng(5)
    long = pd.DataFrame({"trial": np.arange(100_000), "split": "val", "score": rng.random(100_000)})
    long = long.assign(full_eval=long.trial % 7 == 0)
    thin = convergence_data(long)
    assert len(thin) < 1_000
    assert set(thin.best.dropna()) == set(100 * long[long.full_eval].score.cummax()), "each best so far is still there"
    for on_all, scores in (100 * long.score).groupby(long.full_eval):
        shown = thin[(thin.kind == FULL) == on_all].score
        assert (shown.min(), shown.max()) == (scores.min(), scores.max())
    assert thin.trial.iloc[[0, -1]].tolist() == [0, 99_999]


def test_curves_of_several_jobs_do_not_mix() -> None:
    one = trials((0, "val", True, 0.5, "a", ()), (1, "val", True, 0.9, "b", ())).assign(job="one")
    other = trials((0, "val", True, 0.2, "a", ()), (1, "train", True, 1.0, "b", ())).assign(job="other")
    data = convergence_data(pd.concat([other, one]))
    assert data[data.job == "one"].best.tolist() == pytest.approx([50, 90])
    assert data[data.job == "other"].best.tolist() == pytest.approx([20, 20])
    assert data[data.job == "other"].kind.eq(FULL).tolist() == [True, False]


JOBS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(0, 9)), st.one_of(st.none(), st.floats(0, 1)), st.sampled_from(["m", "n"])
    ),
    max_size=12,
)


@given(JOBS)
def test_the_front_holds_exactly_the_jobs_that_none_equals_for_less(
    rows: list[tuple[float | None, float, str]],
) -> None:
    jobs = pd.DataFrame(rows, columns=["cost_usd", "test_score", "metric"]).astype(
        {"cost_usd": float, "test_score": float}
    )
    jobs = jobs.assign(name=[f"j{i}" for i in range(len(jobs))], program="p", optimizer="o", best_score=0.5)
    data = pareto_data(jobs.assign(lm_calls=1, wall_s=1.0), by="usd", on="test")
    assert set(data.job) == set(jobs[jobs.cost_usd.notna() & jobs.test_score.notna()].name)
    for job in data.itertuples():
        rivals = data[(data.task == job.task) & (data.job != job.job)]
        beaten = ((rivals.cost <= job.cost) & (rivals.score > job.score)).any()
        equalled = ((rivals.cost < job.cost) & (rivals.score == job.score)).any()
        twin = ((rivals.cost == job.cost) & (rivals.score == job.score) & rivals.front).any()
        assert job.front == (not beaten and not equalled and not (twin and not job.front))


def test_cost_is_in_calls_where_nothing_has_a_price_and_validation_stands_in_for_a_missing_test() -> None:
    jobs = pd.DataFrame(
        {"name": ["a"], "program": "p", "metric": "m", "optimizer": "o", "cost_usd": [0.0], "lm_calls": 12,
         "wall_s": 90.0, "test_score": [np.nan], "best_score": 0.75}
    )  # fmt: skip
    data = pareto_data(jobs)
    assert (data.by[0], data.cost[0], data.on[0], data.score[0]) == ("calls", 12.0, "validation", 75.0)
    assert pareto_data(jobs, by="minutes").cost[0] == 1.5
    assert pareto_data(jobs, by="usd").cost[0] == 0.0
    assert pareto_data(jobs, on="test").empty


def test_the_map_shows_the_way_to_the_best_and_both_evaluations_of_the_test() -> None:
    given_ = trials(
        (0, "val", True, 0.4, "a", ()),
        (1, "val", False, 1.0, "b", ()),
        (2, "val", True, 0.6, "b", ()),
        (3, "val", True, 0.5, "c", ()),
        (4, "val", True, 0.8, "d", ()),
        (5, "test", True, 0.4, "a", ()),
        (6, "test", True, 0.7, "d", ()),
    )
    shown = shown_trials(given_)
    assert shown.trial.tolist() == [0, 2, 4, 5, 6]
    assert shown.candidate.tolist() == ["as given", "trial 2", "trial 4, best", "as given", "best"]
    assert shown_trials(given_.head(1)).candidate.tolist() == ["as given, best"]
    many = trials(*((t, "val", True, t / 100, f"p{t}", ()) for t in range(50)))
    assert shown_trials(many).trial.tolist() == [0, 45, 46, 47, 48, 49]


def _outcomes(n: int, fixed: int, broke: int) -> pd.DataFrame:
    kinds = ["fixed"] * fixed + ["broke"] * broke
    kinds += ["solved" if i % 2 else "unsolved" for i in range(n - len(kinds))]
    after = {"fixed": 1.0, "broke": 0.0, "solved": 1.0, "unsolved": 0.0}
    before = {"fixed": 0.0, "broke": 1.0, "solved": 1.0, "unsolved": 0.0}
    rows = [(i, k) for i, k in enumerate(kinds)]
    first = [(0, f"e{i}", before[k], before[k], "solved" if before[k] else "unsolved") for i, k in rows]
    last = [(1, f"e{i}", before[k], after[k], k) for i, k in rows]
    frame = pd.DataFrame(first + last, columns=["trial", "example_id", "before", "score", "outcome"])
    return frame.assign(split="val").sample(frac=1, random_state=3)


SHOWN = pd.DataFrame({"trial": [0, 1], "split": "val", "candidate": ["as given", "trial 1, best"]})


def test_fixed_examples_stand_first_then_broken_ones() -> None:
    data = outcome_data(_outcomes(20, 5, 2), SHOWN)
    best = data[data.candidate == "trial 1, best"].sort_values("at")
    assert best.outcome.tolist() == ["fixed"] * 5 + ["broke"] * 2 + ["unsolved"] * 7 + ["solved"] * 6
    assert best["at"].tolist() == list(range(20))
    given_ = data[data.candidate == "as given"].set_index("example")["at"]
    assert (given_.reindex(best.example).to_numpy() == best["at"].to_numpy()).all(), "a column is one example"


def test_of_many_examples_those_that_changed_are_kept() -> None:
    data = outcome_data(_outcomes(5_000, 40, 30), SHOWN)
    best = data[data.candidate == "trial 1, best"]
    assert len(best) == 120
    assert best.outcome.value_counts()[["fixed", "broke"]].tolist() == [40, 30]
    assert {"solved", "unsolved"} <= set(best.outcome)
    assert len(outcome_data(_outcomes(5_000, 2_000, 1_000), SHOWN)) == 240


def test_optimizers_are_ordered_by_their_mean_gain() -> None:
    jobs = pd.DataFrame(
        [("a", "x", 0.1), ("b", "y", 0.3), ("c", "x", 0.4), ("d", "z", np.nan)],
        columns=["name", "optimizer", "test_delta"],
    )
    jobs = jobs.assign(test_delta_low=0.0, test_delta_high=0.5, verdict="improved", created_at=range(4))
    data = optimizer_data(jobs)
    assert data.job.tolist() == ["b", "c", "a"], "d was not tested"
    assert data.delta.tolist() == pytest.approx([30, 40, 10])
    assert data.high.tolist() == [50, 50, 50]


def test_costs_fold_the_small_ones_into_others_and_lose_nothing() -> None:
    calls = pd.DataFrame(
        [
            ("j", "task", f"m{i:02}", 10 + i, i, 5, 5, 0.01 * i, 0) for i in range(40)
        ],
        columns=["job", "role", "model", "calls", "cached", "input_tokens", "output_tokens", "cost_usd", "unpriced"],
    )  # fmt: skip
    data = cost_data(calls)
    assert len(data) == 30
    assert data.label.iloc[[0, -1]].tolist() == ["task · m39", "11 others"]
    assert data.amount.sum() == pytest.approx(calls.cost_usd.sum())
    assert data.calls.sum() == calls.calls.sum()
    free = cost_data(calls.assign(cost_usd=0.0))
    assert free.measure.eq("calls").all()
    assert free.amount.iloc[0] == 49
    two = cost_data(pd.concat([calls.head(1), calls.head(1).assign(job="k")]))
    assert sorted(two.label) == ["j · task · m00", "k · task · m00"]


def test_latencies_are_shares_of_a_model_in_tenths_of_a_decade() -> None:
    bins = pd.DataFrame(
        [("task", "m", -10, 3), ("task", "m", 0, 1), ("prompt", "n", 10, 1)], columns=["role", "model", "bin", "calls"]
    ).assign(median_s=0.1, p95_s=1.0)
    data = latency_data(bins)
    assert data.panel.tolist() == ["task · m", "task · m", "prompt · n"], "most calls first"
    assert data.share.tolist() == pytest.approx([0.75, 0.25, 1.0])
    assert data.low_s.tolist() == pytest.approx([0.1, 1.0, 10.0])
    assert (data.high_s > data.low_s).all()


def test_few_scores_stand_for_themselves_and_many_are_counted_in_tens() -> None:
    binary = pd.DataFrame({"job": "j", "split": "test", "before": [0.0, 0, 1, 1], "score": [1.0, 0, 1, 1]})
    data = score_data(binary)
    counts = data.set_index(["program", "scored"]).examples.to_dict()
    assert counts == {("as given", "0"): 2, ("as given", "100"): 2, ("best", "0"): 1, ("best", "100"): 3}
    assert data.set_index("program")["mean"].to_dict() == {"as given": 50.0, "best": 75.0}
    spread = pd.DataFrame({"job": "j", "split": "test", "before": np.linspace(0, 1, 50), "score": 1.0})
    data = score_data(spread)
    assert data[data.program == "as given"].examples.sum() == 50
    assert data[data.program == "best"].scored.tolist() == ["90 to 100"]


def test_the_way_to_the_best_is_found_and_a_circle_ends() -> None:
    found = lineage_data(
        trials(
            (0, "val", True, 0.4, "a", ()),
            (1, "train", True, 0.9, "b", ("a",)),
            (2, "val", True, 0.6, "b", ("a", "c")),
            (3, "val", True, 0.5, "c", ("b",)),
            (4, "val", True, 0.8, "d", ("c",)),
            (5, "val", True, 0.7, "e", ("a",)),
            (6, "test", True, 0.7, "d", ()),
        )
    ).set_index("program")
    assert found.kind.to_dict() == {
        "a": "as given", "b": "ancestor of the best", "c": "ancestor of the best", "d": "best", "e": "candidate",
    }  # fmt: skip
    assert found.score.to_dict() == pytest.approx({"a": 40, "b": 60, "c": 50, "d": 80, "e": 70}), "on all of validation"
    assert found.trial["b"] == 1
    assert found.parents["d"] == ["c"]
    many = lineage_data(trials(*((t, "val", True, t / 1000, f"p{t}", (f"p{max(t - 250, 0)}",)) for t in range(1000))))
    assert len(many) == 150
    assert {"p999", "p749", "p499", "p249", "p0"} <= set(many.program)


@pytest.mark.parametrize("costs", [[0.0, 0.3], [0.1, 5.27], [0.0], [5.41]])
def test_the_axis_of_costs_does_not_go_below_zero(costs: list[float]) -> None:
    same = {"optimizer": "o", "task": "t", "front": True, "by": "usd", "on": "test", "cached": 0}
    data = pd.DataFrame([{"job": f"j{n}", "cost": cost, "score": 40.0 + n, **same} for n, cost in enumerate(costs)])
    low, high = pareto(data).to_dict()["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert 0 <= low <= min(costs)
    assert max(costs) < high


def test_the_hardest_examples_come_first() -> None:
    examples = pd.DataFrame(
        {"example_id": [f"e{i}" for i in range(30)], "scored": 4, "mean": [i / 29 for i in range(30)]}
    )
    data = difficulty_data(examples.sample(frac=1, random_state=1))
    assert data.example.head(3).tolist() == ["e0", "e1", "e2"]
    assert data.hard.sum() == 15
    assert data.bin.min() == 0
    assert data.bin.max() == 9
    inputs = {"e0": "I cannot sign in with the key that you sent me", "e1": "I cannot sign in with the key that I lost"}
    names = difficulty(data, inputs=inputs).to_dict()["hconcat"][1]["layer"][0]["encoding"]["y"]["sort"]
    assert names[:3] == ["I cannot sign in with the key… (e0)", "I cannot sign in with the key… (e1)", "e2"]
