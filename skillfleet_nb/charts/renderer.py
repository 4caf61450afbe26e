"""Drawing in a process of its own, which may die alone.

The renderer is a browser's script engine and a font shaper in one library.  Where it gives up, it ends the whole
process: in a notebook the kernel, and with it all its jobs.  So it runs in a process beside, started at the first
picture and kept for the next ones; when it dies, whoever asked gets one line, and the next picture a new process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple, cast

from skillfleet_nb.errors import ChartError

_LONGEST_S = 120.0  # for one picture, after which the process is taken to hang
_PROGRAM = Path(__file__).with_name("render_process.py")


class Renderer:
    """Makes pictures, one at a time, in one process beside this one; safe to share between threads."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._beside: _Beside | None = None
        self._pid = os.getpid()

    @property
    def pid(self) -> int | None:
        """Which process draws now, if there is one."""
        return self._beside.process.pid if self._beside is not None else None

    def make(self, kind: str, what: object) -> bytes:
        """Make a picture.

        Parameters
        ----------
        kind
            ``svg`` of a specification and its version, ``png`` or ``pdf`` of an SVG, ``page`` of a specification,
            or the ``script`` that a module needs.
        what
            Of plain values.

        Raises
        ------
        ChartError
            If it cannot be drawn, or the process that draws died of it.
        """
        if self._pid != os.getpid():  # forked: the other process is the parent's
            self.__init__()  # type: ignore[misc]
        request = json.dumps([kind, what]).encode() + b"\n"
        with self._turn:
            was_there = self._beside is not None
            try:
                word, answer = self._ask(request)
            except ChartError:
                if not was_there:
                    raise
                word, answer = self._ask(request)  # it may have died since the last picture, and not of this one
        if word != "made":
            raise ChartError(f"the chart cannot be drawn: {' '.join(answer.decode().split())[:500]}")
        return answer

    def _ask(self, request: bytes) -> tuple[str, bytes]:
        """Have one process, started if need be, make a picture; with the turn held."""
        if self._beside is None:
            self._beside = _start()
            weakref.finalize(self, _end_own, self._beside.process, self._pid)
        beside = self._beside
        try:
            return beside.ask(request)
        except BaseException as exc:  # also an interrupt: the answer would be taken for the next one's
            self._beside = None
            hung = beside.end()
            if not isinstance(exc, OSError | EOFError | ValueError):
                raise
            raise ChartError(_told(beside.process, hung=hung)) from None


class _Beside(NamedTuple):
    """The process that draws, and whether it took too long."""

    process: subprocess.Popen[bytes]
    hung: threading.Event

    def ask(self, request: bytes) -> tuple[str, bytes]:
        late = threading.Timer(_LONGEST_S, self._give_up)
        late.daemon = True
        late.start()
        try:
            requests, answers = cast("IO[bytes]", self.process.stdin), cast("IO[bytes]", self.process.stdout)
            requests.write(request)
            requests.flush()
            word, size = answers.readline().split()
            answer = answers.read(int(size))
        finally:
            late.cancel()
        if len(answer) != int(size):
            raise EOFError
        return word.decode(), answer

    def end(self) -> bool:
        """End it; return whether it hung."""
        _end(self.process)
        return self.hung.is_set()

    def _give_up(self) -> None:
        self.hung.set()
        self.process.kill()


def _start() -> _Beside:
    try:
        process = subprocess.Popen(  # noqa: S603  our own interpreter and file
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as exc:
        raise ChartError(f"cannot start the process that draws charts: {exc.strerror or exc}; try again") from exc
    return _Beside(process, threading.Event())


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError, ValueError):
                pipe.close()


def _end_own(process: subprocess.Popen[bytes], pid: int) -> None:
    if pid == os.getpid():  # a fork's exit is not its parent's
        _end(process)


def _told(process: subprocess.Popen[bytes], *, hung: bool) -> str:
    if hung:
        how = f"took over {_LONGEST_S:.0f} s and was ended"
    elif process.returncode < 0:
        how = f"was ended by {signal.Signals(-process.returncode).name}"
    else:
        how = f"ended with status {process.returncode}"
    return (
        f"this chart was not drawn: the process that draws {how}. Nothing else is lost, and the next chart gets a "
        "new one; .json and the chart's data hold what there is to show"
    )


@cache
def renderer() -> Renderer:
    """Return this process's renderer."""
    return Renderer()
