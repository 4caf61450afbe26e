"""Starts the jobs that wait in a home, one after the other, until none does.

``python -m skillfleet_nb.runs.engines.dispatcher HOME LOCK``; LOCK is the descriptor of the held lock that elects it.
"""

from __future__ import annotations

import os
import sys
import threading

from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.runs.engines.queue import Queue
from skillfleet_nb.store import Home, locks

_LOOK_S = 0.25  # how often it looks whether there is room


def main(root: str, lock: int) -> None:
    """Start what waits, whenever there is room; return when nothing does."""
    os.set_inheritable(lock, False)  # a worker must not keep others from being elected
    queue, nap = Queue(Home.find(root)), threading.Event()
    while True:
        while _waits(queue):
            nap.wait(_LOOK_S)
        os.close(lock)
        # Whoever asked for a job just now has seen the lock held, and relies on this process.
        if not queue.home.root.is_dir() or not queue.startable():
            return
        try:
            lock = locks.acquire(queue.lock)
        except locks.Busy:
            return


def _waits(queue: Queue) -> bool:
    if not queue.home.root.is_dir():
        return False
    try:
        return queue.dispatch() > 0
    except SkillfleetError as exc:  # such as settings that cannot be read: what waits goes on waiting until they can
        sys.stderr.write(f"{exc}\n")
        return True


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
