"""Golden answers: what a registered version answered on a few inputs, looked at again as it is loaded.

A program that is put to use may answer otherwise than when it was registered: the model behind a name has changed, or
code that the program calls.  So a few inputs are kept with what they gave.  They are looked up in DSPy's cache, where
nothing can be bought, and asked anew only within a budget that is given.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillfleet_nb.config import Settings
from skillfleet_nb.data.load import to_examples
from skillfleet_nb.errors import InputError, NotFoundError, SkillfleetError
from skillfleet_nb.example import in_words
from skillfleet_nb.format import counted, one_line
from skillfleet_nb.html import Readable, fill, table, text_table
from skillfleet_nb.lm.faults import in_short
from skillfleet_nb.lm.limits import Limits
from skillfleet_nb.lm.off_loop import off_loop
from skillfleet_nb.lm.tap import own_models
from skillfleet_nb.messages import as_typed
from skillfleet_nb.runs.outputs import LONGEST, output_json
from skillfleet_nb.runs.task import input_fields
from skillfleet_nb.runs.tryout import ask, typed_inputs
from skillfleet_nb.store import load_program, save_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import dspy

    from skillfleet_nb.programs.registry import ProgramVersion
    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Rows

KEPT = 5
"""Inputs that are kept with a version, at most."""
_UNSTEADY = frozenset({"reasoning"})  # worded anew at every asking, and not what is asked for
_SHOWN = 60


class GoldenWarning(UserWarning):
    """A version answers otherwise than when it was registered, or that could not be looked at."""


@dataclass(frozen=True)
class GoldenAnswer:
    """What one of the kept inputs gave and gives.

    Attributes
    ----------
    inputs
        The program's inputs, by name.
    was, now
        The outputs by name, as they were kept and as they are; `now` is None where it was not looked at.
    error
        What the program raised now; empty where it answered.
    """

    inputs: Mapping[str, Any]
    was: Mapping[str, Any]
    now: Mapping[str, Any] | None = None
    error: str = ""

    @property
    def is_checked(self) -> bool:
        """Whether it was looked at."""
        return self.now is not None or bool(self.error)

    @property
    def differences(self) -> list[str]:
        """What is not as it was, one field an item."""
        if self.error:
            return [f"it fails: {self.error}"]
        if self.now is None:
            return []
        changed = changed_fields(self.was, self.now)
        return [f"{name}: {_told(self.was.get(name))} → {_told(self.now.get(name))}" for name in changed]


@dataclass(frozen=True, repr=False)
class GoldenCheck(Readable):
    """How a version answers now, against what was kept with it.

    Attributes
    ----------
    ref
        The version.
    answers
        Of each kept input.
    why
        Why some or all were not looked at; empty where all were.
    calls
        Calls that were bought.
    """

    ref: str
    answers: Sequence[GoldenAnswer]
    why: str = ""
    calls: int = 0

    @property
    def checked(self) -> int:
        """Number of inputs that were looked at."""
        return sum(answer.is_checked for answer in self.answers)

    @property
    def differing(self) -> list[GoldenAnswer]:
        """Those that are not answered as they were."""
        return [answer for answer in self.answers if answer.differences]

    @property
    def ok(self) -> bool:
        """Whether nothing that was looked at differs."""
        return not self.differing

    def sentence(self) -> str:
        """Say in one line what it came to."""
        total = counted(self.answers, "kept input")
        if not self.checked:
            return f"{self.ref} was not checked: {self.why}"
        if self.differing:
            first = self.differing[0].differences[0]
            what = f"{self.ref} answers {len(self.differing)} of {self.checked} kept inputs otherwise: {first}"
        else:
            what = f"{self.ref} answers {self.checked} of {total} as it did when it was registered"
        return f"{what}; {self.why}" if self.why else what

    def _rows(self) -> list[list[str]]:
        return [
            [in_words(a.inputs, _SHOWN), "; ".join(a.differences) or ("as it was" if a.is_checked else "")]
            for a in self.answers
        ]

    def text(self) -> str:
        """Show it as plain text."""
        rows = self._rows()
        shown = f"{text_table(['input', 'now'], rows)}\n" if rows else ""
        return f"{shown}{self.sentence()}"

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        return fill("{}<div>{}</div>", table(["input", "now"], self._rows()) if self.answers else "", self.sentence())


def changed_fields(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name the outputs that are not as they were; how an answer was reasoned is worded anew each time."""
    names = [name for name in dict.fromkeys([*was, *now]) if name not in _UNSTEADY]
    return [name for name in names if was.get(name) != now.get(name)]


def keep(home: Home, pairs: Iterable[tuple[Mapping[str, Any], object]]) -> str | None:
    """Keep some inputs with what they gave; return what they are found by, None where there is nothing to keep.

    Parameters
    ----------
    pairs
        Inputs, and the outputs as JSON; what JSON does not hold whole is passed over, and so are hashes, and what a
        frame has in place of a text.
    """
    kept, seen = [], set()
    for inputs, output in pairs:
        if not isinstance(output, str) or not output.startswith("{") or len(output) >= LONGEST or not _is_plain(inputs):
            continue
        kept.append({"inputs": dict(inputs), "output": json.loads(output)})
    different = [one for one in kept if not (_key(one) in seen or seen.add(_key(one)))]  # type: ignore[func-returns-value]
    chosen = [*different, *(one for one in kept if one not in different)][:KEPT]
    if not chosen:
        return None
    return save_program(home, {"golden": chosen})


def ask_and_keep(home: Home, program: dspy.Module, rows: Rows, program_id: str) -> str | None:
    """Ask a program what it answers on the first few of some rows, metered, and keep that; see :func:`keep`.

    Raises
    ------
    InputError, LMError, JobError
        If a row lacks an input, there is no model, or the program fails.
    """
    import dspy

    settings, names = Settings.load(home.config), input_fields(program)
    pairs = []
    for row in to_examples(rows, input_fields=names, name="golden")[:KEPT]:
        inputs = row.inputs().toDict()
        tried = ask(home, settings, program, inputs, lm=dspy.settings.lm, program_id=program_id, job_id="")
        pairs.append((inputs, output_json(tried.prediction)))
    return keep(home, pairs)


def check(
    home: Home,
    settings: Settings,
    version: ProgramVersion,
    program: dspy.Module,
    calls: int,
    *,
    run_tools: bool = False,
) -> GoldenCheck:
    """Look how a program answers what was kept with its version.

    Parameters
    ----------
    program
        As it was loaded; it is not changed.
    calls
        Calls that may be bought for what the cache does not hold.
    run_tools
        Whether a program with tools is run as well.

    Raises
    ------
    InputError
        If `calls` is below 0.
    """
    import dspy

    if calls < 0:
        raise InputError(f"{calls} calls cannot be made: give a number from 0, which asks DSPy's cache alone.")
    kept = _kept(home, version)
    golden = [GoldenAnswer(one["inputs"], one["output"]) for one in kept]
    lm = dspy.settings.lm
    if not golden:
        return GoldenCheck(version.ref, (), "no answers were kept with it")
    if lm is None and not own_models(program):
        return GoldenCheck(version.ref, golden, "no model is configured")
    if not run_tools and _has_tools(program):
        return GoldenCheck(version.ref, golden, "it has tools, which would be run: ask for it with check=True")
    answers, bought, why = [], 0, ""
    for answer in golden:
        try:
            answers.append(_answered(answer, lambda inputs: _from_cache(program, inputs)))
        except _NotCached:
            left = calls - bought
            if left <= 0 or lm is None:
                answers.append(answer)
                typed = as_typed(f"program check {version.ref} --max-calls {KEPT}")
                why = f"the cache does not hold all, and {counted(calls, 'call')} may be made: {typed} asks anew"
                continue
            try:
                tried = ask(
                    home, settings, program, answer.inputs, lm=lm, program_id=version.program_id,
                    job_id=version.job_id or "", limits=Limits(calls=left),
                )  # fmt: skip
            except SkillfleetError as exc:
                answers.append(answer)
                why = str(exc)
                continue
            bought += tried.calls
            answers.append(_answered(answer, lambda _, tried=tried: tried.prediction))
    return GoldenCheck(version.ref, answers, why, bought)


def _answered(answer: GoldenAnswer, run: Any) -> GoldenAnswer:
    try:
        prediction = run(answer.inputs)
    except Exception as exc:  # noqa: BLE001  a program that fails now is what is looked for
        return GoldenAnswer(answer.inputs, answer.was, None, in_short(exc))
    return GoldenAnswer(answer.inputs, answer.was, json.loads(output_json(prediction) or "{}"))


def _from_cache(program: dspy.Module, inputs: Mapping[str, Any]) -> Any:
    """Run a program where no model can be asked, only DSPy's cache; raises `_NotCached` where it does not hold all."""
    import dspy

    copied = program.deepcopy()
    for predictor in copied.predictors():
        if getattr(predictor, "lm", None) is not None:
            predictor.lm = _cache_alone(predictor.lm)
    lm = dspy.settings.lm
    with dspy.context(lm=None if lm is None else _cache_alone(lm), trace=[], callbacks=[]):
        return off_loop(copied)(**typed_inputs(copied, inputs))


class _NotCached(BaseException):
    """The cache holds no answer; not an `Exception`, which programs and DSPy catch."""


class _Nobody:
    """An engine that answers nothing."""

    def complete(self, _request: object) -> object:
        raise _NotCached


def _cache_alone(lm: Any) -> Any:
    """Copy a model so that it answers from DSPy's cache alone."""
    import dspy
    from dspy.clients.execution import IGNORED_CACHE_KEYS

    if not isinstance(lm, dspy.LM):
        raise _NotCached
    copied = lm.copy()
    copied.kwargs = {key: value for key, value in copied.kwargs.items() if key not in IGNORED_CACHE_KEYS}
    return copied.copy(engine=_Nobody())


def _kept(home: Home, version: ProgramVersion) -> list[dict[str, Any]]:
    if version.golden is None:
        return []
    try:
        return list(load_program(home, version.golden)["golden"])
    except (NotFoundError, KeyError, TypeError):  # somebody deleted or changed it
        return []


def _has_tools(program: dspy.Module) -> bool:
    return any(getattr(module, "tools", None) for _, module in program.named_sub_modules())


def _is_plain(values: Mapping[str, Any]) -> bool:
    try:
        return bool(json.loads(json.dumps(dict(values))) == dict(values))
    except (TypeError, ValueError):
        return False


def _key(one: Mapping[str, Any]) -> str:
    return json.dumps(one["output"], sort_keys=True)


def _told(value: object) -> str:
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _SHOWN)
