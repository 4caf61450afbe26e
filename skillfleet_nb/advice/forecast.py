"""What a run will buy, cost and take: calls by tokens by price by latency, as intervals.

An optimizer plays its loop without a model many times (see ``optimizers.rehearsal``); each of these runs is
priced with sizes drawn around what was measured.  The middle of what comes out is the expectation, and
80% of it the interval.  What earlier runs of the home came to, against what was forecast for them,
shifts and widens both.
"""

from __future__ import annotations

import math
import random
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from skillfleet_nb.format import counted, duration, money, percent
from skillfleet_nb.html import Readable, fill, join, table, text_table
from skillfleet_nb.lm.prices import how_to_state_a_price, without_usage
from skillfleet_nb.optimizers.rehearsal.calls import LEVEL, Shape, Use, uses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.advice.sizing import Sizing
    from skillfleet_nb.config import Rate
    from skillfleet_nb.lm.prices import Price
    from skillfleet_nb.optimizers import Optimizer

_TOKENS_SD = {True: 0.04, False: 0.15}  # of log tokens of a call, with a probe and without
_ANSWER_SD = {True: 0.05, False: 0.35}
_PROPOSAL_SD, _INSTRUCTION_SD = 0.3, 0.5
_LATENCY_SD = {True: 0.2, False: 1.0}
_WORK_SD = 0.45  # of log seconds of what this machine does itself: it depends on what else it does
_HERE_S = 0.02  # latency below which a model is no network away: threads then share one processor
_FIXED_S = 0.05
_TELLABLE = 0.01  # share of a search that is told as it is
_JUDGED_ANEW = (0.6, 1.0)  # share of judge calls that are bought: an answer given before is judged from the cache


class Interval(NamedTuple):
    """An expectation between the bounds of an 80% interval."""

    low: float
    expected: float
    high: float


class Correction(NamedTuple):
    """What past runs came to, against their forecasts: logs of the ratio, and the number of runs.

    `shift` is the one in the middle, `down` and `up` how far from it the middle 80% reach.  Ranks, not a mean and a
    spread: where an optimizer finds nothing better the test is half as long, and one such run says nothing of others.
    """

    shift: float = 0.0
    down: float = 0.0
    up: float = 0.0
    runs: int = 0


class Corrections(NamedTuple):
    """What the home has learned of its forecasts for one optimizer."""

    calls: Correction = Correction()
    usd: Correction = Correction()
    wall: Correction = Correction()


class Forecast(Readable, BaseModel):
    """What one run will use.  Intervals hold 80% of runs.

    Attributes
    ----------
    optimizer, params
        The run.
    calls
        Bought calls, the baseline and the final test included.
    by_role
        The same by role.
    cached
        Calls answered from the cache, which cost nothing.
    tokens
        Of bought calls, input and output.
    cost_usd
        None where a model has no known price, or does not say what it uses; `notes` say so.
    wall_s
        Seconds.
    bound
        What takes most of them, in words.
    probed
        Examples that were really run to reckon this; 0 where prompts were only counted.
    past_runs
        Runs of this home that the forecast is corrected by.
    """

    model_config = ConfigDict(frozen=True)

    optimizer: str
    params: dict[str, Any] = Field(default_factory=dict)
    level: float = LEVEL
    calls: Interval
    by_role: dict[str, Interval]
    cached: Interval
    tokens: Interval
    cost_usd: Interval | None
    wall_s: Interval
    bound: str = ""
    probed: int = 0
    past_runs: int = 0
    notes: tuple[str, ...] = ()

    def rows(self) -> list[list[str]]:
        """Tell it as rows of a word, what is expected, and the interval."""

        def span(i: Interval, written: Callable[[float], str]) -> list[str]:
            return [written(i.expected), f"{written(i.low)} to {written(i.high)}"]

        rows = [["calls made", *span(self.calls, _count)]]
        rows += [[f"  {role}", *span(i, _count)] for role, i in self.by_role.items() if i.high]
        rows.append(["calls from the cache", *span(self.cached, _count)])
        rows.append(["tokens", *span(self.tokens, _count)])
        rows.append(["cost", *(span(self.cost_usd, money) if self.cost_usd else ["unknown", ""])])
        rows.append(["time", *span(self.wall_s, duration)])
        return rows

    def _title(self) -> str:
        params = ", ".join(f"{k}={v}" for k, v in self.params.items())
        return f"Forecast: {self.optimizer}" + (f" ({params})" if params else "")

    def text(self) -> str:
        """Return the forecast as text."""
        head = ["", "expected", f"{percent(self.level)} interval"]
        shown = text_table(head, self.rows(), numeric=[1])
        return "\n".join([self._title(), shown, *self.notes])

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        head = ["", "expected", f"{percent(self.level)} interval"]
        notes = [fill("<div style='opacity:.8'>{}</div>", note) for note in self.notes]
        return join([table(head, self.rows(), title=self._title(), numeric=[1]), *notes])


class Workload(NamedTuple):
    """What a forecast needs beside the optimizer: sizes of splits, of calls, prices, threads."""

    sizes: tuple[int, int, int]
    sizing: Sizing
    predictors: int
    price: Price | None
    prompt_price: Price | None
    threads: int = 1
    cached: bool = True
    repeats: float | None = None
    unpriced: tuple[str, ...] = ()  # of the program's models
    prompt_lm: str = ""
    rate: Rate | None = None

    def least_s(self, calls: float, tokens: float) -> float:
        """Reckon how many seconds the provider's limit takes for so many calls, and tokens, of the program's model."""
        if self.rate is None:
            return 0.0
        limits = ((calls, self.rate.requests_per_minute), (tokens, self.rate.tokens_per_minute))
        return max(60 * n / limit for n, limit in limits if limit is not None)

    @property
    def shape(self) -> Shape:
        """What the number of calls depends on."""
        # Three examples tell little of a score: they are shrunk towards what programs score on the whole.
        n = self.sizing.probed
        score, solved = (
            None if share is None else (share * n + 0.55 * 3) / (n + 3)
            for share in (self.sizing.score, self.sizing.solved)
        )
        train, val, _ = self.sizes
        return Shape(
            train,
            val,
            self.predictors,
            score,
            self.sizing.per_run,
            self.cached,
            self.repeats,
            solved,
            raced=True,
            window=2 * (self.threads - 1),
        )

    def notes(self) -> list[str]:
        """Say what a forecast rests on, and which prices it lacks."""
        unpriced = dict.fromkeys((*self.unpriced, *([self.prompt_lm] if self.prompt_price is None else [])))
        notes = [f"{model} has no known price: {how_to_state_a_price(model)}" for model in unpriced]
        s = self.sizing
        notes += [f"{without_usage(m)}: so the cost is not known; bound a run with --max-calls" for m in s.silent]
        if s.judging is not None and s.judging.cost_usd is None and not s.silent:
            notes.append("the model that the metric asks has no known price: so the cost is not known")
        if s.probed:
            bought = counted(s.probe_calls, "call") + (f", {money(s.probe_usd)}" if s.probe_usd else "")
            return [*notes, *s.unread, f"reckoned from {counted(s.probed, 'real run')} of the program ({bought})"]
        if s.judging is not None:
            notes.append("the metric asks a model: one call a score is assumed; --probe 3 would measure it")
        notes += s.unseen
        notes.append("reckoned from prompts as they are written; --probe 3 would measure them on 3 examples")
        if not s.latency_known:
            notes.append(f"the model's latency is not known: {s.latency_s:g} s a call are assumed")
        return notes


def forecast(optimizer: Optimizer, workload: Workload, learned: Corrections | None = None) -> Forecast:
    """Forecast one run.

    Parameters
    ----------
    optimizer
        With its parameters.
    workload
        Of the task.
    learned
        What past runs of the home say of such forecasts.
    """
    learned = learned or Corrections()
    rng = random.Random(11)
    played = uses(optimizer.expected_calls(workload.shape))
    runs = [_Run(use, optimizer, workload, rng) for use in played]
    notes = workload.notes()
    if shares := [use.played for use in played if use.played < 1]:
        notes.append(_scaled_up(fmean(shares)))
    if learned.usd.runs:
        notes.append(f"corrected by {counted(learned.usd.runs, 'past run')} of this home")
    priced = workload.price is not None and (workload.prompt_price is not None or all(r.prompt == 0 for r in runs))
    judging = workload.sizing.judging
    priced = priced and (judging is None or judging.cost_usd is not None) and not workload.sizing.silent
    bound = _bound(runs, workload)
    notes.append(f"most of the time is {bound}")
    params = {k: v for k, v in optimizer.params.model_dump(mode="json", exclude_defaults=True).items() if v is not None}
    role = optimizer.prompt_role
    return Forecast(
        optimizer=optimizer.name,
        params=params,
        calls=interval([r.task + r.prompt + r.judge for r in runs], learned.calls),
        by_role={
            "task": interval([r.task for r in runs], learned.calls),
            role: interval([r.prompt for r in runs], learned.calls),
            "judge": interval([r.judge for r in runs], learned.calls),
        },
        cached=interval([r.cached for r in runs]),
        tokens=interval([r.tokens for r in runs], learned.usd),
        cost_usd=interval([r.usd for r in runs], learned.usd) if priced else None,
        wall_s=interval([r.wall_s for r in runs], learned.wall),
        bound=bound,
        probed=workload.sizing.probed,
        past_runs=learned.usd.runs,
        notes=tuple(notes),
    )


def _scaled_up(share: float) -> str:
    """Say that a search was too long to be played to its end."""
    part = percent(share) if share >= _TELLABLE else f"less than {percent(_TELLABLE)}"
    scaled = f"its calls are scaled up from {part} of it, and may be fewer"
    return f"a search of this size is not played to its end: {scaled}"


def _bound(runs: Sequence[_Run], workload: Workload) -> str:
    """Say in words what most of the time of a run goes to."""
    answers, proposed, work, limited = (math.fsum(parts) for parts in zip(*(run.parts for run in runs), strict=True))
    if workload.rate is not None and limited >= answers + proposed + work:
        return f"waiting for the provider's limit, {workload.rate.in_words}: no thread shortens it"
    if work >= max(answers, proposed):
        return "work of this machine around calls: no further thread shortens it"
    if proposed > answers:
        return "waiting for proposals, which are written one after the other: a faster model for them shortens it"
    return f"waiting for answers, in {counted(workload.threads, 'thread')}: more threads shorten it"


def interval(values: Sequence[float], learned: Correction | None = None) -> Interval:
    """Return the mean of `values` between the bounds of their middle 80%, as past runs correct it."""
    learned = learned or Correction()
    ordered = sorted(values)
    n = len(ordered)
    low, high = quantile(ordered, (1 - LEVEL) / 2), quantile(ordered, (1 + LEVEL) / 2)
    expected = math.fsum(ordered) / n
    if expected <= 0:
        return Interval(max(0.0, low), max(0.0, expected), max(0.0, high))
    factor = math.exp(learned.shift)
    down = math.log(expected / low) if low > 0 else 1.0
    up = math.log(max(high, expected) / expected)
    # Many past runs tell the spread themselves; a few only add to it.
    weight = learned.runs / (learned.runs + 4)
    down, up = (1 - weight) * max(0.0, down) + weight * learned.down, (1 - weight) * up + weight * learned.up
    return Interval(expected * factor * math.exp(-down), expected * factor, expected * factor * math.exp(up))


def _ratio(value: float, of: float) -> float:
    return value / of if of else 1.0


def _count(value: float) -> str:
    return f"{value:,.0f}"


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which a share of sorted values lies, between two where it falls between them."""
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(len(ordered) - 1, below + 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


class _Run:
    """One run as it may go, priced: bought calls by role, tokens, USD and seconds."""

    def __init__(self, use: Use, optimizer: Optimizer, workload: Workload, rng: random.Random) -> None:
        s = workload.sizing
        _, val, test = workload.sizes
        measured = s.probed > 0

        def noise(sd: float) -> float:
            return math.exp(rng.gauss(0, sd))

        size, answer = noise(_TOKENS_SD[measured]), noise(_ANSWER_SD[measured])
        proposals, p = noise(_PROPOSAL_SD), optimizer.proposals
        written_tokens = p.answer + p.answer_label * s.labels
        instruction = (p.instruction + p.instruction_label * s.labels) * noise(_INSTRUCTION_SD)
        # Around the search, the run scores the given program on validation, and both on the test split.
        plain = (val + test) * s.per_run
        final = (use.unscored + test * use.changed) * s.per_run
        if use.unscored and not use.changed:
            final = use.unscored * s.per_run  # what the optimizer offered was scored, and not taken
        task = use.task + plain + final
        demos = use.task_demos + final * use.demos
        rewritten = use.task_rewritten + final * use.rewritten
        input_tokens = size * (task * s.input_tokens + demos * s.demo_tokens + rewritten * instruction)
        output_tokens = answer * (task * s.output_tokens + rewritten * p.reply_label * s.labels)
        written = use.prompt - use.prompt_runs
        shown = use.prompt_examples * s.example_tokens * p.per_example + use.prompt_texts * written_tokens
        prompt_in = proposals * (written * p.template + shown)
        prompt_in += size * (use.prompt_runs * s.input_tokens + use.prompt_runs_demos * s.demo_tokens)
        prompt_out = proposals * written * written_tokens + answer * use.prompt_runs * s.output_tokens
        self.task, self.prompt = task, use.prompt
        self.cached = use.task_cached + use.prompt_cached
        self.tokens = input_tokens + output_tokens + prompt_in + prompt_out
        self.usd = self.judge = judged_s = 0.0
        if (j := s.judging) is not None:
            asked = j.calls * task / max(1.0, s.per_run)
            self.judge = asked * (rng.uniform(*_JUDGED_ANEW) if workload.cached else 1.0)
            self.cached += asked - self.judge
            self.tokens += size * self.judge * (j.input_tokens + j.output_tokens)
            self.usd += size * self.judge * (j.cost_usd or 0.0)
            judged_s = self.judge * j.latency_s
        if workload.price is not None and task:
            cached = s.cached_share * input_tokens / task
            media = s.media(input_tokens / task)
            self.usd += task * workload.price.cost(input_tokens / task, output_tokens / task, cached, media=media)
        if workload.prompt_price is not None and use.prompt:
            self.usd += use.prompt * workload.prompt_price.cost(prompt_in / use.prompt, prompt_out / use.prompt)
        # Longer prompts take longer to read, and longer answers to write; proposals are written one after the other.
        longer = _ratio(input_tokens, task * s.input_tokens) ** 0.3
        longer *= _ratio(output_tokens, answer * task * s.output_tokens) ** 0.7
        slower = max(1.0, written_tokens / max(1.0, s.output_tokens)) ** 0.7 if s.latency_s > 0.05 else 3.0  # noqa: PLR2004
        threads = 1 if s.latency_s < _HERE_S else max(1, workload.threads)
        answers, proposed = (task * s.latency_s * longer + judged_s) / threads, use.prompt * s.latency_s * slower
        work = (task + use.prompt + self.judge + self.cached) * s.overhead_s + _FIXED_S
        busy, slow = noise(_WORK_SD), noise(_LATENCY_SD[s.latency_known])
        drawn = (answers + proposed) * (busy if s.latency_s < _HERE_S else slow) + work * busy
        limited = workload.least_s(task, input_tokens + output_tokens)
        self.wall_s = max(drawn, limited)
        self.parts = (answers, proposed, work, limited)
