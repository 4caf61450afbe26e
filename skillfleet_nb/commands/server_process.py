"""A server as a process of its own, which ends with the command that started it, however that ends.

It is this module that is run there: its input is a pipe from the command, which is at its end once the command is gone.
"""

from __future__ import annotations

import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from skillfleet_nb.errors import InputError
from skillfleet_nb.html import fill

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

HERE = "127.0.0.1"
_START_S, _POLL_S, _END_S = 120.0, 0.2, 10.0
_SHOWN = 1_000  # characters of a log


def free_port(wanted: int | None) -> int:
    """Check that a port is free, or find one.

    Raises
    ------
    InputError
        If it is taken.
    """
    with socket.socket() as probe:
        if os.name != "nt":  # there it would take a port that is in use; here it passes over ended connections
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HERE, wanted or 0))
        except (OSError, OverflowError) as exc:
            raise InputError(f"--port {wanted}: {exc}; give another, or none for a free one") from exc
        return int(probe.getsockname()[1])


def start(module: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a server, which writes to a log; it ends with this process, even one that is killed.

    Parameters
    ----------
    module
        The module that serves, and its arguments.
    environment
        What the server has in its environment beside ours.
    log
        Where its output goes.
    """
    with log.open("wb") as out:
        return subprocess.Popen(  # noqa: S603  our own interpreter and arguments
            [sys.executable, "-m", __name__, *module],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def ended_by_term() -> Iterator[None]:
    """Let SIGTERM end the body as an interrupt does: else it would end this process alone, and leave the server."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def await_start(server: subprocess.Popen[bytes], address: str, log: Path, what: str) -> None:
    """Wait until a server answers whoever has no token.

    Raises
    ------
    InputError
        If it does not start, with the end of its log.
    """
    until = time.monotonic() + _START_S
    while server.poll() is None and time.monotonic() < until:
        try:
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310  our own
        except urllib.error.HTTPError:  # it keeps its door shut
            return
        except (urllib.error.URLError, OSError):
            time.sleep(_POLL_S)
        else:
            return
    output = " ".join(log.read_text("utf-8", "replace")[-_SHOWN:].split())
    raise InputError(f"{what} did not start: {output or 'it said nothing'}")


def door(folder: Path, address: str) -> str:
    """Return what a browser is started with: a page of this user's alone that leads to the address.

    A browser's arguments can be read by every user of the machine, and the address holds the token.

    Parameters
    ----------
    folder
        Of this user alone.
    address
        Where the page leads.
    """
    page = folder / "open.html"
    page.write_text(fill("<meta http-equiv='refresh' content='0;url={}'>", address), "utf-8")
    return page.as_uri()


def end(server: subprocess.Popen[bytes]) -> None:
    """End a server; it ends its kernels."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(_END_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _attend() -> None:
    """End this process, as SIGTERM does, once nobody holds the other end of its input."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_attend, name="skillfleet-attend", daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
