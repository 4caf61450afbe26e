"""The steps of creating a skill: in which one a job is, and what each took, from the phases it told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from skillfleet_nb.format import money
from skillfleet_nb.runs.spec import CREATE_SKILL

if TYPE_CHECKING:
    from skillfleet_nb.projection import JobRecord

PHASES: Final = {
    "SkillResearch": "researching",
    "UnderstandTask": "understanding the task",
    "PlanSkill": "planning",
    "CompareSkills": "comparing with skills that are there",
    "ChooseTemplate": "choosing a template",
    "EvaluateComplexity": "weighing how complex it is",
    "FillTemplate": "filling the template",
    "OutlineSkill": "outlining",
    "WriteSection": "writing sections",
    "CheckMeaning": "checking its meaning",
    "ReviewStyle": "reviewing its style",
    "ReviseSkill": "revising",
}
"""What a job tells while a predictor, or module, of that name is asked."""
WRITING_FILES: Final = "writing the files"
_RESEARCH: Final = "research"
_OF: Final = {
    PHASES["SkillResearch"]: _RESEARCH,
    **{PHASES[name]: "understand" for name in ("UnderstandTask", "CompareSkills", "ChooseTemplate")},
    **{PHASES[name]: "plan" for name in ("PlanSkill", "EvaluateComplexity")},
    **{PHASES[name]: "write" for name in ("FillTemplate", "OutlineSkill", "WriteSection")},
    **{PHASES[name]: "check and revise" for name in ("CheckMeaning", "ReviewStyle", "ReviseSkill")},
    WRITING_FILES: "save",
}
STEPS: Final = tuple(dict.fromkeys(_OF.values()))


class Step(NamedTuple):
    """A step: its name, its state in words, and the calls and cost it took."""

    name: str
    state: str
    calls: str
    cost: str

    @classmethod
    def header(cls) -> list[str]:
        """Name the columns of a table of steps."""
        return ["step", "state", "calls", "cost"]


def steps(p: JobRecord) -> list[Step]:
    """Tell the steps of a job that creates a skill; none of any other.

    Parameters
    ----------
    p
        Of the job.
    """
    if p.optimizer != CREATE_SKILL:
        return []
    calls: dict[str, int] = {}
    cost: dict[str, float | None] = {}
    ends = [*p.phases[1:], p.mark("")][: len(p.phases)]  # before the first phase there is none
    for begun, end in zip(p.phases, ends, strict=True):
        if (name := _OF.get(begun.text)) is not None:
            spent = cost.get(name, 0.0)
            unknown = spent is None or begun.cost_usd is None or end.cost_usd is None
            cost[name] = None if unknown else (spent or 0.0) + (end.cost_usd or 0.0) - (begun.cost_usd or 0.0)
            calls[name] = calls.get(name, 0) + end.calls - begun.calls
    now = next((_OF[one.text] for one in reversed(p.phases) if one.text in _OF), "")
    last = max((STEPS.index(name) for name in calls), default=-1)
    taken_steps = []
    for place, name in enumerate(STEPS):
        if name == _RESEARCH and name not in calls:
            continue
        state = "done" if name in calls else "not needed" if place < last else "waiting"
        if name == now and not (p.state.is_finished() and p.created is not None):
            state = "stopped" if p.state.is_finished() else "asks you" if p.question is not None else "now"
        elif p.state.is_finished() and name not in calls:
            state = "not needed" if p.created is not None else "not reached"
        taken = (f"{calls[name]:,}", money(cost[name])) if name in calls else ("", "")
        taken_steps.append(Step(name, state, *taken))
    return taken_steps
