"""The process that holds a model's weights: llama.cpp's own server, on a port of the loopback interface.

It is a process of its own so that all jobs of a home share it, and that what goes wrong in native code takes no
notebook along.  It ends when nobody holds the shared lock on ``users.lock`` any more, which the kernel frees however
a process ends.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import portalocker

from skillfleet_nb.local.host import ADDRESS, ALIVE, READY, USERS
from skillfleet_nb.store import locks
from skillfleet_nb.store.home import atomic_write

_KEPT_MIB = 96  # prompts evaluated before, so that a run may go back and forth between several


def main(folder: str, weights: str, threads: str, context: str) -> None:
    """Serve until nobody uses it any more."""
    place = Path(folder)
    alive = locks.acquire(place / ALIVE)
    (place / ADDRESS).unlink(missing_ok=True)
    token = secrets.token_urlsafe(32)
    server: Any = _server(weights, int(threads), int(context), token)
    atomic_write(
        place / ADDRESS, json.dumps({"url": server.listening_address, "token": token, "pid": os.getpid()}).encode()
    )
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    with (place / USERS).open("rb") as users:
        portalocker.lock(users, portalocker.LockFlags.EXCLUSIVE)  # waits for the last of them
        (place / ADDRESS).unlink(missing_ok=True)
        os.close(alive)  # before the other: who comes now starts another
        os._exit(0)  # the engine's threads have nothing to finish


def _server(weights: str, threads: int, context: int, token: str) -> object:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.n_ctx = context
    params.n_parallel = 1  # answers then do not depend on who else asks at the time
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = _KEPT_MIB
    params.api_keys = [token]
    params.cors_origins = "http://127.0.0.1"  # no page of a browser's is answered
    params.ui = params.endpoint_slots = params.warmup = params.fit_params = False
    params.verbosity = 1  # errors alone
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main(*sys.argv[1:])
