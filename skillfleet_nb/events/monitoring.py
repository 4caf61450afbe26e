"""Events of programs in use: golden sets, A/B tests, checks for drift."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.events.learning import LearningPayload
from skillfleet_nb.events.payload import Payload

DRIFT: Final = "drift"
"""The stream of the journal with the checks for drift."""

AB_TESTS: Final = "ab"
"""The stream of the journal that says which tests there are, and how each is split; answers stand in others."""


GOLDEN: Final = "golden"
"""The stream of the journal with the golden sets and how they were used."""


class GoldenRow(BaseModel):
    """An example of a golden set: what is asked and expected, and what the set's version answered twice.

    `score` and `again` are those of the two times; `same` says whether both answers were the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    example_id: str
    inputs: dict[str, Any]
    expected: dict[str, Any]
    output: dict[str, Any] | None = None
    score: float | None = None
    again: float | None = None
    same: bool | None = None


class GoldenAdded(Payload):
    """A version of a golden set, which never changes; versions of a name count from 1.

    `ref` is the registered version that `rows` were answered by, of the model `lm` and scored by `metric`; None, as
    `dspy`, where they were not.
    """

    kind: Literal["golden"] = "golden"
    name: str
    version: int
    content: str
    rows: tuple[GoldenRow, ...]
    ref: str | None = None
    program_id: str | None = None
    lm: str | None = None
    metric: str | None = None
    metric_hash: str | None = None
    dspy: str | None = None
    by: str = ""


class GoldenAsked(Payload):
    """A golden set was asked again, for a check or a gate: scores by example, and how many answers had changed."""

    kind: Literal["golden_asked"] = "golden_asked"
    name: str
    version: int
    why: str
    ref: str | None
    program_id: str
    lm: str
    changed: int
    scores: dict[str, float]


class ABStarted(Payload):
    """An A/B test began.

    `run` tells tests of the same name apart, and is what units are assigned by.  `variants` has the version behind
    each label, the one that others are compared with first; `split` the share of each.  `effect` is the difference of
    mean scores that is planned for, `rows` the scored units by which it is told as often as `power` asks, at the
    `variance` of a score that `basis` says where it is known from; `units` are all there will be, where that is known.
    `margin` is set where the question is whether the others are no worse than that.
    """

    kind: Literal["ab_started"] = "ab_started"
    name: str
    run: str
    variants: dict[str, str]
    split: tuple[float, ...]
    strategy: Literal["fixed", "ramp", "adaptive"] = "fixed"
    alpha: float
    power: float
    effect: float
    rows: int
    variance: float = 0.25
    basis: str = ""
    units: int | None = None
    margin: float | None = None
    guardrails: tuple[str, ...] = ()
    metric: str | None = None
    by: str = ""


class ABSplit(Payload):
    """New units of a test are split otherwise from now on; `epoch` counts the splits of a test from 0."""

    kind: Literal["ab_split"] = "ab_split"
    name: str
    run: str
    epoch: int
    split: tuple[float, ...]
    why: str


class ABEnded(Payload):
    """A test is over; all units are answered by the variant `winner` from now on."""

    kind: Literal["ab_ended"] = "ab_ended"
    name: str
    run: str
    how: Literal["stopped", "guardrail", "promoted"]
    winner: str
    why: str
    by: str = ""


class ABAnswered(Payload):
    """A variant answered a call; `unit` is a hash, which tells units apart and names nobody."""

    kind: Literal["ab_answered"] = "ab_answered"
    run: str
    call: str
    unit: str
    variant: str
    epoch: int
    latency_s: float
    cost_usd: float | None = None
    error: str | None = None


class ABScored(Payload):
    """Feedback on an answer, in [0, 1]; the first one of a call counts."""

    kind: Literal["ab_scored"] = "ab_scored"
    run: str
    call: str
    unit: str
    variant: str
    epoch: int
    score: float


class DriftFound(BaseModel):
    """What a check found of a kind of drift.

    `spent` is the risk of a false alarm of this test.  `n` inputs, answers or examples were compared with
    `n_reference`; `share` is the part that a drift must have to be told with so many, None where they are too few for
    any, or it is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    kind: str
    p_value: float
    spent: float
    divergence: float
    alarm: bool
    n: int
    n_reference: int
    share: float | None = None
    sentence: str = ""


class DriftChecked(Payload):
    """A program was checked for drift; the `look`-th check of the same name, from 1.

    `alpha` is the risk of a false alarm over all checks of that name, `spent` what this one may spend of it, which its
    kinds share.
    """

    kind: Literal["drift"] = "drift"
    of: str
    look: int
    alpha: float
    spent: float
    findings: tuple[DriftFound, ...]


MonitoringPayload = (
    LearningPayload | GoldenAdded | GoldenAsked | DriftChecked | ABStarted | ABSplit | ABEnded | ABAnswered | ABScored
)
"""Every kind of fact about programs in use."""
