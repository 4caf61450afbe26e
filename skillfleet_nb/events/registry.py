"""Events of registered programs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from skillfleet_nb.events.payload import Payload


class VersionRegistered(Payload):
    """A program was registered under a name; versions of a name count from 1, the same `content_id` is never two.

    `program_id` is its state in ``programs/``, `golden` a few inputs with what it answered, kept there too; `program`
    is its class, `signatures` the fingerprint of each predictor's.  `scores` has `val`, `test`, `test_low`,
    `test_high`, `n_test`, `test_baseline` and `verdict` as far as they are known; `setup` what they rest on:
    `optimizer`, `metric`, `lm`, and hashes of `data` and metric.
    """

    kind: Literal["version"] = "version"
    name: str
    version: int
    content_id: str
    program_id: str
    program: str
    signatures: dict[str, str]
    job_id: str | None = None
    scores: dict[str, float | int | str | None] = Field(default_factory=dict)
    setup: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    note: str = ""
    by: str = ""
    golden: str | None = None


class AliasMoved(Payload):
    """An alias of a name was set to a version; `move` counts the moves of the alias from 1.

    `evidence` says how the two versions compare, `forced` why it was moved against that.
    """

    kind: Literal["alias"] = "alias"
    name: str
    alias: str
    move: int
    version: int
    previous: int | None = None
    how: Literal["set", "rollback"] = "set"
    evidence: str = ""
    forced: str | None = None
    by: str = ""


class SignatureMigrated(Payload):
    """As a version was loaded, a predictor was brought one step further to the code's version of its signature.

    What is kept stays as it is; a step of a version is told once.
    """

    kind: Literal["migrated"] = "migrated"
    name: str
    version: int
    predictor: str
    signature: str
    start: str
    to: str


class Answered(Payload):
    """A live program answered a call; `share` of its calls are recorded, in (0, 1]."""

    kind: Literal["answered"] = "answered"
    name: str
    alias: str
    version: int
    share: float
    latency_s: float
    error: str | None = None
