"""What can be done with a job that is over: each is a button of its card, a method here, and a command."""

from __future__ import annotations

import re
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError
from skillfleet_nb.messages import as_typed
from skillfleet_nb.reports.evaluated import can_be_tested
from skillfleet_nb.runs.spec import CREATE_SKILL, EVALUATE
from skillfleet_nb.widgets.face import free, put

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.insights.score_forecast import ScoreForecast
    from skillfleet_nb.programs.registry import ProgramVersion
    from skillfleet_nb.reports.comparison import Comparison
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.skills.scoring import SkillScore
    from skillfleet_nb.tracing.traces import Traces


ACTIONS = ("use", "save", "test", "compare", "resume", "ahead", "register", "score", "traces")


@dataclass(frozen=True)
class Action:
    """A button: what it does, what it is called, and the command that does the same."""

    do: str
    label: str
    command: str


def best_name(job_name: str) -> str:
    """Return the variable that a job's best program is put into unless another is named.

    Examples
    --------
    >>> best_name("intents"), best_name("my job 2"), best_name("2nd")
    ('intents_best', 'my_job_2_best', 'job_2nd_best')
    """
    word = re.sub(r"\W+", "_", job_name).strip("_") or "job"
    return f"{word if word[0].isalpha() else f'job_{word}'}_best"


class Actions:
    """Does with a job what its card offers.

    Parameters
    ----------
    job
        The job.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    def offered(self) -> list[Action]:
        """List what makes sense now, in the order of the buttons."""
        p, name = self.job.progress, quote(self.job.name)
        if not p.state.is_finished():
            return []
        variable = best_name(self.job.name)
        offered: list[Action] = []
        if p.created is not None:
            offered.append(Action("score", "Score it anew", as_typed(f"skill score {quote(p.created.folder)}")))
        best = p.best_program if p.optimizer != CREATE_SKILL else None  # that of a creation is its creator
        if best is not None:
            used = as_typed(f"program show {name} -o {variable}")
            offered += [
                Action("use", f"Use as {variable}", used),
                Action("save", "Save", as_typed(f"save {name} {variable}.json")),
            ]
        if can_be_tested(self.job):
            offered.append(Action("test", "Test now", as_typed(f"evaluate {name}")))
        if (other := self._other()) is not None:
            offered.append(Action("compare", f"Compare with {other}", as_typed(f"compare {name} {quote(other)}")))
        if str(p.state) != "completed" and p.optimizer != EVALUATE:
            offered.append(Action("resume", "Resume", as_typed(f"resume {name}")))
            if best is not None:
                offered.append(Action("ahead", "What would more calls add?", as_typed(f"forecast score {name}")))
        if best is not None:
            register = as_typed(f"program register {name} --as {self._registered()}")
            offered.append(Action("register", f"Register as {self._registered()}", register))
        if p.calls or p.cached:
            offered.append(Action("traces", "Traces", as_typed(f"traces {name}")))
        return offered

    def use(self, name: str | None = None, *, replace: bool = False) -> Any:
        """Put the best program into a variable of the notebook, and return it.

        Raises
        ------
        TakenError
            If the variable has a value already, and `replace` does not say to replace it.
        SkillfleetError
            If the program cannot be opened.
        """
        program = self._fleet.programs.find(self.job.id).load()
        put(name or best_name(self.job.name), program, replace=replace)
        return program

    def save(self, path: str | Path | None = None, *, replace: bool = False) -> Path:
        """Write the best program as JSON that ``dspy`` loads; raises as :meth:`use` does."""
        return self.job.save(free(path or f"{best_name(self.job.name)}.json", replace=replace))

    def test(self) -> Job:
        """Score the best program and the given one on the sealed test split; return the job that does."""
        return self._fleet.evaluate(self.job)

    def score(self) -> SkillScore:
        """Score the skill that the job created, as it is now.

        Raises
        ------
        SkillfleetError
            If it created none, or the skill is gone.
        """
        from skillfleet_nb.skills import Skill
        from skillfleet_nb.skills.scoring import score_skill

        created = self.job.progress.created
        if created is None:
            raise InputError(f"{self.job.name} created no skill: give a job that did")
        return score_skill(Skill.load(created.folder))

    def compare(self, other: str | None = None) -> Comparison:
        """Compare with another job: by default the newest with a test score of the same program and metric.

        Raises
        ------
        InputError
            If there is none.
        """
        other = other or self._other()
        if other is None:
            raise InputError(f"no other job of this program and metric was tested beside {self.job.name}: run one")
        return self._fleet.reports.compare(self.job.id, other)

    def resume(self) -> Job:
        """Go on with the job where it stopped."""
        return self._fleet.resume(self.job.id)

    def ahead(self, calls: int | None = None) -> ScoreForecast:
        """Say what further calls would add to the best score; raises as ``fleet.forecast_score`` does."""
        return self._fleet.forecast_score(self.job.id, calls)

    def traces(self) -> Traces:
        """Show the calls that the job made, as trees by its trials."""
        return self._fleet.traces(self.job)

    def register(self, name: str | None = None) -> ProgramVersion:
        """Keep the best program as the next version of a name."""
        return self._fleet.register(self.job, name or self._registered())

    def _registered(self) -> str:
        word = re.sub(r"[^A-Za-z0-9._-]+", "-", self.job.name).strip("-._") or "program"
        return word if word[0].isalpha() else f"job-{word}"

    def _other(self) -> str | None:
        p = self.job.progress
        if p.best_program is None or p.optimizer == CREATE_SKILL:
            return None
        jobs = self._fleet.jobs()
        mine = jobs[jobs.job_id == self.job.id]
        is_alike = jobs.program.isin(mine.program) & jobs.metric.isin(mine.metric) & (jobs.job_id != self.job.id)
        tested = jobs[is_alike & jobs.test_score.notna() & ~jobs.optimizer.isin([EVALUATE, CREATE_SKILL])]
        return None if tested.empty else str(tested.name.iloc[0])

    @property
    def _fleet(self) -> Fleet:
        from skillfleet_nb.fleet import Fleet

        return Fleet(self.job.home.root)
