"""Routes about jobs: to find, start, follow and steer them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from skillfleet_nb.runs.creation import CreateRequest
from skillfleet_nb.runs.request import ResumeRequest, RunRequest
from skillfleet_nb.server.answers import Came, JobNow, came_to, columns, job_now, records, rows
from skillfleet_nb.server.route import Answer, Asked, Call, Nothing, Page, Rows, Told, route
from skillfleet_nb.server.wire import wired
from skillfleet_nb.store import queries

StartJob = wired(RunRequest)
ResumeJob = wired(ResumeRequest, without=("program", "train", "val", "test", "metric"))
CreateSkill = wired(CreateRequest, without=("creator",))


class JobFilter(Page):
    """Which jobs to list."""

    state: str | None = Field(default=None, description="only jobs in this state")
    optimizer: str | None = Field(default=None, description="only jobs of this optimizer")
    domain: str | None = Field(default=None, description="only jobs of this domain")
    tag: str | None = Field(default=None, description="only jobs with this tag")
    since: str | None = Field(default=None, description="only jobs from this day on (UTC), such as 2026-01-31")
    until: str | None = Field(default=None, description="only jobs up to this day")
    text: str | None = Field(default=None, description="only jobs with this in their name")
    archived: bool | None = Field(default=None, description="only jobs that are archived, or are not")


class ToAnswer(Asked):
    """An answer to what a job asks."""

    text: str = Field(default="", max_length=100_000, description="in words, read by the settings' keywords")
    choice: Literal["proceed", "revise", "cancel"] | None = Field(default=None, description="`text` is then literal")


class Understood(Answer):
    """An answer as it was understood."""

    choice: str
    text: str


@route("GET", "jobs", "jobs, newest first", "read", takes=JobFilter, gives=Rows, kept="home", aliases=("api/v2/jobs",))
def _jobs(c: Call[JobFilter]) -> object:
    chosen = c.asked.model_dump(exclude={"limit", "offset"})
    return rows(c.fleet.jobs(chosen.pop("state"), **chosen), c.asked.offset, c.asked.limit)


@route(
    "POST", "jobs", "start a run, in a process of its own", "execute",
    takes=StartJob, gives=JobNow, status=201, asks="job", aliases=("api/v2/jobs", "api/v1/optimization/start"),
)  # fmt: skip
def _start(c: Call[Any]) -> object:
    return job_now(c.fleet.optimize(**c.materials.options(c.asked), engine="process"))


@route(
    "GET", "jobs/{job}", "where a job is", "read", gives=JobNow, kept="job", ticks=True, aliases=("api/v2/jobs/{job}",)
)
def _job(c: Call[Nothing]) -> object:
    return job_now(c.fleet.job(c.path["job"]))


@route("POST", "jobs/{job}/cancel", "stop a job; its best program so far is kept", "execute", gives=Told)
def _cancel(c: Call[Nothing]) -> object:
    job = c.fleet.job(c.path["job"])
    finished = job.state.is_finished()
    job.cancel()
    return Told(told=f"{job.name} is {job.state} already" if finished else f"{job.name} stops at its next call")


@route("POST", "jobs/{job}/pause", "let a job make no further call for now", "execute", gives=Told)
def _pause(c: Call[Nothing]) -> object:
    job = c.fleet.job(c.path["job"])
    p = job.progress
    job.pause()
    return Told(told=f"{p.name} is {p.state} already" if p.state.is_finished() else f"{p.name} makes no further call")


@route("POST", "jobs/{job}/unpause", "let a paused job go on", "execute", gives=Told)
def _unpause(c: Call[Nothing]) -> object:
    job = c.fleet.job(c.path["job"])
    p = job.progress
    job.unpause()
    return Told(told=f"{p.name} is {p.state}: resume it" if p.state.is_finished() else f"{p.name} goes on")


@route("POST", "jobs/{job}/resume", "go on with a job, in a process of its own", "execute",
       takes=ResumeJob, gives=JobNow, asks="job")  # fmt: skip
def _resume(c: Call[Any]) -> object:
    return job_now(c.fleet.resume(c.path["job"], **c.materials.options(c.asked), engine="process"))


@route("GET", "jobs/{job}/result", "what a finished job came to, with its best program", "read", gives=Came, kept="job")
def _result(c: Call[Nothing]) -> object:
    return came_to(c.fleet.job(c.path["job"]))


@route("GET", "jobs/{job}/programs", "the programs a job scored", "read", takes=Page, gives=Rows, kept="job")
def _programs(c: Call[Page]) -> object:
    return rows(queries.job_programs(c.fleet.store, c.fleet.job(c.path["job"]).id), c.asked.offset, c.asked.limit)


@route("GET", "jobs/{job}/trials", "the trials of a job, in order", "read", takes=Page, gives=Rows, kept="job")
def _trials(c: Call[Page]) -> object:
    return rows(c.fleet.trials(c.fleet.job(c.path["job"]).id), c.asked.offset, c.asked.limit)


@route("GET", "jobs/{job}/calls", "the calls of models of a job, in order", "read", takes=Page, gives=Rows, kept="job")
def _calls(c: Call[Page]) -> object:
    job, page = c.fleet.job(c.path["job"]), c.asked
    frame = queries.calls(c.fleet.store, job.id, limit=page.limit, offset=page.offset)
    total = job.progress.calls + job.progress.cached
    return Rows(columns=columns(frame), rows=records(frame), total=total, offset=page.offset)


class Log(Answer):
    """What an optimizer printed and logged."""

    log: str


class Diff(Answer):
    """What changed in the prompts, as a terminal shows it."""

    diff: str


@route("GET", "jobs/{job}/diff", "what changed in the prompts", "read", gives=Diff, kept="job")
def _diff(c: Call[Nothing]) -> object:
    return Diff(diff=str(c.fleet.job(c.path["job"]).diff()))


class Tail(Asked):
    """How much of a log to return."""

    characters: int = Field(default=100_000, ge=1, le=1_000_000, description="of its end")


@route("GET", "jobs/{job}/log", "what the optimizer printed", "read", takes=Tail, gives=Log)
def _log(c: Call[Tail]) -> object:
    return Log(log=c.fleet.job(c.path["job"]).log()[-c.asked.characters :])


@route("GET", "hitl", "what jobs ask a person now", "read", gives=Rows, kept="home")
def _questions(c: Call[Nothing]) -> object:
    return rows(c.fleet.questions())


class Words(Answer):
    """The words by which answers are read, by choice."""

    words: dict[str, list[str]]


@route(
    "GET", "hitl/{job}/config", "the words by which answers are read", "read",
    gives=Words, aliases=("api/v2/hitl/{job}/config",),
)  # fmt: skip
def _words(c: Call[Nothing]) -> object:
    c.fleet.job(c.path["job"])
    return Words(words={choice: list(words) for choice, words in c.fleet.settings.answers.items()})


class Prompt(Answer):
    """What a job asks, None where it asks nothing."""

    state: str
    question: dict[str, Any] | None


@route(
    "GET", "hitl/{job}/prompt", "what a job asks a person", "read",
    gives=Prompt, kept="job", aliases=("api/v2/hitl/{job}/prompt",),
)  # fmt: skip
def _prompt(c: Call[Nothing]) -> object:
    job = c.fleet.job(c.path["job"])
    asked = job.question
    question = None if asked is None else asked.model_dump(exclude={"kind"}, mode="json")
    return Prompt(state=str(job.state), question=question)


@route(
    "POST", "hitl/{job}/response", "answer what a job asks", "execute",
    takes=ToAnswer, gives=Understood, aliases=("api/v2/hitl/{job}/response",),
)  # fmt: skip
def _respond(c: Call[ToAnswer]) -> object:
    answer = c.fleet.answer(c.path["job"], c.asked.text, c.asked.choice)
    return Understood(choice=answer.choice, text=answer.text)


@route("POST", "skills/create", "create a skill, in a process of its own", "execute",
       takes=CreateSkill, gives=JobNow, status=201, asks="job")  # fmt: skip
def _create(c: Call[Any]) -> object:
    options = c.materials.options(c.asked)
    options["root"] = str(c.materials.path(options["root"]))
    options["templates"] = [str(c.materials.path(folder)) for folder in options["templates"]]
    return job_now(c.fleet.create_skill(options.pop("task"), **options, engine="process"))
