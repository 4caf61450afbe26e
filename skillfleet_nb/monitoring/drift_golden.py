"""Drift of quality and of the model: a golden set asked again, against what it was answered when it was made."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, one_line, percent, points, points_change
from skillfleet_nb.messages import as_typed
from skillfleet_nb.monitoring.drift_inputs import POWER
from skillfleet_nb.monitoring.drift_report import Details, Finding
from skillfleet_nb.monitoring.golden_sets import differ
from skillfleet_nb.power import rows_needed, smallest_difference
from skillfleet_nb.stats import paired_comparison

if TYPE_CHECKING:
    from skillfleet_nb.events.monitoring import GoldenRow
    from skillfleet_nb.monitoring.golden_sets import Asked, GoldenSet

_DROP = 0.05  # of the mean score, that is planned for
_CHANGED = 0.2  # of the answers, that is planned for
_SHOWN = 5
_TO_BE_SURE, _MOST_FLIPS = 20, 200_000  # sign flips for each expected one beyond a p-value of the risk


def quality_drift(golden: GoldenSet, now: Asked, by: str, spent: float, seed: int) -> Finding:
    """Test whether `by` scores lower on a golden set than its version did: paired, one-sided."""
    flips = int(np.clip(math.ceil(_TO_BE_SURE / spent), 9999, _MOST_FLIPS))
    result = paired_comparison(golden.scores, now.scores, n_resamples=flips, seed=seed)
    # under the null, a difference is as likely up as down: half of a two-sided p-value is one-sided
    p_value = result.p_value / 2 if result.delta < 0 else 1 - result.p_value / 2
    confidence, n = 1 - 2 * spent, len(golden.rows)
    least = smallest_difference(n, golden.noise, confidence=confidence)
    needed = rows_needed(_DROP, golden.noise, confidence=confidence)
    worse = [
        [_asked(row), _answer(row.output), _answer(output), points_change(score - (row.score or 0.0))]
        for row, output, score in zip(golden.rows, now.outputs, now.scores, strict=True)
        if score < (row.score or 0.0)
    ]
    change = f"{points_change(result.delta)} points on the {counted(n, 'example')} of {golden.ref}"
    shows = "no drop" if least is None or least > golden.mean else f"drops only from {points(least)} points on"
    against = f"{golden.kept.ref} then scored {points(golden.mean)}"
    return Finding(
        "quality", p_value, spent, max(0.0, -result.delta), n, n, needed,
        f"the quality has dropped: {by} scores {change}, {against}",
        f"no drop of quality is told: {by} scores {change}, {against}",
        f"{by} scores {change}, which show {shows}; {needed:,} show {points(_DROP)} points",
        least, (Details(("asked", "answered then", "answers now", "points"), worse[:_SHOWN]),) if worse else (),
    )  # fmt: skip


def model_drift(golden: GoldenSet, now: Asked, model: str, spent: float) -> Finding:
    """Test whether a model answers the same prompts of the same program otherwise than it did.

    Answers may differ by themselves, as those of the two times did when the set was made.  Were the model the same, an
    example that was answered the same then and otherwise now would be as likely as one answered otherwise then and the
    same now: an exact sign test (McNemar).

    """
    import dspy

    kept = golden.kept
    pairs = list(zip(golden.rows, now.outputs, strict=True))
    changed = [(row, output) for row, output in pairs if differ(row.output, output)]
    new = sum(bool(row.same) for row, _ in changed)
    gone = golden.differing - (len(changed) - new)
    n, needed = len(pairs), _rows_to_tell(spent)
    rows = [[_asked(row), _answer(row.output), _answer(output)] for row, output in changed[:_SHOWN]]
    moved = f"{len(changed)} of {n} answers to the same prompts are others, {golden.differing} were so at once"
    cause = f"{model} has changed"
    if kept.dspy != dspy.__version__:
        cause += f", or DSPy has ({kept.dspy} then, {dspy.__version__} now)"
    return Finding(
        "model", _binomial_tail(new, new + gone), spent, len(changed) / n, n, n, needed,
        f"{cause}: {moved}", f"no change of {model} is told: {moved}",
        f"{moved}; {needed:,} examples show that {percent(_CHANGED)} of the answers changed", None,
        (Details(("asked", "answered then", "answers now"), rows),) if rows else (),
    )  # fmt: skip


def check_model(golden: GoldenSet, model: str) -> None:
    """Refuse to tell whether a model has changed where another one answered the set; raises `InputError`."""
    kept = golden.kept
    if kept.lm != model:
        anew = as_typed(f"golden add {kept.name} --score-now")
        raise InputError(
            f"golden set {golden.ref} was answered by {kept.lm}, this is {model}: a changed model is told by asking "
            f"the same one (--lm); or score the set anew: {anew}"
        )


def _binomial_tail(k: int, n: int) -> float:
    """Return the chance of `k` heads or more of `n` throws of a fair coin."""
    return float(sum(math.comb(n, more) for more in range(k, n + 1)) / 2**n)


def _rows_to_tell(spent: float) -> int:
    """Return the examples that tell a change of a share of the answers in 8 of 10 checks, where nothing else is."""
    least, n = math.ceil(-math.log2(spent)), 1
    while _at_least(least, n) < POWER:
        n += 1
    return n


def _at_least(k: int, n: int) -> float:
    return 1 - sum(math.comb(n, i) * _CHANGED**i * (1 - _CHANGED) ** (n - i) for i in range(min(k, n + 1)))


def _asked(row: GoldenRow) -> str:
    return one_line(", ".join(str(value) for value in row.inputs.values()))


def _answer(output: dict[str, object] | None) -> str:
    return "failed" if output is None else one_line(", ".join(str(value) for value in output.values()), 40)
