"""A fleet that is quick to lose patience, and a server on loopback to lose it with."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from chat_server import ChatServer, serving
from made_up import program, rows, told

from skillfleet_nb import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from skillfleet_nb import Job

SMALL: dict[str, dict[str, Any]] = {
    "bootstrap_random_search": {
        "num_candidate_programs": 1,
        "max_labeled_demos": 2,
        "max_bootstrapped_demos": 1,
    },
    "miprov2": {
        "num_candidates": 2,
        "num_trials": 2,
        "minibatch": False,
        "max_labeled_demos": 2,
        "max_bootstrapped_demos": 1,
    },
    "gepa": {"max_metric_calls": 18, "reflection_minibatch_size": 2},
}
OPTIMIZERS = tuple(SMALL)
KEY = "k-12345678"
SETTINGS = "lm_retry_delay_s = 0.005\nlm_grace_s = 0.2\n"
_names = (f"m{n}" for n in itertools.count())


@dataclass
class Runner:
    """Starts small jobs against a server; `fleet` is theirs."""

    fleet: Fleet
    server: ChatServer

    def lm(self, server: ChatServer | None = None, name: str | None = None, **options: Any) -> dspy.LM:
        given = {"api_base": (server or self.server).base, "api_key": KEY, "num_retries": 2, "timeout": 5.0}
        return dspy.LM(f"openai/{name or next(_names)}", **{**given, **options})

    def start(self, optimizer: str = "bootstrap_random_search", lm: Any = None, **changed: Any) -> Job:
        examples = rows(4)
        given: dict[str, Any] = {"train": examples[2:6], "val": examples[6:11], "test": examples[11:14]}
        given |= {"metric": told, "optimizer": optimizer, "params": SMALL[optimizer], "seed": 3, "num_threads": 2}
        return self.fleet.optimize(program(), lm=lm or self.lm(), **{**given, **changed})

    def calls(self, what: str = "true") -> int:
        """Count the recorded calls of which `what` holds."""
        return int(self.fleet.sql(f"select count(*)::int as n from lm_calls where {what}").n[0])  # noqa: S608


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving() as found:
        yield found


@pytest.fixture
def make_server() -> Iterator[Callable[[], ChatServer]]:
    from contextlib import ExitStack

    with ExitStack() as open_ones:
        yield lambda: open_ones.enter_context(serving())


@pytest.fixture
def runner(server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("CHAT_API_KEY", KEY)  # a key that no variable holds keeps a job from being resumed
    fleet = Fleet(tmp_path / "home")
    fleet.home.ensure()
    fleet.home.config.write_text(SETTINGS, encoding="utf-8")
    return Runner(fleet, server)
