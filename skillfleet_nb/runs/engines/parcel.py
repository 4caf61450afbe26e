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
import pickle
import sys
import types
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.errors import InputError, JobError, LMError
from skillfleet_nb.lm.answer_cache import answers_folder
from skillfleet_nb.lm.keys import refuse_keys, variable_in, with_keys, without_keys
from skillfleet_nb.programs.building import GUARD
from skillfleet_nb.runs.fingerprint import closed_over, environment
from skillfleet_nb.runs.request import RunRequest
from skillfleet_nb.runs.spec import Spec
from skillfleet_nb.security import refuse_of_others, sign, user_key, verified
from skillfleet_nb.store.blobs import Blobs, packing, unpacking
from skillfleet_nb.store.home import writing
from skillfleet_nb.store.redacting import is_sealing, opened, sealed
from skillfleet_nb.store.unlocking import read_bytes, write_bytes

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import dspy

    from skillfleet_nb.config import Settings
    from skillfleet_nb.store import Home


_GIVE_AGAIN = "give program, train and metric again"


@dataclass(frozen=True)
class Parcel:
    """A run with every default filled in, and the settings of DSPy it was given under.

    `cache_dir` is the folder of DSPy's cache; None where the cache on disk is off.
    """

    home: Home
    request: RunRequest
    adapter: dspy.Adapter | None
    cache_dir: str | None

    @classmethod
    def of(cls, home: Home, request: RunRequest, cache_dir: str | None = None) -> Parcel:
        """Put DSPy's settings of now to a run; `cache_dir` is used in place of its folder."""
        import dspy

        # what is of a higher layer is recorded; an executor runs the job elsewhere, in a process of its own
        engine = request.engine if isinstance(request.engine, str) else "process"
        request = replace(request, recommendation=None, engine=engine)
        return cls(home, request, dspy.settings.adapter, cache_dir or answers_folder(home))

    def parts(self) -> dict[str, Any]:
        """Return what is packed, by name."""
        options = {f.name: getattr(self.request, f.name) for f in fields(self.request)}
        return {**options, "adapter": self.adapter, "cache_dir": self.cache_dir}

    @classmethod
    def from_parts(cls, home: Home, parts: dict[str, Any]) -> Parcel:
        """Make it again from its :meth:`parts`."""
        options = dict(parts)
        adapter, cache_dir = options.pop("adapter"), options.pop("cache_dir")
        return cls(home, RunRequest(**options), adapter, cache_dir)

    @property
    def packed(self) -> bytes:
        """It as bytes, signed with the key of its user.

        Raises
        ------
        InputError
            If something in it cannot travel, naming it and the way out.
        """
        try:
            blob = _dumps(self.parts(), None if is_sealing(self.home) else Blobs(self.home))
        except InputError:
            raise
        except Exception as exc:
            raise InputError(_what_stays(self, exc)) from exc
        if (variable := variable_in(blob)) is not None:
            part = next((name for name, value in self.parts().items() if variable_in(_dumps(value))), "the run")
            raise InputError(
                f"`{part}` holds the value of ${variable}, and keys are not written to disk: read it where it is used, "
                f"os.environ[{variable!r}], or run in this process (leave --detach out)"
            )
        return sign(_Label.of_now().line() + sealed(self.home, blob), user_key())

    def under(self) -> AbstractContextManager[None]:
        """Make the settings of DSPy in the body those of the parcel."""
        import dspy

        context: AbstractContextManager[None] = dspy.context(adapter=self.adapter)
        return context


class _Label(NamedTuple):
    """What stands before a parcel, and is read before it is opened: where what it names is found, and who packed it."""

    folder: str
    path: list[str]
    environment: dict[str, str]

    @classmethod
    def of_now(cls) -> _Label:
        folder = Path.cwd()
        return cls(str(folder), [str(folder / entry) for entry in sys.path], environment())

    def line(self) -> bytes:
        return json.dumps(self._asdict()).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes, what: str) -> _Label:
        """Read it; refuse a parcel of another Python, whose code this one would not run as it was meant."""
        try:
            label = cls(**json.loads(line))
            packed_by = label.environment["python"]
        except (ValueError, TypeError, KeyError) as exc:
            raise JobError(f"{what} was written by another version of this package: {_GIVE_AGAIN}") from exc
        here = environment()["python"]
        if packed_by.split(".")[:2] != here.split(".")[:2]:
            raise JobError(
                f"{what} was packed by Python {packed_by}, whose code Python {here} cannot run: "
                f"resume it there, or {_GIVE_AGAIN}"
            )
        return label

    def changed(self) -> str:
        """Say which packages have changed since it was packed."""
        now = environment()
        changed = [f"{name} {version}" for name, version in self.environment.items() if now.get(name) != version]
        return f"it was packed with {', '.join(changed)}: resume it with these." if changed else "it is damaged."


def keep(packed: bytes, home: Home, job_id: str) -> None:
    """Write a job's parcel, whole or not at all."""
    file = parcel_file(home, job_id)
    with writing(file):
        write_bytes(home.root, file, packed)


def read(home: Home, job_id: str, *, move: bool = False) -> Parcel:
    """Open the parcel of a job.

    Parameters
    ----------
    move
        Whether to go to the folder it was packed in, as a process of its own does.

    Raises
    ------
    JobError
        If there is none, others may have written it, it is unsigned or altered, or what it names cannot be
        imported any more.
    """
    file = parcel_file(home, job_id)
    if not file.exists():
        raise JobError(f"job {job_id!r} kept nothing to run it from: {_GIVE_AGAIN}")
    what = f"the parcel of job {job_id!r}"
    for place in (home.root, file.parent, file):
        refuse_of_others(place, f"make it yours alone, or {_GIVE_AGAIN}")
    head, _, packed = verified(read_bytes(file), user_key(), what).partition(b"\n")
    label = _Label.read(head, what)
    sys.path += [entry for entry in label.path if entry not in sys.path]
    if move and Path(label.folder).is_dir():
        os.chdir(label.folder)
    packed = opened(packed)
    try:
        opener = type("Opener", (pickle.Unpickler,), {"persistent_load": unpacking(Blobs(home))})
        parts = opener(io.BytesIO(packed)).load()
    except LMError as exc:
        raise JobError(str(exc)) from exc
    except SystemExit as exc:
        raise JobError(f"{what} cannot be opened: what it imports ends the process, as sys.exit does; {GUARD}") from exc
    except Exception as exc:
        missing = isinstance(exc, ImportError | AttributeError)
        why = "is a module missing that the program or metric comes from?" if missing else label.changed()
        raise JobError(f"{what} cannot be opened: {type(exc).__name__}: {exc}; {why} Or {_GIVE_AGAIN}") from exc
    try:
        return Parcel.from_parts(home, parts)
    except (KeyError, TypeError, ValueError) as exc:
        raise JobError(
            f"{what} does not hold what this version runs ({exc}): {label.changed()} Or {_GIVE_AGAIN}"
        ) from exc


def kept(home: Home, job_id: str, spec: dict[str, Any], settings: Settings, changes: dict[str, Any]) -> Parcel:
    """Put together what a job is resumed with: the `changes`, and what was kept for the rest.

    Parameters
    ----------
    spec
        What was recorded of the job's set-up.
    changes
        Fields of its request.

    Raises
    ------
    JobError
        If nothing usable was kept, and program, train and metric are not all given.
    """
    try:
        parcel = read(home, job_id)
    except JobError:
        if not {"program", "train", "metric"} <= changes.keys():
            raise
    else:
        if parcel.request.prompt_lm is parcel.request.lm and "lm" in changes:
            changes = {"prompt_lm": changes["lm"], **changes}  # one model did both
        return replace(parcel, request=replace(parcel.request, **changes))
    recorded = Spec.model_validate(spec)
    # The seeds, sizes and limits are on record; objects are given, or as in any run DSPy's own.
    limits = {f"max_{name}": limit for name, limit in recorded.budget if name != "usd"}
    options = {
        "optimizer": recorded.optimizer,
        "params": recorded.params,
        "budget_usd": recorded.budget.usd,
        **limits,
        "target": recorded.target,
        "review": recorded.review,
        "seed": recorded.seed,
        "num_threads": recorded.num_threads,
        "record_prompts": settings.record_prompts,
    }
    return Parcel.of(home, RunRequest(**{**options, **changes}))


def parcel_file(home: Home, job_id: str) -> Path:
    """Name the file that holds a job's parcel."""
    return home.journal_dir(job_id) / "parcel.bin"


def _dumps(value: object, kept: Blobs | None = None) -> bytes:
    """Pickle by value; models, wherever they are held, without their keys and their history.

    With `kept`, images and the like go there, each once.
    """
    import cloudpickle
    import dspy

    def reducer_override(self: cloudpickle.CloudPickler, obj: object) -> Any:
        if isinstance(obj, dspy.BaseLM):
            state = {**obj.__getstate__(), "history": []}
            for engine in map(state.get, ("_engine_spec", "_async_engine_spec")):
                refuse_keys(engine)
            return _revived, (type(obj), *without_keys(str(obj.model), state))
        return cloudpickle.CloudPickler.reducer_override(self, obj)

    own: dict[str, Any] = {"reducer_override": reducer_override}
    if kept is not None:
        own["persistent_id"] = packing(kept)
    packer = type("Packer", (cloudpickle.CloudPickler,), own)
    with io.BytesIO() as file:
        packer(file).dump(value)
        return file.getvalue()


def _revived(cls: type, state: dict[str, Any], env: dict[tuple[str | int, ...], str]) -> Any:
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
    for part, value in parcel.parts().items():
        if _travels(value):
            continue
        through, name, held = _culprit(value)
        if not name:
            return f"`{part}` cannot travel to another process: {exc}; run in this process (leave --detach out)"
        kind = f"{type(held).__module__}.{type(held).__qualname__}"
        by = "".join(f" through `{t}`" for t in through)
        return f"`{part}` cannot travel to another process: it holds on to `{name}`{by}, a {kind}; {way_out}"
    return f"the run cannot travel to another process: {exc}; run in this process (leave --detach out)"


def _culprit(value: object) -> tuple[list[str], str, Any]:
    """Follow what does not travel to the last thing that has a name: the names on the way, its own, it itself."""
    through: list[str] = []
    name, held, met = "", value, {id(value)}
    while True:
        culprit = next(((n, h) for n, h in _held(held) if id(h) not in met and not _travels(h)), None)
        if culprit is None:
            return through, name, held
        through += [name] if name else []
        name, held = culprit
        met.add(id(held))


def _travels(value: object) -> bool:
    try:
        _dumps(value)
    except Exception:  # noqa: BLE001  any reason is an answer
        return False
    return True


def _held(value: object) -> list[tuple[str, Any]]:
    """List what a function closes over or reads from its module, or what an object carries."""
    if isinstance(value, types.MethodType):
        return [("self", value.__self__), *_held(value.__func__)]
    if inspect.isfunction(value):
        world = value.__globals__
        return [*closed_over(value).items(), *((n, world[n]) for n in value.__code__.co_names if n in world)]
    if isinstance(value, dict):
        return [(str(k), v) for k, v in value.items()]
    if isinstance(value, list | tuple):
        return [(f"[{n}]", v) for n, v in enumerate(value)]
    cls = value if isinstance(value, type) else type(value)
    methods = [m for m in vars(cls).values() if inspect.isfunction(m)]
    return [*getattr(value, "__dict__", {}).items(), *(pair for m in methods for pair in _held(m))]
