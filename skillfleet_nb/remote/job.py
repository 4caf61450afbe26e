"""A job that runs elsewhere, held as one that runs here."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import fields
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from skillfleet_nb.errors import JobError, ServerError, SkillfleetError
from skillfleet_nb.events import JobState, ReviewAsked, SkillCreated, StopKind
from skillfleet_nb.html import Readable, table
from skillfleet_nb.runs.review.answers import Answer
from skillfleet_nb.runs.spec import CreationResult, RunResult

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    import pandas as pd

    from skillfleet_nb.remote.connection import Connection

_AGAIN_S, _LONGEST_S = 0.5, 15.0  # between attempts to follow a job whose server is gone


class Text(Readable):
    """What the server tells as text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def text(self) -> str:
        """Return it."""
        return self._text


class Progress(SimpleNamespace):
    """Where a job is, as the server told it last."""

    def line(self) -> str:
        """Say in one line where the job is."""
        return str(self.told_line)


class RemoteJob(Readable):
    """A job of a server.  It can be awaited: ``result = await job``.

    Attributes
    ----------
    id, name
        Its identity, and what the person calls it.
    """

    def __init__(self, connection: Connection, record: dict[str, Any]) -> None:
        self._connection = connection
        self.id, self._record = str(record["id"]), record
        self._path = f"/jobs/{quote(self.id, safe='')}"
        self._line: str | None = None
        self._asked: tuple[object, ReviewAsked] | None = None
        self._end = threading.Event()
        self._follower: threading.Thread | None = None
        self._failure: BaseException | None = None
        if record["finished"]:
            self._end.set()

    @property
    def name(self) -> str:
        """What the person calls the job."""
        return str(self._record["name"])

    @property
    def progress(self) -> Progress:
        """Where the job is now; while it is waited for, as the stream told it last."""
        if self._follower is None or self._end.is_set():
            self._record, self._line = self._connection.get(self._path), None
        state = dict(self._record)
        line = state.pop("line")
        state |= {"state": JobState(state["state"]), "told_line": self._line or line}
        return Progress(**state)

    @property
    def state(self) -> JobState:
        """State of the job, now."""
        return JobState(self.progress.state)

    @property
    def ok(self) -> bool:
        """Whether it has not failed, so far."""
        return JobState(self._record["state"]) is not JobState.FAILED

    @property
    def splits(self) -> str:
        """What train, val and test hold, in words."""
        return str(self._record["splits"])

    @property
    def question(self) -> ReviewAsked | None:
        """What the job asks a person, None where it asks nothing."""
        if not self.progress.question:
            self._asked = None
        elif self._asked is None or self._asked[0] != self._record["question"]:
            asked = self._connection.get(f"/hitl/{quote(self.id, safe='')}/prompt")["question"]
            self._asked = None if asked is None else (self._record["question"], ReviewAsked.model_validate(asked))
        return None if self._asked is None else self._asked[1]

    def answer(self, text: str = "", choice: str | None = None) -> Answer:
        """Answer what the job asks; see :meth:`skillfleet_nb.Fleet.answer`."""
        response = self._connection.post(f"/hitl/{quote(self.id, safe='')}/response", {"text": text, "choice": choice})
        return Answer(**response)

    def proposed(self) -> None:
        """Return None: the programs that a question is about are on the server."""

    @property
    def given(self) -> Any:
        """Raise `JobError`: the program a job was started with does not travel."""
        raise JobError(f"the program of {self.name!r} is on the server: its result has the best one's state")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job is finished, in whatever way; a connection that breaks is made again.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None waits as long as it takes.

        Raises
        ------
        NotFoundError
            If the job is gone from the server.
        """
        self.follow()
        ended = self._end.wait(timeout)
        if self._failure is not None:
            raise self._failure
        return ended

    def follow(self, show: Callable[[str, Any], None] | None = None) -> None:
        """Follow the job on a thread until it ends; `show` is called with the kind and data of each message."""
        if self._follower is None and not self._end.is_set():
            self._follower = threading.Thread(
                target=self._listen, args=(show,), name=f"skillfleet-{self.id}", daemon=True
            )
            self._follower.start()

    def _listen(self, show: Callable[[str, Any], None] | None) -> None:
        last, pause = 0, threading.Event()
        wait_s = _AGAIN_S
        while not self._end.is_set():
            try:
                for kind, number, data in self._connection.events(f"{self._path}/stream", last):
                    last, wait_s = max(last, number), _AGAIN_S
                    if kind == "state":
                        self._take(data)
                    if show is not None:
                        show(kind, data)
                    if kind == "end":
                        self._end.set()
                        return
                if last and self._connection.get(self._path)["finished"]:  # all was told already
                    self._end.set()
            except ServerError:
                pause.wait(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_S)
            except BaseException as exc:  # noqa: BLE001  raised by whoever waits
                self._failure = exc
                self._end.set()

    def _take(self, state: dict[str, Any]) -> None:
        self._line = str(state["line"])
        self._record = self._record | {name: state[name] for name in state if name in self._record}

    def result(self, timeout: float | None = None) -> RunResult:
        """Wait for the job and return what it came to.

        Its `program` is made from its state where its code is installed here; else it is None, and
        :meth:`program_state` has the state.

        Raises
        ------
        JobError
            If it is not finished in time, or came to nothing.
        """
        from skillfleet_nb.programs.building import build

        if not self.wait(timeout):
            raise JobError(f"job {self.name!r} is still {self.state} after {timeout:g} s: wait longer, or .cancel() it")
        ending = dict(self._connection.get(f"{self._path}/result"))
        program: Any = None
        with contextlib.suppress(SkillfleetError):
            program = None if ending["program"] is None else build(ending["program"])
        values = {one.name: ending[one.name] for one in fields(RunResult) if one.name in ending}
        for name in ("test_delta_interval", "test_interval"):
            values[name] = None if ending[name] is None else tuple(ending[name])
        values |= {"program": program, "state": JobState(ending["state"]), "members": _frame(ending["members"])}
        values["stop_kind"] = None if ending["stop_kind"] is None else StopKind(ending["stop_kind"])
        result = RunResult(**values)
        created = ending["created"]
        return result if created is None else CreationResult.of(result, SkillCreated.model_validate(created))

    def __await__(self) -> Generator[Any, None, RunResult]:
        return asyncio.to_thread(self.result).__await__()

    def program_state(self) -> dict[str, Any]:
        """Return the best program as JSON that DSPy loads."""
        return dict(self._connection.get(f"{self._path}/result")["program"])

    def save(self, path: str | Path) -> Path:
        """Write the best program here, as JSON that ``dspy`` loads.

        Raises
        ------
        InputError
            If it cannot be written there.
        JobError
            If there is none.
        """
        from skillfleet_nb.programs.state import save_state

        return save_state(self.program_state(), path)

    def cancel(self) -> None:
        """Ask the job to stop; the best program so far is kept."""
        self._connection.post(f"{self._path}/cancel")

    def pause(self) -> None:
        """Ask the job to make no further call, until :meth:`unpause`."""
        self._connection.post(f"{self._path}/pause")

    def unpause(self) -> None:
        """Let a paused job go on."""
        self._connection.post(f"{self._path}/unpause")

    def log(self) -> str:
        """Return what the optimizer printed."""
        return str(self._connection.get(f"{self._path}/log")["log"])

    def diff(self) -> Text:
        """Compare the best program with the one the job was given; raises `JobError` before there is one."""
        return Text(str(self._connection.get(f"{self._path}/diff")["diff"]))

    def summary(self) -> list[tuple[str, str]]:
        """Tell what matters of the job, as pairs of a word and its value."""
        return [(str(word), str(value)) for word, value in self._connection.get(self._path)["summary"]]

    def text(self) -> str:
        """Return the facts, one a line, and how old they are where the server was not asked."""
        rows, age_s = self.summary(), self._connection.age_s
        width = max(len(word) for word, _ in rows)
        lines = [f"{word:<{width}}  {value}" for word, value in rows]
        return "\n".join([*lines, *([f"cached {age_s:.0f} s ago"] if age_s else [])])

    def html(self) -> str:
        """Show it as HTML."""
        return str(table([], [list(row) for row in self.summary()]))

    def __repr__(self) -> str:
        return f"<RemoteJob {self.id} of {self._connection.url}>"


def _frame(rows: list[dict[str, Any]] | None) -> pd.DataFrame | None:
    import pandas as pd

    return None if rows is None else pd.DataFrame(rows)
