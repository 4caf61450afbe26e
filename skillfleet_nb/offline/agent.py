"""Acting: which tool to call next, and with what, by what the tools say they take and what has been observed.

Of an agent as ``dspy.ReAct`` writes it.  It follows leads: a value that an observation names for an argument is tried
once; a tool that takes words of the question is called once; with nothing left to try, it finishes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from skillfleet_nb.offline.text import content_words, literal

if TYPE_CHECKING:
    from skillfleet_nb.offline.prompt import PromptSpec

    Sources = dict[str, str]

_TOOL: Final = re.compile(r"^\(\d+\) (\w+)(?:, whose description.*)?\.? It takes arguments (\{.*\})\.$", re.MULTILINE)
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


def act(spec: PromptSpec, inputs: Sources) -> dict[str, Any]:
    """Decide the next act."""
    tools = {name: _arguments(taken) for name, taken in _TOOL.findall(spec.instruction) if name != _FINISH}
    tried, observed = _history(inputs.get(_TRAJECTORY, ""))
    asked = " ".join(content_words("\n".join(t for n, t in inputs.items() if n != _TRAJECTORY))[:_MOST_WORDS])
    for name, taken in sorted(tools.items(), key=lambda tool: not _WORDED.isdisjoint(tool[1])):
        options = [[asked] if argument in _WORDED else _named(argument, observed) for argument in taken]
        for value in options[0] if len(options) == 1 else []:
            arguments = {taken[0]: value}
            if (name, str(arguments)) not in tried:
                why = f"{name} has not been tried with {value!r}."
                return {"next_thought": why, "next_tool_name": name, "next_tool_args": arguments}
    return {"next_thought": "Nothing is left to try.", "next_tool_name": _FINISH, "next_tool_args": {}}


def _arguments(taken: str) -> list[str]:
    try:
        arguments = literal(taken)
    except ValueError:
        return []
    return list(arguments) if isinstance(arguments, dict) else []


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


def _named(argument: str, observed: str) -> list[str]:
    lead = re.compile(rf"^{re.escape(argument)}: (.+?)(?: \([\d.]+\))?$", re.MULTILINE)
    return list(dict.fromkeys(lead.findall(observed)))
