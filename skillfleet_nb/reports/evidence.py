"""What speaks for and against moving an alias."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from skillfleet_nb.stats import paired_comparison
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from skillfleet_nb.programs.registry import Move, ProgramVersion, Registry
    from skillfleet_nb.store import Store


@dataclass(frozen=True)
class Evidence:
    """How a version compares with the one that an alias stands for.

    Attributes
    ----------
    text
        What is known, in a sentence.
    objection
        Why the alias should not be moved; None where nothing speaks against it.
    moves
        How many moves of the alias it takes into account.
    """

    text: str
    objection: str | None = None
    moves: int = 0


def evidence(store: Store, registry: Registry, name: str, alias: str, version: int) -> Evidence:
    """Compare a version with the one that an alias stands for; raises `NotFoundError` where there is none."""
    # counted first: what is moved meanwhile makes it out of date
    moves = len(registry.history(name, alias)) if alias in registry.aliases(name) else 0
    return replace(_compared(store, registry, name, alias, version), moves=moves)


def _compared(store: Store, registry: Registry, name: str, alias: str, version: int) -> Evidence:
    new = registry.find(f"{name}@{version}")
    if alias not in registry.aliases(name):
        scored = "" if new.is_scored else "; it was not scored on a test split"
        return Evidence(f"{alias} is new, and there is nothing to compare {new.ref} with{scored}")
    old = registry.find(f"{name}@{alias}")
    if old.version == new.version:
        return Evidence(f"{name}@{alias} stands for version {version} already")
    if why := not_comparable(old, new):
        return Evidence(f"versions {old.version} and {new.version} cannot be compared: {why}", why)
    before, after = (tested(queries.program_scores(store, str(v.job_id), v.program_id)) for v in (old, new))
    if set(before.index) != set(after.index):
        why = "they were tested on different examples"
        return Evidence(f"versions {old.version} and {new.version} cannot be compared: {why}", why)
    by = paired_comparison(before.tolist(), after[before.index].tolist())
    objection = f"its sealed test is lower: {by.sentence()}" if by.delta < 0 else None
    return Evidence(f"version {old.version} to {new.version}: {by.sentence()}", objection)


def tested(scores: pd.DataFrame) -> pd.Series[float]:
    """Return a program's score on each example of the test split, asked once or in several attempts."""
    by_example: pd.Series[float] = scores[scores.split == "test"].groupby("example_id").score.mean()
    return by_example


def not_comparable(old: ProgramVersion, new: ProgramVersion) -> str | None:
    """Say why two versions cannot be compared; None where they can."""
    for version in (new, old):
        if not version.is_scored:
            return f"version {version.version} was not scored on a test split"
    if old.setup.get("metric_hash") != new.setup.get("metric_hash"):
        return f"they were scored by different metrics ({old.setup.get('metric')}, {new.setup.get('metric')})"
    if old.setup.get("data", {}).get("test") != new.setup.get("data", {}).get("test"):
        return "they were tested on different data"
    return None


def stood_before(moves: Sequence[Move]) -> int | None:
    """Return the version that an alias stood for before its present one, rollbacks undone."""
    stood: list[int] = []
    for move in moves:
        if move.how == "rollback" and move.version in stood:
            del stood[stood.index(move.version) + 1 :]
        else:
            stood.append(move.version)
    return stood[-2] if len(stood) > 1 else None
