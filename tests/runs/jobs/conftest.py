"""Jobs of their own processes; whatever a test leaves running is killed."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from job_kit import LoggedLM
from preloaded import Preloaded

from skillfleet_nb import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path / "home")
    yield made
    for job in made.jobs().job_id:
        pid = made.job(job).pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def logged(tmp_path: Path) -> Callable[..., LoggedLM]:
    def make(latency_s: float = 0.0, **kwargs: object) -> LoggedLM:
        return LoggedLM(tmp_path, latency_s, **kwargs)

    return make


@pytest.fixture(scope="session")
def _preloading() -> Iterator[Preloaded]:
    made = Preloaded()
    yield made
    made.close()


@pytest.fixture
def preloaded(_preloading: Preloaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork workers from a process that has DSPy imported, which is most of a small job's work."""
    beside = SimpleNamespace(Popen=_preloading.start, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr("skillfleet_nb.runs.engines.processes.subprocess", beside)
