"""``fleet.skills`` with what asks a model: a skill improved, a task researched; metered as a run is, without a job."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.config import Settings
from skillfleet_nb.errors import InputError, LMError, SkillfleetError
from skillfleet_nb.lm.faults import in_one_line
from skillfleet_nb.lm.limits import Limits, RunStopped
from skillfleet_nb.lm.prices import unpriced
from skillfleet_nb.lm.session import Session
from skillfleet_nb.lm.tap import own_models, tapped_program
from skillfleet_nb.runs.prepare import checked_budget
from skillfleet_nb.runs.spec import Budget
from skillfleet_nb.runs.task import checked_lm
from skillfleet_nb.skills.accessor import Skills
from skillfleet_nb.skills.creator.improve import REVISIONS, Improvement, improved, rewritten, undone
from skillfleet_nb.skills.creator.material import Material
from skillfleet_nb.skills.skill import Skill
from skillfleet_nb.store.redacting import opened, sealed
from skillfleet_nb.store.unlocking import read_bytes, write_bytes

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from skillfleet_nb.skills.creator.research import Found
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Model, Program

    Path_ = str | os.PathLike[str]

_MOST_REVISIONS = 10


class SkillWork(Skills):
    """Agent skills of a home.  Reached as ``fleet.skills``."""

    def improve(
        self,
        folder: Path_,
        *,
        lm: Model | None = None,
        revisions: int = REVISIONS,
        budget_usd: float | None = None,
        max_calls: int | None = None,
        apply: bool = False,
    ) -> Improvement:
        """Rewrite a skill towards what validation found; nothing is written unless `apply` says so.

        What is proposed is kept in the home: applying it asks no model again, and writes what was shown.

        Parameters
        ----------
        folder
            The skill.
        lm
            The model; by default DSPy's.
        revisions
            How often it is rewritten at most.
        budget_usd, max_calls
            Hard limits on what is bought.
        apply
            Write it; what was there goes into ``.backup/``.

        Raises
        ------
        InputError, NotFoundError, LMError
            In one line, naming what was given, what is allowed and what to do.
        """
        from skillfleet_nb.modules.registry import made

        if isinstance(revisions, bool) or not 1 <= revisions <= _MOST_REVISIONS:
            raise InputError(f"revisions = {revisions!r}: give a number from 1 to {_MOST_REVISIONS}")
        skill = Skill.load(folder)
        kept = self._proposal(skill)
        if apply and kept is not None and kept.before == skill.source.text:
            return kept.applied()
        revising = made("skill_validation", None, {}, self._store.home).revise
        with _metered(self._store.home, revising, lm, Limits(usd=budget_usd, calls=max_calls)) as (reviser, bought):

            def revise(description: str, body: str, findings: Sequence[str]) -> tuple[str, str]:
                about = f"name: {skill.name}\ndescription: {description}"
                said = reviser(body=body, task=skill.description, plan=about, findings=list(findings))
                return str(said.description or ""), str(said.revised or "")

            proposal = improved(skill, revise, revisions).model_copy(update=bought())
        self._keep(proposal)
        return proposal.applied() if apply else proposal

    def take_body(
        self, folder: Path_, state: Mapping[str, Any], *, root: Path_ = ".", apply: bool = False
    ) -> Improvement:
        """Give a skill the body that an optimised ``sf.targets.skill`` has; nothing is written unless `apply` says so.

        Parameters
        ----------
        folder
            The skill.
        state
            Of the program.
        root
            Folder in which the skill must lie, by default the working folder.
        apply
            Write it; what was there goes into ``.backup/``.

        Raises
        ------
        InputError, NotFoundError
            If there is no such skill, it lies elsewhere, or the program is another.
        """
        from skillfleet_nb.targets.skills import body_of, inside

        proposal = rewritten(Skill.load(inside(folder, root)), body_of(state))
        return proposal.applied() if apply else proposal

    def undo(self, folder: Path_) -> Path:
        """Put the newest backup of a skill back, and return where what it replaced is kept.

        Raises
        ------
        InputError, NotFoundError
            If there is no such skill, or no backup of it.
        """
        return undone(Path(folder))

    def research(
        self,
        task: str,
        *,
        root: Path_ | Sequence[Path_] = "docs",
        tools: Sequence[Callable[..., Any]] = (),
        lm: Model | None = None,
        max_steps: int = 6,
        min_examples: int = 2,
        readiness: float = 0.6,
        max_questions: int = 3,
        budget_usd: float | None = None,
        max_calls: int | None = None,
    ) -> Found:
        """Gather examples and facts for a skill from documents, and ask about what is not in them.

        An agent searches and reads the text files under `root`, and nothing else unless `tools` are given.

        Parameters
        ----------
        task
            What the skill should enable an agent to do.
        root
            Folder of documents, or several.
        tools
            Further functions that the agent may call.
        lm
            The model; by default DSPy's.
        max_steps
            How often the agent acts at most.
        min_examples
            Examples from which there are enough.
        readiness
            From which nothing is asked, in [0, 1].
        max_questions
            Questions at most.
        budget_usd, max_calls
            Hard limits on what is bought.

        Raises
        ------
        InputError, NotFoundError, LMError
            In one line, naming what was given, what is allowed and what to do.
        """
        from skillfleet_nb.skills.creator.program import checked_task
        from skillfleet_nb.skills.creator.research import SkillResearch

        for name, value, least, most in (
            ("max_steps", max_steps, 1, 50), ("min_examples", min_examples, 0, 100),
            ("readiness", readiness, 0, 1), ("max_questions", max_questions, 0, 20),
        ):  # fmt: skip
            if isinstance(value, bool) or not least <= value <= most:
                raise InputError(f"{name} = {value!r}: give a number from {least} to {most}")
        task = checked_task(task)
        folders = [root] if isinstance(root, str | Path) or not isinstance(root, list | tuple) else root
        Material.under(*folders)  # what is wrong with them is told before anything is asked
        program = SkillResearch(tuple(map(str, folders)), tools, max_steps, min_examples, readiness, max_questions)
        with _metered(self._store.home, program, lm, Limits(usd=budget_usd, calls=max_calls)) as (researcher, bought):
            research: Found = researcher(task=task).found
            return research.model_copy(update=bought())

    def _place(self, skill: Skill) -> Path:
        name = hashlib.sha256(str((skill.folder or Path()).resolve()).encode()).hexdigest()[:16]
        return self._home.root / "improvements" / f"{name}.json"

    def _proposal(self, skill: Skill) -> Improvement | None:
        try:
            return Improvement.model_validate_json(opened(read_bytes(self._place(skill))))
        except (OSError, ValueError):
            return None

    def _keep(self, proposal: Improvement) -> None:
        place = self._place(Skill.load(proposal.path))
        self._store.home.ensure()
        place.parent.mkdir(exist_ok=True)
        write_bytes(self._home.root, place, sealed(self._home, proposal.model_dump_json().encode()))


@contextmanager
def _metered(
    home: Home, program: Program, lm: Model | None, limits: Limits
) -> Iterator[tuple[Program, Callable[[], dict[str, Any]]]]:
    """Give a program whose calls go through a session of the home, and what tells what they cost.

    Raises
    ------
    LMError
        If a model fails, or a limit is reached: in one line.
    """
    import dspy

    lm = checked_lm(lm if lm is not None else dspy.settings.lm)
    settings = Settings.load(home.config)
    models = [lm, *own_models(program)]
    checked_budget(Budget.of(usd=limits.usd, calls=limits.calls), unpriced(models, settings.prices))
    with Session.opened(home, settings, "skill", models, limits=limits) as session:
        gate = session.gate()

        def bought() -> dict[str, Any]:
            return {"calls": session.ledger.totals.calls, "cost_usd": session.ledger.totals.cost_usd}

        try:
            with session.models(gate, lm):
                yield tapped_program(gate, program.deepcopy()), bought
        except SkillfleetError:
            raise
        except (Exception, RunStopped) as raised:  # noqa: BLE001  whatever a model does is told in one line
            exc = session.redactor.error(raised)
            raise LMError(f"{in_one_line(exc)}; nothing was written") from exc
