"""What is expected of optimizers: the rules before any run, what runs say after, and how sure that is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillfleet_nb.advice.configurations import installed
from skillfleet_nb.advice.past_runs import PastRun
from skillfleet_nb.advice.posterior import Expectation, baseline_of, expectations

EVERY = {c.name: c for c in installed().configurations}
HERE: dict[str, Any] = {"task": "mine", "n": 36, "labels": 4, "predictors": 1, "nearest": 0.7, "words": 0.7, "test": 60}


def run(name: str, gain: float, baseline: float = 0.4, **features: Any) -> PastRun:
    told = {**HERE, "task": f"other {features}", **features}
    return PastRun(told, EVERY[name].optimizer, EVERY[name], baseline, gain, baseline + gain)


def expected(past: list[PastRun], baseline: float = 0.4, **features: Any) -> dict[str, Expectation]:
    found = expectations([*EVERY.values()], {**HERE, **features}, baseline, past)
    return dict(zip(EVERY, found, strict=True))


def test_without_runs_the_rules_speak() -> None:
    found = expected([])
    assert {name: e.evidence for name, e in found.items()} == dict.fromkeys(found, 0.0)
    for name, configuration in EVERY.items():
        assert found[name].mean == pytest.approx(0.4 + 0.6 * configuration.preset.prior_gain)


def test_runs_outweigh_the_rules_and_make_sure() -> None:
    before = expected([])
    after = expected([run("infer_rules", 0.5), run("gepa light", -0.1)] * 5)
    assert before["infer_rules"].mean < before["gepa light"].mean
    assert after["infer_rules"].mean > after["gepa light"].mean + 0.3
    assert after["infer_rules"].sd < before["infer_rules"].sd
    assert 3 < after["infer_rules"].evidence < 6
    assert after["infer_rules"].draws.mean() == pytest.approx(after["infer_rules"].mean, abs=0.03)


def test_two_runs_of_ones_own_program_outweigh_what_optimizers_declare() -> None:
    declared, other = "miprov2 medium", "bootstrap_random_search"
    before = expected([])
    assert before[declared].mean > before[other].mean
    past = [run(name, gain, task=f"own {n}") for n in range(2) for name, gain in ((declared, 0.05), (other, 0.2))]
    after = expected(past)
    assert after[other].mean > after[declared].mean


def test_runs_on_other_tasks_say_less() -> None:
    near = expected([run("infer_rules", 0.5)] * 4)["infer_rules"]
    far = expected([run("infer_rules", 0.5, n=4000, predictors=3, nearest=0.1, words=0.2)] * 4)["infer_rules"]
    assert near.evidence > far.evidence > 0
    assert near.sd < far.sd < expected([])["infer_rules"].sd


def test_many_runs_on_one_task_do_not_pass_for_knowledge_of_others() -> None:
    one_task = expected([run("infer_rules", 0.5)] * 20)["infer_rules"]
    twenty_tasks = expected([run("infer_rules", 0.5, task=f"task {at}") for at in range(20)])["infer_rules"]
    assert twenty_tasks.sd < one_task.sd
    assert abs(twenty_tasks.mean - 0.9) < abs(one_task.mean - 0.9)


def test_runs_on_the_very_same_task_count_most() -> None:
    own = expected([run("infer_rules", 0.5, task="mine")] * 4)["infer_rules"]
    other = expected([run("infer_rules", 0.5)] * 4)["infer_rules"]
    assert own.sd < other.sd
    assert abs(own.mean - 0.9) < abs(other.mean - 0.9)


def test_in_a_home_of_very_many_tasks_those_like_this_one_count_however_old() -> None:
    near = [run("infer_rules", 0.5, task=f"near {at}") for at in range(5)]
    far = [run("infer_rules", -0.2, task=f"far {at}", n=4000, nearest=0.1, words=0.2) for at in range(650)]
    alone, among = expected(near)["infer_rules"], expected([*near, *far])["infer_rules"]
    assert among.evidence >= alone.evidence
    assert among.mean == pytest.approx(alone.mean, abs=0.05)


def test_tasks_are_compared_by_their_number_of_labels() -> None:
    past = [run("infer_rules", 0.5, labels=3), run("infer_rules", 0.0, labels=40)] * 3
    few, many = (expected(past, labels=n)["infer_rules"].mean for n in (3, 40))
    assert few > many


def test_sizes_of_an_optimizer_lean_on_one_another() -> None:
    after = expected([run("miprov2 light", 0.5)] * 4)
    before = expected([])
    moved = {name: after[name].mean - before[name].mean for name in after}
    assert moved["miprov2 light"] > moved["miprov2 heavy"] > moved["copro"] > 0


def test_optimizers_that_show_examples_lean_on_one_another_more_than_on_those_that_do_not() -> None:
    before, after = expected([]), expected([run("bootstrap_fewshot", 0.5)] * 4)
    moved = {name: after[name].mean - before[name].mean for name in after}
    alike, unlike = (
        [moved[name] for name, c in EVERY.items() if c.preset.few_shot == shown] for shown in (True, False)
    )
    assert min(alike) > max(unlike) > 0


def test_landmarks_tell_which_optimizer_a_task_is_one_for() -> None:
    by_example = {"nearest": 0.95, "words": 0.6}
    by_words = {"nearest": 0.6, "words": 0.95}
    past = [
        run(arm, gain, n=n, **marks)
        for n in (24, 60, 120)
        for marks, gains in (
            (by_example, {"knn_fewshot": 0.5, "infer_rules": 0.3}),
            (by_words, {"knn_fewshot": 0.2, "infer_rules": 0.5}),
        )
        for arm, gain in gains.items()
    ]
    one, other = expected(past, **by_example), expected(past, **by_words)
    assert one["knn_fewshot"].mean > one["infer_rules"].mean
    assert other["infer_rules"].mean > other["knn_fewshot"].mean


def test_a_baseline_is_what_was_measured_held_against_tasks_like_it() -> None:
    meaningful = [run("copro", 0.0, 0.9, named=0.95, n=n) for n in range(30, 40)]
    opaque = [run("copro", 0.0, 0.1, named=0.1, n=n) for n in range(30, 40)]
    past = [*meaningful, *opaque]
    assert baseline_of(HERE, []) == 0.5
    assert baseline_of({**HERE, "named": 0.95}, past) > 0.75
    assert baseline_of({**HERE, "named": 0.1}, past) < 0.25
    probed = {**HERE, "named": 0.95, "baseline": 0.0, "baseline_n": 3}
    assert baseline_of(probed, []) < baseline_of(probed, past) < baseline_of({**HERE, "named": 0.95}, past)
    assert baseline_of({**probed, "baseline_n": 500}, past) < 0.05
    own = run("copro", 0.0, 0.3, task="mine", val=500)
    assert baseline_of({**HERE, "named": 0.95}, [*past, own]) == pytest.approx(0.3, abs=0.02)


def test_runs_of_the_same_program_say_more() -> None:
    past = [run("knn_fewshot", 0.5, program="Predict(text -> label)"), run("knn_fewshot", -0.2, program="TwoSteps")] * 3
    one, other = (expected(past, program=p)["knn_fewshot"] for p in ("Predict(text -> label)", "TwoSteps"))
    assert one.mean > other.mean


def test_runs_that_ended_early_or_were_not_tested_say_nothing() -> None:
    whole = run("infer_rules", 0.5)
    nothing = [replace(whole, finished=False), replace(whole, score=None), replace(whole, gain=None, baseline=None)]
    assert expected(nothing)["infer_rules"].mean == expected([])["infer_rules"].mean


def test_a_run_is_less_sure_than_what_runs_come_to_on_average() -> None:
    past = [run("infer_rules", 0.3, task=f"task {at}") for at in range(60)]
    [expectation] = expectations([EVERY["infer_rules"]], HERE, 0.4, past)  # alone: what is drawn hangs on all others
    assert expectation.draws.std() < 0.03 < expectation.sd


@given(
    st.lists(st.builds(run, st.sampled_from([*EVERY]), st.floats(-1, 1), st.floats(0, 1)), max_size=12),
    st.floats(0, 1), st.one_of(st.none(), st.floats(0, 1)), st.one_of(st.none(), st.integers(2, 90)),
)  # fmt: skip
def test_any_history_gives_numbers_one_can_compare(
    past: list[PastRun], baseline: float, nearest: float | None, labels: int | None
) -> None:
    found = expected(past, baseline, nearest=nearest, labels=labels)
    assert 0 <= baseline_of({**HERE, "nearest": nearest, "baseline": baseline}, past) <= 1
    for e in found.values():
        assert np.isfinite([e.mean, e.sd, e.evidence]).all()
        assert ((e.draws >= 0) & (e.draws <= 1)).all()
        assert e.sd > 0
        assert e.evidence >= 0
