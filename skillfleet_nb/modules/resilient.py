"""A program that survives failures: asked again, then of other models, then answered by a default, reasons kept."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, field_validator

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.format import one_line
from skillfleet_nb.lm.task_models import named_lm
from skillfleet_nb.modules.base import ModuleConfig, ModuleFactory, program_of
from skillfleet_nb.security import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from skillfleet_nb.typing import Model, Prediction, Program

_LONGEST = 200  # characters of a reason
_OWN_FIELDS = ("answered_by", "failures")


class ResilientConfig(ModuleConfig):
    """Configuration of `resilient`."""

    program: Any = Field(description="the program: a dspy.Module, or a signature such as 'text -> label'")
    retries: int = Field(1, ge=0, le=10, description="how often it is asked again where it fails")
    fallback: tuple[Any, ...] = Field(
        (),
        description="models asked after that: a dspy.LM, 'openai/gpt-4o-mini', 'offline', 'local', or a role",
    )
    default: dict[str, Any] | None = Field(None, description="the answer where all fail, by output; none raises")

    @field_validator("fallback", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list | tuple) else (value,)


class ResilientFactory(ModuleFactory):
    """Makes a :class:`Resilient`."""

    name = "resilient"
    version = "1"
    summary = "a program that is asked again where it fails, then of other models, then answered by a default"
    Config = ResilientConfig

    def build(self) -> Program:
        """Make the module."""
        c = self.config
        program = _program(c.program)
        if c.default is not None:
            _check_default(program, c.default)
        made: Program = _resilient()(program, c.retries, tuple(map(_model, c.fallback)), c.default)
        return made


class _Attempt(NamedTuple):
    by: str
    program: Program
    context: AbstractContextManager[Any]


class _Resilience:
    """What a `Resilient` does; it is mixed in before ``dspy.Module``.

    Its answers have two fields more: `answered_by` (``"program"``, ``"retry 1"``, the name of a model, or
    ``"default"``) and `failures`, the reasons of those that failed before, in order.

    Parameters
    ----------
    program
        The program; optimizers see its predictors.
    retries, fallback, default
        As in :class:`ResilientConfig`.
    """

    def __init__(
        self,
        program: Program,
        retries: int = 1,
        fallback: tuple[Model, ...] = (),
        default: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.program, self.retries, self.fallback, self.default = program, retries, tuple(fallback), default

    @property
    def signature(self) -> Any:
        """That of the program, where it has one."""
        return getattr(self.program, "signature", None)

    def forward(self, **inputs: Any) -> Prediction:
        """Ask until something answers; the last failure is raised where nothing does."""
        failures: list[str] = []
        failure: Exception | None = None
        for by, program, context in self._attempts():
            try:
                with context:
                    return _told(program(**inputs), by, failures)
            except Exception as exc:  # noqa: BLE001  whatever fails is what this is for
                failure = exc
                failures.append(_reason(by, exc))
        return self._given_up(failures, failure)

    async def aforward(self, **inputs: Any) -> Prediction:
        """Ask in async code, as `forward` does."""
        failures: list[str] = []
        failure: Exception | None = None
        for by, program, context in self._attempts():
            try:
                with context:
                    return _told(await program.acall(**inputs), by, failures)
            except Exception as exc:  # noqa: BLE001  whatever fails is what this is for
                failure = exc
                failures.append(_reason(by, exc))
        return self._given_up(failures, failure)

    def _attempts(self) -> Iterator[_Attempt]:
        yield _Attempt("program", self.program, nullcontext())
        for n in range(1, self.retries + 1):
            yield self._with(f"retry {n}", partial(_past_the_cache, n))
        for lm in self.fallback:
            yield self._with(str(lm.model), partial(_another, lm))

    def _with(self, by: str, change: Callable[[Any], Any]) -> _Attempt:
        """Have the program ask other models; a copy of it only where predictors have models of their own."""
        import dspy

        changed = change(dspy.settings.lm)
        if all(p.lm is None for p in self.program.predictors()):
            return _Attempt(by, self.program, dspy.context(lm=changed))
        copied = self.program.deepcopy()
        for mine, theirs in zip(copied.predictors(), self.program.predictors(), strict=True):
            mine.lm = change(theirs.lm) if theirs.lm is not None else None
        return _Attempt(by, copied, dspy.context(lm=changed))

    def _given_up(self, failures: list[str], failure: Exception | None) -> Prediction:
        if self.default is None:
            raise failure or AssertionError("an attempt fails or answers")
        import dspy

        return _told(dspy.Prediction(**self.default), "default", failures)


@cache
def _resilient() -> type:
    import dspy

    own = {"__module__": __name__, "__qualname__": "Resilient", "__doc__": _Resilience.__doc__}
    return type("Resilient", (_Resilience, dspy.Module), own)


def __getattr__(name: str) -> Any:
    if name == "Resilient":  # by which a saved one is found
        return _resilient()
    raise AttributeError(name)


def _past_the_cache(n: int, lm: Model) -> Model:
    """Return a copy of a model that does not find the answer that could not be used."""
    copied: Model = lm.copy(rollout_id=n, temperature=1.0)
    return copied


def _another(lm: Model, instead_of: Model) -> Model:
    del instead_of
    return lm


def _told(answer: Any, by: str, failures: list[str]) -> Prediction:
    answer.answered_by, answer.failures = by, list(failures)
    made: Prediction = answer
    return made


def _reason(by: str, exc: Exception) -> str:
    # providers repeat the key that they refuse
    return f"{by}: {type(exc).__name__}: {one_line(Redactor().text(str(exc)), _LONGEST)}"


def _program(value: object) -> Program:
    program = program_of(value, "resilient")
    taken = [name for p in program.predictors() for name in p.signature.fields if name in _OWN_FIELDS]
    if taken:
        raise InputError(f"resilient: the program has a field {taken[0]!r}, which its answers have: rename it")
    return program


def _check_default(program: Program, default: Mapping[str, Any]) -> None:
    outputs = program.predictors()[-1].signature.output_fields
    for name in default:
        if name not in outputs:
            raise unknown("output in default", name, outputs)
    if missing := [name for name in outputs if name not in default and name != "reasoning"]:
        raise InputError(f"resilient: default lacks {', '.join(missing)}: give a value for each output")


def _model(model: Any) -> Model:
    import dspy

    lm = named_lm(model) if isinstance(model, str) else model
    if not isinstance(lm, dspy.BaseLM):
        raise InputError(
            f"resilient: fallback = {model!r}: give a dspy.LM, 'offline', 'local', a role, or a model name such as "
            "openai/gpt-4o-mini"
        )
    return lm
