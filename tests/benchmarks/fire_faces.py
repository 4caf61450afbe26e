"""Every face of jobs in any state they can reach, reports to be sent included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faces import EXPORT, RECOMMEND, TRAINSET, look_at_every_face, told
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from job_stories import attempts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from job_stories import Attempt

_PAIRS = 10


def cases() -> Iterator[str]:
    """Name each case: a seed, for so many pairs of jobs."""
    yield from (f"{number} of {_PAIRS} pairs" for number in range(50))


def hold(case: str, folder: Path) -> None:
    """Look at every face of each pair."""
    made = iter(range(2 * _PAIRS))

    @seed(int(case.split(maxsplit=1)[0]))
    @settings(max_examples=_PAIRS, phases=[Phase.generate], database=None, deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(jobs=st.lists(st.tuples(attempts, st.booleans()), min_size=2, max_size=2))
    def look(jobs: list[tuple[list[Attempt], bool]]) -> None:
        place = folder / str(next(made))
        place.mkdir()
        with told(place, *jobs) as fleet:
            look_at_every_face(fleet, place, EXPORT, RECOMMEND, *TRAINSET)

    look()
