"""What is told at every look of a test: wrong as rarely as stated, and as soon as planned, against simulation."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from skillfleet_nb.monitoring.ab_report import SRM_ALPHA, mismatch
from skillfleet_nb.monitoring.ab_tests import ABTest, checked_start
from skillfleet_nb.monitoring.betting import difference_bets, interval, log_capital, lower_bound, mean_bets, path, plan

RUNS = 600
LEVEL = math.log(2 / 0.05)


def ever_told(scores: np.ndarray, treated: np.ndarray, share: object, effect: float = 0.1) -> np.ndarray:
    """Tell which of many runs had a winner at some look."""
    bets = difference_bets(scores, treated, share, effect, alpha=0.05, power=0.9)
    return np.maximum(log_capital(bets, 0.0), log_capital(bets.mirrored, 0.0)).max(axis=-1) >= LEVEL


@pytest.mark.parametrize(("mean", "share"), [(0.5, 0.5), (0.95, 0.5), (0.5, 0.1)])
def test_a_winner_among_equals_is_as_rare_as_stated_at_any_number_of_looks(mean: float, share: float) -> None:
    rng = np.random.default_rng(0)
    treated, scores = rng.random((RUNS, 600)) < share, rng.random((RUNS, 600)) < mean
    wrong = ever_told(scores, treated, share).mean()
    assert wrong <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / RUNS)
    spread, gain = np.zeros(scores.shape), np.zeros(scores.shape)
    for sign, arm in ((1, treated), (-1, ~treated)):
        n = np.maximum(np.cumsum(arm, axis=1), 1)
        seen = np.cumsum(scores * arm, axis=1) / n
        spread, gain = spread + seen * (1 - seen) / n, gain + sign * seen
    naive = (np.abs(gain) > 1.96 * np.sqrt(spread))[:, 100:].any(axis=1).mean()
    assert naive > 2 * max(wrong, 0.05), "a test made for one look is wrong far more often"


def test_neither_a_ramp_nor_an_assignment_that_follows_the_scores_makes_winners() -> None:
    rng, n = np.random.default_rng(1), 600
    share = np.repeat([0.05, 0.25, 0.5], n // 3)
    treated, scores = rng.random((RUNS, n)) < share, rng.random((RUNS, n))
    assert ever_told(scores, treated, share).mean() <= 0.05 + 0.018
    treated, scores, shares = np.zeros((RUNS, n), bool), rng.random((RUNS, n)), np.empty((RUNS, n))
    ahead = np.zeros(RUNS)
    for t in range(n):  # the arm that seems better gets more
        shares[:, t] = np.where(ahead > 0, 0.8, 0.2)
        treated[:, t] = rng.random(RUNS) < shares[:, t]
        ahead += np.where(treated[:, t], 1, -1) * (scores[:, t] - 0.5)
    assert ever_told(scores, treated, shares).mean() <= 0.05 + 0.018


def test_a_planned_effect_is_found_as_often_as_planned_and_sooner_than_by_one_look() -> None:
    from scipy import stats  # not as tests are collected, which every process does

    rng, planned = np.random.default_rng(2), plan(0.15, 0.05, 0.9)
    shape = RUNS, planned.rows
    treated = rng.random(shape) < 0.5
    scores = rng.random(shape) < np.where(treated, 0.575, 0.425)
    bets = difference_bets(scores, treated, 0.5, 0.15, alpha=0.05, power=0.9)
    better = log_capital(bets, 0.0) >= LEVEL
    assert better.any(axis=1).mean() >= 0.88
    stopped = np.where(better.any(axis=1), better.argmax(axis=1) + 1, planned.rows).mean()
    assert stopped <= 0.7 * planned.fixed
    assert stopped == pytest.approx(planned.expected, rel=0.1)
    fixed = 2 * ((stats.norm.ppf(0.975) + stats.norm.ppf(0.9)) / 0.15) ** 2 * 0.5
    assert planned.fixed == math.ceil(fixed)


@pytest.mark.parametrize("split", [None, (1 / 3,) * 3, (0.25,) * 4, (0.2,) * 5, (0.2, 0.4, 0.4), (0.5, 0.3, 0.2)])
def test_a_test_of_any_variants_tells_the_least_of_them_as_often_as_planned(split: tuple[float, ...] | None) -> None:
    labels = "ABCDE"[: len(split or "AB")]
    asked = checked_start("t", {label: f"{label}@1" for label in labels}, split=split, effect=0.15)
    rng, runs, told = np.random.default_rng(6), 400, 0
    last, risk, share = len(labels) - 1, asked.alpha / (len(labels) - 1), asked.split[-1]
    for _ in range(runs):
        arm = rng.choice(len(labels), p=asked.split, size=asked.rows)
        scores = (rng.random(asked.rows) < np.where(arm == last, 0.575, 0.425)).astype(float)
        two = (arm == 0) | (arm == last)
        of_two = share / (asked.split[0] + share)
        bets = difference_bets(scores[two], arm[two] == last, of_two, 0.15, alpha=risk, power=0.9)
        told += bool(log_capital(bets, 0.0).max() >= math.log(2 / risk))
    assert told / runs >= 0.85


def test_two_variants_are_planned_as_one_comparison() -> None:
    two = {"A": "a@1", "B": "a@2"}
    for split in (None, "50:50", "ramp", "adaptive"):
        assert checked_start("t", two, split=split, effect=0.1).rows == plan(0.1, 0.05, 0.9).rows == 1270
    assert checked_start("t", two, split="90:10").rows == plan(0.05, 0.05, 0.9, share=0.1).rows
    assert checked_start("t", two, split="35:65").rows == plan(0.05, 0.05, 0.9, share=0.35).rows


def test_bounds_hold_the_truth_at_every_look_and_narrow() -> None:
    rng, missed = np.random.default_rng(3), 0
    for _ in range(40):
        treated = rng.random(400) < 0.5
        scores = rng.random(400) < np.where(treated, 0.7, 0.5)
        bets = difference_bets(scores, treated, 0.5, 0.1, alpha=0.05, power=0.9)
        low, high = path(bets, 0.05)
        missed += bool((low > 0.2).any() or (high < 0.2).any())
        assert (np.diff(low) >= 0).all()
        assert (np.diff(high) <= 0).all()
        last = interval(bets, 0.05)
        assert (low[-1], high[-1]) == pytest.approx(last, abs=0.006)
    assert missed <= 5


def test_without_scores_nothing_is_known() -> None:
    assert interval(difference_bets([], [], 0.5, 0.1, alpha=0.05, power=0.9), 0.05) == (-1.0, 1.0)
    assert lower_bound(mean_bets([1.0, 1.0], 0.1), 0.05, 0.0) == 0.0


def test_the_check_of_the_split_tells_a_wrong_one_and_hardly_ever_a_right_one() -> None:
    test = ABTest(checked_start("t", {"A": "a@1", "B": "a@2"}), None, [(0.5, 0.5), (0.8, 0.2)])  # type: ignore[arg-type]
    rng, alarms = np.random.default_rng(4), 0

    def units(*shares: float) -> pd.DataFrame:
        drawn = [rng.random(300) < share for share in shares]
        epochs = np.repeat([0, 1], 300)
        return pd.DataFrame({"variant": np.where(np.concatenate(drawn), "B", "A"), "epoch": epochs})

    for _ in range(300):
        alarms += bool(mismatch(test, units(0.5, 0.2), "units"))
    assert alarms <= 300 * SRM_ALPHA + 3
    assert "do not trust it: units 3" in mismatch(test, units(0.5, 0.4), "units")
