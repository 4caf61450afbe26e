"""Commands about jobs: to find, follow, steer and keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.commands.grammar import argument, command, written
from skillfleet_nb.commands.job_views import JobReport, JobTable
from skillfleet_nb.commands.views import Note
from skillfleet_nb.errors import InputError
from skillfleet_nb.events import JobState, StopKind
from skillfleet_nb.messages import as_typed

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.programs.diff import ProgramDiff
    from skillfleet_nb.runs.jobs.job import Job

_NAME = argument("name", metavar="JOB", help="name or id")


@command(
    "jobs",
    "list jobs, newest first",
    argument("--state", metavar="STATE", help="only jobs in this state"),
    argument("--optimizer", metavar="OPTIMIZER", help="only jobs of this optimizer"),
    argument("--tag", metavar="TAG", help="only jobs with this tag"),
    argument("--domain", metavar="DOMAIN", help="only jobs of this domain"),
    argument("--since", metavar="DAY", help="only jobs from this day on (UTC)"),
    argument("--until", metavar="DAY", help="only jobs up to this day"),
    argument("--archived", action="store_true", help="only archived jobs, which are not listed else"),
    argument("--limit", type=int, default=20, metavar="N", help="rows shown (20)"),
    examples=("jobs", "jobs --state interrupted --limit 5", "jobs --tag v2 --since 2026-01-31"),
    task="Learn from runs",
    place=1,
)
def _jobs(c: Context, a: argparse.Namespace) -> JobTable:
    if a.limit < 1:
        raise InputError(f"--limit {a.limit}: give 1 or more")
    jobs = c.fleet.jobs(
        a.state, optimizer=a.optimizer, tag=a.tag, domain=a.domain, since=a.since, until=a.until, archived=a.archived
    )
    return JobTable(jobs, limit=a.limit, questions=c.fleet.questions())


@command(
    "job",
    "one job: scores, verdict, cost, learning curve, prompt diff",
    _NAME,
    argument("--log", action="store_true", help="show what the optimizer printed"),
    examples=("job intents", "job intents --log"),
    task="Learn from runs",
    place=2,
)
def _job(c: Context, a: argparse.Namespace) -> JobReport | Note:
    job = c.fleet.job(a.name)
    return Note(job.log()) if a.log else JobReport(job, c.fleet.trials(job.id))


@command(
    "watch",
    "follow any job's progress, of any process",
    _NAME,
    examples=("watch intents",),
    task="Optimise",
    place=1,
)
def _watch(c: Context, a: argparse.Namespace) -> Job:
    job = c.fleet.job(a.name)
    c.wait(job, watch=True)
    return job


@command(
    "cancel",
    "stop a job; its best program so far is kept",
    _NAME,
    examples=("cancel intents",),
    task="Optimise",
    place=5,
)
def _cancel(c: Context, a: argparse.Namespace) -> Note:
    job = c.fleet.job(a.name)
    finished = job.state.is_finished()
    job.cancel()
    return Note(f"{job.name} is {job.state} already") if finished else Note(f"{job.name} stops at its next call")


@command(
    "pause",
    "let a job make no further call for now; its clock stands still",
    _NAME,
    examples=("pause intents",),
    task="Optimise",
    place=3,
)
def _pause(c: Context, a: argparse.Namespace) -> Note:
    job = c.fleet.job(a.name)
    p = job.progress
    job.pause()
    if p.state.is_finished():
        return Note(f"{p.name} is {p.state} already")
    return Note(f"{p.name} makes no further call until: {as_typed(f'unpause {p.name}')}")


@command(
    "unpause",
    "let a paused job go on",
    _NAME,
    examples=("unpause intents",),
    task="Optimise",
    place=4,
)
def _unpause(c: Context, a: argparse.Namespace) -> Note:
    job = c.fleet.job(a.name)
    p = job.progress
    job.unpause()
    if p.state is JobState.COMPLETED and p.stop_kind is not StopKind.BUDGET:
        return Note(f"{p.name} is {p.state} already")
    if p.state is JobState.COMPLETED:
        more = as_typed(f"resume {p.name}")
        return Note(f"{p.name} is {p.state}, {p.stop_reason}: {more} with a larger limit goes on with it")
    if p.state.is_finished():
        return Note(f"{p.name} is {p.state}: {as_typed(f'resume {p.name}')} goes on with it")
    return Note(f"{p.name} goes on")


@command(
    "diff",
    "what changed in the prompts: baseline against best",
    _NAME,
    examples=("diff intents",),
    task="Learn from runs",
    place=6,
)
def _diff(c: Context, a: argparse.Namespace) -> ProgramDiff:
    return c.fleet.job(a.name).diff()


@command(
    "save",
    "save a job's best program as JSON that dspy loads",
    _NAME,
    written("path", metavar="FILE.json"),
    examples=("save intents best.json",),
    task="Keep",
    place=0,
)
def _save(c: Context, a: argparse.Namespace) -> Note:
    return Note(f"saved {c.fleet.job(a.name).save(a.path)}: program.load({a.path!r}) reads it")
