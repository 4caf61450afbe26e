"""Settings of a home: read from its ``config.toml``, overridden by ``SKILLFLEET_*`` variables."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, NonNegativeFloat, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.events import Choice

Word = Annotated[str, Field(pattern=r"^\w+(['-]\w+)*$")]
Words = Annotated[tuple[Word, ...], Field(min_length=1)]


class Settings(BaseSettings):
    """What a person may set once for every job of a home.

    Parameters
    ----------
    record_prompts
        Whether the journal keeps prompts, responses and outputs as text; otherwise only their SHA-256.
    num_threads
        Threads of one evaluation, from 1; None leaves the choice to DSPy.
    max_parallel
        Detached jobs of the home that run at a time, from 1; None is one per processor.
    max_detached
        Detached jobs of the home that run or wait, from 1: each is a process.
    prices
        Prices of models that are not in LiteLLM's table, or are wrong there: model name to USD per
        million tokens, input and output.
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
    answer_proceed, answer_revise, answer_cancel
        Words by which an answer to a question of a run is read; single words, none in two of them.
    compact_after_days
        Days after which `db compact` turns the journal of a finished job into Parquet.
    keep_prompts_days
        Days after which `db compact` replaces a finished job's prompts, responses and outputs by
        their SHA-256; None keeps them.
    keep_jobs_days
        Days after which `db compact` deletes a finished job; None keeps it.

    Examples
    --------
    >>> Settings().record_prompts
    True
    """

    model_config = SettingsConfigDict(env_prefix="SKILLFLEET_", extra="forbid", frozen=True)

    record_prompts: bool = True
    num_threads: int | None = Field(default=None, ge=1)
    max_parallel: int | None = Field(default=None, ge=1)
    max_detached: int = Field(default=50, ge=1)
    compact_after_days: NonNegativeFloat = 7.0
    keep_prompts_days: NonNegativeFloat | None = None
    keep_jobs_days: NonNegativeFloat | None = None
    prices: dict[str, tuple[NonNegativeFloat, NonNegativeFloat]] = Field(default_factory=dict)
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
    answer_proceed: Words = ("yes", "ok", "okay", "continue", "approve", "accept", "save", "y")
    answer_revise: Words = ("revise", "change", "edit", "modify", "fix", "update")
    answer_cancel: Words = ("cancel", "abort", "stop", "quit", "no", "n")

    @field_validator("answer_revise", "answer_cancel")
    @classmethod
    def _one_meaning(cls, words: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known = {word.casefold() for name in ("answer_proceed", "answer_revise") for word in info.data.get(name, ())}
        if twice := sorted(known & {word.casefold() for word in words}):
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
            If the file is not TOML, or a name or value in it or in the environment is not allowed.
        """
        try:
            values = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read settings from '{file}': {error}. Correct or delete the file.") from error
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            allowed, why = ", ".join(cls.model_fields), first["msg"].removeprefix("Value error, ")
            raise InputError(
                f"setting {name!r}: {why}; given {first['input']!r} in '{file}' or SKILLFLEET_{name.upper()}. "
                f"Settings are: {allowed}."
            ) from error

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
