"""Settings of a home: read from its ``config.toml``, overridden by ``SKILLFLEET_*`` variables."""

from __future__ import annotations

import functools
import os
import re
import tomllib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.format import counted
from skillfleet_nb.redaction import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from skillfleet_nb.events import Choice

Word = Annotated[str, Field(pattern=r"^\w+(['-]\w+)*$")]
Words = Annotated[tuple[Word, ...], Field(min_length=1)]
_Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


TaskRole = Literal["default", "understanding", "generation", "validation", "edit", "reflection"]
"""What models are asked for; each may have one of its own."""

TASK_ROLES: tuple[TaskRole, ...] = get_args(TaskRole)


class TaskModel(BaseModel):
    """A model for one kind of work; what is not given is the provider's default.

    Parameters
    ----------
    model
        As ``dspy.LM`` takes it, such as ``"openai/gpt-4o-mini"``; ``"offline"`` is the offline model,
        ``"local"`` the small real one on this machine.
    temperature, max_tokens
        Of its answers.
    fallback
        Models that take over, in this order, where one fails for good.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, Field(min_length=1)]
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1)
    fallback: tuple[str, ...] = ()

    @field_validator("fallback", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class TaskModels(BaseModel):
    """The models of a home by what they are asked for; a role without one is answered by the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: TaskModel | None = None
    understanding: TaskModel | None = None
    generation: TaskModel | None = None
    validation: TaskModel | None = None
    edit: TaskModel | None = None
    reflection: TaskModel | None = None

    @property
    def given(self) -> dict[TaskRole, TaskModel]:
        """Those that are set, by role."""
        return {role: model for role in TASK_ROLES if (model := getattr(self, role)) is not None}


class Rate(BaseModel):
    """What a provider lets all jobs of a home ask of a model within a minute.

    Parameters
    ----------
    requests_per_minute, tokens_per_minute
        Requests, and tokens of prompts and answers together; at least one of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.requests_per_minute is None and self.tokens_per_minute is None:
            raise ValueError("it limits nothing: give requests_per_minute, tokens_per_minute, or both")
        return self

    @property
    def in_words(self) -> str:
        """What a person reads: ``"500 requests and 200,000 tokens a minute"``."""
        limits = ((self.requests_per_minute, "request"), (self.tokens_per_minute, "token"))
        return f"{' and '.join(counted(n, what) for n, what in limits if n is not None)} a minute"


class Redaction(BaseModel):
    """What is taken out of texts before anything is written.

    Parameters
    ----------
    kinds
        Of those built in: ``"key"``, ``"email"``, ``"phone"``, ``"card"``, ``"iban"``.
    patterns
        Regular expressions of your own, by the word that takes the place of what they match.
    hook
        Name of an installed function that finds more (entry point group ``skillfleet_nb.redactors``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kinds: tuple[Kind, ...] = ()
    patterns: dict[Word, str] = Field(default_factory=dict)
    hook: str | None = None

    @field_validator("patterns")
    @classmethod
    def _are_expressions(cls, patterns: dict[str, str]) -> dict[str, str]:
        for name, pattern in patterns.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{name!r} is no regular expression ({error}): {pattern!r}") from None
        return patterns


def pattern_of(model: str, rates: Mapping[str, Rate]) -> str | None:
    """Return the pattern whose limits hold for a model: the first that fits its name.

    Examples
    --------
    >>> pattern_of("openai/gpt-4o", {"openai/*": Rate(requests_per_minute=5)}), pattern_of("m", {})
    ('openai/*', None)
    """
    return next((pattern for pattern in rates if fnmatchcase(model, pattern)), None)


class ServerSettings(BaseModel):
    """What the server allows to whoever starts runs and asks from elsewhere.

    Parameters
    ----------
    imports
        Packages and modules that a request may name programs, metrics, data and tools of, as ``module:attribute``.
    max_body_mb
        Megabytes of the body of a request.
    requests_per_minute
        Requests that change or cost something which one user may make within a minute.
    sql_seconds, sql_rows
        Seconds and rows of a query that was sent; what is more is refused or left out.
    user_budget_usd
        USD that the runs which one user started may cost in all; each must then have a budget.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    imports: tuple[Annotated[str, Field(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$")], ...] = ()
    max_body_mb: float = Field(default=20.0, gt=0, le=1000)
    requests_per_minute: int = Field(default=120, ge=1)
    sql_seconds: float = Field(default=30.0, gt=0)
    sql_rows: int = Field(default=10_000, ge=1)
    user_budget_usd: float | None = Field(default=None, gt=0)


class Settings(BaseSettings):
    """What a person may set once for every job of a home.

    Parameters
    ----------
    record_prompts
        Whether the journal keeps prompts, responses and outputs as text; otherwise only their SHA-256.
    num_threads
        Threads of one evaluation, from 1; None leaves the choice to DSPy.
    max_parallel
        Processes of detached jobs of the home that run at a time, from 1; None is one per processor.
    runs_per_worker
        Detached jobs that may run in one such process at a time, from 1.
    device
        Where embeddings are made and vectors compared: ``"auto"`` is a GPU that PyTorch sees, else the processor;
        ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"`` is that one alone.
    prices
        Prices of models that are not in LiteLLM's table, or are wrong there: model name to USD per
        million tokens, input and output.
    task_models
        Models by what they are asked for; see :class:`TaskModels`.
    rates
        Limits of providers that all jobs of the home keep to together, by patterns of models' names such as
        ``"openai/*"``, of which the first that fits holds; see :class:`Rate`.
    redact
        What is taken out of texts before anything is written; see :class:`Redaction`.
    serving
        What a server of the home allows; see :class:`ServerSettings`.
    lm_timeout_s
        Seconds after which an attempt at a call is given up and tried again.
    lm_grace_s
        Seconds a stop waits for calls in flight before it leaves them behind.
    lm_retry_delay_s
        Seconds before the first retry of a call; doubled with each, with jitter.  How many there are
        is the model's own ``num_retries``.
    lm_failure_window, lm_failure_share
        A run stops when at least this share of a model's last so many bought requests failed, and no
        fewer than half as many as that is of a full window.
    lm_skip_after, lm_skip_s
        With a fallback: a model that failed so often in a row is skipped for so many seconds.
    sql_seconds
        Seconds after which a query that a person wrote is ended.
    sql_memory_gb
        Gigabytes of memory that such a query may take; on disk, in the home, four times as many.
    tune_below
        A finished job whose score stays below this, in [0, 1], offers to tune its signatures; 0 never does.
    golden_calls
        Calls that may be bought, as a program is loaded through an alias, to look whether it still answers as it did
        when it was registered; with 0 that is looked up in DSPy's cache alone.
    alert_webhook
        Address that is told of alarms, ``https://…``: a POST of JSON with numbers and a sentence; None tells nobody.
    answer_proceed, answer_revise, answer_cancel
        Words by which an answer to a question of a run is read; single words, none in two of them.
    compact_after_days
        Days after which `db compact` turns the journal of a finished job into Parquet.
    keep_prompts_days
        Days after which `db compact` replaces a finished job's prompts, responses and outputs by
        their SHA-256; None keeps them.
    keep_jobs_days
        Days after which `db compact` deletes a finished job; None keeps it.
    keep_trash_days, keep_backups_days
        Days after which `db compact` deletes a job that lies in the trash, and a backup; None keeps them.

    Examples
    --------
    >>> Settings().record_prompts
    True
    """

    model_config = SettingsConfigDict(env_prefix="SKILLFLEET_", extra="forbid", frozen=True)

    record_prompts: bool = True
    num_threads: int | None = Field(default=None, ge=1)
    max_parallel: int | None = Field(default=None, ge=1)
    runs_per_worker: int = Field(default=1, ge=1)
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    compact_after_days: NonNegativeFloat = 7.0
    keep_prompts_days: NonNegativeFloat | None = None
    keep_jobs_days: NonNegativeFloat | None = None
    keep_trash_days: NonNegativeFloat | None = 90.0
    keep_backups_days: NonNegativeFloat | None = 365.0
    prices: dict[str, tuple[_Usd, _Usd]] = Field(default_factory=dict)
    task_models: TaskModels = Field(default_factory=TaskModels)
    rates: dict[str, Rate] = Field(default_factory=dict)
    redact: Redaction = Field(default_factory=Redaction)
    serving: ServerSettings = Field(default_factory=ServerSettings)
    lm_timeout_s: float = Field(default=600.0, gt=0)
    lm_grace_s: float = Field(default=30.0, ge=0)
    lm_retry_delay_s: float = Field(default=1.0, ge=0)
    lm_failure_window: int = Field(default=20, ge=2)
    lm_failure_share: float = Field(default=0.5, gt=0, le=1)
    lm_skip_after: int = Field(default=3, ge=1)
    lm_skip_s: float = Field(default=30.0, ge=0)
    sql_seconds: float = Field(default=300.0, gt=0)
    sql_memory_gb: float = Field(default=2.0, ge=0.1)
    tune_below: float = Field(default=0.75, ge=0, le=1)
    golden_calls: int = Field(default=0, ge=0)
    alert_webhook: str | None = Field(default=None, pattern=r"^https?://\S+$")
    answer_proceed: Words = ("yes", "ok", "okay", "continue", "approve", "accept", "save", "y")
    answer_revise: Words = ("revise", "change", "edit", "modify", "fix", "update")
    answer_cancel: Words = ("cancel", "abort", "stop", "quit", "no", "n")

    @field_validator("answer_revise", "answer_cancel")
    @classmethod
    def _one_meaning(cls, words: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        answers = {word.casefold() for name in ("answer_proceed", "answer_revise") for word in info.data.get(name, ())}
        if twice := sorted(answers & {word.casefold() for word in words}):
            raise ValueError(f"{twice[0]!r} means something else already")
        return words

    @property
    def answers(self) -> dict[Choice, tuple[str, ...]]:
        """Words of each choice."""
        return {"proceed": self.answer_proceed, "revise": self.answer_revise, "cancel": self.answer_cancel}

    @classmethod
    def load(cls, file: Path) -> Settings:
        """Read settings: environment variables first, then `file`, then the defaults.

        Raises
        ------
        InputError
            If the file is not TOML, a name in it is none of a setting, or a value in it or in the environment is not
            allowed.  Other names in the environment may be somebody else's.
        """
        try:
            text = file.read_text("utf-8") if file.exists() else ""
            values = tomllib.loads(text)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read settings from '{file}': {error}. Correct or delete the file.") from error
        _refuse_keys(values, file)
        prefix = str(cls.model_config["env_prefix"]).upper()
        environment = tuple(pair for pair in os.environ.items() if pair[0].upper().startswith(prefix))
        try:
            return _validated(cls, text, environment).model_copy(deep=True)
        except SettingsError as error:
            raise InputError(f"{error}: give what is not a text or a number as JSON.") from None
        except ValidationError as error:
            raise InputError(_fault(cls, dict(error.errors()[0]), file)) from None  # what it quotes may be a key

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over what `load` read from the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


@functools.lru_cache(maxsize=8)  # a pure function; whatever is asked of a home reads its settings
def _validated(settings: type[Settings], text: str, environment: tuple[tuple[str, str], ...]) -> Settings:
    """Validate the text of a file under an environment, of which the settings take those variables that are given."""
    del environment  # what the answer depends on, and pydantic reads by itself
    return settings(**tomllib.loads(text))


def _refuse_keys(values: dict[str, Any], file: Path) -> None:
    """Refuse a file that holds the key of a model; what it is is not repeated."""
    from skillfleet_nb.security import Redactor, is_secret

    redactor = Redactor()
    for place, value in _walked(values):
        if isinstance(value, str) and (is_secret(place[-1]) or redactor.text(value) != value):
            raise InputError(
                f"setting {'.'.join(place)!r} in '{file}' is a key, and keys are not kept in files: take it out, and "
                "put it into the environment variable that the provider's clients read, such as OPENAI_API_KEY."
            )


def _walked(values: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(values, dict):
        for name, inner in values.items():
            yield from _walked(inner, (*place, name))
    elif isinstance(values, list):
        for inner in values:
            yield from _walked(inner, place)
    else:
        yield place, values


def _fault(settings: type[BaseModel], error: dict[str, Any], file: Path) -> str:
    """Say in a line what is wrong with a setting; of a name that is none, the nearest."""
    place = [str(part) for part in error["loc"]]
    name, where = ".".join(place), f"in '{file}' or SKILLFLEET_{place[0].upper()}"
    if error["type"] == "extra_forbidden":
        return f"{unknown('setting', name, _names(settings, place))} It is {where}."
    if error["type"] == "missing":
        return f"setting {name!r} is missing {where}: it must be given."
    return f"setting {name!r}: {error['msg'].removeprefix('Value error, ')}; given {error['input']!r} {where}."


def _names(settings: type[BaseModel], place: Sequence[str]) -> list[str]:
    """Name what may stand beside a setting, as whole names."""
    parts: dict[str, tuple[type[BaseModel], ...]] = {
        "task_models": (TaskModels, TaskModel),
        "redact": (Redaction,),
        "rates": (Rate, Rate),  # by pattern
        "serving": (ServerSettings,),
    }
    group = (settings, *parts.get(place[0], ()))[len(place) - 1]
    return [".".join([*place[:-1], name]) for name in group.model_fields]
