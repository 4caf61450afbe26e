"""What an optimizer does in the process of its run, watched from around its ``compile``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.lm.faults import in_short
from skillfleet_nb.lm.limits import RunStopped
from skillfleet_nb.store.home import atomic_write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skillfleet_nb.optimizers import Optimizer, Task
    from skillfleet_nb.typing import Program

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = {"os.mkdir": 0, "os.remove": 0, "os.rename": 1, "os.rmdir": 0, "os.link": 1, "os.symlink": 1}
"""Events of the interpreter that change files, and at which argument the path is."""
_OF_THE_SYSTEM = ("/dev/", "/proc/", "/sys/")
_IN_MEMORY = "/dev/shm/"  # noqa: S108  people keep files there


@dataclass
class Watched:
    """What was seen.

    Attributes
    ----------
    ended
        ``"returned"``, ``"stopped"`` by the run, ``"raised"`` with `error`, or empty: it has not.
    written
        Files that it wrote outside of its task.
    changed
        What it changed that is not its own, in words.
    scored
        How many answers to validation examples the metric was asked about.
    program
        What the returned program says and shows, by content.
    bought
        Calls that reached the model.
    refused
        Predictions that it asked for after the run had stopped.
    """

    ended: str = ""
    error: str = ""
    written: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    scored: int = 0
    program: str = ""
    bought: int = 0
    refused: int = 0

    @classmethod
    def read(cls, file: Path) -> Watched:
        """Read what a run left; empty where it left nothing."""
        try:
            return cls(**json.loads(file.read_text("utf-8")))
        except FileNotFoundError:
            return cls()

    def keep(self, file: Path) -> None:
        """Write it, whole or not at all."""
        atomic_write(file, json.dumps(asdict(self)).encode())


def opened(folder: str) -> type[Optimizer]:
    """Return the optimizer of a sandbox, watched; its runs have a cache and temporary files of their own there."""
    import cloudpickle

    cls, name, asker = cloudpickle.loads(Path(folder, "class.pickle").read_bytes())
    if os.getpid() != asker:
        import dspy

        dspy.configure_cache(disk_cache_dir=str(Path(folder, "cache")))
        tempfile.tempdir = tempfile.mkdtemp(dir=folder)
    return _watched(cls, name, asker)


def _watched(cls: type[Optimizer], name: str, asker: int) -> type[Optimizer]:
    """Return an optimizer under another name which is watched as it runs, but in the process `asker`."""

    def compile_(self: Optimizer, task: Task) -> Program:
        if os.getpid() == asker:
            return cls.compile(self, task)
        return _watch(lambda: cls.compile(self, task), task)

    return type(cls.__name__, (cls,), {"name": name, "compile": compile_, "__module__": __name__})


def _watch(work: Callable[[], Program], task: Task) -> Program:
    import dspy

    metric: Any = task.metric
    seen, file = Watched(), Path(metric.fn.report)
    texts = {example.text for example in task.val}
    scored, bought = sum(metric.fn.asked[text] for text in texts), metric.fn.engine.calls
    before, signatures = _state(task), [(p.signature, _said(p.signature)) for p in task.program.predictors()]
    hook = _Hook(file.parent)
    sys.addaudithook(hook)
    seen.keep(file)
    refusals = _refusals()
    try:
        with dspy.context(callbacks=[*dspy.settings.callbacks, refusals]):
            program = work()
        seen.ended, seen.program = "returned", _content(program)
    except RunStopped:
        seen.ended = "stopped"
        raise
    except BaseException as exc:
        seen.ended, seen.error = "raised", in_short(exc)
        raise
    finally:
        hook.paths, seen.written = None, sorted(set(hook.paths or []))
        after = _state(task)
        seen.changed = [what for what in before if before[what] != after[what]]
        seen.changed += [f"signature {s.__name__} of the given program" for s, said in signatures if _said(s) != said]
        seen.scored = sum(metric.fn.asked[text] for text in texts) - scored
        seen.refused = refusals.count
        seen.bought = metric.fn.engine.calls - bought
        seen.keep(file)
    return program


def _refusals() -> Any:
    """Make what counts the predictions that are refused."""
    from dspy.utils.callback import BaseCallback

    class Refusals(BaseCallback):  # type: ignore[misc]  # dspy is untyped
        count = 0

        def on_module_end(self, call_id: str, outputs: object, exception: BaseException | None = None) -> None:
            del call_id, outputs
            self.count += isinstance(exception, RunStopped)

    return Refusals()


class _Hook:
    """Hears of every file that is written; one cannot be taken away again, so it is made deaf."""

    def __init__(self, own: Path) -> None:
        self._own = f"{own}{os.sep}"
        self.paths: list[str] | None = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.paths is None or (event != "open" and event not in _CHANGING):
            return
        for path in _written(event, arguments):
            whole = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  it need not be there any more
            device = whole.startswith(_OF_THE_SYSTEM) and not whole.startswith(_IN_MEMORY)
            if not device and not whole.startswith(self._own) and "__pycache__" not in whole:
                self.paths.append(whole)


def _written(event: str, arguments: tuple[Any, ...]) -> Iterator[Any]:
    path = arguments[_CHANGING.get(event, 0)]
    if not isinstance(path, str | bytes | os.PathLike):
        return
    if event != "open" or (isinstance(arguments[2], int) and arguments[2] & _WRITING):
        yield path


def _state(task: Task) -> dict[str, Any]:
    """Return what is not the optimizer's to change, by its name for people."""
    import dspy

    of_dspy = {f"dspy.settings.{name}": value for name, value in dspy.settings.copy().items() if name != "trace"}
    examples = {f"the {split} examples": [dict(e) for e in getattr(task, split)] for split in ("train", "val")}
    names = {f"${name}": value for name, value in os.environ.items()}
    return {**{name: id(value) for name, value in of_dspy.items()}, **examples, **names, "the folder": str(Path.cwd())}


def _content(program: Program) -> str:
    from skillfleet_nb.data.identity import content_hash

    parts = [[*_said(p.signature), [dict(demo) for demo in p.demos]] for p in program.predictors()]
    return content_hash(json.loads(json.dumps(parts, default=str)))


def _said(signature: Any) -> Any:
    fields = {name: f.json_schema_extra.get("desc") for name, f in signature.fields.items()}
    return signature.instructions, fields
