"""Commands of advice: estimate, recommend, headroom and selector; each calls one facade method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.handlers import params

if TYPE_CHECKING:
    import argparse

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


def add(commands: Any) -> None:
    """Add these commands to the tree."""
    p = commands.add_parser(
        "recommend", help="which optimizer, for which money", description=_ABOUT_RECOMMEND, examples=_EXAMPLES_RECOMMEND
    )
    _task(p)
    p.add_argument("--metric", required=True, metavar="METRIC")
    p.add_argument("--budget", type=float, metavar="USD", help="limit in USD, the probe included")
    p.add_argument("--quality", type=float, default=0.85, metavar="Q", help="score aimed at, in [0, 1] (0.85)")
    p.add_argument("--minutes", type=float, metavar="M", help="limit on time")
    p.add_argument("--complexity", metavar="WORD", help="how complex the task is, in a word: low, medium, high")
    p.add_argument("--style", metavar="WORD", help="style of the answers, in a word")
    p.add_argument("--domain", metavar="WORD", help="what the task is about, in a word")
    _probe(p)
    p.add_argument("-o", dest="output", metavar="NAME", help="put the recommendation into this variable")
    p.set_defaults(run=_recommend)

    p = commands.add_parser(
        "estimate", help="what a run will cost, before it is started", description=_ABOUT_ESTIMATE,
        examples=_EXAMPLES_ESTIMATE,
    )  # fmt: skip
    _task(p)
    p.add_argument("--metric", metavar="METRIC")
    p.add_argument("--optimizer", required=True, metavar="OPTIMIZER", help="see the command optimizers")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the optimizer")
    _probe(p)
    p.set_defaults(run=_estimate)

    p = commands.add_parser(
        "headroom", help="what can optimising win here at most?", description=_ABOUT_HEADROOM,
        examples=("%skillfleet headroom program --train train --metric metric",),
    )  # fmt: skip
    _task(p)
    p.add_argument("--metric", required=True, metavar="METRIC")
    p.add_argument("-n", type=int, default=24, metavar="N", help="validation examples tried (24)")
    p.add_argument("-k", type=int, default=4, metavar="K", help="tries of each (4)")
    p.add_argument("--budget", type=float, metavar="USD", help="limit in USD")
    p.set_defaults(run=_headroom)

    selector = commands.add_parser("selector", help="how good the advice has been", examples=("selector report",))
    parts = selector.add_subparsers(dest="selector_command", metavar="command", parser_class=type(selector))
    p = parts.add_parser(
        "report", help="accuracy, regret, calibration, forecast errors, use", examples=("selector report",)
    )
    p.set_defaults(run=_report)


def _task(p: Any) -> None:
    p.add_argument("program", metavar="PROGRAM")
    p.add_argument("--train", required=True, metavar="DATA")
    p.add_argument("--val", metavar="DATA", help="validation set")
    p.add_argument("--test", metavar="DATA", help="test set; it is not looked at")
    p.add_argument("--lm", metavar="LM", help="variable, 'offline', or model name; default: dspy's")
    p.add_argument("--prompt-lm", metavar="LM", help="model that proposes and reflects")
    p.add_argument("--seed", type=int, default=0, metavar="N")
    p.add_argument("--threads", type=int, metavar="N", help="threads of an evaluation")


def _probe(p: Any) -> None:
    p.add_argument(
        "--probe", type=int, default=3, metavar="N", help="examples to measure calls on (3); 0 calls nothing"
    )


def _given(c: Context, a: argparse.Namespace) -> dict[str, Any]:
    return {
        "train": c.rows(a.train, "train"),
        "val": c.rows(a.val, "val"),
        "test": c.rows(a.test, "test"),
        "metric": c.metric(a.metric) if a.metric else None,
        "lm": c.lm(a.lm),
        "seed": a.seed,
        "num_threads": a.threads,
    }


def _recommend(c: Context, a: argparse.Namespace) -> Any:
    made = c.fleet.advice.recommend(
        c.object(a.program, "program"),
        **_given(c, a),
        prompt_lm=c.lm(a.prompt_lm),
        budget_usd=a.budget,
        quality_target=a.quality,
        max_minutes=a.minutes,
        complexity=a.complexity,
        style=a.style,
        domain=a.domain,
        probe=a.probe,
    )
    if a.output:
        c.namespace[a.output] = made
    return made


def _estimate(c: Context, a: argparse.Namespace) -> Any:
    return c.fleet.advice.estimate(
        c.object(a.program, "program"),
        **_given(c, a),
        prompt_lm=c.lm(a.prompt_lm),
        optimizer=a.optimizer,
        params=params(a.set),
        probe=a.probe,
    )


def _headroom(c: Context, a: argparse.Namespace) -> Any:
    return c.fleet.advice.headroom(c.object(a.program, "program"), **_given(c, a), n=a.n, k=a.k, budget_usd=a.budget)


def _report(c: Context, a: argparse.Namespace) -> Any:
    del a
    return c.fleet.advice.report()
