"""What a run needs, packed so that another process can run it: the notebook's own objects by value.

Functions and classes of a notebook live in ``__main__``, which another process does not have;
cloudpickle carries them by value.  Models travel as what makes them, without keys: a key is named by
the environment variable that holds it.
"""

from __future__ import annotations

import inspect
import io
import json
import os
import sys
import types
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, JobError, LMError
from skillfleet_nb.lm.keys import refuse_keys, variable_in, with_keys, without_keys
from skillfleet_nb.runs.spec import Review, Spec
from skillfleet_nb.security import home_key, sign, verified
from skillfleet_nb.store.home import atomic_write, writing

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from skillfleet_nb.config import Settings
    from skillfleet_nb.runs.prepare import Prepared
    from skillfleet_nb.runs.spec import Budget
    from skillfleet_nb.store import Home


@dataclass
class Parcel:
    """Everything :func:`skillfleet_nb.runs.prepare.prepare` takes, and the settings of DSPy it was given under.

    `cache_dir` is the folder of DSPy's cache; None where the cache on disk is off.
    """

    program: Any
    train: list[Any]
    val: list[Any]
    test: list[Any]
    metric: Any
    optimizer: str
    params: dict[str, Any]
    lm: Any
    prompt_lm: Any
    seed: int
    num_threads: int
    budget: Budget
    record_prompts: bool
    adapter: Any = None
    cache_dir: str | None = None
    fallback_lms: tuple[Any, ...] = ()
    review: Review = field(default_factory=Review)


def parcel_of(prepared: Prepared, program: Any, *, record_prompts: bool, cache_dir: str | None = None) -> Parcel:
    """Gather a prepared run; `program` is the one the person gave, `cache_dir` by default DSPy's now."""
    import dspy

    spec = prepared.spec
    return Parcel(
        program=program,
        train=prepared.splits.train,
        val=prepared.splits.val,
        test=prepared.splits.test,
        metric=prepared.metric.fn,
        optimizer=spec.optimizer,
        params=spec.params,
        lm=prepared.lm,
        prompt_lm=prepared.prompt_lm if prepared.prompt_lm is not prepared.lm else None,
        seed=spec.seed,
        num_threads=spec.num_threads,
        budget=spec.budget,
        record_prompts=record_prompts,
        adapter=dspy.settings.adapter,
        cache_dir=cache_dir or _cache_dir(),
        fallback_lms=prepared.fallback_lms,
        review=spec.review,
    )


def pack(parcel: Parcel, home: Home) -> bytes:
    """Pack a parcel and sign it.

    Raises
    ------
    InputError
        If something in it cannot travel, naming it and the way out.
    """
    try:
        blob = _dumps(vars(parcel))
    except InputError:
        raise
    except Exception as exc:
        raise InputError(_what_stays(parcel, exc)) from exc
    if (variable := variable_in(blob)) is not None:
        part = next((name for name, value in vars(parcel).items() if variable_in(_dumps(value))), "the run")
        raise InputError(
            f"`{part}` holds the value of ${variable}, and keys are not written to disk: read it where it is used, "
            f"os.environ[{variable!r}], or run in this process (leave --detach out)"
        )
    # Read before the blob is opened: what it names must be found first.
    folder = Path.cwd()
    place = json.dumps({"folder": str(folder), "path": [str(folder / entry) for entry in sys.path]}).encode()
    return sign(place + b"\n" + blob, home_key(home.ensure().root / "key"))


def keep(packed: bytes, home: Home, job_id: str) -> None:
    """Write a job's parcel, whole or not at all."""
    file = parcel_file(home, job_id)
    with writing(file):
        atomic_write(file, packed)


def read(home: Home, job_id: str, *, move: bool = False) -> Parcel:
    """Open the parcel of a job.

    Parameters
    ----------
    move
        Whether to go to the folder it was packed in, as a process of its own does.

    Raises
    ------
    JobError
        If there is none, it is unsigned or altered, or what it names cannot be imported any more.
    """
    import cloudpickle

    file = parcel_file(home, job_id)
    if not file.exists():
        raise JobError(f"job {job_id!r} kept nothing to run it from: give program, train and metric again")
    blob = verified(file.read_bytes(), home_key(home.root / "key"), f"the parcel of job {job_id!r}")
    place, _, packed = blob.partition(b"\n")
    known = json.loads(place)
    sys.path += [entry for entry in known["path"] if entry not in sys.path]
    if move and Path(known["folder"]).is_dir():
        os.chdir(known["folder"])
    try:
        return Parcel(**cloudpickle.loads(packed))
    except LMError as exc:
        raise JobError(str(exc)) from exc
    except Exception as exc:
        raise JobError(
            f"the parcel of job {job_id!r} cannot be opened: {type(exc).__name__}: {exc}; is a module missing that "
            "the program or metric comes from?"
        ) from exc


def kept(home: Home, job_id: str, spec: dict[str, Any], settings: Settings, given: dict[str, Any]) -> Parcel:
    """Put together what a job is resumed with: what is `given`, and what was kept for the rest.

    Parameters
    ----------
    spec
        What was recorded of the job's set-up.
    given
        Fields of a parcel.

    Raises
    ------
    JobError
        If nothing usable was kept, and program, train and metric are not all given.
    """
    import dspy

    try:
        return replace(read(home, job_id), **given)
    except JobError:
        if not {"program", "train", "metric"} <= given.keys():
            raise
    recorded = Spec.model_validate(spec)
    # The seeds, sizes and limits are on record; objects are given, or as in any run DSPy's own.
    known = {
        "val": None,
        "test": None,
        "optimizer": recorded.optimizer,
        "params": recorded.params,
        "lm": None,
        "prompt_lm": None,
        "seed": recorded.seed,
        "num_threads": recorded.num_threads,
        "budget": recorded.budget,
        "record_prompts": settings.record_prompts,
        "review": recorded.review,
        "adapter": dspy.settings.adapter,
        "cache_dir": _cache_dir(),
    }
    return Parcel(**{**known, **given})


def settings_of(parcel: Parcel) -> AbstractContextManager[None]:
    """Make the settings of DSPy in the body those of the parcel."""
    import dspy

    held: AbstractContextManager[None] = dspy.context(adapter=parcel.adapter)
    return held


def _cache_dir() -> str | None:
    import dspy

    return str(Path(dspy.cache.disk_cache_dir).absolute()) if dspy.cache.enable_disk_cache else None


def parcel_file(home: Home, job_id: str) -> Path:
    """Name the file that holds a job's parcel."""
    return home.journal_dir(job_id) / "parcel.bin"


def _dumps(value: Any) -> bytes:
    """Pickle by value; models, wherever they are held, without their keys and their history."""
    import cloudpickle
    import dspy

    def reducer_override(self: Any, obj: Any) -> Any:
        if isinstance(obj, dspy.BaseLM):
            state = {**obj.__getstate__(), "history": []}
            for engine in map(state.get, ("_engine_spec", "_async_engine_spec")):
                refuse_keys(engine)
            return _revived, (type(obj), *without_keys(str(obj.model), state))
        return cloudpickle.CloudPickler.reducer_override(self, obj)

    packer = type("Packer", (cloudpickle.CloudPickler,), {"reducer_override": reducer_override})
    with io.BytesIO() as file:
        packer(file).dump(value)
        return file.getvalue()


def _revived(cls: type, state: dict[str, Any], env: dict[tuple[str, ...], str]) -> Any:
    lm: Any = object.__new__(cls)
    state = with_keys(str(state["model"]), state, env)
    if hasattr(lm, "__setstate__"):
        lm.__setstate__(state)
    else:
        vars(lm).update(state)
    return lm


def _what_stays(parcel: Parcel, exc: Exception) -> str:
    """Name what cannot travel: a part of the run, and what it holds on to."""
    way_out = "make it inside the function, or run in this process (leave --detach out)"
    for part, value in vars(parcel).items():
        if _travels(value):
            continue
        through, name, held = _culprit(value)
        if not name:
            return f"`{part}` cannot travel to another process: {exc}; run in this process (leave --detach out)"
        kind = f"{type(held).__module__}.{type(held).__qualname__}"
        by = "".join(f" through `{t}`" for t in through)
        return f"`{part}` cannot travel to another process: it holds on to `{name}`{by}, a {kind}; {way_out}"
    return f"the run cannot travel to another process: {exc}; run in this process (leave --detach out)"


def _culprit(value: Any) -> tuple[list[str], str, Any]:
    """Follow what does not travel to the last thing that has a name: the names on the way, its own, it itself."""
    through: list[str] = []
    name, held, met = "", value, {id(value)}
    while True:
        found = next(((n, h) for n, h in _held(held) if id(h) not in met and not _travels(h)), None)
        if found is None:
            return through, name, held
        through += [name] if name else []
        name, held = found
        met.add(id(held))


def _travels(value: Any) -> bool:
    try:
        _dumps(value)
    except Exception:  # noqa: BLE001  any reason is an answer
        return False
    return True


def _held(value: Any) -> list[tuple[str, Any]]:
    """List what a function closes over or reads from its module, or what an object carries."""
    if isinstance(value, types.MethodType):
        return [("self", value.__self__), *_held(value.__func__)]
    if inspect.isfunction(value):
        outer = inspect.getclosurevars(value)
        return [*outer.nonlocals.items(), *outer.globals.items()]
    if isinstance(value, dict):
        return [(str(k), v) for k, v in value.items()]
    if isinstance(value, list | tuple):
        return [(f"[{n}]", v) for n, v in enumerate(value)]
    cls = value if isinstance(value, type) else type(value)
    methods = [m for m in vars(cls).values() if inspect.isfunction(m)]
    return [*getattr(value, "__dict__", {}).items(), *(pair for m in methods for pair in _held(m))]


def prepared(parcel: Parcel, settings: Settings) -> Prepared:
    """Check the run of a parcel as it was checked when it was given."""
    from skillfleet_nb.runs.prepare import prepare

    return prepare(
        parcel.program,
        train=parcel.train,
        val=parcel.val,
        test=parcel.test,
        metric=parcel.metric,
        optimizer=parcel.optimizer,
        params=parcel.params,
        lm=parcel.lm,
        prompt_lm=parcel.prompt_lm,
        fallback_lm=parcel.fallback_lms or None,
        budget=parcel.budget,
        review=parcel.review,
        seed=parcel.seed,
        num_threads=parcel.num_threads,
        settings=settings,
    )
