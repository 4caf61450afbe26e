"""What to do about a training set, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.format import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillfleet_nb.data.findings import Likeness, Suspect
    from skillfleet_nb.data.gaps import Gap, Region

_MOST = 10  # exact conflicts that are told one by one


def recommend(
    low: Sequence[int],
    poor: Sequence[int],
    gaps: Sequence[Gap],
    regions: Sequence[Region],
    conflicts: Sequence[Likeness],
    duplicates: Sequence[Likeness],
    suspects: Sequence[Suspect],
    never_solved: Sequence[int],
    harmful: Sequence[int],
    singles: Mapping[str, Sequence[str]],
) -> list[str]:
    """Say what to do, most urgent first.

    Parameters
    ----------
    low
        Rows of low quality, worst first.
    poor
        Rows that a judge grades below 0.5, worst first.
    gaps, regions, conflicts, duplicates, suspects, never_solved
        Parts of the report.
    harmful
        Rows whose estimated influence is below 0, interval and all, worst first.
    singles
        By field, the values that have one row.
    """
    advice = [
        f"labels {_listed(c.rows)} conflict: the same input, {_listed(sorted(set(map(str, c.labels))))}"
        for c in [c for c in conflicts if c.exact][:_MOST]
    ]
    near = [c for c in conflicts if not c.exact]
    if near:
        first = near[0]
        advice.append(
            f"{counted(len(near), 'pair')} of nearly equal inputs with different labels: "
            f"labels {_listed(first.rows)} conflict first of all"
        )
    if suspects:
        s = suspects[0]
        advice.append(
            f"{counted(len(suspects), 'likely label error')}: {_see([x.row for x in suspects])}; row {s.row} "
            f"says {s.label!r} and reads like {s.suggested!r}"
        )
    if low:
        advice.append(f"{counted(len(low), 'low-quality example')}: {_see(low)}; mend or drop them")
    if poor:
        advice.append(f"{counted(len(poor), 'example')} the judge grades below 0.5: {_see(poor)}")
    exact = [d for d in duplicates if d.exact]
    if exact:
        advice.append(
            f"{counted(len(exact), 'group')} of exact repeats: drop all but one, first rows {_listed(exact[0].rows)}"
        )
    advice += [gap.text() for gap in gaps]
    advice += [region.text() for region in regions]
    advice += missing(singles, never_solved)
    if harmful:
        advice.append(
            f"{counted(len(harmful), 'example')} that lowered scores as a demo (an estimate): {_see(harmful)}"
        )
    return advice


def missing(singles: Mapping[str, Sequence[str]], never_solved: Sequence[int]) -> list[str]:
    """Say which values have one row only, and which rows nothing has solved."""
    advice = [
        f"{counted(len(values), 'value')} of {field} {'has' if len(values) == 1 else 'have'} a single example "
        f"({_listed(values[:5])}): no split can learn and test them"
        for field, values in singles.items()
    ]
    if never_solved:
        advice.append(f"{counted(len(never_solved), 'example')} that no candidate ever solved: {_see(never_solved)}")
    return advice


def _see(rows: Sequence[int]) -> str:
    return f"see {'row' if len(rows) == 1 else 'rows'} {_listed(rows[:5])}"


def _listed(values: Sequence[object]) -> str:
    words = [str(v) for v in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
