"""Acting: which tool to call next, and with what, by what the tools say they take and what has been observed.

Of an agent as ``dspy.ReAct`` writes it.  It follows leads: a value that an observation names for an argument is tried
once, and all of them at once where the argument is a list of such (``passages`` of lines that say ``passage: …``); a
tool that takes words of the question is called once, the one first whose description, or what the instruction
notes of it, speaks of what is asked; with nothing left to try, it finishes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from skillfleet_nb.offline.evidence import LabelModel, read_manner
from skillfleet_nb.offline.notes import read_notes
from skillfleet_nb.offline.text import content_words, literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.offline.notes import Notes
    from skillfleet_nb.offline.prompt import Example, PromptSpec

    Sources = dict[str, str]

_TOOL: Final = re.compile(
    r"^\(\d+\) (\w+)(?:, whose description is <desc>(.*)</desc>)?\.? It takes arguments (\{.*\})\.$", re.MULTILINE
)
_CALLED: Final = re.compile(
    r"^\[\[ ## (tool_name|tool_args|observation)_\d+ ## \]\]\n(.*?)(?=^\[\[ ## |\Z)", re.MULTILINE | re.DOTALL
)
_WORDED: Final = frozenset({"query", "question", "text", "topic", "keywords", "search"})
_TRAJECTORY: Final = "trajectory"
_FINISH: Final = "finish"
_MOST_WORDS: Final = 8


def is_agent(spec: PromptSpec) -> bool:
    """Tell whether a prompt asks for the next act of an agent."""
    return {"next_tool_name", "next_tool_args"} <= {field.name for field in spec.outputs}


class Agent:
    """What a prompt says of the tools, ready to act.

    Parameters
    ----------
    spec
        What the prompt asks for.
    notes
        Of its instruction.
    demos
        Acts that it shows.
    """

    def __init__(self, spec: PromptSpec, notes: Notes, demos: Sequence[Example] = ()) -> None:
        tools = [tool for tool in _TOOL.findall(spec.instruction) if tool[0] != _FINISH]
        self._tools = {name: _arguments(taken) for name, _, taken in tools}
        described = {name: desc for name, desc, _ in tools}
        self._fitting = _fitting(described, notes, demos) if len(tools) > 1 else None

    def act(self, inputs: Sources) -> dict[str, Any]:
        """Decide the next act."""
        tried, observed = _history(inputs.get(_TRAJECTORY, ""))
        question = _question(inputs)
        asked = " ".join(content_words(question)[:_MOST_WORDS])
        for name, taken in self._in_order(question):
            options = [
                [asked] if argument in _WORDED else _named(argument, observed, several=several)
                for argument, several in taken.items()
            ]
            for value in options[0] if len(options) == 1 else []:
                arguments = {next(iter(taken)): value}
                if (name, str(arguments)) not in tried:
                    why = f"{name} has not been tried with {value!r}."
                    return {"next_thought": why, "next_tool_name": name, "next_tool_args": arguments}
        return {"next_thought": "Nothing is left to try.", "next_tool_name": _FINISH, "next_tool_args": {}}

    def _in_order(self, question: str) -> list[tuple[str, dict[str, bool]]]:
        """Return the tools, those that take words first, and of these the one first that speaks of the question."""
        scores = dict.fromkeys(self._tools, 0.0)
        if self._fitting is not None:
            scores = dict(zip(self._fitting.labels, self._fitting.scores(question), strict=True))
        return sorted(self._tools.items(), key=lambda tool: (_WORDED.isdisjoint(tool[1]), -round(scores[tool[0]], 9)))


def _question(inputs: Sources) -> str:
    return "\n".join(text for name, text in inputs.items() if name != _TRAJECTORY)


def _fitting(described: dict[str, str], notes: Notes, demos: Sequence[Example]) -> LabelModel:
    """Gather what is said of each tool: in its description, in notes on which one is right, and by first acts."""
    own = {name: read_notes(desc.replace("  ", "\n")) for name, desc in described.items()}
    model = LabelModel(list(described), read_manner(""))
    for name, (_, prose) in own.items():
        model.tell(name, prose)
    for one in (notes, *(noted for noted, _ in own.values())):
        for field, labels in one.cues.items():
            for label, cues in labels.items():
                if label in described:
                    model.count(label, cues, one.seen[field].get(label, 1))
    for demo in demos:
        if (name := str(demo.outputs.get("next_tool_name"))) in described and not _history(
            demo.inputs.get(_TRAJECTORY, "")
        )[1]:
            model.show(name, _question(demo.inputs))
    model.fit()
    return model


def _arguments(taken: str) -> dict[str, bool]:
    """Return the arguments that a tool must be given, all where it has a default for each, and which are lists."""
    try:
        arguments = literal(taken)
    except ValueError:
        return {}
    if not isinstance(arguments, dict):
        return {}
    schemas = {name: schema if isinstance(schema, dict) else {} for name, schema in arguments.items()}
    needed = {name: schema for name, schema in schemas.items() if "default" not in schema}
    return {name: schema.get("type") == "array" for name, schema in (needed or schemas).items()}


def _history(trajectory: str) -> tuple[set[tuple[str, str]], str]:
    """Return which tools were called with what, and all that was observed."""
    tried, observed, name = set(), [], ""
    for what, said in _CALLED.findall(trajectory):
        if what == "tool_name":
            name = said.strip()
        elif what == "tool_args":
            try:
                tried.add((name, str(literal(said.strip()))))
            except ValueError:
                continue
        else:
            observed.append(said)
    return tried, "\n".join(observed)


def _named(argument: str, observed: str, *, several: bool) -> list[Any]:
    name = argument.removesuffix("s") if several else argument
    lead = re.compile(rf"^{re.escape(name)}: (.+?)(?: \([\d.]+\))?$", re.MULTILINE)
    values = list(dict.fromkeys(lead.findall(observed)))
    return [values] if several and values else values
