"""One finished run of every optimizer, shared by the tests that look at it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from made_up import SMALL, Counting, Data, counted_lm, program, told

from skillfleet_nb import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb import Job
    from skillfleet_nb.runs.spec import RunResult

SEED = 3


@dataclass(frozen=True)
class Finished:
    """A run that went to its end."""

    fleet: Fleet
    job: Job
    result: RunResult
    engine: Counting
    lm: Any
    data: Data
    calls: int
    program: Any
    signature: Any

    def start_again(self, **changed: Any) -> Job:
        """Start the same run in a copy of the home, so that what others ask of this one stays as it is."""
        home = self.fleet.home.root
        copy = shutil.copytree(home, Path(tempfile.mkdtemp(prefix="again", dir=home.parent)) / home.name)
        given = {"metric": told, "optimizer": self.job.progress.optimizer, "lm": self.lm, "seed": SEED}
        given |= {"params": SMALL[self.job.progress.optimizer], "num_threads": 2, **self.data.splits()}
        return Fleet(copy).optimize(program(), **{**given, **changed})


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Finished]:
    known: dict[str, Finished] = {}

    def run(optimizer: str) -> Finished:
        if optimizer not in known:
            lm, engine = counted_lm()
            fleet, data = Fleet(tmp_path_factory.mktemp(optimizer) / "home"), Data()
            given = program()
            signature = given.signature
            job = fleet.optimize(
                given,
                metric=told,
                optimizer=optimizer,
                params=SMALL[optimizer],
                lm=lm,
                seed=SEED,
                num_threads=2,
                name=f"of-{optimizer}",
                **data.splits(),
            )
            result = job.result()
            known[optimizer] = Finished(fleet, job, result, engine, lm, data, engine.calls, given, signature)
        return known[optimizer]

    return run
