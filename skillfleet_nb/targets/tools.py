"""A ``dspy.ReAct`` whose tools' texts are optimised too.

DSPy writes the list of tools into the instructions of one predictor, once: an optimizer that rewrites these rewrites
the tools with them, or drops them.  Here the instructions hold what the agent is told, each tool is a predictor of its
own, which a function answers, and the list of tools is put below the instructions whenever the agent acts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import dspy

from skillfleet_nb.errors import InputError
from skillfleet_nb.targets.text import Text, checked_signature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ARGUMENT = re.compile(r"^- `?(\w+)`?: (.+)$", re.MULTILINE)
_FINISH = "finish"


class ToolText(Text):
    """A tool as a predictor: its text is the description, and below that a line ``- argument: …`` for each argument.

    An argument that the text has no line for keeps its description.

    Parameters
    ----------
    tool
        The tool.

    Raises
    ------
    InputError
        If it has no description.
    """

    longest = 200

    def __init__(self, tool: dspy.Tool) -> None:
        if not (tool.desc or "").strip():
            raise InputError(
                f"tool {tool.name!r} has no description: give its function a docstring, or dspy.Tool(…, desc='…')"
            )
        described = {name: self._described(schema) for name, schema in (tool.args or {}).items()}
        fields = {
            _field(name): ((tool.arg_types or {}).get(name, Any), dspy.InputField(desc=text))
            for name, text in described.items()
        }
        result = dspy.OutputField(desc=f"what {tool.name} returns")  # two tools of one text are told apart by it
        signature = dspy.Signature({**fields, "result": (Any, result)}, "")
        lines = [f"- {name}: {text}" for name, text in described.items() if text]
        super().__init__(signature, "\n".join([tool.desc.strip(), *lines]), f"tool_{tool.name}")
        self.tool = tool

    @property
    def name(self) -> str:
        """Name of the tool."""
        return str(self.tool.name)

    def shown(self) -> dspy.Tool:
        """Return the tool as its text describes it."""
        args = {name: dict(schema) for name, schema in (self.tool.args or {}).items()}
        for name, schema in args.items():
            if desc := self.signature.fields[_field(name)].json_schema_extra.get("desc"):
                schema["description"] = desc
        text = self.text
        for line in _ARGUMENT.finditer(text):
            if line[1] in args:
                args[line[1]]["description"] = line[2].strip()
        desc = _ARGUMENT.sub(lambda line: "" if line[1] in args else line[0], text)
        desc = re.sub(r"\n{2,}", "\n", desc).strip() or self.tool.desc
        return self.tool.model_copy(update={"desc": desc, "args": args})

    def __call__(self, **arguments: Any) -> Any:
        """Call the tool."""
        try:
            result = self.tool(**arguments)
        except Exception as error:
            self._note_call(arguments, f"it failed: {error}")
            raise
        self._note_call(arguments, result)
        return result

    async def acall(self, **arguments: Any) -> Any:
        """Call the tool in async code."""
        try:
            result = await self.tool.acall(**arguments)
        except Exception as error:
            self._note_call(arguments, f"it failed: {error}")
            raise
        self._note_call(arguments, result)
        return result

    def __deepcopy__(self, memo: dict[int, Any]) -> ToolText:
        copied: ToolText = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(self.__dict__)  # the tool is the same one: it may hold connections
        copied.demos, copied.traces, copied.train = list(self.demos), list(self.traces), list(self.train)
        copied.config, copied.fields = dict(self.config), dict(self.fields)
        copied.history, copied.callbacks = [], list(self.callbacks)
        return copied

    def _note_call(self, arguments: Mapping[str, Any], result: object) -> None:
        self.note({_field(name): value for name, value in arguments.items()}, dspy.Prediction(result=result))

    @staticmethod
    def _described(schema: object) -> str:
        return " ".join(str(schema.get("description") or "").split()) if isinstance(schema, dict) else ""


class ReActTarget(dspy.ReAct):  # type: ignore[misc]  # dspy is untyped
    """An agent with tools, of whose texts every one is a component.

    Its predictors are `react`, what the agent is told; ``tool_NAME``, the text of each tool; and ``extract.predict``,
    how the answer is drawn from what the tools returned.

    Parameters
    ----------
    signature
        What it takes and answers; its instructions are what the agent is told.
    tools
        Functions with a docstring, or ``dspy.Tool``.
    max_iters
        How often it acts at most.

    Raises
    ------
    InputError
        If a tool is no function or has no description, there is none, or two have one name.
    """

    def __init__(self, signature: Any, tools: Sequence[Any], max_iters: int = 20) -> None:
        tools = _tools(tools)
        names = [str(tool.name) for tool in tools]
        if not names:
            raise InputError("tools is empty: give the functions that the agent may call")
        if repeated := [name for name in names if names.count(name) > 1]:
            raise InputError(f"two tools are called {repeated[0]!r}: give one dspy.Tool(…, name='…')")
        if _FINISH in names:
            raise InputError(f"a tool is called {_FINISH!r}, which is how an agent ends: call it otherwise")
        super().__init__(checked_signature(signature), tools, max_iters)
        written = self.react.signature.instructions
        self._protocol = written.removeprefix(f"{self.signature.instructions}\n").partition("(1) ")[0].strip()
        self._last = written.rpartition("\n")[2]
        extract = self.__dict__.pop("extract")
        self.react.signature = self.react.signature.with_instructions(self.signature.instructions)
        for tool in tools:
            setattr(self, f"tool_{tool.name}", ToolText(tool))
        self._names = tuple(names)
        self.extract = extract  # the last predictor is the one that answers

    @property
    def tools(self) -> dict[str, Any]:
        """What the agent may call, by name: each tool as the predictor that its text stands in."""
        return {**{name: getattr(self, f"tool_{name}") for name in self._names}, _FINISH: self._end}

    @tools.setter
    def tools(self, tools: Mapping[str, Any]) -> None:  # of DSPy's own __init__
        self._end = tools[_FINISH]

    def acting(self) -> str:
        """Return what the agent is told when it acts: its instructions, how it is to answer, and the tools."""
        tools = [*(getattr(self, f"tool_{name}").shown() for name in self._names), self._end]
        listed = [f"({n}) {tool}" for n, tool in enumerate(tools, 1)]
        return "\n".join([self.react.signature.instructions, "", self._protocol, "", *listed, self._last])

    def _call_with_potential_trajectory_truncation(self, module: Any, trajectory: Any, **inputs: Any) -> Any:
        return super()._call_with_potential_trajectory_truncation(module, trajectory, **self._told_to(module), **inputs)

    async def _async_call_with_potential_trajectory_truncation(
        self, module: Any, trajectory: Any, **inputs: Any
    ) -> Any:
        return await super()._async_call_with_potential_trajectory_truncation(
            module, trajectory, **self._told_to(module), **inputs
        )

    def _told_to(self, module: Any) -> dict[str, Any]:
        return {"signature": module.signature.with_instructions(self.acting())} if module is self.react else {}


def _tools(functions: object) -> list[dspy.Tool]:
    if callable(functions) or isinstance(functions, str) or not isinstance(functions, Iterable):
        raise InputError(f"tools is {functions!r}: give a list of the functions that the agent may call")
    tools = []
    for tool in functions:
        try:
            tools.append(tool if isinstance(tool, dspy.Tool) else dspy.Tool(tool))
        except (TypeError, ValueError, AttributeError):
            raise InputError(f"a tool is {tool!r}: give a function with a docstring, or dspy.Tool(…)") from None
    return tools


def of_agent(agent: dspy.ReAct) -> ReActTarget:
    """Make a target of an agent that is there, with the demos, models and instructions that it has.

    Raises
    ------
    InputError
        If it is a subclass with code of its own, or as for :class:`ReActTarget`.
    """
    if isinstance(agent, ReActTarget):
        return agent
    if type(agent) is not dspy.ReAct:
        raise InputError(
            f"agent is a {type(agent).__name__}, whose own code a target would leave out: give a dspy.ReAct, or its "
            "signature and tools"
        )
    tools = [tool for name, tool in agent.tools.items() if name != _FINISH]
    made = ReActTarget(agent.signature, tools, agent.max_iters)
    plain = dspy.ReAct(agent.signature, tools, agent.max_iters).react.signature.instructions
    below = plain.removeprefix(agent.signature.instructions)
    instructions = agent.react.signature.instructions.removesuffix(below).strip()
    for mine, theirs in ((made.react, agent.react), (made.extract.predict, agent.extract.predict)):
        mine.demos, mine.lm, mine.config = list(theirs.demos), theirs.lm, dict(theirs.config)
    made.react.signature = made.react.signature.with_instructions(instructions or agent.signature.instructions)
    made.extract.predict.signature = agent.extract.predict.signature
    return made


def _field(argument: str) -> str:
    """Name the field that stands for an argument: DSPy's signatures have some attributes of their own."""
    name = argument.strip("_") or "argument"
    return f"{name}_" if hasattr(dspy.Signature, name) or name == "result" else name
