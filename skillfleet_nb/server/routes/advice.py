"""Routes of advice before money is spent, and of what optimizers are worth."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from skillfleet_nb.advice.requests import EstimateRequest, HeadroomRequest, NoiseRequest, RecommendRequest
from skillfleet_nb.server.answers import rows
from skillfleet_nb.server.route import Asked, Call, Nothing, Rows, route
from skillfleet_nb.server.wire import Model, wired
from skillfleet_nb.server.wire import Rows as Given

Recommend, Estimate = wired(RecommendRequest), wired(EstimateRequest)
Headroom, Noise = wired(HeadroomRequest), wired(NoiseRequest)


class OfOptimizer(Asked):
    """Which optimizer."""

    name: str | None = Field(default=None, description="list the parameters of this one instead")


@route("GET", "optimizers", "the installed optimizers, or the parameters of one", "read", takes=OfOptimizer, gives=Rows,
       aliases=("api/v1/optimization/optimizers",))  # fmt: skip
def _optimizers(c: Call[OfOptimizer]) -> object:
    return rows(c.fleet.optimizers(c.asked.name))


@route("POST", "optimization/recommend", "which optimizer, for which money", "execute", takes=Recommend, asks="probe",
       aliases=("api/v1/optimization/recommend",))  # fmt: skip
def _recommend(c: Call[Any]) -> object:
    return c.fleet.advice.recommend(**c.materials.options(c.asked))


@route("POST", "estimate", "what a run will cost, before it is started", "execute", takes=Estimate, asks="probe",
       aliases=("api/v1/optimization/estimate",))  # fmt: skip
def _estimate(c: Call[Any]) -> object:
    return c.fleet.advice.estimate(**c.materials.options(c.asked))


@route("POST", "headroom", "what optimising can win here at most", "execute", takes=Headroom, asks="always")
def _headroom(c: Call[Any]) -> object:
    return c.fleet.advice.headroom(**c.materials.options(c.asked))


@route("POST", "noise", "which gains this task can show at all", "execute", takes=Noise, asks="always")
def _noise(c: Call[Any]) -> object:
    return c.fleet.advice.noise(**c.materials.options(c.asked))


@route("GET", "ensemble", "what optimizers have been worth, by kind of task", "read", gives=Rows, kept="home",
       aliases=("api/v2/evaluation/adaptive-weights",))  # fmt: skip
def _weights(c: Call[Nothing]) -> object:
    return rows(c.fleet.advice.weights())


class Trainset(Asked):
    """A training set to be analysed."""

    train: Given
    label: str | None = Field(default=None, description="the label; by default the field that looks like it")
    reference: Given | None = Field(default=None, description="test or production inputs")
    judge: Model | None = Field(default=None, description="a model that grades each example")
    max_calls: int = Field(default=200, ge=0, le=10**9, description="of the judge, at most")
    budget_usd: float | None = Field(default=None, gt=0, description="of the judge, at most")
    seed: int = Field(default=0, ge=0, lt=2**32)


@route("POST", "training/analytics", "what is known of a training set", "execute", takes=Trainset, asks="judge",
       aliases=("api/v2/training/analytics",))  # fmt: skip
def _analytics(c: Call[Trainset]) -> object:
    return c.fleet.data.analyse(**c.materials.options(c.asked))
