"""Creating a skill as a job: metered, limited, resumable, with a person asked where that is wanted; written last."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from typing_extensions import override

from skillfleet_nb.data import Splits
from skillfleet_nb.errors import HomeError, InputError, unknown
from skillfleet_nb.events import SkillCreated, StopKind, Warned
from skillfleet_nb.format import counted, expanded, money, points, seen_from_here
from skillfleet_nb.lm.embed import Embedder
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.lm.tap import tapped_program
from skillfleet_nb.optimizers import OptimizerParams
from skillfleet_nb.runs.execution import Execution
from skillfleet_nb.runs.jobs.steps import PHASES, WRITING_FILES
from skillfleet_nb.runs.leavable import run_leavable
from skillfleet_nb.runs.lm_health import told_at_the_end
from skillfleet_nb.runs.no_search import NoSearch
from skillfleet_nb.runs.outcome import Stop, recorded, result_of
from skillfleet_nb.runs.prepare import Prepared, checked_budget, checked_fallbacks, checked_review
from skillfleet_nb.runs.recorder import Candidate
from skillfleet_nb.runs.request import RunRequest
from skillfleet_nb.runs.review.reviewer import ask
from skillfleet_nb.runs.spec import CREATE_SKILL, CreationResult
from skillfleet_nb.runs.task import check_task
from skillfleet_nb.skills.accessor import index_of
from skillfleet_nb.skills.creator import PATHS, PhaseRules, closest, write_skill
from skillfleet_nb.skills.creator.material import Material
from skillfleet_nb.skills.creator.rules import FILE
from skillfleet_nb.skills.creator.writing import checked_root
from skillfleet_nb.skills.places import look
from skillfleet_nb.skills.scoring import skill_quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.config import Settings
    from skillfleet_nb.data import Issue
    from skillfleet_nb.events import Asks, Choice, Payload, SkillCard
    from skillfleet_nb.lm.gate import Gate
    from skillfleet_nb.lm.prices import Price
    from skillfleet_nb.runs.jobs.attempts import EarlierAttempts
    from skillfleet_nb.runs.request import Engine, TaskRequest
    from skillfleet_nb.runs.spec import RunResult
    from skillfleet_nb.skills.creator import Similar
    from skillfleet_nb.store import Home, Journal
    from skillfleet_nb.typing import Example, Model, Prediction, Program

GATES: dict[str, Asks] = {"research": "clarify", "intent": "preview", "plan": "preview", "draft": "validate"}
"""Where the creator can ask a person, and how."""
_DOES: dict[Choice, str] = {
    "revise": "do it again with your text, and ask again",
    "cancel": "stop here: no skill is written",
}
_DOES_OF_RESEARCH: dict[Choice, str] = {
    "proceed": "your answer goes into the skill",
    "revise": "your answer goes into the skill",
    "cancel": _DOES["cancel"],
}
_SECTIONS = 6  # of a skill that is written section by section, where nothing is known yet
_UNDERSTANDING = 4  # calls before anything is written: intent, template, plan, complexity
_AFTER_RESEARCH = 2  # calls: what was found, and questions
_TOKENS = (900, 300)  # of a call, sent and answered, where nothing is known yet


@dataclass(frozen=True, eq=False, repr=False)
class CreateRequest:
    """A skill to be created.

    Parameters
    ----------
    task
        What the skill should enable an agent to do, in a sentence or more.
    root
        Folder of skills to write it into; similar ones are looked for there.
    template
        The template to use; by default the model chooses, or none.
    path
        ``"fast"``, ``"normal"``, ``"expert"``, or ``"auto"``: by ``phase_rules.toml`` of the home.
    docs
        Folders of documents in which the task is researched before it is written.
    review
        Where to ask a person: ``"research"``, ``"intent"``, ``"plan"``, ``"draft"``, ``"cost=0.50"``, or several.
    creator
        A creator of your own, such as an optimised one; by default :func:`skillfleet_nb.skill_creator`.
    templates
        Folders of templates of your own.
    force
        Replace a skill of the same name, after a backup; otherwise the new one gets a number.
    lm, fallback_lm
        As for ``fleet.optimize``.
    budget_usd, max_calls, max_tokens, max_minutes
        Hard limits on what is bought.
    engine
        ``"thread"`` in this process, ``"process"`` in one of its own.
    name, tags
        What to call the job, and words to find it by.
    """

    task: str
    _: KW_ONLY
    root: Any = "skills"
    template: str | None = None
    path: str = "auto"
    docs: str | Sequence[str] = ()
    review: str | Sequence[str] = ()
    creator: Program | None = None
    templates: Sequence[str] = ()
    force: bool = False
    lm: Model | None = None
    fallback_lm: Model | Sequence[Model] | None = None
    budget_usd: float | None = None
    max_calls: int | None = None
    max_tokens: int | None = None
    max_minutes: float | None = None
    engine: Engine = "thread"
    name: str | None = None
    tags: str | Sequence[str] = ()

    def run(self, home: Home) -> RunRequest:
        """Return it as the request of a run, with all that it rests on as it is now.

        Raises
        ------
        InputError, NotFoundError
            In one line, naming what was given, what is allowed and what to do.
        """
        import dspy

        from skillfleet_nb.modules.registry import made
        from skillfleet_nb.skills.creator.program import SkillCreator, checked_task
        from skillfleet_nb.skills.templates import list_templates, preview

        task = checked_task(self.task)
        root = checked_root(self.root)
        if self.path not in {"auto", *PATHS}:
            raise unknown("path", self.path, ["auto", *PATHS])
        gates, costs = _reviews(self.review)
        docs = tuple(str(expanded(one).absolute()) for one in _several(self.docs))
        templates = tuple(str(expanded(one).absolute()) for one in _several(self.templates))
        list_templates(*templates)  # as of documents, what is wrong with them is told before anything is asked
        if docs:
            Material.under(*docs)  # what is wrong with them is told before anything is asked
        config: dict[str, Any] = {
            "path": self.path, "template": self.template, "templates": templates,
            "docs": docs, "review": gates, "ask": asked if gates else None, "rules": PhaseRules.load(home.root / FILE),
        }  # fmt: skip
        if self.creator is None:
            creator = made("skill_creator", None, config, home)
        elif isinstance(self.creator, SkillCreator):
            if self.template is not None:
                preview(self.template, *templates)
            creator = self.creator.deepcopy()
            creator.configure(**config)
        else:
            kind = type(self.creator).__name__
            raise InputError(f"creator = a {kind}: give what sf.skill_creator() makes, or what became of it")
        # As they are now: a job that is resumed after it wrote its skill does not meet that as another one.
        similar = similar_skills(task, root, home)
        row = dspy.Example(task=task, similar=[one.model_dump() for one in similar]).with_inputs("task", "similar")
        return RunRequest(
            creator, train=[row], metric=skill_quality, optimizer=CREATE_SKILL, review=costs,
            params={"root": str(root), "force": self.force}, lm=self.lm, fallback_lm=self.fallback_lm,
            budget_usd=self.budget_usd, max_calls=self.max_calls, max_tokens=self.max_tokens,
            max_minutes=self.max_minutes, engine=self.engine, name=self.name, tags=self.tags, domain="skills",
        )  # fmt: skip


def similar_skills(task: str, root: Path, home: Home) -> tuple[Similar, ...]:
    """Find the skills of a root that are closest to a task: by meaning where the model for that is here."""
    if not root.is_dir() or not look(root).folders:
        return ()
    return closest(task, root, index=index_of(home.ensure(), root) if Embedder().is_here else None)


def _several(value: str | Sequence[str]) -> Sequence[str]:
    return (value,) if isinstance(value, str | Path) else value


def _reviews(value: str | Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Part what is asked by the creator from what is asked by the run: the gates, and limits of cost."""
    parts = [part.strip() for text in _several(value) for part in str(text).split(",")]
    gates = tuple(dict.fromkeys(part for part in parts if part in GATES))
    rest = tuple(part for part in parts if part and part not in GATES)
    for part in rest:
        if not part.startswith("cost="):
            raise unknown("review", part, [*GATES, "cost=0.50"])
    return gates, rest


def asked(gate: str, question: str, shown: Mapping[str, str]) -> str:
    """Ask whoever watches the job; return the text to revise by, empty to go on."""
    answer = ask(question, GATES[gate], shown, _DOES_OF_RESEARCH if gate == "research" else _DOES)
    if GATES[gate] == "clarify":
        return answer.text
    return "" if answer.choice == "proceed" else answer.text or "Do it another way."


class CreationParams(OptimizerParams):
    """Where the skill goes."""

    root: str
    force: bool = False


class _Creating(NoSearch):
    """Creates a skill."""

    name, summary = CREATE_SKILL, "creates a skill"
    Params = CreationParams


@dataclass(frozen=True)
class PreparedCreation(Prepared):
    """A creation that has passed every check."""

    @override
    def execution(self, home: Home, journal: Journal, history: EarlierAttempts) -> Execution:
        return Creation(self, home, journal, history)


def prepare_creation(request: RunRequest, settings: Settings) -> PreparedCreation:
    """Check a creation before anything is spent.

    Raises
    ------
    InputError, LMError
        In one line, naming what was given, what is allowed and what to do.
    """
    task = check_task(request, settings, checked_fallbacks(request.fallback_lm), cut=_one_task)
    checked_budget(request.budget, task.unpriced)
    checked_review(request.reviews, task.unpriced)
    params = CreationParams.model_validate(dict(request.params or {}))
    settled = replace(
        request, train=[], val=[], test=task.splits.test, params=params.model_dump(mode="json"), lm=task.lm,
        prompt_lm=task.prompt_lm, fallback_lm=task.fallback_lms, num_threads=task.num_threads,
        record_prompts=settings.record_prompts if request.record_prompts is None else request.record_prompts,
    )  # fmt: skip
    return PreparedCreation(**{**task.parts(), "request": settled, "optimizer": _Creating(params)})


@dataclass(frozen=True)
class _One(Splits["Example"]):
    """One task, which is not cut."""

    @override
    def describe(self) -> str:
        return f"task   {self.test[0].task}"


def _one_task(request: TaskRequest, program: Program) -> tuple[Splits[Example], list[Issue]]:
    del program
    rows: Any = request.train or request.test
    return _One([], [], list(rows), request.seed, None, {"train": "", "val": "", "test": "given"}), []


class Forecast(NamedTuple):
    """Calls that a creation will ask for: of the fast way, the normal one, and the longest one."""

    fast: int
    normal: int
    longest: int

    @classmethod
    def of(cls, program: Program, similar: int) -> Forecast:
        """Reckon them from how the creator goes about it."""
        rules: PhaseRules = program.rules
        before = _UNDERSTANDING + bool(similar) - (program.chosen_template is not None)
        if program.research is not None:
            before += program.research.max_steps + _AFTER_RESEARCH
        normal = before + 1 + _SECTIONS
        longest = normal + rules.revisions + len(rules.expert.checks) * (1 + rules.revisions)
        return cls(before + 1, normal, longest)

    def told(self, price: Price | None) -> str:
        """Say it in a line, with what it will cost about."""
        calls = f"about {self.normal} calls; {self.fast} where it is simple, up to {self.longest} where it is complex"
        if price is None:
            return f"{calls}; what they cost is not known"
        low, high = (n * price.cost(*_TOKENS) for n in (self.fast, self.longest))
        return f"{calls}; {money(low)} to {money(high)} at the price of this model"


class Creation(Execution):
    """One attempt at a creation; parameters are those of :class:`Execution`."""

    prepared: PreparedCreation

    @override
    def _phases(self) -> RunResult:
        run, gate = self.prepared, self._session.gate()
        candidate = Candidate(self._reporter.keep(run.program), run.program, failed={"val": 1.0}, chosen=True)
        stop, created = Stop(reason="the skill is written"), None
        self._reporter.say(Forecast.of(run.program, len(run.splits.test[0].similar)).told(run.price))
        try:
            made = run_leavable(gate, partial(self._made, gate), self._reporter.warn)
            if gate.closed is None:
                created = self._written(made)
        except RunStopped as exc:
            stop = Stop(exc.kind, exc.reason)
        except Exception as exc:  # noqa: BLE001  whatever a model or a disk does is told as the reason
            stop = Stop(StopKind.HOME, str(exc)) if isinstance(exc, HomeError) else self._failed("creating", exc)
        if gate.closed is not None:
            stop = Stop(*gate.closed)
        stop = replace(stop, scored=created is not None or stop.kind is StopKind.CANCELLED)
        gate.close(StopKind.CANCELLED, "the creation is over")
        self._session.drain()
        return self._told(candidate, created, stop)

    def _made(self, gate: Gate) -> Prediction:
        run, task = self.prepared, self.prepared.splits.test[0]
        program = run.program.deepcopy()
        if any(getattr(p, "lm", None) is not None for p in program.predictors()):
            program = tapped_program(gate, program)
        embedder = Embedder.of(self._home)
        if program.embed is None and embedder.is_here:
            program.embed = embedder
        params: Any = run.optimizer.params
        program.replaced_under = params.root if params.force else None
        program.tell = self._tell
        with self._scorer.models(gate, _phase_callback(self._reporter.say)):
            made: Prediction = program(**task.inputs())
        gate.check()
        return made

    def _tell(self, card: SkillCard) -> None:
        """Record what is known of the skill by now; of what models said nothing where that is not wanted."""
        if self.prepared.request.record_prompts:
            self._reporter.emit(card)
        elif card.card == "draft":
            self._reporter.emit(card.model_copy(update={"text": ""}))

    def _written(self, made: Prediction) -> SkillCreated:
        """Write the skill, and all that is known of it."""
        run, totals = self.prepared, self.ledger.totals
        params: Any = run.optimizer.params
        self._reporter.say(WRITING_FILES)
        place = write_skill(made.files, params.root, force=params.force)
        calls = totals.calls + totals.cached
        seconds = self.ledger.elapsed_s
        normal = Forecast.of(run.program, len(made.similar)).normal
        created = SkillCreated(
            name=place.folder.name, folder=str(place.folder), backup=str(place.backup) if place.backup else None,
            path=made.path, reason=made.reason, template=made.template, complexity=made.complexity, score=made.score,
            original=made.original, adjusted=made.adjusted, findings=tuple(made.findings), decision=made.decision,
            similar=tuple(one["name"] for one in made.similar), drafts=made.drafts, calls=calls,
            cost_usd=totals.cost_usd, seconds=seconds,
            seconds_saved=max(0.0, (normal - calls) * seconds / calls) if calls and made.path == "fast" else 0.0,
        )  # fmt: skip
        self._recorder.record(run.program, self._recorder.rows([(run.splits.test[0], made, made.score)])[0], "test")
        self._reporter.emit(created, sync=True)
        if created.name != made.name:
            self._reporter.warn(f"the name {made.name!r} is another skill's: this one is {created.name!r}")
        return created

    def _told(self, candidate: Candidate, created: SkillCreated | None, stop: Stop) -> RunResult:
        unread = self._session.readings.on_the_result()
        program = self._scorer.as_given(candidate.program)
        result = result_of(stop, program, {}, {}, None, self.ledger, 0, unread)
        if created is None:
            result = replace(result, summary=stop.reason)
        else:
            wrong = counted(created.findings, "finding") if created.findings else "nothing found wrong"
            where = seen_from_here(created.folder)
            sentence = f"{created.name}: quality {points(created.score)}, {wrong}; {created.path} path; in {where}"
            result = CreationResult.of(replace(result, test_score=created.score, summary=sentence), created)
        warnings = told_at_the_end(self._session, self._recorder, self.prepared.metric)
        events: list[Payload] = [*(Warned(text=text) for text in warnings)]
        events.append(recorded(result, candidate.program_id, unread))
        self._reporter.emit(*events, sync=True)
        return result


def _phase_callback(say: Any) -> Any:
    """Make a callback of DSPy that tells which phase the creator is in, once each time it changes."""
    from dspy.utils.callback import BaseCallback

    class Phases(BaseCallback):  # type: ignore[misc]  # dspy is untyped
        def __init__(self) -> None:
            self.last = ""

        def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            del call_id, inputs
            name = getattr(getattr(instance, "signature", None), "__name__", type(instance).__name__)
            if name in PHASES and name != self.last:
                self.last = name
                say(PHASES[name])

    return Phases()
