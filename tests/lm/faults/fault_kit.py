"""Small jobs against a server on loopback, of a fleet that is quick to lose patience."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dspy
from made_up import program, rows, told

if TYPE_CHECKING:
    from chat_server import ChatServer

    from skillfleet_nb import Fleet, Job

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
# Quick where a test waits; where a slow machine could run into a limit, there is none.
SETTINGS = "lm_retry_delay_s = 0.005\nlm_grace_s = 0.2\nlm_skip_s = 1e6\n"
FOREVER = 1e6
_names = (f"m{n}" for n in itertools.count())


@dataclass
class Runner:
    """Starts small jobs against a server; `fleet` is theirs."""

    fleet: Fleet
    server: ChatServer

    def lm(self, server: ChatServer | None = None, name: str | None = None, **options: Any) -> dspy.LM:
        given = {"api_base": (server or self.server).base, "api_key": KEY, "num_retries": 2, "timeout": FOREVER}
        return dspy.LM(f"openai/{name or next(_names)}", **{**given, **options})

    def start(self, optimizer: str = "bootstrap_random_search", lm: Any = None, **changed: Any) -> Job:
        examples = rows(4)
        given: dict[str, Any] = {"train": examples[2:6], "val": examples[6:11], "test": examples[11:14]}
        given |= {"metric": told, "optimizer": optimizer, "params": SMALL[optimizer], "seed": 3, "num_threads": 2}
        return self.fleet.optimize(program(), lm=lm or self.lm(), **{**given, **changed})

    def calls(self, what: str = "true") -> int:
        """Count the recorded calls of which `what` holds."""
        return int(self.fleet.sql(f"select count(*)::int as n from lm_calls where {what}").n[0])  # noqa: S608
