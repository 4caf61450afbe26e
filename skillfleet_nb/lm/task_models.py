"""The models of a home by what they are asked for: ``[task_models]`` in its ``config.toml``."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from skillfleet_nb.config import TASK_ROLES, Settings
from skillfleet_nb.errors import InputError, LMError, unknown
from skillfleet_nb.format import one_line
from skillfleet_nb.lm.fallback import with_fallbacks
from skillfleet_nb.store import Home

if TYPE_CHECKING:
    from skillfleet_nb.config import TaskModel, TaskRole
    from skillfleet_nb.typing import Model

OWN = ("local", "offline")
"""The package's own models, where a model is named: a small real one, and the scripted one."""


class TaskModelWarning(UserWarning):
    """A role has no model of its own: which one answers instead."""


def task_lm(role: TaskRole, home: Home | None = None) -> Model:
    r"""Make the model that a home's ``config.toml`` names for a role.

    It is a ``dspy.LM`` like any other, which its fallbacks take over from where it fails for good.  A role without a
    model is answered by the default, with a warning that says so: DSPy's configured model, or else the role
    ``default``.

    Parameters
    ----------
    role
        ``"understanding"``, ``"generation"``, ``"validation"``, ``"edit"``, ``"reflection"`` or ``"default"``.
    home
        The home; by default the one that ``Fleet()`` finds.

    Raises
    ------
    NotFoundError
        If there is no such role, with the nearest.
    InputError
        If the settings cannot be used, or DSPy refuses the model.
    LMError
        If the role has no model, and there is no default either.

    Examples
    --------
    >>> import tempfile
    >>> from skillfleet_nb.store import Home
    >>> home = Home.find(tempfile.mkdtemp()).ensure()
    >>> _ = home.config.write_text('[task_models.edit]\nmodel = "offline"\ntemperature = 0.2\n')
    >>> task_lm("edit", home).kwargs["temperature"]
    0.2
    """
    import dspy

    if role not in TASK_ROLES:
        raise unknown("role of a model", role, TASK_ROLES)
    home = home or Home.find()
    settings = Settings.load(home.config)
    own = model_for(settings, role)
    if own is not None:
        return own
    default: Model | None = dspy.settings.lm or model_for(settings, "default")
    line = f'[task_models.{role}] model = "PROVIDER/MODEL"'
    if default is None:
        raise LMError(f"no model is set for {role!r}, and none is configured: add {line} to '{home.config}'")
    if role != "default":
        message = f"no model is set for {role!r}, {default.model} answers: {line} in '{home.config}' sets one"
        warnings.warn(message, TaskModelWarning, stacklevel=2)
    return default


def named_lm(text: str, home: Home | None = None) -> Model | None:
    """Make the model that a text names: a role, one of `OWN`, or a model with its provider; None where it is none.

    Raises
    ------
    InputError
        If DSPy refuses it.
    """
    import dspy
    from dspy.utils.exceptions import LMError as RefusedError

    if text in TASK_ROLES:
        return task_lm(text, home)
    if text in OWN:
        return own_lm(text)
    if "/" not in text:
        return None
    try:
        return dspy.LM(text)
    except (ValueError, TypeError, RefusedError) as error:
        raise InputError(
            f"lm {text!r}: {one_line(str(error))}; write PROVIDER/MODEL, such as openai/gpt-4o-mini"
        ) from error


def own_lm(name: str, **options: Any) -> Model:
    """Make one of `OWN`; `options` are those of ``local_lm`` or ``offline_lm``."""
    if name == "local":
        from skillfleet_nb.local import local_lm

        return local_lm(**options)
    from skillfleet_nb.offline import offline_lm

    return offline_lm(**options)


def model_for(settings: Settings, role: TaskRole) -> Model | None:
    """Make the model that settings name for a role; None where they name none.

    Raises
    ------
    InputError
        If DSPy refuses it.
    """
    made = models_for(settings, role)
    return with_fallbacks(made[0], made[1:]) if made else None


def models_for(settings: Settings, role: TaskRole) -> list[Model]:
    """Make the model that settings name for a role, and those that take over, each for itself; raises as above."""
    setting = settings.task_models.given.get(role)
    return [_made(model, setting, role) for model in (setting.model, *setting.fallback)] if setting else []


def _made(model: str, setting: TaskModel, role: TaskRole) -> Model:
    import dspy
    from dspy.utils.exceptions import LMError as RefusedError

    options = {"temperature": setting.temperature, "max_tokens": setting.max_tokens}
    options_set: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if model in OWN:
        return own_lm(model, **options_set)
    if "/" not in model:
        raise InputError(
            f"setting 'task_models.{role}' names the model {model!r}: give 'offline', 'local', or a model with its "
            "provider, such as openai/gpt-4o-mini"
        )
    try:
        return dspy.LM(model, **options_set)
    except (ValueError, TypeError, RefusedError) as error:
        raise InputError(f"setting 'task_models.{role}': {one_line(str(error))}") from error
