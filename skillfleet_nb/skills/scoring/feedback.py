"""Feedback metrics: the same checks as ``dspy.Prediction(score, feedback)``, for any DSPy optimizer.

All take ``(example, pred, trace=None, pred_name=None, pred_trace=None)``, as GEPA calls them; the
others call with two or three arguments.  A full score has no complaint and a complaint means less than
a full score.  The score is always that of the whole program, as GEPA requires; with `pred_name`, the
text is about that predictor.  While demos are bootstrapped (DSPy then asks only whether the result is
true), a result below `PASS` is false.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted
from skillfleet_nb.skills.scoring.quality import quality_checks, quality_of
from skillfleet_nb.skills.scoring.score import score_skill
from skillfleet_nb.skills.scoring.taxonomy import WEIGHTS, plan_accuracy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.typing import Example, Prediction

    Trace = Sequence[tuple[Any, Mapping[str, Any], Mapping[str, Any]]]

PASS: Final = 0.8
SKILL_FIELDS: Final = ("skill_md", "skill_content", "skill", "content", "document")
"""Output fields in which the skill metrics look for the text of a ``SKILL.md``, in this order."""

_MOST_ADVICE = 5  # a reflecting model follows a short list
_FINE = "Everything is right."


def planning(
    example: Example,
    pred: Prediction,
    trace: object = None,  # noqa: ARG001  part of the contract
    pred_name: str | None = None,
    pred_trace: Trace | None = None,
) -> Prediction:
    """Score a skill plan: taxonomy path, name, style, keywords and description.

    Parameters
    ----------
    example
        What is expected, in fields ``expected_taxonomy_path`` … or ``taxonomy_path`` …; fields it
        lacks do not count.
    pred
        The plan, with fields named as in :data:`skillfleet_nb.skills.scoring.taxonomy.WEIGHTS`.
    trace
        Not None while demos are bootstrapped.
    pred_name, pred_trace
        The predictor the feedback is for, and its step ``[(predictor, inputs, outputs)]``.

    Returns
    -------
    dspy.Prediction
        ``score`` in [0, 1] and ``feedback``.

    Raises
    ------
    InputError
        The example expects nothing.

    Examples
    --------
    >>> import dspy
    >>> gold = dspy.Example(taxonomy_path="web/css", name="css-layout")
    >>> planning(gold, dspy.Prediction(taxonomy_path="web/css", name="css")).feedback
    "name: expected 'css-layout', got 'css'."
    """
    expected = _expected(example)
    if not expected:
        raise InputError(
            f"the example expects nothing: give it one of {', '.join(WEIGHTS)}, or the same with 'expected_' before."
        )
    plan = {field: _get(pred, field) for field in WEIGHTS}
    score, fields = plan_accuracy(plan, expected)
    wrong = [f for f in sorted(fields, key=lambda f: -WEIGHTS[f.field] * (1 - f.value)) if f.advice]
    own = _outputs(pred_trace) if pred_name else frozenset()
    mine = [f.advice for f in wrong if f.advice and (not own or f.field in own)]
    others = [f.field for f in wrong if own and f.field not in own]
    if others:
        mine.append(f"What {pred_name} does not write is wrong too: {', '.join(others)}.")
    return _result(score, mine)


def skill_quality(
    example: Example,  # noqa: ARG001  a dspy.Example; quality needs no gold
    pred: Prediction,
    trace: object = None,  # noqa: ARG001  part of the contract
    pred_name: str | None = None,
    pred_trace: Trace | None = None,
) -> Prediction:
    """Score the quality of a written skill, with the most rewarding improvements as feedback.

    The text is in the first of :data:`SKILL_FIELDS` that `pred` has, or its only text field.

    Returns
    -------
    dspy.Prediction
        ``score`` in [0, 1] and ``feedback``.

    Raises
    ------
    InputError
        No output field holds the text of a skill.
    """
    checks = quality_checks(_skill_text(pred))
    wrong = sorted((c for c in checks if c.advice), key=lambda c: -c.weight * (1 - c.value))
    return _result(quality_of(checks), [c.advice for c in wrong if c.advice], _role(pred_name, pred_trace, pred))


def skill_fit(
    example: Example,
    pred: Prediction,
    trace: object = None,  # noqa: ARG001  part of the contract
    pred_name: str | None = None,
    pred_trace: Trace | None = None,
) -> Prediction:
    """Score a written skill by the composite adapted to its style.

    Where the example has a model skill (in one of :data:`SKILL_FIELDS`), entity F1 against it counts too.

    Returns
    -------
    dspy.Prediction
        ``score`` in [0, 1] and ``feedback``.
    """
    gold = next((_get(example, f) for f in SKILL_FIELDS if _get(example, f)), None)
    score = score_skill(_skill_text(pred), reference=str(gold) if gold else None)
    return _result(score.adjusted, list(score.improvements), _role(pred_name, pred_trace, pred))


def _result(score: float, complaints: Sequence[str], role: str = "") -> Prediction:
    shown = [*complaints[:_MOST_ADVICE]]
    if len(complaints) > len(shown):
        left = len(complaints) - len(shown)
        shown.append(f"({counted(left, 'smaller point')} {'is' if left == 1 else 'are'} left out.)")
    return _prediction_class()(score=score, feedback=f"{role}{' '.join(shown)}" if complaints else _FINE)


@cache
def _prediction_class() -> Any:
    import dspy

    class Scored(dspy.Prediction):  # type: ignore[misc]  # dspy is untyped
        """A prediction whose truth is whether it passes; DSPy's own is true for having fields."""

        def __bool__(self) -> bool:
            return float(self) >= PASS

    return Scored


def _get(record: object, field: str) -> Any:
    value = record.get(field) if isinstance(record, dict) else getattr(record, field, None)
    return None if callable(value) else value


def _expected(example: Example) -> dict[str, Any]:
    expected = {}
    for field in WEIGHTS:
        value = _get(example, f"expected_{field}")
        value = _get(example, field) if value in (None, "", []) else value
        if value not in (None, "", []):
            expected[field] = value
    return expected


def _outputs(pred_trace: Trace | None) -> frozenset[str]:
    """Names of the fields that the predictor of a step writes; empty where unknown."""
    if not pred_trace:
        return frozenset()
    try:
        _, _, outputs = pred_trace[-1]
        return frozenset(outputs.keys())
    except (TypeError, ValueError, IndexError, KeyError, AttributeError):
        return frozenset()


def _role(pred_name: str | None, pred_trace: Trace | None, pred: Prediction) -> str:
    """Tell a predictor that does not write the skill that it only prepares it."""
    own = _outputs(pred_trace)
    if not pred_name or not own or own & {*SKILL_FIELDS, _text_field(pred)}:
        return ""
    return f"{pred_name} prepares the skill but does not write it; the skill that came of it needs: "


def _text_field(pred: Prediction) -> str | None:
    named = next((f for f in SKILL_FIELDS if _get(pred, f) is not None), None)
    if named:
        return named
    record: Mapping[str, Any] = pred if isinstance(pred, dict) else dict(pred.items())
    texts = [field for field, value in record.items() if isinstance(value, str) and field != "reasoning"]
    return texts[0] if len(texts) == 1 else None


def _skill_text(pred: Prediction) -> str:
    field = _text_field(pred)
    if field is None:
        # The cause tells a run's checks that it is the prediction that lacks something, and not the metric.
        lacks = AttributeError(SKILL_FIELDS[0])
        raise InputError(
            f"no output field with the text of a skill: name it one of {', '.join(SKILL_FIELDS)}."
        ) from lacks
    return str(_get(pred, field))
