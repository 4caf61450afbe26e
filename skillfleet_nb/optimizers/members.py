"""Several searches of one run: which optimizers make them, on which threads they run, and what each has found."""

from __future__ import annotations

import json
import random
import threading
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator
from typing_extensions import override

from skillfleet_nb.errors import InputError, PluginError, SkillfleetError
from skillfleet_nb.lm.shares import ShareEnded
from skillfleet_nb.optimizers.base import Optimizer, OptimizerParams, Task
from skillfleet_nb.optimizers.registry import create, load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.optimizers.base import SideBySide
    from skillfleet_nb.optimizers.rehearsal import Shape
    from skillfleet_nb.typing import Program

FEWEST = 2  # members
_RESAMPLES = 2000


class MembersParams(OptimizerParams):
    """Parameters that every optimizer of several searches has."""

    members: tuple[str, ...] = Field((), description='optimizers, each alone or at a size: "gepa", "miprov2 medium"')
    settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description='parameters of members by name: {"gepa": {"auto": "light"}}'
    )
    skip: bool = Field(default=False, description="go on without members that cannot do the task")

    @field_validator("members", mode="before")
    @classmethod
    def _split(cls, members: object) -> object:
        return [name.strip() for name in members.split(",") if name.strip()] if isinstance(members, str) else members

    @field_validator("settings", mode="before")
    @classmethod
    def _read(cls, settings: object) -> object:
        if not isinstance(settings, str):
            return settings
        try:
            return json.loads(settings)
        except ValueError:
            typed = '--set \'settings={"gepa": {"auto": "light"}}\''
            raise ValueError(
                f"parameters of members by name are JSON, in quotes where they are typed: {typed}"
            ) from None


@dataclass
class Search:
    """One search: what makes it, the thread it runs on, and what became of it."""

    name: str
    find: Callable[[Task], Program | None]
    program: Program | None = None
    error: BaseException | None = None
    has_ended: bool = False
    thread: threading.Thread | None = field(default=None, repr=False)

    def begin(self, task: Task, *, start: Program | None = None) -> None:
        """Search on a thread of its own, from a copy of `start` or of the task's program."""
        program = task.program if start is None else start
        own = replace(task, program=program.deepcopy(), say=lambda text: task.say(f"{self.name}: {text}"))

        def work() -> None:
            try:
                with lanes_of(task).open(self.name, start=start):
                    self.program = self.find(own)
            except BaseException as exc:  # noqa: BLE001  told for the member, or raised by whoever waits
                self.error = exc
            finally:
                self.has_ended = True
                lanes_of(task).over(self.name)

        self.thread = threading.Thread(
            target=copy_context().run, args=(work,), name=f"skillfleet-{self.name}", daemon=True
        )
        self.thread.start()

    def join(self) -> None:
        """Wait for its end."""
        if self.thread is not None:
            self.thread.join()


class OfMembers(Optimizer):
    """Base of optimizers that make several searches within one run."""

    changes = frozenset({"instructions", "demos"})
    presets = ()
    has_members = True
    Params = MembersParams
    params: MembersParams

    def optimizers(self) -> dict[str, Optimizer]:
        """Make the members, by name."""
        return {name: made(name, self.params.settings.get(name, {})) for name in self.params.members}

    @property
    @override
    def maximum_members(self) -> frozenset[str]:
        return frozenset(name for name, optimizer in self.optimizers().items() if optimizer.takes_maximum)

    @override
    def check(self, task: Task) -> None:
        super().check(task)
        names = self.params.members
        if len(set(names)) < max(FEWEST, len(names)):
            raise InputError(f"{self.name}: members = {', '.join(names) or 'none'}: name two or more, each once")
        if strangers := self.params.settings.keys() - set(names):
            raise InputError(f"{self.name}: settings names {min(strangers)!r}, which is no member: {', '.join(names)}")
        refusals = self.refusals(task)
        if refusals and (not self.params.skip or len(names) - len(refusals) < FEWEST):
            name, why = next(iter(refusals.items()))
            way_out = "name others" if self.params.skip else "leave it out, or go on without it with skip=true"
            raise InputError(f"{self.name}: member {name!r} cannot do this task ({why}): {way_out}")

    def refusals(self, task: Task) -> dict[str, SkillfleetError]:
        """Say which members cannot do a task, and why."""
        refused: dict[str, SkillfleetError] = {}
        for name, optimizer in self.optimizers().items():
            if optimizer.has_members or optimizer.name == "knn_fewshot":
                raise InputError(f"{self.name}: {name!r} cannot be a member: choose optimizers of one search")
            try:
                optimizer.try_check(task)
            except (InputError, PluginError) as exc:
                refused[name] = exc
        return refused

    def able(self, task: Task) -> dict[str, Optimizer]:
        """Return the members that can do a task, ready for threads of their own.

        What they import is imported here: modules that several threads import at once are met half made.
        """
        refused = self.refusals(task)
        members = {name: optimizer for name, optimizer in self.optimizers().items() if name not in refused}
        for optimizer in members.values():
            optimizer.build(task)
        return members

    @override
    def least_calls(self, shape: Shape) -> int:
        return min(optimizer.expected_calls(shape).low for optimizer in self.optimizers().values())

    @override
    def build(self, task: Task) -> Any:
        return self


def made(name: str, settings: Mapping[str, Any]) -> Optimizer:
    """Make a member: an optimizer alone, or one at a size that it declares."""
    optimizer, _, size = name.partition(" ")
    cls = load(optimizer)
    sizes = {preset.size: preset.params for preset in cls.presets if preset.size}
    if size and size not in sizes:
        sizes_allowed = f"one of {', '.join(sizes)}" if sizes else "none: it has one size"
        raise InputError(f"member {name!r}: {size!r} is no size of {optimizer}, give {sizes_allowed}")
    return create(optimizer, {**sizes.get(size, {}), **settings})


def lanes_of(task: Task) -> SideBySide:
    """Return what a run counts and shares several searches with."""
    if task.lanes is None:
        raise RuntimeError("several searches need a run that counts them: start it with fleet.optimize")
    return task.lanes


def stop_of(searches: Sequence[Search]) -> BaseException | None:
    """Return what stopped the whole run in one of its searches; that the share of one ended stops none other."""
    return next((s.error for s in searches if s.error and not isinstance(s.error, Exception | ShareEnded)), None)


def optimism_of(scores: Sequence[Sequence[float]], seed: int) -> float:
    """Return by how much the mean of the best of several flatters it, in [0, 1]: the bootstrap's bias.

    In each resample of the examples the best one there is chosen, and its mean there compared with the one it has.

    Examples
    --------
    >>> optimism_of([[1.0, 0.0, 1.0, 0.0]], 0) < 0.02 < optimism_of([[1.0, 0.0] * 10, [0.0, 1.0] * 10], 0)
    True
    """
    rng, n = random.Random(seed), len(scores[0])
    means = [fmean(own) for own in scores]
    gained = 0.0
    for _ in range(_RESAMPLES):
        rows = rng.choices(range(n), k=n)
        drawn = [fmean([own[k] for k in rows]) for own in scores]
        top = max(range(len(scores)), key=drawn.__getitem__)
        gained += drawn[top] - means[top]
    return max(0.0, gained / _RESAMPLES)
