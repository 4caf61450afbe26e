"""What may be resumed, and as what: the rules of a further attempt at a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, JobError
from skillfleet_nb.events import JobState, StopKind
from skillfleet_nb.format import shortened
from skillfleet_nb.runs.spec import LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skillfleet_nb.runs.jobs.attempts import EarlierAttempts
    from skillfleet_nb.runs.jobs.progress import Progress
    from skillfleet_nb.runs.spec import Spec

_SAME = {
    "program_hash": "the program",
    "metric_hash": "the metric",
    "optimizer": "the optimizer",
    "params": "the optimizer's parameters",
    "lm": "the LM",
    "prompt_lm": "the prompt LM",
    "seed": "the seed",
}


def refuse_finished(p: Progress, limits: Mapping[str, float]) -> None:
    """Refuse a job that runs, or has nothing left to do under these limits.

    Raises
    ------
    JobError
        Saying what can be done instead.
    """
    if not p.state.is_finished():
        raise JobError(f"job {p.name!r} is {p.state}: watch it, or cancel it before it is resumed")
    if p.stop_kind is not StopKind.BUDGET:
        if p.state is not JobState.COMPLETED:
            return
        raise JobError(f"job {p.name!r} is complete: there is nothing left to resume; --as-new starts it over")
    if not limits:
        raise JobError(f"job {p.name!r} stopped at its {p.stop_reason}: give a larger limit, for example --budget")


def refuse_spent(name: str, limits: Mapping[str, float], history: EarlierAttempts) -> None:
    """Refuse limits that the attempts so far have used up.

    Raises
    ------
    JobError
        Naming the limit and what was used of it.
    """
    spent = history.spent
    used = {"usd": spent.cost_usd, "calls": spent.calls, "tokens": spent.tokens, "minutes": history.seconds / 60}
    for what, limit in limits.items():
        before = used[what] or 0
        if before >= limit:
            raise JobError(f"job {name!r} has used {before:,.4g} of {LIMITS[what]} = {limit:g}: give more")


def refuse_changes(name: str, recorded: Mapping[str, Any], spec: Spec) -> None:
    """Refuse to resume a job as something else than it was, or where nothing can be replayed.

    Raises
    ------
    InputError
        Naming everything that changed, with the hash before and after.
    """
    now = spec.model_dump(mode="json")
    changed = [
        f"{word} ({_short(recorded[key])} → {_short(now[key])})"
        for key, word in _SAME.items()
        if recorded.get(key) != now[key]
    ]
    for split, before in recorded.get("data_hashes", {}).items():
        if now["data_hashes"].get(split) != before:
            changed.append(f"the {split} set ({_short(before)} → {_short(now['data_hashes'].get(split))})")
    if changed:
        raise InputError(
            f"the job was started with another set-up; changed: {', '.join(changed)}: give the same, "
            "or start a new job with --as-new"
        )
    if not spec.cached:
        raise InputError(
            f"job {name!r} cannot be replayed: the cache of DSPy or of {spec.lm!r} is off; "
            "--as-new starts it over and pays again"
        )


def _short(value: Any) -> str:
    return shortened(str(value), 24)
