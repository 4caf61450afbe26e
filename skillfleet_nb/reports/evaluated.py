"""What is to be evaluated, however a person named it: a program, a job, or what is registered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.runs.jobs.job import Job
from skillfleet_nb.runs.spec import CREATE_SKILL

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.reports.registered import Registered
    from skillfleet_nb.runs.evaluation import EvaluateRequest


def resolved(asked: EvaluateRequest, find: Callable[[str], Job], registry: Registered) -> EvaluateRequest:
    """Put programs in the place of their names, and what a job knows in the place of what was left out.

    Raises
    ------
    NotFoundError, JobError, InputError
        If there is no such program or job, or it cannot be opened.
    """

    def found(named: Any) -> Any:
        if isinstance(named, str):
            is_registered = "@" in named or named in registry.names
            return registry.load(named, check=False) if is_registered else find(named)
        return named

    program, against = found(asked.program), found(asked.against)
    changes: dict[str, Any] = {}
    if isinstance(program, Job):
        request = program.parcel().request
        if asked.data is None:  # its own test, which it may have been stopped before
            best_is_given = program.progress.best_program == program.progress.first_program
            changes |= {"data": request.test, "tags": asked.tags or request.tags}
            changes["name"] = asked.name or f"{program.name}-test"
            against = program.given if against is None and not best_is_given else against
        changes |= {"metric": asked.metric or request.metric, "lm": asked.lm or request.lm}
        changes["num_threads"] = asked.num_threads or request.num_threads
        program = program.best_program(program.given)
    if isinstance(against, Job):
        against = against.best_program(against.given)
    return replace(asked, program=program, against=against, **changes)


def can_be_tested(job: Job) -> bool:
    """Tell whether a job ended with a program that was not tested, though it could be."""
    p = job.progress
    if p.optimizer == CREATE_SKILL or not p.state.is_finished() or p.best_program is None:
        return False
    if p.result is not None and p.result.verdict:
        return False
    try:
        return bool(job.parcel().request.test)
    except SkillfleetError:
        return False
