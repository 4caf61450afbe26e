"""What stands where a run has its optimizer, in jobs that search for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from skillfleet_nb.optimizers import Calls, Optimizer

if TYPE_CHECKING:
    from skillfleet_nb.optimizers import Shape, Task
    from skillfleet_nb.typing import Program


class NoSearch(Optimizer):
    """Changes nothing and asks nothing; a subclass names the job."""

    changes, presets = frozenset(), ()

    @override
    def calls(self, shape: Shape) -> Calls:
        del shape
        return Calls(0, 0)

    @override
    def build(self, task: Task) -> Any:
        raise NotImplementedError

    @override
    def compile(self, task: Task) -> Program:
        return task.program
