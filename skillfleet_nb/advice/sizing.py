"""How long a program's prompts are, how fast and how often its model is asked: what prices are reckoned from.

Without a call it is read off the prompts themselves, as DSPy's adapter writes them; nothing of the
program runs.  A probe of a few real calls then tells what the texts cannot: the model's own tokens,
the length of its answers, its latency, and how many calls a run of the program really makes.
"""

from __future__ import annotations

import statistics
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.data.labels import categories as label_values
from skillfleet_nb.errors import InputError, LMError
from skillfleet_nb.events import Probed
from skillfleet_nb.format import counted
from skillfleet_nb.lm.faults import in_one_line
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.media import Media, media_of, media_sent, text_in
from skillfleet_nb.lm.off_loop import off_loop
from skillfleet_nb.lm.prices import price_of
from skillfleet_nb.lm.session import Session
from skillfleet_nb.lm.tap import tapped_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from skillfleet_nb.events import LMCall
    from skillfleet_nb.runs.task import CheckedTask
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Model

_READ = 12  # examples whose prompts are measured
_REASONING_TOKENS = 60.0  # an answer's length where no example tells it
_JUDGE_TEMPLATE_TOKENS = 150.0  # of a judge's prompt, beside the example and the answer
_ASSUMED_LATENCY_S = 1.0
_ASSUMED_OVERHEAD_S = 0.003  # of DSPy around a call, cached or not


class Judging(BaseModel):
    """What a metric asks of models to score one prediction, and each of these calls: means, in tokens and seconds.

    `cost_usd` is of one call, None where it is not known; `measured` tells whether calls were seen.
    """

    model_config = ConfigDict(frozen=True)

    calls: float
    input_tokens: float
    output_tokens: float
    cost_usd: float | None
    latency_s: float = _ASSUMED_LATENCY_S
    measured: bool = True


class Sizing(BaseModel):
    """Sizes of a program's calls: means over predictors and examples, in tokens and seconds.

    Attributes
    ----------
    per_run
        Calls of one run of the program.
    input_tokens, output_tokens
        Of one call of the program as it was given.
    cached_share
        Of the input, what the provider read from its prompt cache, as far as calls were made.
    demo_tokens, example_tokens
        What one demo adds to a prompt, and one training example to a prompt that proposes.
    labels
        Categories of all outputs together; 4 stands for answers that are no categories.
    latency_s, overhead_s
        Of one call: waiting for the model, and DSPy's own work around it.
    probed
        Examples the program was really run on; 0 where all is read off prompts.
    score, solved
        Of these runs: the mean score, and the share above 0; None without a probe.
    probe_usd, probe_calls
        What the probe bought.
    unread
        What is to be said of answers that could not be read, or only when they were asked for again.
    judging
        What the metric asks of models; None where it asks none.
    metric
        Hash of the metric, where one was probed with.
    image_tokens, audio_tokens
        Of the input, what is no text.
    unseen
        What is to be said of inputs whose size nobody tells before a call.
    silent
        Models that answered without saying what they used, and are not free.
    models
        What each of the program's models reads and writes, by its name: a program may ask several.
    """

    model_config = ConfigDict(frozen=True)

    per_run: float
    input_tokens: float
    output_tokens: float
    demo_tokens: float
    example_tokens: float
    labels: int = 4
    latency_s: float = _ASSUMED_LATENCY_S
    overhead_s: float = _ASSUMED_OVERHEAD_S
    probed: int = 0
    score: float | None = None
    solved: float | None = None
    probe_usd: float | None = 0.0
    probe_calls: int = 0
    latency_known: bool = False
    unread: tuple[str, ...] = ()
    cached_share: float = 0.0
    judging: Judging | None = None
    metric: str = ""
    image_tokens: float = 0.0
    audio_tokens: float = 0.0
    unseen: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    models: dict[str, tuple[float, float]] = {}

    def media(self, input_tokens: float) -> Media:
        """Tell how much of so many tokens of input is no text."""
        share = input_tokens / self.input_tokens if self.input_tokens else 0.0
        return Media(image=round(self.image_tokens * share), audio=round(self.audio_tokens * share))


def read_sizes(task: CheckedTask) -> Sizing:
    """Measure prompts on the first few training examples, as DSPy's adapter writes them, without a call."""
    import dspy
    from dspy.adapters.types.base_type import split_message_content_for_custom_types

    adapter, lm = dspy.settings.adapter or dspy.ChatAdapter(), task.lm
    examples = list(task.splits.train[:_READ])
    input_tokens, output_tokens, demo_tokens = [], [], []
    seen: list[Media] = []
    models: list[str] = []
    for predictor in task.program.predictors():
        signature, model = predictor.signature, str((getattr(predictor, "lm", None) or lm).model)
        for example in examples:
            values = dict(example.items())  # as they are: an adapter reads more than text
            inputs = {name: values.get(name, "several words of text") for name in signature.input_fields}
            outputs = {name: values[name] for name in signature.output_fields if name in values}
            unknown = len(signature.output_fields) - len(outputs)
            with dspy.context(callbacks=[]):  # nobody asks anything: who traces calls hears of none
                prompt = adapter.format(signature, list(getattr(predictor, "demos", ())), inputs)
            input_tokens.append(sum(count_tokens(m["content"], lm) for m in prompt))
            seen.append(media_sent(prompt, str(lm.model)))
            blank = {name: outputs.get(name, "") for name in signature.output_fields}
            answer = adapter.format_assistant_message_content(signature, blank)
            output_tokens.append(count_tokens(answer, lm) + unknown * _REASONING_TOKENS)
            models.append(model)
            shown = adapter.format_demos(signature, [{**inputs, **blank, "augmented": True}])
            demos = sum(count_tokens(m["content"], lm) for m in split_message_content_for_custom_types(shown))
            demo_tokens.append(demos + unknown * _REASONING_TOKENS * 0.5)
    example_tokens = [sum(count_tokens(_shown(value), lm) for value in example.values()) for example in examples]
    here = getattr(getattr(lm, "engine", None), "answers_here", False)
    latency = float(getattr(lm.engine, "latency_s", 0.0)) + 0.001 if here else _ASSUMED_LATENCY_S
    return Sizing(
        per_run=float(task.predictors),
        input_tokens=statistics.mean(input_tokens),
        output_tokens=statistics.mean(output_tokens),
        demo_tokens=statistics.mean(demo_tokens),
        example_tokens=statistics.mean(example_tokens),
        labels=sum(_categories(task).values()) or 4,
        latency_s=latency,
        latency_known=here,
        judging=_assumed_judging(task, statistics.mean(example_tokens), statistics.mean(output_tokens)),
        image_tokens=statistics.mean(m.image for m in seen),
        audio_tokens=statistics.mean(m.audio for m in seen),
        unseen=tuple(_unseen(seen)),
        models=_by_model(models, input_tokens, output_tokens),
    )


def _by_model(
    models: Sequence[str], input_tokens: Sequence[float], output_tokens: Sequence[float]
) -> dict[str, tuple[float, float]]:
    sums: dict[str, tuple[float, float]] = {}
    for model, reads, writes in zip(models, input_tokens, output_tokens, strict=True):
        so_far = sums.get(model, (0.0, 0.0))
        sums[model] = (so_far[0] + reads, so_far[1] + writes)
    return sums


def _assumed_judging(task: CheckedTask, example_tokens: float, output_tokens: float) -> Judging | None:
    """Assume one call a score of a metric that asks a model, which reads the example and the answer."""
    if task.metric is None or not (task.judges or task.metric.asks_model):
        return None
    price = price_of(next(iter(task.judges), task.lm), task.settings.prices)
    asked = _JUDGE_TEMPLATE_TOKENS + example_tokens + output_tokens
    cost = None if price is None else price.cost(asked, _REASONING_TOKENS)
    return Judging(calls=1, input_tokens=asked, output_tokens=_REASONING_TOKENS, cost_usd=cost, measured=False)


def for_another_metric(sizing: Sizing, task: CheckedTask) -> Sizing:
    """Return sizes that were measured with another metric as those of this task: what that one told is left out."""
    judging = _assumed_judging(task, sizing.example_tokens, sizing.output_tokens)
    return sizing.model_copy(update={"score": None, "solved": None, "judging": judging})


def _shown(value: object) -> object:
    """Return what a prompt shows of a value: a type of DSPy's writes itself as parts of a message."""
    from dspy.adapters.types import Type

    return value.format() if isinstance(value, Type) else str(value)


def _unseen(seen: Sequence[Media]) -> Iterator[str]:
    if any(m.unknown for m in seen):
        yield (
            "some inputs are files or sound whose tokens no provider tells before a call, and are left out: "
            "--probe 3 would measure them"
        )
    if any(m.assumed for m in seen):
        yield "images given by their address are taken for 1024 x 1024 pixels: they are not fetched"


def categories(task: CheckedTask) -> int | None:
    """Count the categories of the output with the most of them; None where no output is a category."""
    return max(_categories(task).values(), default=None)


def _categories(task: CheckedTask) -> dict[str, int]:
    """Count the categories of every output that declares them, or is categorical in the data."""
    from typing import Literal, get_args, get_origin

    counts: dict[str, int] = {}
    for predictor in task.program.predictors():
        for name, field in predictor.signature.output_fields.items():
            if get_origin(field.annotation) is Literal:
                counts[name] = len(get_args(field.annotation))
            elif values := label_values(e.get(name) for e in task.splits.train):
                counts[name] = len(values)
    return counts


def count_tokens(text: object, lm: Model) -> float:
    """Count the tokens of a text, or of a message's parts, as the model's provider most likely bills them."""
    words, media = text_in(text), media_of(text, str(getattr(lm, "model", ""))).tokens
    if getattr(getattr(lm, "engine", None), "answers_here", False):
        return media + -(-len(words) // 4)
    encoding = _encoding()
    return media + (len(words) / 4 if encoding is None else len(encoding.encode(words, disallowed_special=())))


@lru_cache(maxsize=1)
def _encoding() -> Any:
    """Load the tokenizer that LiteLLM ships; None where it is not there."""
    import os
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        kept = Path(folder) / "litellm_core_utils" / "tokenizers"
        if kept.is_dir():
            os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(kept))  # or it would be fetched
            import tiktoken

            try:
                return tiktoken.get_encoding("cl100k_base")
            except (OSError, ValueError):
                return None
    return None


def probe(
    home: Home, task: CheckedTask, *, n: int, budget_usd: float | None = None, sizes: Sizing | None = None
) -> Sizing:
    """Run the program on `n` training examples through the meter, and journal what it bought.

    Parameters
    ----------
    home
        Where calls are recorded.
    task
        The task, which need not be probed again.
    n
        Examples, from 1.
    budget_usd
        The probe stops at it.
    sizes
        What an earlier probe with another metric told: what this one finds in the cache tells no tokens.

    Raises
    ------
    LMError
        If no call was answered.
    """
    read = sizes or read_sizes(task)
    scores: list[float] = []
    overheads: list[float] = []  # seconds of a run that are not the model's, for each of its calls
    calls: list[LMCall] = []
    why = "no call"
    limits = Limits(usd=budget_usd)
    with Session.opened(home, task.settings, "probe", task.lms, limits=limits, on_calls=calls.extend) as session:
        gate = session.gate()
        for example in list(task.splits.train)[:n]:
            calls_before, started = len(calls), time.perf_counter()
            try:
                with session.logged(), session.models(gate, task.lm):
                    program = tapped_program(gate, task.program.deepcopy())
                    prediction = off_loop(program)(**example.inputs())
                    seconds, own = time.perf_counter() - started, calls[calls_before:]
                    overheads.append((seconds - sum(c.latency_s for c in own)) / max(1, len(own)))
                    if task.metric is not None:
                        scores.append(float(task.metric(example, prediction)))
            except RunStopped as exc:
                why = exc.reason
                break
            except Exception as exc:  # noqa: BLE001  whatever a program raises: the next example may go well
                why = in_one_line(session.redactor.error(exc))
                continue
        answered = [c for c in calls if c.error is None and c.role != "judge"]
        if not answered or not overheads:
            raise LMError(
                f"the probe of {counted(n, 'example')} got no answer ({why}): check the model, or give probe=0"
            )
        totals = session.ledger.totals
        bought = {
            "probe_usd": totals.cost_usd, "probe_calls": totals.calls, "unread": tuple(session.readings.told()),
            "judging": _measured_judging([c for c in calls if c.error is None and c.role == "judge"], len(scores)),
            "metric": "" if task.metric is None else task.metric_hash, "silent": tuple(_silent(task, calls)),
        }  # fmt: skip
        sizing = _measured(read, answered, len(overheads), scores, min(overheads)).model_copy(update=bought)
        session.emit(Probed(key=task.key, sizing=sizing.model_dump()), sync=True)
    return sizing


def _silent(task: CheckedTask, calls: Sequence[LMCall]) -> list[str]:
    """List the models of answers whose cost nobody knows, for they do not say what they used."""
    without_price = {str(lm.model) for lm in task.unpriced}
    silent = {
        c.model
        for c in calls
        if c.error is None and c.full_cost_usd is None
        # where there is no price either, tokens alone tell that the usage is missing; of a cached answer nothing does
        if c.model not in without_price or not (c.cached or c.input_tokens or c.output_tokens)
    }
    return sorted(silent)


def _measured_judging(calls: Sequence[LMCall], scores: int) -> Judging | None:
    if not calls or not scores:
        return None
    bought = [c for c in calls if not c.cached] or list(calls)
    costs = [c.full_cost_usd for c in calls]
    return Judging(
        calls=len(calls) / scores,
        input_tokens=statistics.mean(c.input_tokens for c in bought),
        output_tokens=statistics.mean(c.output_tokens for c in bought),
        cost_usd=None if None in costs else statistics.mean(cost for cost in costs if cost is not None),
        latency_s=statistics.median(c.latency_s for c in bought),
    )


def _measured(read: Sizing, calls: Sequence[LMCall], runs: int, scores: Sequence[float], overhead_s: float) -> Sizing:
    """Put what real calls told in the place of what was read; a cached call tells no tokens.

    The quickest run tells DSPy's own work: the first one loads what is needed.
    """
    bought = [c for c in calls if not c.cached and c.input_tokens]
    update: dict[str, Any] = {"per_run": max(1.0, len(calls) / runs), "probed": runs, "score": None, "solved": None}
    if bought:
        asked = statistics.mean(c.input_tokens for c in bought)
        output_tokens = statistics.mean(c.output_tokens for c in bought)
        latency = statistics.median(c.latency_s for c in bought)
        scale = asked / read.input_tokens if read.input_tokens else 1.0
        update |= {
            "input_tokens": asked,
            "output_tokens": output_tokens,
            "cached_share": sum(c.cached_input_tokens for c in bought) / sum(c.input_tokens for c in bought),
            "demo_tokens": read.demo_tokens * scale,
            "example_tokens": read.example_tokens * scale,
            "models": _by_model(
                [c.model for c in bought], [c.input_tokens for c in bought], [c.output_tokens for c in bought]
            ),
            "latency_s": latency,
            "overhead_s": max(0.0005, overhead_s),
            "latency_known": True,
        }
    if scores:
        update |= {"score": statistics.mean(scores), "solved": statistics.mean(s > 0 for s in scores)}
    return read.model_copy(update=update)


def checked_probe(probe: object) -> int:
    """Refuse what is no number of examples."""
    if isinstance(probe, bool) or not isinstance(probe, int) or probe < 0:
        raise InputError(f"probe = {probe!r}: give how many examples to try, from 0 (none: prompts are only counted)")
    return probe
