"""Commands of advice before money is spent; each calls one method of ``fleet.advice``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, group
from skillfleet_nb.commands.optimize import TASK

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from skillfleet_nb.advice.doctor import Diagnosis
    from skillfleet_nb.advice.forecast import Forecast
    from skillfleet_nb.advice.headroom import Headroom
    from skillfleet_nb.advice.noise import NoiseFloor
    from skillfleet_nb.advice.recommendation import Recommendation
    from skillfleet_nb.advice.track_record import SelectorReport
    from skillfleet_nb.commands.context import Context

_ABOUT_ESTIMATE = """Forecast what a run will buy, cost and take, with 80% intervals; nothing is started."""
_ABOUT_RECOMMEND = """Recommend an optimizer for a budget, with what it will cost, and why.

In a notebook the answer is a card: move its sliders, compare, run. It is recorded in the relation recommendations."""
_ABOUT_HEADROOM = (
    """Say what optimising can win at most: worth trying, little to gain, fix the data or the metric first."""
)
_EXAMPLES_RECOMMEND = (
    "%skillfleet recommend program --train train --metric metric --budget 10 --quality 0.85 --minutes 20",
    "%skillfleet recommend program --train train --metric metric --budget 3 --probe 0 -o advice",
)
_EXAMPLES_ESTIMATE = (
    "%skillfleet estimate program --train train --optimizer miprov2 --set auto=medium",
    "estimate mymodule:program --train data.csv --optimizer gepa --probe 0 --lm openai/gpt-4o-mini",
)

_PROBE = argument("--probe", type=int, default=3, metavar="N", help="examples to measure calls on (3); 0 calls nothing")

SELECTOR = group(
    "selector", "how good the advice has been", examples=("selector report",), task="Learn from runs", place=9
)


ENSEMBLE = group(
    "ensemble",
    "what optimizers have been worth",
    examples=("ensemble weights",),
    task="Learn from runs",
    place=10,
)


@command(
    "recommend",
    "which optimizer, for which money",
    *TASK,
    argument("--metric", required=True, metavar="METRIC"),
    argument("--budget", dest="budget_usd", type=float, metavar="USD", help="limit in USD, the probe included"),
    argument(
        "--quality",
        dest="quality_target",
        type=float,
        default=0.85,
        metavar="Q",
        help="score aimed at, in [0, 1] (0.85)",
    ),
    argument("--minutes", dest="max_minutes", type=float, metavar="M", help="limit on time"),
    argument("--complexity", metavar="WORD", help="how complex the task is, in a word: low, medium, high"),
    argument("--style", metavar="WORD", help="style of the answers, in a word"),
    argument("--domain", metavar="WORD", help="what the task is about, in a word"),
    _PROBE,
    argument("-o", dest="output", metavar="NAME", help="put the recommendation into this variable"),
    about=_ABOUT_RECOMMEND,
    examples=_EXAMPLES_RECOMMEND,
    task="Prepare",
    place=6,
)
def _recommend(c: Context, a: argparse.Namespace) -> Recommendation:
    made = c.call(c.fleet.advice.recommend, a)
    if a.output:
        c.namespace[a.output] = made
    return made


@command(
    "estimate",
    "what a run will cost, before it is started",
    *TASK,
    argument("--metric", metavar="METRIC"),
    argument("--optimizer", required=True, metavar="OPTIMIZER", help="see the command optimizers"),
    argument(
        "--set", dest="params", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the optimizer"
    ),
    _PROBE,
    about=_ABOUT_ESTIMATE,
    examples=_EXAMPLES_ESTIMATE,
    task="Prepare",
    place=7,
)
def _estimate(c: Context, a: argparse.Namespace) -> Forecast:
    return c.call(c.fleet.advice.estimate, a)


@command(
    "headroom",
    "what can optimising win here at most?",
    *TASK,
    argument("--metric", required=True, metavar="METRIC"),
    argument("-n", type=int, default=24, metavar="N", help="validation examples tried (24)"),
    argument("-k", type=int, default=4, metavar="K", help="tries of each (4)"),
    argument("--budget", dest="budget_usd", type=float, metavar="USD", help="limit in USD"),
    about=_ABOUT_HEADROOM,
    examples=("%skillfleet headroom program --train train --metric metric",),
    task="Prepare",
    place=3,
)
def _headroom(c: Context, a: argparse.Namespace) -> Headroom:
    return c.call(c.fleet.advice.headroom, a)


@command(
    "noise",
    "which gains can this task show at all?",
    *TASK,
    argument("--metric", required=True, metavar="METRIC"),
    argument("-n", type=int, default=40, metavar="N", help="examples that the program is run on twice (40)"),
    argument("--effect", type=float, default=0.05, metavar="GAIN", help="gain to be seen, of 1: rows needed (0.05)"),
    argument("--budget", dest="budget_usd", type=float, metavar="USD", help="limit in USD"),
    about="""Run a program twice with nothing changed: what differs is noise, and smaller gains cannot be seen.""",
    examples=("%skillfleet noise program --train train --metric metric --effect 0.03",),
    task="Prepare",
    place=4,
)
def _noise(c: Context, a: argparse.Namespace) -> NoiseFloor:
    return c.call(c.fleet.advice.noise, a)


@command(
    "selector report",
    "how often it was right, points lost, forecast errors, use",
    examples=("selector report",),
)
def _report(c: Context, a: argparse.Namespace) -> SelectorReport:
    del a
    return c.fleet.advice.report()


@command(
    "ensemble weights",
    "what each optimizer has been worth, by kind of task",
    examples=("ensemble weights",),
)
def _weights(c: Context, a: argparse.Namespace) -> pd.DataFrame:
    del a
    return c.fleet.advice.weights()


@command(
    "doctor",
    "is everything ready, before money is spent?",
    argument("program", nargs="?", metavar="PROGRAM"),
    argument("--train", metavar="DATA"),
    argument("--metric", metavar="METRIC"),
    argument("--lm", metavar="LM"),
    examples=("%skillfleet doctor program --train train --metric metric", "doctor --lm offline"),
    task="Prepare",
    place=1,
)
def _doctor(c: Context, a: argparse.Namespace) -> Diagnosis:
    return c.call(c.fleet.advice.doctor, a)
