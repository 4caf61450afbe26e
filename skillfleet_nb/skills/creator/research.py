"""Research before a skill is written: an agent that reads what it was given, and questions about what is not there.

Imported on use, for it defines a DSPy module.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Final

import dspy
from pydantic import BaseModel, ConfigDict

from skillfleet_nb.format import counted, shortened
from skillfleet_nb.html import Readable, fill, items, join, passage, table
from skillfleet_nb.skills.creator.material import Material, Passage, missing, readiness

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LINE: Final = 120
_FEWEST_OPTIONS: Final = 2
_MOST_READ: Final = 8  # passages: all of them go into the prompt of every section


class Question(BaseModel):
    """What is to be known before a skill is written: a question, and answers to choose from."""

    model_config = ConfigDict(frozen=True)

    question: str
    options: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether it asks something, with a choice."""
        return self.question.rstrip().endswith("?") and len(set(self.options)) >= _FEWEST_OPTIONS


class Found(Readable, BaseModel):
    """What research came to.

    Attributes
    ----------
    task
        What was asked for.
    passages
        What was read, as it stands in its files.
    summary
        What the model says of it.
    readiness
        How well it prepares for the task, in [0, 1]: half by the share of the task's words that it speaks of, half by
        its examples.
    missing
        Words of the task that nothing speaks of.
    questions
        To be answered by a person; none where it is ready.
    calls, cost_usd
        What was bought, where it was metered.
    """

    model_config = ConfigDict(frozen=True)

    task: str
    passages: tuple[Passage, ...] = ()
    summary: str = ""
    readiness: float = 0.0
    missing: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()
    calls: int = 0
    cost_usd: float | None = None

    @property
    def material(self) -> str:
        """What was read, as one text: the notes of a creator."""
        return "\n\n".join(f"## {p.heading or p.file} ({p.file})\n\n{p.text}" for p in self.passages)

    def _head(self) -> str:
        lacks = f"; nothing speaks of {', '.join(self.missing[:6])}" if self.missing else ""
        return f"readiness {self.readiness:.2f}: {counted(self.passages, 'passage')} read{lacks}"

    def text(self) -> str:
        """Return what was read, one line each, and the questions."""
        lines = [self._head(), *(f"- {p.name}: {shortened(' '.join(p.text.split()), _LINE)}" for p in self.passages)]
        lines += [f"? {q.question} {' / '.join(q.options)}" for q in self.questions]
        return "\n".join([*lines, *self.notes])

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML; each passage opens."""
        read = join(
            fill("<details><summary>{}</summary>{}</details>", f"{p.file}: {p.heading or 'opening'}", passage(p.text))
            for p in self.passages
        )
        asked = table(("question", "options"), [(q.question, " / ".join(q.options)) for q in self.questions])
        return join([
            fill("<p><strong>{}</strong></p>", self._head()), read, asked if self.questions else "",
            items(self.notes, title="Notes") if self.notes else "",
        ])  # fmt: skip


class SkillResearch(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """Reads what it was given on a task, and asks about what it did not find.

    Parameters
    ----------
    folders
        Documents that may be read, as they are when it is called.
    tools
        Further tools of the agent, such as a search of the web; none by default, so nothing leaves the machine.
    max_steps
        How often the agent acts at most.
    min_examples
        Examples from which there are enough.
    readiness
        From which no question is asked.
    max_questions
        Questions at most.
    """

    def __init__(
        self,
        folders: Sequence[str],
        tools: Sequence[Callable[..., Any]] = (),
        max_steps: int = 6,
        min_examples: int = 2,
        readiness: float = 0.6,
        max_questions: int = 3,
    ) -> None:
        super().__init__()
        self.folders, self.max_steps = tuple(folders), max_steps
        self.min_examples, self.readiness, self.max_questions = min_examples, readiness, max_questions
        signature = dspy.Signature(
            {
                "task": (str, dspy.InputField(desc="what an agent skill is to be written for")),
                "summary": (str, dspy.OutputField(desc="what was found that the skill has to say, in a few sentences")),
            },
            "Find examples and facts for an agent skill in the documents at hand: search, then read what fits.",
            "ResearchTask",
        )
        self.agent = dspy.ReAct(signature, [*_Reader(Material(())).tools(), *tools], max_iters=max_steps)
        asked = {
            "task": (str, dspy.InputField(desc="what an agent skill is to be written for")),
            "found": (str, dspy.InputField(desc="what the documents say of it")),
            "missing": (list[str], dspy.InputField(desc="words of the task of which they say nothing")),
            "questions": (
                list[Question],
                dspy.OutputField(desc="each ends in '?' and has two to four options; empty where all is known"),
            ),
        }
        self.clarify = dspy.Predict(
            dspy.Signature(asked, "Ask whoever wants the skill what has to be known to write it.", "ClarifyTask")
        )

    def forward(self, task: str) -> dspy.Prediction:
        """Research a task; the prediction's `found` is a :class:`Found`."""
        material = Material.under(*self.folders)
        reader = _Reader(material)
        agent = copy(self.agent)  # with its predictors; the tools are of this call alone
        agent.tools = self.agent.tools | {tool.name: tool for tool in reader.tools()}
        answer = agent(task=task)
        read = tuple(reader.read)
        ready = readiness(task, read, self.min_examples)
        lacks = tuple(missing(task, read))
        asked: list[Question] = []
        notes = [f"not read, too large or too many: {counted(material.left_out, 'file')}"] if material.left_out else []
        if ready < self.readiness and self.max_questions:
            headings = "\n".join(p.name for p in read)
            said = self.clarify(task=task, found=headings, missing=list(lacks)).questions or []
            asked = [one for one in said if one.usable][: self.max_questions]
            notes += ["the model asked nothing that can be answered"] * (not asked)
        research = Found(
            task=task, passages=read, summary=str(answer.summary or ""), readiness=ready, missing=lacks,
            questions=tuple(asked), notes=tuple(notes),
        )  # fmt: skip
        return dspy.Prediction(found=research, summary=research.summary)


class _Reader:
    """The tools of one research: what was read, in order, each once, is in `read`."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self.read: dict[Passage, None] = {}

    def tools(self) -> list[dspy.Tool]:
        """Return them as DSPy takes them."""
        return [dspy.Tool(self._search, name="search"), dspy.Tool(self._open, name="read")]

    def _search(self, query: str) -> str:
        """Find passages of the documents by words; each line names one that can be read."""
        hits = self._material.search(query, _MOST_READ)
        if not hits:
            return "nothing speaks of that: search for other words, or finish"
        return "\n".join(f"passage: {p.name} ({score:.2f})" for p, score in hits)

    def _open(self, passages: list[str]) -> str:
        """Read passages that a search named, as many at once as are wanted."""
        return "\n\n".join(self._text(name) for name in passages)

    def _text(self, name: str) -> str:
        passage = self._material.passage(name)
        if passage is None:
            return f"there is no passage {name!r}: search names those there are"
        if passage not in self.read and len(self.read) >= _MOST_READ:
            return f"{passage.name} is not read: {_MOST_READ} passages are, and no more can be"
        self.read[passage] = None
        return passage.text
