"""No state a job can reach breaks a face: each command and each view shows it, or says in one line why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faces import EXPORT, RECOMMEND, look_at_every_face, told
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from job_stories import attempts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from job_stories import Attempt

JOBS = st.lists(st.tuples(attempts, st.booleans()), min_size=2, max_size=2)


# To shrink a job takes minutes, and reads no better.
@settings(max_examples=settings().max_examples // 100, phases=[Phase.generate])
@given(jobs=JOBS)
def test_every_face_shows_every_state_of_a_job(
    tmp_path_factory: pytest.TempPathFactory, jobs: list[tuple[list[Attempt], bool]]
) -> None:
    folder = tmp_path_factory.mktemp("faces")
    with told(folder, *jobs) as fleet:
        look_at_every_face(fleet, folder)


def test_a_limit_before_the_first_score_and_a_process_that_is_gone_break_no_face(tmp_path: Path) -> None:
    calls = [("call", 10, 0.1), ("failed", 10, 0.0), ("call", 10, 0.1)]
    unscored = [("at once", calls, "budget before a score", "unscored")]
    gone = [("at once", calls, "killed", "")]
    with told(tmp_path, (unscored, False), (gone, False)) as fleet:
        look_at_every_face(fleet, tmp_path, EXPORT, RECOMMEND)
