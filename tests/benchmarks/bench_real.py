"""A real model under the product's claims: SmolLM2-135M-Instruct through ``sf.local_lm()``, with one thread.

What a call costs and holds in memory; how many answers held to a schema cannot be read (five signatures, on messages
of bank customers); whether eight threads get what one gets; and what the optimizers come to on six intents with 160
calls for the search, and a sealed test of 100 rows beside: gain, verdict, calls made, answers that could not be read.
What was forecast of these runs, by a probe of three examples and knowing nothing of other runs, is held against what
they took; headroom and noise of the task say what could be seen at all.  What ``recommend`` names is held against the
optimizers measured here.  Rows that ``select`` takes of 120, a fifth of them labelled wrongly, are compared with as
many drawn: sixteen, shown with every message, and sixty, of which the three nearest to a message are shown.  Drift is
looked for among answers to other messages of the same intents.  Null runs are in ``null``.

Run: ``make bench-real``; measurements are kept in ``$SKILLFLEET_BENCH_CACHE`` and an interrupted run goes on where it
stopped.  Another model is measured beside it where ``$SKILLFLEET_BENCH_WEIGHTS`` names a GGUF file.
``python tests/benchmarks real`` reports what is there.
"""

# ruff: noqa: T201  a benchmark reports to the terminal
from __future__ import annotations

import argparse
import csv
import json
import os
import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("SKILLFLEET_BENCH_CACHE", str(Path.home() / ".cache/skillfleet-bench"))
os.environ.setdefault("DSPY_CACHEDIR", os.environ["SKILLFLEET_BENCH_CACHE"] + "/dspy")  # calls made stay made

import dspy
import psutil
import pydantic
from bench_null import PORTIONS
from bench_null import real as null_runs
from bench_offline_lm import DATA, banking, label_metric
from real_runs import FORECAST, drift_rows, forecast_rows, gain_rows, recommended_rows, row, selected_rows

from skillfleet_nb import Fleet, local_lm
from skillfleet_nb.events import JobState
from skillfleet_nb.format import shortened
from skillfleet_nb.lm.embed import Embedder

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb import Job

BASE = Path(os.environ["SKILLFLEET_BENCH_CACHE"])
WEIGHTS = os.environ.get("SKILLFLEET_BENCH_WEIGHTS") or None
CACHE = BASE / (f"real-{Path(WEIGHTS).stem.lower()}" if WEIGHTS else "real")
Row = dict[str, Any]
SEARCH, TEST, VAL = 160, 100, 20  # calls, rows, rows
POOL, WRONG, DEMOS, DRAWS = 120, 0.2, 16, 4  # rows, the share of them labelled wrongly, rows taken, draws
USES = {
    "selected": f"{DEMOS} rows of {POOL}, a fifth labelled wrongly, shown with every message",
    "nearest": f"{POOL // 2} rows of {POOL}, a fifth labelled wrongly, the three nearest shown",
}
MESSAGES = 400
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "labeled_fewshot": {},
    "bootstrap_fewshot": {},
    "bootstrap_random_search": {"num_candidate_programs": 5},
    "gepa": {"max_metric_calls": 120},
    "miprov2": {"auto": "light"},
    "copro": {"breadth": 3, "depth": 2},
    "simba": {"bsize": 10, "max_steps": 2, "num_candidates": 3},
    "knn_fewshot": {},
    "infer_rules": {"num_candidates": 2},
    "tune_signature": {},
    "evolve": {},
    "reanchor": {},
}
_TOPICS = Literal["card", "transfer", "top up", "cash", "account", "exchange"]


class Ticket(pydantic.BaseModel):
    """What a help desk keeps of a message."""

    title: str
    topic: _TOPICS
    tags: list[str]


TYPES: dict[str, Any] = {"Literal": _TOPICS, "list": list[str], "float": float, "nested": Ticket, "bool": bool}
ASKED = {
    "Literal": "Sort the message by topic.",
    "list": "List the keywords of the message.",
    "float": "Say how urgent the message is, from 0 to 1.",
    "nested": "Make a ticket of the message.",
    "bool": "Say whether the customer is angry.",
}
EACH = 100


def messages(count: int) -> list[str]:
    """Read messages of bank customers."""
    with (DATA / "banking77/test.csv").open(encoding="utf-8") as file:
        rows = [row["text"] for row in csv.DictReader(file)]
    return rows[:: len(rows) // count][:count]


def a_call() -> list[Row]:
    """Measure what a call of some 700 tokens takes, 600 of which it shares with the one before."""
    lm = local_lm(WEIGHTS, threads=1, cache=False, max_tokens=20)
    engine = psutil.Process(lm.engine.pid)
    shared = "Sort messages.\n" + "\n".join(f"{text} -> card" for text in messages(45))
    seconds, tokens = [], []
    for text in messages(12):
        before = sum(engine.cpu_times()[:2])
        lm(f"{shared}\n{' '.join([text] * 4)} ->")
        seconds.append(sum(engine.cpu_times()[:2]) - before)
        tokens.append(lm.history[-1]["usage"]["prompt_tokens"])
    most = engine.memory_info().rss
    lm.engine.close()
    again = sorted(seconds[1:])[len(seconds) // 2]
    told = f"{min(tokens)} to {max(tokens)} tokens"
    return [
        row(f"a call of {told}, its beginning known, median", again, "s of CPU", "≤ 2.5"),
        row("the first, nothing known", seconds[0], "s of CPU"),
        row("memory of the engine, context of 8,192", most / 2**20, "MiB", "≤ 600"),
    ]


def constrained(kind: str) -> list[Row]:
    """Count the answers held to a type that cannot be read, and those of the same model that is not held."""
    fields = {"message": (str, dspy.InputField()), "answer": (TYPES[kind], dspy.OutputField())}
    ask = dspy.Predict(dspy.Signature(fields, ASKED[kind]))
    made = {}
    for is_held, count in ((True, EACH), (False, EACH // 5)):
        lm = local_lm(WEIGHTS, threads=1, constrained=is_held, max_tokens=200)
        with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
            made[is_held] = (sum(not _is_read(ask, text) for text in messages(count)), count)
        lm.engine.close()
    (held, of), (free, few) = made[True], made[False]
    return [
        row(f"{kind}: answers that cannot be read, held to the schema, of {of}", held, "answers", "≤ 0"),
        row(f"{kind}: the same, held to nothing, of {few}", free, "answers"),
    ]


def _is_read(ask: dspy.Module, text: str) -> bool:
    try:
        ask(message=text)
    except dspy.utils.exceptions.AdapterParseError:
        return False
    return True


def threads() -> list[Row]:
    """Compare what eight threads get with what one got."""
    texts = [f"In one word, what is this about? {text}" for text in messages(24)]
    lm = local_lm(WEIGHTS, threads=1, cache=False, max_tokens=8, context=1024)
    alone = [lm(text)[0] for text in texts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: lm(text)[0], texts))
    lm.engine.close()
    return [row("answers to eight threads that are one thread's, of 24", sum(map(str.__eq__, alone, together)),
                 "answers", "≥ 24")]  # fmt: skip


def task() -> dict[str, Any]:
    """Make the task: six intents, 40 training, 20 validation and 100 sealed rows."""
    program, (train, val, test) = banking(0, intents=6, size=40, test=TEST)
    return {"program": program, "train": train, "val": val[:VAL], "test": test, "metric": label_metric}


def described(program: Any) -> dspy.Module:
    """Say what the label is, which an optimizer of decisions asks for."""
    return dspy.Predict(program.signature.with_updated_fields("label", desc="the intent of the message"))


def model(**options: Any) -> dspy.LM:
    """Make the model, its answers held to their types."""
    return local_lm(WEIGHTS, threads=1, constrained=True, **{"max_tokens": 300, **options})


def optimizer(name: str) -> list[Row]:
    """Run an optimizer on six intents."""
    given, lm = task(), model()
    if name == "reanchor":
        given["program"] = described(given["program"])
    fleet = Fleet(CACHE / "home")
    asked = {**given, "lm": lm}
    with dspy.context(adapter=dspy.JSONAdapter()):
        if (job := interrupted(fleet, name, asked)) is None:
            job = fleet.optimize(
                **asked, optimizer=name, params=OPTIMIZERS[name], seed=0, num_threads=2,
                max_calls=SEARCH + 2 * TEST, name=name,
            )  # fmt: skip
        result = job.result()
    lm.engine.close()
    before, after = (100 * (score or 0.0) for score in (result.test_baseline, result.test_score))
    unread = f"{100 * (result.failed_share or 0.0):.0f} % of its answers failed"
    ended = "" if result.state is JobState.COMPLETED else f"; {result.state}: {shortened(result.stop_reason, 160)}"
    return [
        row(f"six intents: {name}, {before:.0f} → {after:.0f} on sealed rows, {result.verdict}, {unread}{ended}",
            100 * (result.test_delta or 0.0), "points"),
        row(f"six intents: {name}, calls made with the budget of {SEARCH + 2 * TEST}", result.lm_calls, "calls",
            f"≤ {SEARCH + 2 * TEST}"),
    ]  # fmt: skip


def interrupted(fleet: Fleet, name: str, asked: dict[str, Any]) -> Job | None:
    """Go on with an optimizer's run that was interrupted, its limit counted over all attempts; None without one."""
    runs = fleet.sql("SELECT job_id, optimizer, state FROM jobs ORDER BY created_at").to_dict("records")
    states = {run["job_id"]: run["state"] for run in runs if run["optimizer"] == name}
    newest = list(states)[-1:]
    return fleet.resume(*newest, **asked) if newest and states[newest[0]] == "interrupted" else None


def headroom() -> list[Row]:
    """Ask what can be won on six intents at most."""
    lm = model()
    with dspy.context(adapter=dspy.JSONAdapter()), tempfile.TemporaryDirectory() as home:
        seen = Fleet(home).advice.headroom(**task(), lm=lm)
    lm.engine.close()
    best = None if seen.best_of_k is None else 100 * seen.best_of_k
    return [
        row(f"six intents: headroom, {seen.verdict}: of {seen.n} examples right as it is",
            None if seen.baseline is None else 100 * seen.baseline, "%"),
        row(f"six intents: headroom, right in the best of {seen.k} tries", best, "%"),
    ]  # fmt: skip


def noise() -> list[Row]:
    """Run the given program twice."""
    lm = model()
    with dspy.context(adapter=dspy.JSONAdapter()), tempfile.TemporaryDirectory() as home:
        floor = Fleet(home).advice.noise(**task(), lm=lm)
    lm.engine.close()
    what = f"six intents: noise, rows that score differently of {floor.n} asked twice at temperature 0"
    smallest = None if floor.smallest is None else 100 * floor.smallest
    return [
        row(what, floor.differing, "rows"),
        row(f"six intents: the smallest gain that {TEST} rows can show", smallest, "points"),
    ]


def forecasts() -> list[Row]:
    """Forecast every run, in a home that knows of no other; they are held against the runs later."""
    given, lm = task(), model()
    made: list[Row] = []
    with dspy.context(adapter=dspy.JSONAdapter()), tempfile.TemporaryDirectory() as home:
        for name, params in OPTIMIZERS.items():
            asked = given | ({"program": described(given["program"])} if name == "reanchor" else {})
            forecast = Fleet(home).advice.estimate(**asked, optimizer=name, params=params, lm=lm, seed=0, num_threads=2)
            made.append({"optimizer": name, **{kind: list(getattr(forecast, kind)) for kind in FORECAST}})
    lm.engine.close()
    return made


def recommended() -> list[list[str]]:
    """Ask which optimizer to take, in a home that knows of no run: the one, or two, or the set that is named."""
    lm = model()
    with dspy.context(adapter=dspy.JSONAdapter()), tempfile.TemporaryDirectory() as home:
        made = Fleet(home).advice.recommend(**task(), lm=lm)
    lm.engine.close()
    beside = [] if made.companion is None else [made.companion.optimizer]
    together = [] if made.together is None else list(made.together.params["members"])
    return [[made.optimizer], *([[made.optimizer, *beside]] if beside else []), *([together] if together else [])]


def selected(draw: int, rows: int, shown: Callable[[dspy.Predict, list[dspy.Example]], dspy.Module]) -> list[float]:
    """Score rows that a selection takes of 120 with wrong labels, and as many drawn, on sealed rows."""
    program, (train, _, test) = banking(draw, intents=6, size=POOL, test=TEST)
    rng = random.Random(draw)
    names = sorted({example.label for example in train})
    for place in rng.sample(range(POOL), round(WRONG * POOL)):
        train[place] = train[place].copy(label=rng.choice([name for name in names if name != train[place].label]))
    lm, scores = model(), []
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()), tempfile.TemporaryDirectory() as home:
        chosen = Fleet(home).data.analyse(train, label="label").select(rows, seed=draw)
        for taken in (list(chosen), rng.sample(train, rows)):
            evaluate = dspy.Evaluate(devset=test, metric=label_metric, num_threads=2, max_errors=TEST)
            scores.append(float(evaluate(shown(program, taken)).score))
    lm.engine.close()
    return scores


def as_demos(program: dspy.Predict, rows: list[dspy.Example]) -> dspy.Module:
    """Show all rows with every message."""
    shown = program.deepcopy()
    shown.demos = rows
    return shown


def nearest(program: dspy.Predict, rows: list[dspy.Example]) -> dspy.Module:
    """Show each message the three rows that are nearest to it."""
    knn = dspy.KNNFewShot(k=3, trainset=rows, vectorizer=dspy.Embedder(Embedder(), caching=False),
                          max_bootstrapped_demos=0)  # fmt: skip
    return knn.compile(program)


def answers() -> list[list[str]]:
    """Ask for the intent of 400 messages; each with its label, and what it was taken for, where that can be read."""
    program, (train, _, _) = banking(0, intents=6, size=MESSAGES, test=TEST)
    lm, made = model(), []
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        for example in train:
            with suppress(dspy.utils.exceptions.AdapterParseError):
                made.append([example.label, program(**example.inputs()).label])
    lm.engine.close()
    return made


MEASUREMENTS: dict[str, Callable[[], list[Any]]] = {
    "call": a_call,
    "headroom": headroom,
    "noise": noise,
    "threads": threads,
    **{f"constrained-{kind}": (lambda kind=kind: constrained(kind)) for kind in TYPES},
    **{f"optimizer-{name}": (lambda name=name: optimizer(name)) for name in OPTIMIZERS},
}
ASIDE: dict[str, Callable[[], list[Any]]] = {
    "forecasts": forecasts,
    "recommended": recommended,
    **{f"selected-{draw}": (lambda draw=draw: selected(draw, DEMOS, as_demos)) for draw in range(DRAWS)},
    **{f"nearest-{draw}": (lambda draw=draw: selected(draw, POOL // 2, nearest)) for draw in range(DRAWS)},
    "answers": answers,
    **{f"null-{portion}": (lambda portion=portion: null_runs(portion)) for portion in range(PORTIONS)},
}


def measure(minutes: float, only: str) -> None:
    """Take the measurements that are missing, as far as the minutes reach."""
    until = time.monotonic() + 60 * minutes
    CACHE.mkdir(parents=True, exist_ok=True)
    for name, take in (MEASUREMENTS | ASIDE).items():
        kept = CACHE / f"{name}.json"
        if kept.exists() or not name.startswith(only) or time.monotonic() > until:
            continue
        print(f"{name} …", flush=True)
        taken = take()
        kept.write_text(json.dumps(taken), "utf-8")
        print(*taken, sep="\n", flush=True)


def run() -> list[Row]:
    """Report what was measured, of every model."""
    rows: list[Row] = []
    for folder in (BASE / "real", *sorted(BASE.glob("real-*"))):
        of = folder.name.removeprefix("real").removeprefix("-")
        own, home = [], folder / "home"
        gains = gain_rows(home) if home.is_dir() else {}
        for name in MEASUREMENTS:
            if (file := folder / f"{name}.json").exists():
                kept = json.loads(file.read_text("utf-8"))
                newest = gains.get(name.removeprefix("optimizer-"))
                own += [newest, *kept[1:]] if newest else kept  # a run that the cache repeated has no calls to tell
        if (forecast := folder / "forecasts.json").exists():
            own += forecast_rows(home, json.loads(forecast.read_text("utf-8")))
        if (file := folder / "recommended.json").exists():
            own += recommended_rows(json.loads(file.read_text("utf-8")), gains)
        for name, what in USES.items():
            draws = [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob(f"{name}-*.json"))]
            own += selected_rows(what, draws) if len(draws) > 1 else []
        if (file := folder / "answers.json").exists():
            own += drift_rows(json.loads(file.read_text("utf-8")))
        rows += [{**each, "what": f"{of}: {each['what']}" if of else each["what"]} for each in own]
    missing = "no measurements in $SKILLFLEET_BENCH_CACHE, make bench-real takes them"
    return rows or [row(missing, None, "")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--only", default="", help="measurements whose names begin so")
    asked = parser.parse_args()
    measure(asked.minutes, asked.only)
