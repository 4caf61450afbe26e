"""The knowledge base of a home: what people noted, and which insights they pinned."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError, JobError, unknown
from skillfleet_nb.events.insights import KNOWLEDGE, InsightDecided, NoteKept
from skillfleet_nb.format import expanded, one_line, points_change
from skillfleet_nb.lm.embed import Embedder
from skillfleet_nb.messages import as_typed
from skillfleet_nb.store import Journal, Trail, queries
from skillfleet_nb.store.people import person

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd

    from skillfleet_nb.events.insights import Decision
    from skillfleet_nb.insights.insight import Insight, Insights
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Store

_WAIT_S = 10.0  # for others who write at this moment
_LONGEST = 4000  # characters of a note
_COLUMNS = ["id", "kind", "text", "jobs", "by", "at"]


class Knowledge:
    """Notes and pinned insights of a home.

    Parameters
    ----------
    store
        Of the home.
    find
        Finds a job by its name or id.
    insights
        Finds what the runs say now, what was dismissed too.
    """

    def __init__(self, store: Store, find: Callable[[Job | str], Job], insights: Callable[[], Insights]) -> None:
        self._store, self._find, self._insights = store, find, insights

    @property
    def names(self) -> list[str]:
        """Ids of the notes, the oldest first."""
        return [str(one) for one in queries.notes(self._store)["note_id"]]

    def add(self, text: str, evidence: Sequence[Job | str] = ()) -> str:
        """Keep a note, with the jobs that show it; returns its id.

        Raises
        ------
        InputError
            If it is empty or too long.
        NotFoundError
            If there is no such job.
        """
        words = text.strip()
        if not words or len(words) > _LONGEST:
            raise InputError(f"a note of {len(words)} characters: write 1 to {_LONGEST:,}")
        jobs = tuple(dict.fromkeys(self._find(job).id for job in evidence))
        note_id = f"n-{uuid.uuid4().hex[:8]}"
        self._write(NoteKept(note_id=note_id, text=words, jobs=jobs, by=person()))
        return note_id

    def remove(self, note_id: str) -> str:
        """Take a note away, and return what it said; raises `NotFoundError`."""
        notes = queries.notes(self._store)
        mine = notes[notes["note_id"] == note_id]
        if mine.empty:
            raise unknown("note", note_id, notes["note_id"])
        self._write(NoteKept(note_id=note_id, by=person(), removed=True))
        return str(mine["text"].iloc[0])

    def listing(self) -> pd.DataFrame:
        """List the pinned insights and the notes, the oldest first: `id`, `kind`, `text`, `jobs`, `by`, `at`.

        `kind` of an insight is its confidence when it was pinned; it stays here though runs no longer support it.
        """
        import pandas as pd

        notes = queries.notes(self._store)
        pins = queries.pinned_insights(self._store)
        parts = [
            notes.rename(columns={"note_id": "id", "noted_by": "by"}).assign(kind="note"),
            pins.rename(columns={"insight_id": "id", "decided_by": "by"}).assign(
                kind=[f"pinned, {confidence}" for confidence in pins["confidence"]]
            ),
        ]
        full = [part[_COLUMNS] for part in parts if len(part)]
        if not full:
            return pd.DataFrame(columns=_COLUMNS)
        return pd.concat(full).sort_values(["at", "id"], kind="stable").reset_index(drop=True)

    def search(self, query: str, limit: int = 10) -> pd.DataFrame:
        """Find what is nearest in meaning, the nearest first; columns of :meth:`listing`, and `similarity`.

        Raises
        ------
        InputError
            If there is nothing to look for, or none may be listed.
        JobError
            If nothing was noted yet.
        MissingExtraError
            If there is no model to embed with.
        """
        if not query.strip():
            raise InputError("search for what? Give a few words, such as 'labels and temperature'")
        if limit < 1:
            raise InputError(f"limit {limit}: give 1 or more")
        listed = self.listing()
        if listed.empty:
            raise JobError(f"nothing is noted or pinned yet: {as_typed('notes add TEXT')} keeps a note")
        texts = listed["text"].tolist()
        vectors = Embedder.of(self._store.home)([query, *texts])
        ranked = listed.assign(similarity=(vectors[1:] @ vectors[0]).round(3))
        return ranked.sort_values("similarity", ascending=False, kind="stable").head(limit).reset_index(drop=True)

    def export(self, path: str | Path) -> Path:
        """Write the knowledge base as Markdown, with the runs that show each; raises `InputError`."""
        target = expanded(path)
        if target.suffix.lower() != ".md":
            raise InputError(f"{target.name!r} is no Markdown: end it in .md")
        text = self.markdown()
        try:
            target.write_text(text, "utf-8")
        except OSError as exc:
            raise InputError(f"cannot write {str(target)!r}: {exc.strerror}; give a folder that exists") from exc
        Trail(self._store.home).record("export", str(target), "notes")
        return target

    def markdown(self) -> str:
        """Return it as Markdown."""
        listed = self.listing()
        ids = {job for jobs in listed["jobs"] for job in jobs}
        jobs = {str(r["job_id"]): r for r in queries.jobs(self._store, ids=ids).to_dict("records")} if ids else {}
        lines = ["# What the runs say", ""]
        for title, is_note in (("Pinned insights", False), ("Notes", True)):
            part = listed[(listed["kind"] == "note") == is_note]
            if part.empty:
                continue
            lines += [f"## {title}", ""]
            for row in part.to_dict("records"):
                lines += _entry(row, jobs)
        return "\n".join(lines if len(listed) else [*lines, "Nothing is noted or pinned yet."]).rstrip() + "\n"

    def decide(self, insight_id: str, decision: Decision | None) -> Insight:
        """Accept, dismiss or pin an insight, or take that back; returns it as decided.

        Raises
        ------
        NotFoundError
            If the runs say nothing under this id now.
        """
        now = self._insights()
        insight = now.find(insight_id)
        if insight is None:
            raise unknown("insight", insight_id, [one.id for one in now.insights])
        self._write(
            InsightDecided(
                insight_id=insight_id, decision=decision, text=insight.text, confidence=insight.confidence,
                jobs=insight.jobs, query=insight.query, by=person(),
            )
        )  # fmt: skip
        return insight.model_copy(update={"decision": decision})

    def _write(self, event: NoteKept | InsightDecided) -> None:
        with Journal(self._store.home, KNOWLEDGE, wait_s=_WAIT_S, join=True) as journal:
            journal.append(event, sync=True)


_MOST_JOBS = 12  # of an entry


def _entry(row: dict[Any, Any], jobs: dict[str, dict[Any, Any]]) -> list[str]:
    text = one_line(_plain(str(row["text"])), _LONGEST)
    lines = [f"- {text}", f"  *{row['kind']}, {row['by']}, {row['at']:%Y-%m-%d}*"]
    shown = [jobs[job] for job in row["jobs"] if job in jobs]
    for job in shown[:_MOST_JOBS]:
        gain = points_change(job["test_delta"], "not tested")
        lines.append(f"  - `{one_line(str(job['name']), 60).replace('`', '')}`, {job['optimizer']}: {gain} points")
    if len(shown) > _MOST_JOBS:
        lines.append(f"  - and {len(shown) - _MOST_JOBS} more")
    return [*lines, ""]


def _plain(text: str) -> str:
    """Keep Markdown from reading a person's words as marks."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|" else c for c in text)
