"""What the tabs of the training-set view say, as HTML that needs no script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.format import one_line
from skillfleet_nb.html import fill, items, join, table

if TYPE_CHECKING:
    from markupsafe import Markup

    from skillfleet_nb.data import TrainsetReport

_SHOWN = 25


def facts(report: TrainsetReport) -> Markup:
    """Notes, what to do, and the best examples."""
    parts = [items(report.notes, title="Notes")] if report.notes else []
    parts += [items(report.recommendations, title="What to do")] if report.recommendations else []
    best = [[str(p.row), f"{p.score:.3f}", p.name] for p in report.top_performers]
    return join([*parts, table(["row", "rank", "example"], best, title="Best examples", numeric=[0, 1])])


def twins(report: TrainsetReport) -> Markup:
    """Rows that contradict or repeat each other, group by group."""
    texts = {row: one_line(text) for row, text in zip(report.examples["row"], report.examples["text"], strict=True)}
    parts = []
    for title, groups in (("Conflicts", report.conflicts), ("Duplicates", report.duplicates)):
        rows = [
            [f"{f.similarity:.3f}" if i == 0 else "", str(row), str(label), texts[row]]
            for f in groups[:_SHOWN]
            for i, (row, label) in enumerate(zip(f.rows, f.labels, strict=True))
        ]
        more = f", {_SHOWN} shown" if len(groups) > _SHOWN else ""
        if rows:
            head = f"{title}: {len(groups):,}{more}"
            parts.append(table(["cosine", "row", "label", "example"], rows, title=head, numeric=[0, 1]))
        else:
            parts.append(fill("<div>no {}</div>", title.lower()))
    return join(parts)


def history(report: TrainsetReport) -> Markup:
    """What runs came to on each example, and its estimated influence as a demo."""
    frame = report.examples.assign(example=report.examples["text"].map(one_line))
    seen = frame[frame["runs"] > 0].sort_values(["success", "row"])
    parts = [fill("<div>no run has scored these examples: success is 0.5 for all of them</div>")]
    if len(seen):
        columns = ["row", "runs", "trials", "solved", "success", "quality", "example"]
        rows = [
            [f"{v:.3f}" if isinstance(v, float) else str(v) for v in line]
            for line in seen[columns].head(_SHOWN).itertuples(index=False)
        ]
        title = f"{len(seen):,} examples that runs have scored, least successful first"
        parts = [table(columns, rows, title=title, numeric=range(6))]
    title, header, rows, numeric = report.influence_table(_SHOWN)
    if rows:
        parts.append(table(header, rows, title=title.capitalize(), numeric=numeric))
    else:
        none = "no influence can be estimated: fewer than 8 candidates with these examples as demos"
        parts.append(fill("<div>{}</div>", none))
    return join(parts)
