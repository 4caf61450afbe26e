"""Targets: what is no DSPy program, made one, so that whatever optimises, keeps and watches programs does so with it.

Each is a ``dspy.Module`` whose predictors carry the texts that are to be optimised.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.targets.agents import AgentTarget, CallableTarget
    from skillfleet_nb.targets.endpoints import EndpointTarget
    from skillfleet_nb.targets.skills import SkillTarget
    from skillfleet_nb.targets.tools import ReActTarget
    from skillfleet_nb.typing import Model

__all__ = [
    "AgentTarget",
    "CallableTarget",
    "EndpointTarget",
    "ReActTarget",
    "SkillTarget",
    "agent",
    "callable",
    "endpoint",
    "react",
    "skill",
]

_HOMES = {
    "AgentTarget": "skillfleet_nb.targets.agents",
    "CallableTarget": "skillfleet_nb.targets.agents",
    "EndpointTarget": "skillfleet_nb.targets.endpoints",
    "ReActTarget": "skillfleet_nb.targets.tools",
    "SkillTarget": "skillfleet_nb.targets.skills",
}

_PLAIN = "question -> answer"


def __getattr__(name: str) -> Any:
    # The classes are DSPy modules: loaded on first use, to be subclassed.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def agent(function: Callable[..., Any], system: str, *, signature: Any = _PLAIN) -> AgentTarget:
    """Optimise the system prompt of an agent that is a function.

    Parameters
    ----------
    function
        Called as ``function(system_prompt, inputs)``, `inputs` a dict by name; it returns the value of the only output,
        a dict by output, or a ``dspy.Prediction``.  It may be a coroutine function.
    system
        The system prompt as it is now: the component `system`.
    signature
        What the agent takes and answers.

    Returns
    -------
    dspy.Module
        Calls of models that the function makes through DSPy are metered; others are not.

    Raises
    ------
    InputError
        If `function` cannot be called, the text is empty, or the signature is none.

    Examples
    --------
    >>> shout = agent(lambda system, inputs: f"{system} {inputs['question']}!", "Say:")
    >>> shout(question="hello").answer
    'Say: hello!'
    """
    from skillfleet_nb.targets.agents import AgentTarget

    return AgentTarget(_function(function), system, signature)


def callable(  # noqa: A001  sf.targets.callable says what it is
    function: Callable[..., Any], components: Mapping[str, str], *, signature: Any = _PLAIN
) -> CallableTarget:
    """Optimise the texts that a function works by.

    Parameters
    ----------
    function
        Called as ``function(texts, inputs)``, both dicts by name; it returns as for :func:`agent`.
    components
        The texts as they are now, by name.
    signature
        What it takes and answers.

    Raises
    ------
    InputError
        As for :func:`agent`; also if there are no components, or one has a name that cannot be.

    Examples
    --------
    >>> def judge(texts, inputs):
    ...     return f"{texts['system']} {inputs['question']} ({texts['rubric']})"
    >>> callable(judge, {"system": "Grade:", "rubric": "be brief"})(question="2+2").answer
    'Grade: 2+2 (be brief)'
    """
    from skillfleet_nb.targets.agents import CallableTarget

    if not hasattr(components, "items"):
        raise InputError(f'components is {components!r}: give the texts by name, such as {{"system": "…"}}')
    return CallableTarget(_function(function), dict(components), signature)


def endpoint(
    model: str | Model | None = None,
    *,
    system: str,
    signature: Any = _PLAIN,
    base_url: str | None = None,
    api_key: str | None = None,
    user: str | None = None,
    **settings: Any,
) -> EndpointTarget:
    """Optimise the system prompt that a model behind an endpoint is given, word for word as it is deployed.

    Parameters
    ----------
    model
        Its name, a ``dspy.LM``, or None for the model that is configured, or the run's.
    system
        The system prompt as it is now: the component `system`.
    signature
        What goes in and comes out: the answer is the only output; of several, a JSON object.
    base_url
        Address of an OpenAI-compatible server.
    api_key
        Its key; it is never written.
    user
        What the user turn says, with inputs in braces; by default the only input as it is, or a line for each.
    **settings
        Of ``dspy.LM``: `temperature`, `max_tokens`, …

    Raises
    ------
    InputError, NotFoundError
        If the address, the model, a text or a name in `user` is none.

    Examples
    --------
    >>> sorter = endpoint("my-model", base_url="http://localhost:8000/v1", system="Sort tickets.", user="Q: {question}")
    >>> sorter.messages({"question": "Refund?"})[1]
    {'role': 'user', 'content': 'Q: Refund?'}
    """
    from skillfleet_nb.targets.endpoints import EndpointTarget, model_of

    lm = model_of(model, base_url, api_key, settings)
    return EndpointTarget(lm, system, signature, user)


def react(agent_or_signature: Any, tools: Sequence[Any] = (), *, max_iters: int = 20) -> ReActTarget:
    """Optimise an agent with tools: what it is told, and the texts of its tools and their arguments.

    Parameters
    ----------
    agent_or_signature
        A ``dspy.ReAct``, or the signature of one, whose instructions are what it is told.
    tools
        Functions with a docstring, or ``dspy.Tool``; none beside a ``dspy.ReAct``.
    max_iters
        How often it acts at most, at least 1; of a ``dspy.ReAct`` its own holds.

    Returns
    -------
    dspy.ReAct
        Its predictors: `react`, what the agent is told; ``tool_NAME``, the description of a tool, and below it a line
        ``- argument: …`` for each argument that has one; ``extract.predict``, how the answer is drawn.

    Raises
    ------
    InputError
        If a tool is no function or has no description, two have one name, there is none, or the agent is of a class
        of its own.

    Examples
    --------
    >>> def lookup(order: str) -> str:
    ...     '''Find an order.'''
    ...     return "sent"
    >>> [name for name, _ in react("question -> answer", [lookup]).named_predictors()]
    ['react', 'tool_lookup', 'extract.predict']
    """
    import dspy

    from skillfleet_nb.targets.tools import ReActTarget, of_agent

    if isinstance(agent_or_signature, dspy.Module):
        if tools:
            raise InputError("tools go with a signature: an agent has its own")
        return of_agent(agent_or_signature)
    if isinstance(max_iters, bool) or not isinstance(max_iters, int) or max_iters < 1:
        raise InputError(f"max_iters = {max_iters!r}: give a number from 1")
    return ReActTarget(agent_or_signature, tools, max_iters)


def skill(
    folder: str | os.PathLike[str],
    *,
    signature: Any = "task -> answer",
    lm: Model | None = None,
    root: str | os.PathLike[str] = ".",
) -> SkillTarget:
    """Optimise the body of a skill, by how well a model does tasks with it.

    Parameters
    ----------
    folder
        The skill's, or its ``SKILL.md``.
    signature
        What a task is and what is answered; its instructions stay above the body, and are not optimised.
    lm
        The model that does the tasks; by default the one that is configured, or the run's.
    root
        Folder in which the skill must lie, by default the working folder; nothing outside is read or written.

    Returns
    -------
    dspy.Module
        With one component, `body`.  ``proposal()`` shows the diff to what is on disk, and ``proposal().applied()``
        writes it, after a backup.

    Raises
    ------
    InputError, NotFoundError
        If there is no such skill, it lies outside of the root, or its body is empty.
    """
    from skillfleet_nb.targets.skills import SkillTarget

    return SkillTarget(folder, signature, root).with_lm(lm)


def _function(function: object) -> Any:
    if not hasattr(function, "__call__"):  # noqa: B004  the name is taken here
        raise InputError(f"function is {function!r}: give what is called as function(system_prompt, inputs)")
    return function
