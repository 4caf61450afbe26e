"""What so many examples can show: as often as it says, no better with fewer, and the two questions agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from skillfleet_nb.errors import InputError
from skillfleet_nb.power import rows_needed, smallest_difference
from skillfleet_nb.stats import paired_comparison, smallest_conclusive_n

VARIANCES = st.floats(0, 0.5)


@pytest.mark.parametrize(("n", "null_variance"), [(20, 0.0), (100, 0.05), (300, 0.2)])
def test_the_smallest_difference_is_shown_as_often_as_it_says(n: int, null_variance: float) -> None:
    difference = smallest_difference(n, null_variance)
    assert difference is not None
    rng, shown = np.random.default_rng(7), 0
    for _ in range(200):
        drawn = rng.random(n)
        changed = np.select([drawn < null_variance / 2 + difference, drawn < null_variance + difference], [1, -1], 0)
        found = paired_comparison((changed < 0).astype(float), (changed > 0).astype(float), n_resamples=199)
        shown += found.verdict == "improved"
    assert 0.65 <= shown / 200 <= 0.9


@given(st.integers(1, 5000), VARIANCES, st.integers(1, 5000))
def test_more_examples_show_smaller_gains(n: int, null_variance: float, more: int) -> None:
    few, many = smallest_difference(n, null_variance), smallest_difference(n + more, null_variance)
    assert few is None or (many is not None and many <= few)
    if many is not None:
        noisier = smallest_difference(n + more, null_variance + 0.1)
        assert noisier is None or noisier >= many


@given(st.floats(0.01, 1), VARIANCES)
def test_the_rows_that_a_difference_needs_show_it(difference: float, null_variance: float) -> None:
    n = rows_needed(difference, null_variance)
    shown = smallest_difference(n, null_variance)
    assert shown is not None
    assert shown <= difference + 1e-6
    assume(n > smallest_conclusive_n())
    fewer = smallest_difference(n - 1, null_variance)
    assert fewer is None or fewer >= difference - 1e-6


def test_no_gain_is_promised_where_no_verdict_is_possible() -> None:
    least = smallest_conclusive_n()
    assert smallest_difference(least - 1) is None
    assert smallest_difference(least) is not None
    assert rows_needed(1.0) == least


@pytest.mark.parametrize(
    ("ask", "named"),
    [
        (lambda: smallest_difference(0), "n = 0"),
        (lambda: smallest_difference(10, 2.0), "null_variance = 2.0"),
        (lambda: smallest_difference(10, power=1.0), "power = 1.0"),
        (lambda: rows_needed(0.0), "difference = 0.0"),
        (lambda: rows_needed(5), "difference = 5"),
        (lambda: rows_needed(1e-9, 0.1), "more than 10,000,000 rows"),
    ],
)
def test_what_means_nothing_is_refused(ask: object, named: str) -> None:
    with pytest.raises(InputError, match=named):
        ask()  # type: ignore[operator]
