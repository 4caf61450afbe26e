"""Routes about registered programs and programs in use: versions, signatures, drift, A/B tests."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from skillfleet_nb.runs.request import TuneRequest
from skillfleet_nb.server.answers import JobNow, job_now, rows
from skillfleet_nb.server.route import Asked, Call, Nothing, Rows, route
from skillfleet_nb.server.wire import Name, wired
from skillfleet_nb.server.wire import Rows as Given

_Tune = wired(TuneRequest, without=("train", "val", "test", "metric"))


class Tune(_Tune):  # type: ignore[misc, valid-type]  # made by wired
    """A registered program whose signatures are to be tuned, on what was kept with its job."""

    source: Name = Field(description="what is registered, name@version, or a job")


@route("GET", "programs", "registered programs, newest first", "read", gives=Rows, kept="home")
def _programs(c: Call[Nothing]) -> object:
    return rows(c.fleet.versions())


@route("POST", "signatures/check", "whether registered programs fit the code", "read")
def _check(c: Call[Nothing]) -> object:
    report = c.fleet.registry.check()
    return {"ok": report.ok, "programs": report.programs}


class Migrate(Asked):
    """Whether to do it."""

    apply: bool = Field(default=False, description="write what would be migrated")


@route("POST", "signatures/migrate", "bring registered programs to the code's signatures", "write", takes=Migrate)
def _migrate(c: Call[Migrate]) -> object:
    report = c.fleet.registry.migrate_all(apply=c.asked.apply)
    return {"ok": report.ok, "programs": report.programs, "done": [list(one) for one in report.done]}


@route("POST", "signatures/tune", "better instructions, in a process of its own", "execute", takes=Tune, gives=JobNow,
       status=201, asks="job")  # fmt: skip
def _tune(c: Call[Any]) -> object:
    return job_now(c.fleet.tune(c.asked.source, **c.materials.options(c.asked), engine="process"))


@route("GET", "modules/available", "modules that installed packages bring along", "read")
def _modules(c: Call[Nothing]) -> object:
    return {"modules": [one for versions in c.fleet.modules.available().values() for one in versions]}


class Live(Asked):
    """What is looked at, and what for."""

    name: Name = Field(description="NAME@ALIAS or NAME@VERSION of a registered program")
    inputs: Given | None = Field(default=None, description="live rows: inputs, and for 'output' the answers as well")
    kinds: list[Literal["input", "output", "quality", "model"]] = Field(
        default=["input"], min_length=1, max_length=4, description="'quality' and 'model' buy the calls of a golden set"
    )
    reference: Given | None = Field(default=None, description="by default the rows its job trained on")
    golden: Name | None = Field(default=None, description="the golden set; by default that of the program's name")
    alpha: float = Field(default=0.01, gt=0, lt=1, description="risk of a false alarm over all checks")
    seed: int = Field(default=0, ge=0, lt=2**32)


@route("POST", "drift", "test what a program is asked and answers against what it was", "execute", takes=Live)
def _drift(c: Call[Live]) -> object:
    live, reference = (None if one is None else c.materials.rows(one) for one in (c.asked.inputs, c.asked.reference))
    options = {name: getattr(c.asked, name) for name in ("kinds", "golden", "alpha", "seed")}
    report = c.fleet.drift.check(c.asked.name, live, rows=reference, **options)
    return {
        "name": report.of, "look": report.look, "alarm": report.alarm, "sentence": report.sentence(),
        "alpha": report.alpha, "spent": report.spent,
        "findings": [
            {"alarm": one.alarm, "sentence": one.sentence(), "rows_needed": one.rows}
            | {name: getattr(one, name) for name in ("kind", "p_value", "spent", "divergence", "n", "n_reference")}
            for one in report.findings
        ],
        "moved": report.moved, "left": report.left, "shares": report.shares,
    }  # fmt: skip


class OfChecks(Asked):
    """Whose checks."""

    name: str | None = Field(default=None, description="what was checked; all without it")


@route("GET", "drift", "the checks for drift so far", "read", takes=OfChecks, gives=Rows, kept="home")
def _checks(c: Call[OfChecks]) -> object:
    return rows(c.fleet.drift.history(c.asked.name))


class Test(Asked):
    """An A/B test to be started."""

    name: Name
    variants: dict[str, Name] = Field(min_length=2, max_length=20, description="label to name@version, control first")
    split: list[float] | str | None = None
    alpha: float = Field(default=0.05, gt=0, lt=1)
    guardrails: list[str] = Field(default_factory=list, max_length=20)
    effect: float = Field(default=0.05, gt=0, le=1)
    power: float = Field(default=0.9, gt=0, lt=1)
    margin: float | None = None


@route("GET", "ab", "A/B tests, newest first", "read", gives=Rows, kept="home")
def _tests(c: Call[Nothing]) -> object:
    return rows(c.fleet.ab_tests.listing())


@route("POST", "ab", "start an A/B test", "write", takes=Test, status=201)
def _start(c: Call[Test]) -> object:
    return _standing(c.fleet.start_ab(**dict(c.asked)))


@route("GET", "ab/{test}", "how a test stands", "read", kept="home")
def _status(c: Call[Nothing]) -> object:
    return _standing(c.fleet.ab_status(c.path["test"]))


@route("POST", "ab/{test}/stop", "end a test: the control answers all", "write")
def _stop(c: Call[Nothing]) -> object:
    return _standing(c.fleet.ab_tests.stop(c.path["test"]))


class Promote(Asked):
    """Where the winner goes."""

    alias: str = Field(default="production", description="the alias that is moved")
    force: str | None = Field(default=None, description="why the best mean is promoted without a winner")


@route("POST", "ab/{test}/promote", "set an alias to the winner", "write", takes=Promote)
def _promote(c: Call[Promote]) -> object:
    move, status = c.fleet.ab_tests.promote(c.path["test"], c.asked.alias, force=c.asked.force)
    return {"alias": c.asked.alias, "version": move.version, **_standing(status)}


def _standing(status: Any) -> dict[str, Any]:
    return {
        "name": status.test.name, "sentence": status.sentence(), "winner": status.winner, "n": status.n,
        "arms": status.arms, "differences": status.differences, "ended": status.test.ended,
    }  # fmt: skip
