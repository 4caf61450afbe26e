"""A model that turns blank, unreadable, refusing or failing at a moment, and the runs it is tried with."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any, Literal

import pytest
from dspy.lm15 import Message, Response, TextPart
from dspy.utils.exceptions import LMServerError
from made_up import SMALL, Counting, Data, counted_lm, program, told

from skillfleet_nb.events import JobState
from skillfleet_nb.store import follow

if TYPE_CHECKING:
    from dspy.lm15 import Request

    from skillfleet_nb import Fleet, Job
    from skillfleet_nb.runs.spec import RunResult

Fault = Literal["blank", "unreadable", "refusal", "error"]
Moment = Literal["always", "half", "after"]
FAULTS: tuple[Fault, ...] = ("blank", "unreadable", "refusal", "error")
MOMENTS: tuple[Moment, ...] = ("always", "half", "after")


class Faulty(Counting):
    """The offline engine with one fault.

    Parameters
    ----------
    fault
        What comes in place of an answer: no text; text of no form that was asked for; an answer withheld by
        the provider's filter; an error of the server.
    moment
        When: at every attempt; at half of them, drawn by the prompt and how often it was asked; at every one
        after the first `after`.
    """

    def __init__(self, fault: Fault, moment: Moment, after: int = 0) -> None:
        super().__init__()
        self.fault, self.moment, self.after = fault, moment, after
        self.faults = self._answered = 0
        self._asked_of: dict[str, int] = {}
        self._drawing = threading.Lock()

    def complete(self, request: Request) -> Any:
        answer = super().complete(request)
        with self._drawing:
            if not self._fails("\n".join(str(m.text) for m in request.messages)):
                return answer
            self.faults += 1
        if self.fault == "error":
            raise LMServerError("the server fails", status=500)
        text = {"blank": "", "unreadable": "I would rather talk of something else.", "refusal": ""}[self.fault]
        return Response(
            id=None,
            model=answer.model,
            message=Message.assistant([TextPart(text)]),
            finish_reason="content_filter" if self.fault == "refusal" else "stop",
            usage=answer.usage,
        )

    def _fails(self, prompt: str) -> bool:
        if self.moment != "half":
            self._answered += 1  # not `calls`: those of other threads may be on their way
            return self.moment == "always" or self._answered > self.after
        times = self._asked_of[prompt] = self._asked_of.get(prompt, 0) + 1
        return hashlib.sha256(f"{times} {prompt}".encode()).digest()[0] % 2 == 0


def start(fleet: Fleet, optimizer: str, engine: Faulty) -> Job:
    """Start a small job on a faulty model, of a fleet that does not wait long."""
    fleet.home.ensure()
    fleet.home.config.write_text("lm_retry_delay_s = 0.0001\nlm_grace_s = 0.2\n", encoding="utf-8")
    lm, _ = counted_lm(engine, num_retries=2)
    given = {"metric": told, "optimizer": optimizer, "params": SMALL[optimizer], "seed": 3, "num_threads": 2}
    return fleet.optimize(program(), lm=lm, **given, **Data().splits())


def held_to_the_rule(job: Job) -> RunResult:
    """Return what a job came to, having seen that no zero of it stands for a missing answer.

    Raises
    ------
    JobError
        If it came to nothing, which is within the rule.
    """
    result = job.result()
    on_test = [e.payload for e in follow(job.home, job.id).read() if e.kind == "trial" and e.payload.split == "test"]
    assert bool(on_test) == (result.verdict is not None)
    if result.verdict is None:
        assert result.state is not JobState.COMPLETED
        return result
    rows = [row for trial in on_test for row in trial.scores]
    failed = sum(row.score is None for row in rows) / len(rows)
    assert result.failed_share == pytest.approx(failed)
    assert all(any(row.score is not None for row in trial.scores) for trial in on_test)
    engine: Any = job.model().engine
    if engine.fault == "unreadable":
        assert ("predictions failed" in result.summary) == bool(failed)
    else:
        assert failed == 0, "what went unanswered is left out"
    return result
