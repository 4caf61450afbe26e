"""The honest result: intervals, p-values and verdicts, against SciPy, theory and simulation."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from skillfleet_nb.errors import InputError
from skillfleet_nb.stats import (
    PairedComparison,
    mean_interval,
    paired_comparison,
    smallest_conclusive_n,
    unpaired_comparison,
)

unit = st.floats(0, 1, allow_nan=False).map(lambda x: round(x, 3)) | st.sampled_from([0.0, 1.0])
pairs = st.lists(st.tuples(unit, unit), min_size=1, max_size=70)


def graded(n: int, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    before = rng.beta(4, 2, n)
    return before, np.clip(before + rng.normal(shift, 0.2, n), 0, 1)


def test_interval_agrees_with_scipy_bca() -> None:
    before, after = graded(120, 0.05, seed=3)
    ours = paired_comparison(before, after)
    theirs = scipy.stats.bootstrap(
        (after - before,), np.mean, n_resamples=9999, method="BCa", rng=1
    ).confidence_interval
    assert ours.method == "bca"
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.003)


def test_small_samples_use_student_t() -> None:
    before, after = graded(12, 0.1, seed=5)
    ours = paired_comparison(before, after)
    theirs = scipy.stats.ttest_rel(after, before).confidence_interval(0.95)
    assert ours.method == "student-t"
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("n", [9, 14])
def test_small_samples_have_the_exact_permutation_p_value(n: int) -> None:
    before, after = graded(n, 0.1, seed=n)
    theirs = scipy.stats.permutation_test((after - before,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert paired_comparison(before, after).p_value == pytest.approx(theirs.pvalue, rel=1e-9)


def test_large_samples_have_a_monte_carlo_p_value_near_scipys() -> None:
    before, after = graded(150, 0.035, seed=8)
    theirs = scipy.stats.permutation_test(
        (after - before,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(2)
    )
    ours = paired_comparison(before, after, n_resamples=20_000)
    assert 0.005 < theirs.pvalue < 0.5
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.012)
    # (b + 1) / (m + 1): never 0, and a whole number of patterns
    assert (ours.p_value * 20_001) == pytest.approx(round(ours.p_value * 20_001))


def test_binary_scores_have_mcnemars_exact_p_value_at_any_size() -> None:
    gained, lost, same = 31, 14, 400
    before = [0] * gained + [1] * lost + [1] * same
    after = [1] * gained + [0] * lost + [1] * same
    assert paired_comparison(before, after).p_value == pytest.approx(
        scipy.stats.binomtest(gained, gained + lost).pvalue
    )


def test_wilson_agrees_with_scipy() -> None:
    ours = mean_interval([1] * 7 + [0] * 33)
    theirs = scipy.stats.binomtest(7, 40).proportion_ci(method="wilson")
    assert ours.method == "wilson"
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("score", [0, 1])
def test_wilson_stays_open_when_every_score_is_the_same(score: int) -> None:
    result = mean_interval([score] * 20)
    assert 0.1 < result.high - result.low < 0.2
    assert 0 <= result.low <= result.mean <= result.high <= 1


@pytest.mark.parametrize(
    ("n", "change", "verdict"),
    [
        (1, 1.0, "no evidence"),
        (5, 1.0, "no evidence"),
        (6, 1.0, "improved"),
        (80, 1.0, "improved"),
        (80, 0.0, "no evidence"),
    ],
)
def test_equal_differences_are_not_certainty(n: int, change: float, verdict: str) -> None:
    result = paired_comparison([0.0] * n, [change] * n)
    assert result.method == "bound"
    assert result.verdict == verdict
    assert result.low < result.delta or result.delta == -1
    assert result.high > result.delta or result.delta == 1
    assert result.low == pytest.approx(change - (1 - 0.025 ** (1 / n)) * (change + 1))


def test_rounding_noise_does_not_make_equal_differences_differ() -> None:
    result = paired_comparison([0.1, 0.2, 0.3, 0.7], [0.3, 0.4, 0.5, 0.9])
    assert result.method == "bound"
    assert result.p_value == pytest.approx(2 / 16)


def test_rounding_noise_does_not_make_equal_scores_differ() -> None:
    told = mean_interval([0.6] * 20 + [0.1 + 0.2 + 0.3] * 20)
    assert told.method == "bound"
    assert told.high - told.low > 0.05
    assert unpaired_comparison([0.6, 0.1 + 0.2 + 0.3], [0.7, 0.8 - 0.1]).verdict == "no evidence"


def test_too_few_examples_are_said_to_be_too_few() -> None:
    assert "fewer than 6 examples cannot show anything" in paired_comparison([0.0] * 5, [1.0] * 5).sentence()
    assert "fewer than" not in paired_comparison([0.0] * 6, [1.0] * 6).sentence()
    assert smallest_conclusive_n(0.99) == 8


def test_sentence_names_verdict_scores_interval_and_p() -> None:
    told = paired_comparison([0] * 30 + [1] * 70, [0] * 10 + [1] * 90).sentence()
    assert told.startswith("improved: 70.0 → 90.0 on 100 examples, +20.0 points (95% interval +")
    assert told.endswith("p < 0.001)")
    assert "1 example," in paired_comparison([0.2], [0.4]).sentence()


def test_a_loss_is_called_worse() -> None:
    assert paired_comparison([1] * 60, [0] * 30 + [1] * 30).verdict == "worse"


@settings(max_examples=60)
@given(pairs)
def test_swapping_the_programs_negates_the_result(scores: list[tuple[float, float]]) -> None:
    before, after = zip(*scores, strict=True)
    one, two = paired_comparison(before, after, n_resamples=499), paired_comparison(after, before, n_resamples=499)
    assert two.delta == pytest.approx(-one.delta, abs=1e-12)
    assert (two.low, two.high) == pytest.approx((-one.high, -one.low), abs=1e-9)
    assert two.p_value == one.p_value
    assert two.verdict == {"improved": "worse", "worse": "improved"}.get(one.verdict, one.verdict)


@settings(max_examples=60)
@given(pairs)
def test_results_are_coherent(scores: list[tuple[float, float]]) -> None:
    before, after = zip(*scores, strict=True)
    result = paired_comparison(before, after, n_resamples=499)
    assert -1 <= result.low <= result.high <= 1
    assert result.low - 1e-9 <= result.delta <= result.high + 1e-9
    assert 0 < result.p_value <= 1
    assert (result.verdict == "improved") == (result.p_value < 0.05 and result.low > 0)
    assert (result.verdict == "worse") == (result.p_value < 0.05 and result.high < 0)
    assert result == paired_comparison(before, after, n_resamples=499)


@settings(max_examples=60)
@given(st.lists(unit, min_size=1, max_size=70))
def test_mean_intervals_hold_the_mean(scores: list[float]) -> None:
    result = mean_interval(scores, n_resamples=499)
    assert 0 <= result.low <= result.mean + 1e-9
    assert result.mean - 1e-9 <= result.high <= 1


def simulate(n: int, up: float, down: float, rounds: int = 400) -> list[PairedComparison]:
    """Compare 0/1 programs: a wrong answer turns right with chance `up`, a right one wrong with `down`."""
    rng = np.random.default_rng(11)
    results = []
    for _ in range(rounds):
        before, luck = rng.random(n) < 0.5, rng.random(n)
        after = np.where(before, luck >= down, luck < up)
        results.append(paired_comparison(before, after, n_resamples=499))
    return results


@pytest.mark.parametrize("n", [30, 120])
def test_programs_that_do_not_differ_are_rarely_told_apart(n: int) -> None:
    results = simulate(n, up=0.2, down=0.2)
    false_alarms = sum(r.verdict != "no evidence" for r in results)
    covered = sum(r.low <= 0 <= r.high for r in results)
    # 400 rounds: nominal 5 % plus three standard errors (1.1 points each)
    assert false_alarms / 400 <= 0.05 + 0.033
    assert covered / 400 >= 0.95 - 0.04


def test_a_real_gain_is_found_and_covered() -> None:
    results = simulate(120, up=0.35, down=0.05)  # +15 points
    assert sum(r.verdict == "improved" for r in results) / 400 > 0.85
    assert sum(r.low <= 0.15 <= r.high for r in results) / 400 >= 0.91
    assert not any(r.verdict == "worse" for r in results)


@pytest.mark.parametrize(
    ("baseline", "candidate", "message"),
    [
        ([], [], "at least one"),
        ([0.1, 0.2], [0.1], "baseline has 2 scores and candidate 1"),
        ([0.1, math.nan], [0.1, 0.2], r"baseline\[1\] is nan"),
        ([0.1, 0.2], [0.1, 47.0], r"candidate\[1\] is 47"),
        ([0.1, -0.2], [0.1, 1.0], r"baseline\[1\] is -0.2"),
        ([[0.1]], [[0.1]], "shape"),
        (["a"], [0.1], "not a number"),
        ([{}], [0.1], "not a number"),
    ],
)
def test_unusable_scores_are_refused_in_one_line(baseline: list, candidate: list, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        paired_comparison(baseline, candidate)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"confidence": 1.0}, {"confidence": 0.0}, {"n_resamples": 0}])
def test_unusable_settings_are_refused(options: dict) -> None:
    with pytest.raises(InputError):
        paired_comparison([0.1, 0.2], [0.3, 0.5], **options)
    with pytest.raises(InputError):
        mean_interval([0.1, 0.2], **options)


def test_the_end_of_a_run_imports_no_scipy() -> None:
    code = (
        "import sys; from skillfleet_nb.stats import *; mean_interval([0, 1] * 30); "
        "print(paired_comparison([0, 1] * 30, [1, 0.5] * 30), 'scipy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("PairedComparison(")
    assert run.stdout.endswith(" False\n"), "20 MiB and half a second for two quantiles"
