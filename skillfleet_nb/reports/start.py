"""Which program a job starts from: the baseline that its verdict compares with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.format import counted, is_missing, points
from skillfleet_nb.programs.state import describe, dump_state
from skillfleet_nb.runs.jobs.progress import Progress
from skillfleet_nb.store import save_program

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.runs.jobs.job import Job


def starts_from(job: Job, jobs: pd.DataFrame) -> str:
    """Say in a line which program a job was given: what another job found, or the person's own.

    Parameters
    ----------
    job
        The job.
    jobs
        Rows of the relation ``jobs``, the newest first.
    """
    try:
        state = dump_state(job.given)
        program_id = save_program(job.home, state)
        sources = jobs[(jobs.best_program_id == program_id) & (jobs.job_id != job.id)]
        for row in sources.itertuples():
            first = Progress(job.home, str(row.job_id)).update().first_program
            if first not in {None, program_id}:  # None of an evaluation that was stopped before it scored anything
                tested = "" if is_missing(row.test_score) else f", {points(row.test_score)} on its sealed test"
                return f"starts from the best program of {row.name}{tested}"
    except SkillfleetError:
        return "starts from your program"
    demos = describe(state).n_demos
    return f"starts from your program as it is, with {counted(demos, 'demo') if demos else 'no demos'}"
