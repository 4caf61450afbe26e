"""Composite: several metrics as one figure, with weights that fit the skill's style.

A hub has to be easy to scan, a comprehensive skill complete and well built, a minimal one to the
point, so one set of weights is unfair to two of them.  The original weights and the adapted ones are
both kept, with the reason for the difference.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.format import one_line
from skillfleet_nb.modules.base import ModuleFactory
from skillfleet_nb.security import Redactor
from skillfleet_nb.skills.style import STYLES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from skillfleet_nb.skills.style import Style
    from skillfleet_nb.typing import Model, Program

Metric = Literal["quality", "semantic", "entities", "readability", "coverage"]
METRICS: Final[tuple[Metric, ...]] = get_args(Metric)
_SUM_TOLERANCE: Final = 0.05


class Weights(BaseModel):
    """Weight of each metric in a composite: not negative, not all zero; only their ratio counts.

    Examples
    --------
    >>> Weights(quality=3, readability=1, semantic=0, entities=0, coverage=0).over(["quality", "readability"])
    {'quality': 0.75, 'readability': 0.25}
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quality: float = Field(0.30, ge=0, allow_inf_nan=False)
    semantic: float = Field(0.25, ge=0, allow_inf_nan=False)
    entities: float = Field(0.15, ge=0, allow_inf_nan=False)
    readability: float = Field(0.15, ge=0, allow_inf_nan=False)
    coverage: float = Field(0.15, ge=0, allow_inf_nan=False)

    def over(self, metrics: Mapping[Metric, Any] | list[Metric]) -> dict[Metric, float]:
        """Normalise to a sum of 1 over the metrics that were measured.

        Raises
        ------
        InputError
            All of those metrics have weight 0.
        """
        raw: dict[Metric, float] = {name: getattr(self, name) for name in METRICS if name in metrics}
        total = math.fsum(raw.values())
        if total <= 0:
            raise InputError(f"all weights of {', '.join(raw) or 'no metric'} are 0: give one a positive weight.")
        return {name: value / total for name, value in raw.items()}


STYLE_WEIGHTS: Final[dict[Style, Weights]] = {
    "navigation_hub": Weights(quality=0.30, semantic=0.15, entities=0.05, readability=0.35, coverage=0.15),
    "comprehensive": Weights(quality=0.25, semantic=0.25, entities=0.20, readability=0.20, coverage=0.10),
    "minimal": Weights(quality=0.20, semantic=0.50, entities=0.15, readability=0.10, coverage=0.05),
}
"""Weights by style; normalised before use."""

_WHY: Final[dict[Style, str]] = {
    "navigation_hub": "a navigation hub is read to find the way: readability counts most",
    "comprehensive": "a comprehensive skill holds everything itself: entities and meaning count more",
    "minimal": "a minimal skill has to say the right thing: meaning counts most",
}


class Proposal(NamedTuple):
    """What an advisor, such as an LM, proposes for a skill: its style, weights by metric, and why.

    Either may be None; what does not validate is set aside, with a reason.
    """

    style: str | None = None
    weights: Mapping[str, Any] | None = None
    reason: str = ""


class Adaptation(NamedTuple):
    """Adapted weights, the style they are for, and the reasons."""

    style: Style
    weights: Weights
    reasons: tuple[str, ...]


def validate_weights(proposed: Mapping[str, Any]) -> Weights:
    """Accept proposed weights only where they are complete, in [0, 1] and sum to 1 within 0.05.

    Raises
    ------
    InputError
        A metric is missing or unknown, a weight is no number in [0, 1], or the sum is off.

    Examples
    --------
    >>> validate_weights(dict(quality=0.5, semantic=0.5, entities=0, readability=0, coverage=0)).semantic
    0.5
    """
    if set(proposed) != set(METRICS):
        names = ", ".join(sorted(map(str, proposed)))
        raise InputError(f"weights for {names} given: give exactly {', '.join(METRICS)}.")
    for name, value in proposed.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value <= 1:
            raise InputError(f"weight {value!r} of {name} is not allowed: give a number from 0 to 1.")
    total = math.fsum(proposed.values())
    if abs(total - 1) > _SUM_TOLERANCE:
        raise InputError(f"weights sum to {total:.3g}: they must sum to 1 (within {_SUM_TOLERANCE}).")
    return Weights(**{name: value / total for name, value in proposed.items()})


def adapt_weights(style: Style, advice: Proposal | None = None) -> Adaptation:
    """Choose weights for a style; what `advice` proposes goes before the table where it validates.

    Parameters
    ----------
    style
        The style the rules detect or the author declares.
    advice
        A proposal, see :func:`lm_advisor`.

    Examples
    --------
    >>> adapt_weights("minimal", Proposal(weights={"quality": 7})).reasons[0]
    'proposed weights set aside: weights for quality given: give exactly quality, semantic, entities, \
readability, coverage.'
    """
    if style not in STYLES:
        raise unknown("style", style, STYLES)
    reasons = []
    if advice is not None and advice.style is not None and advice.style != style:
        if advice.style in STYLES:
            reasons.append(f"style {advice.style} instead of {style}: {advice.reason or 'proposed without a reason'}")
            style = advice.style
        else:
            reasons.append(f"proposed style set aside: {unknown('style', str(advice.style), STYLES)}")
    if advice is not None and advice.weights is not None:
        try:
            weights = validate_weights(advice.weights)
        except InputError as error:
            reasons.append(f"proposed weights set aside: {error}")
        else:
            return Adaptation(style, weights, (*reasons, f"weights proposed: {advice.reason or 'without a reason'}"))
    return Adaptation(style, STYLE_WEIGHTS[style], (*reasons, _WHY[style]))


def composite_score(values: Mapping[Metric, float], weights: Weights | None = None) -> float:
    """Weighted mean of the metrics measured, in [0, 1]; exactly 1 only where each of them is.

    Parameters
    ----------
    values
        Metric to value in [0, 1]; leave out what was not measured.
    weights
        By default those of ``Weights()``.

    Examples
    --------
    >>> composite_score({"quality": 1.0, "readability": 0.5}, Weights(quality=1, readability=1))
    0.75
    """
    for name, value in values.items():
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
        if not 0 <= value <= 1:
            raise InputError(f"{name} {value!r} is not allowed: give a value from 0 to 1.")
    shares = (weights or Weights()).over(values)
    return max(0.0, 1.0 - math.fsum(share * (1 - values[name]) for name, share in shares.items()))


class SkillStyle(ModuleFactory):
    """Makes what :func:`lm_advisor` asks."""

    name = "skill_style"
    version = "1"
    summary = "the style of an agent skill, and how much each metric counts for it, from its text"
    role = "validation"

    def build(self) -> Program:
        """Make the module."""
        return _style_judge()


def lm_advisor(lm: Model | None = None) -> Callable[[str], Proposal]:
    """Build an advisor that asks a language model for a skill's style and weights.

    Parameters
    ----------
    lm
        A ``dspy.LM``; None for the one configured in DSPy.

    Returns
    -------
    Callable
        From the text of a skill to :class:`Proposal`; an answer that cannot be read is no advice, and
        the reason says so.
    """
    import dspy

    predict = _style_judge()

    def advise(text: str) -> Proposal:
        try:
            with dspy.context(**({"lm": lm} if lm is not None else {})):
                answer = predict(skill=text)
        except (ValueError, TypeError, dspy.utils.exceptions.AdapterParseError) as error:
            message = Redactor([lm or dspy.settings.lm]).text(str(error))
            return Proposal(reason=f"the advice could not be read ({one_line(message, 200)})")
        return Proposal(answer.style, answer.weights, answer.reason)

    return advise


def _style_judge() -> Program:
    import dspy

    fields = {
        "skill": (str, dspy.InputField(desc="text of a SKILL.md")),
        "style": (str, dspy.OutputField(desc=f"one of {', '.join(STYLES)}")),
        "weights": (dict[str, float], dspy.OutputField(desc=f"{', '.join(METRICS)}: from 0 to 1, summing to 1")),
        "reason": (str, dspy.OutputField(desc="one short sentence")),
    }
    about = "Judge the style of an agent skill, and how much each metric counts for it."
    return dspy.Predict(dspy.Signature(fields, about, "JudgeStyle"))
