"""Examples that no run of a task has solved, and whether chance explains them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skillfleet_nb.store import queries

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.store import Store

_LEAST_RUNS = 4  # that an example was in


@dataclass(frozen=True)
class Unsolved:
    """Examples of a task that none of at least `runs` runs solved; `p_value` is of so many by chance."""

    task: str
    examples: int
    example_ids: tuple[str, ...]
    runs: int
    p_value: float


def unsolved(store: Store, tasks: set[str] | None = None) -> list[Unsolved]:
    """Look at each task's examples; only at those of some tasks where these are named."""
    frame = queries.unsolved_examples(store)
    parts = frame[frame["runs"] >= _LEAST_RUNS].groupby("task")
    looked = [_of_task(str(task), part) for task, part in parts if tasks is None or task in tasks]
    return [one for one in looked if one is not None]


def _of_task(task: str, part: pd.DataFrame) -> Unsolved | None:
    """Count examples that nothing solved.

    Were all alike, an example in k runs would go unsolved with chance (1 - p) ** k, p being the share of runs that
    solve an example; the number of those among all is then at least as large as it is with the chance returned
    (Poisson's, which errs to the safe side: the sum of unequal chances varies less).
    """
    from scipy.special import gammainc

    never = part[part["solved_runs"] == 0]
    if never.empty or len(never) == len(part):
        return None
    share = float(part["solved_runs"].sum() / part["runs"].sum())
    expected = float(((1 - share) ** part["runs"].astype(float)).sum())
    ids = tuple(never["example_id"])
    chance = float(gammainc(len(ids), expected))
    return Unsolved(task, len(part), ids, int(never["runs"].min()), chance)
