"""Insights: what the runs of a home say, one sentence each, with evidence, confidence and what to do next.

How sure an insight is goes by two rules, which are held to how many looks were taken at the home (Holm, 1979):

- **strong** where the chance of any false claim among all of them is at most 1 %, and **moderate** at most 5 %;
- **weak** where it is not, but the effect, shrunken to what all looks show together, has the wrong sign with a chance
  of at most 10 %.

Whatever is less sure is not said, nor is anything of fewer than eight runs.  Nothing is kept: each is found anew in the
runs there are, so one that they no longer support is gone.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.format import counted, points_change
from skillfleet_nb.html import Readable, fill, join, table
from skillfleet_nb.insights.patterns import LEAST_RUNS, Look, looks
from skillfleet_nb.insights.pooling import held, shrunken, wrong_sign
from skillfleet_nb.messages import as_typed
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.insights.outcomes import RunOutcome
    from skillfleet_nb.insights.unsolved import Unsolved

Confidence: TypeAlias = Literal["strong", "moderate", "weak"]
_STRONG, _MODERATE, _WRONG_SIGN = 0.01, 0.05, 0.10
_RANK = {"strong": 0, "moderate": 1, "weak": 2}


class Insight(BaseModel):
    """One sentence that the runs of a home support.

    Attributes
    ----------
    id
        Of what it says and in which direction: the same on other days and homes.
    text
        The sentence.
    confidence
        How sure it is, by the rules above.
    effect
        What is claimed, shrunken: a difference of gains in [-1, 1], or the share of examples.
    p_value
        Held to how many looks were taken.
    runs, tasks
        How many it rests on.
    query
        SQL that shows the evidence.
    command
        What to do about it.
    decision
        What a person decided of it: accepted, dismissed, pinned; None where nobody did.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    text: str
    confidence: Confidence
    effect: float
    p_value: float
    runs: int
    tasks: int
    jobs: tuple[str, ...]
    query: str
    command: str
    decision: str | None = None


class Insights(Readable, BaseModel):
    """What the runs of a home say, the surest first.

    Attributes
    ----------
    runs, tasks
        Looked at.
    looked
        How many looks were taken.
    insights
        What was found, without what people dismissed.
    dismissed
        How many are left out therefore.
    """

    model_config = ConfigDict(frozen=True)

    runs: int
    tasks: int
    looked: int
    insights: tuple[Insight, ...]
    dismissed: int = 0

    def find(self, insight_id: str) -> Insight | None:
        """Return the insight of an id, or None."""
        return next((one for one in self.insights if one.id == insight_id), None)

    @property
    def below(self) -> str:
        """What was looked at, and how to read it."""
        seen = f"{counted(self.runs, 'run')} of {counted(self.tasks, 'task')}, {counted(self.looked, 'look')}"
        left = f"; {self.dismissed} dismissed" if self.dismissed else ""
        if self.insights:
            return f"{seen}{left}; strong and moderate hold for all looks together (1% and 5% risk), weak is a hint"
        few = f": {LEAST_RUNS} runs are needed" if self.runs < LEAST_RUNS else ": no effect is surer than chance"
        return f"{seen}{left}; nothing can be said{few}"

    def text(self) -> str:
        """Return the sentences, each with what to do."""
        parts = []
        for one in self.insights:
            decided = f", {one.decision}" if one.decision else ""
            parts.append(f"[{one.confidence}{decided}] {one.text}\n    {one.id}  next: {as_typed(one.command)}")
        return "\n".join([*parts, self.below])

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML, the evidence of each as a query to run."""
        rows = [
            [one.confidence + (f", {one.decision}" if one.decision else ""), one.text, as_typed(one.command), one.id]
            for one in self.insights
        ]
        shown = table(["confidence", "what the runs say", "next", "id"], rows, title="Insights") if rows else ""
        evidence = [
            fill("<details><summary>evidence of {}</summary><pre style='white-space:pre-wrap'>{}</pre></details>",
                 one.id, f"%%skillfleet sql\n{one.query}")
            for one in self.insights
        ]  # fmt: skip
        return join([shown, *evidence, fill("<div style='margin:8px 0;opacity:.7'>{}</div>", self.below)])


def insights(
    outcomes: Sequence[RunOutcome], unsolved: Sequence[Unsolved] = (), decisions: Mapping[str, str] | None = None, *,
    everything: bool = False,
) -> Insights:  # fmt: skip
    """Find what runs say.

    Parameters
    ----------
    outcomes
        Of the runs.
    unsolved
        Examples that no run of a task solved, with how likely that is by chance.
    decisions
        What people decided, by id.
    everything
        Whether to tell what was dismissed too.
    """
    taken = looks(outcomes)  # whether runs gain at all is a mean, and has nothing to be shrunken to
    smaller = [(look.effect, look.se) for look in taken[:1]]
    smaller += shrunken([look.effect for look in taken[1:]], [look.se for look in taken[1:]])
    corrected = held([*(look.p_value for look in taken), *(one.p_value for one in unsolved)])
    claims = []
    for look, (effect, sd), p_value in zip(taken, smaller, corrected, strict=False):
        sure = _confidence(p_value, wrong_sign(effect, sd))
        if sure is not None:
            claims.append(_of_look(look, effect, p_value, sure))
    for one, p_value in zip(unsolved, corrected[len(taken) :], strict=True):
        if p_value <= _MODERATE:
            claims.append(_of_unsolved(one, p_value, "strong" if p_value <= _STRONG else "moderate"))
    decided = decisions or {}
    decided_claims = [one.model_copy(update={"decision": decided.get(one.id)}) for one in claims]
    shown = [one for one in decided_claims if everything or one.decision != "dismissed"]
    ranked = sorted(shown, key=lambda i: (i.decision != "pinned", _RANK[i.confidence], -abs(i.effect), i.id))
    return Insights(
        runs=len(outcomes), tasks=len({o.task_key for o in outcomes}), looked=len(corrected),
        insights=tuple(ranked), dismissed=len(decided_claims) - len(shown),
    )  # fmt: skip


def _confidence(p_value: float, sign: float) -> Confidence | None:
    if p_value <= _MODERATE:
        return "strong" if p_value <= _STRONG else "moderate"
    return "weak" if sign <= _WRONG_SIGN else None


def _of_look(look: Look, effect: float, p_value: float, sure: Confidence) -> Insight:
    text, command = _told(look, effect)
    return Insight(
        id=_id(look.question.about, look.question.subject, "+" if effect > 0 else "-"), text=text, confidence=sure,
        effect=effect, p_value=p_value, runs=look.runs, tasks=look.tasks, jobs=look.job_ids,
        query=queries.jobs_query(look.job_ids), command=command,
    )  # fmt: skip


def _told(look: Look, effect: float) -> tuple[str, str]:
    """Put a look into a sentence, and say what to do about it."""
    about, subject = look.question.about, look.question.subject
    more, by = ("more" if effect > 0 else "less"), f"{100 * abs(effect):.1f} points"
    on = f"{counted(look.runs, 'run')}, {counted(look.tasks, 'task')}"
    how = "on the same tasks" if look.within else "than others"
    if about == "runs":
        verb = "gain" if effect > 0 else "lose"
        return f"Runs {verb} {by} on the sealed test on average ({on}).", "trends --by optimizer"
    if about == "optimizer":
        text = f"{subject} gains {by} {more} than other optimizers {'on the same tasks ' * look.within}({on})."
        return text, f"estimate PROGRAM --train DATA --optimizer {subject}" if effect > 0 else "trends --by optimizer"
    if about == "model":
        return f"Runs of {subject} gain {by} {more} {how} ({on}).", "trends --by model"
    if about == "tag":
        return f"Runs tagged {subject} gain {by} {more} {how} ({on}).", "trends --by tag"
    if about == "stop":
        return f"Runs that their budget ended gain {by} {more} {how} ({on}).", "roi --by optimizer"
    subjects = {
        "rows": (f"Tasks with more than {subject} examples", "trends --by task"),
        "labels": (f"Tasks with more than {subject} labels", "trends --by task"),
        "baseline": (f"Programs that begin above {subject} points", "trends --by task"),
        "predictors": ("Programs of several predictors", "trends --by task"),
    }
    tasks, command = subjects[about]
    return f"{tasks} gain {by} {more} than others ({on}; their mean {points_change(look.mean)}).", command


def _of_unsolved(one: Unsolved, p_value: float, sure: Confidence) -> Insight:
    n = len(one.example_ids)
    return Insight(
        id=_id("unsolved", one.task, ""), confidence=sure, effect=n / one.examples, p_value=p_value,
        runs=one.runs, tasks=1,
        text=f"{n} of {counted(one.examples, 'example')} of {one.task} were solved by no candidate of "
        f"{counted(one.runs, 'run')} or more: their labels may be wrong, or they need more than a prompt.",
        jobs=(), query=queries.examples_query(one.example_ids), command="trainset analyze DATA",
    )  # fmt: skip


def _id(*parts: str) -> str:
    return f"i-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:8]}"
