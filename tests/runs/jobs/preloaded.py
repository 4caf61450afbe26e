"""Workers that have DSPy imported already: each is forked from a process that did so once.

Most of a small job's time goes into its worker's imports.  Where a test is not about the start, its workers come
from here: processes and sessions of their own as ever, with the same command line, environment and descriptors.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

MODULE = "skillfleet_nb.runs.engines.worker"
_USED = (
    "diskcache", "dspy.clients.costs", "dspy.clients.disk_serialization", "dspy.clients.engines.streaming",
    "dspy.clients.execution", "dspy.teleprompt", "gepa", "optuna", "scipy.special", "skillfleet_nb.offline.engine",
    "skillfleet_nb.programs.voting", "skillfleet_nb.runs.execution", "skillfleet_nb.runs.kinds",
)  # fmt: skip
"""What a worker comes to import."""


class Preloaded:
    """The process that is forked, started at the first worker that is asked for."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ours: socket.socket

    def start(self, args: list[str], *, stdout: Any, pass_fds: list[int], **options: Any) -> Any:
        """Start a worker as `subprocess.Popen` would; any other process as it does."""
        if args[1:4] != ["-u", "-m", MODULE]:
            return subprocess.Popen(args, stdout=stdout, pass_fds=pass_fds, **options)
        env = options["env"]
        if self._process is None:
            self._ours, theirs = socket.socketpair()
            command = [sys.executable, __file__, str(theirs.fileno())]
            quiet = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # one thread, so it may fork
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=quiet)
            theirs.close()
        asked = json.dumps([args[4:-2], env, str(Path.cwd())]).encode()
        socket.send_fds(self._ours, [len(asked).to_bytes(4, "big")], [*pass_fds, stdout.fileno()])
        self._ours.sendall(asked)
        return Worker(int.from_bytes(self._ours.recv(4), "big"))

    def close(self) -> None:
        """End the process that is forked; workers go on."""
        if self._process is not None:
            self._ours.close()
            self._process.wait()


class Worker:
    """What is told of a worker."""

    def __init__(self, pid: int) -> None:
        self.pid = pid


def _serve(theirs: socket.socket) -> list[str]:
    """Fork a worker for each request; return its arguments in the worker, and nothing when no more are asked for."""
    while True:
        head, fds, _, _ = socket.recv_fds(theirs, 4, 3)
        if not head:
            return []
        length, asked = int.from_bytes(head, "big"), b""
        while len(asked) < length:
            asked += theirs.recv(length - len(asked))
        with suppress(ChildProcessError):  # those that have ended
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        if pid := os.fork():
            for fd in fds:
                os.close(fd)
            theirs.sendall(pid.to_bytes(4, "big"))
            continue
        theirs.close()
        alive, slot, log = fds
        args, env, folder = json.loads(asked)
        os.setsid()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(env)
        sys.path[0] = folder  # as of every `python -m`
        return [*args, str(alive), str(slot)]


def _main() -> None:
    for name in _USED:
        import_module(name)
    import numpy as np

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the tests
    args = _serve(socket.socket(fileno=int(sys.argv[1])))
    if args:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        np.random.seed()  # noqa: NPY002  as of a process of its own
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True, write_through=True)  # type: ignore[union-attr]  # -u
        sys.argv[1:] = args
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
