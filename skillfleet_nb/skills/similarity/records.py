"""What the similarity index returns: frozen records that show themselves as text, HTML and JSON."""

from __future__ import annotations

from shlex import quote
from typing import Literal

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.format import counted, seen_from_here
from skillfleet_nb.html import Readable, preformatted, table
from skillfleet_nb.messages import as_typed


def how_to_build(root: str | None) -> str:
    """Return the line that builds the index of a tree, which is not always known."""
    return as_typed(f"skill index build --root {quote(seen_from_here(root)) if root else 'FOLDER'}")


class IndexResult(Readable, BaseModel):
    """A frozen result that shows itself as text and as HTML."""

    model_config = ConfigDict(frozen=True)

    def text(self) -> str:
        """Return the result as plain text."""
        raise NotImplementedError

    def html(self) -> str:
        """Show it as HTML."""
        return preformatted(self.text())


class Match(BaseModel):
    """A skill of the index: `score` is a cosine in [-1, 1], `reason` names what is shared."""

    model_config = ConfigDict(frozen=True)

    name: str
    path: str
    description: str
    score: float
    reason: str


class SimilarResult(IndexResult):
    """The best matches of a query, best first, and what to do about them.

    `verdict` is ``"extend NAME"``, ``"related"`` or ``"new"``: best score at least `EXTEND`, at least
    `RELATED`, or below.
    """

    query: str
    matches: tuple[Match, ...]
    verdict: str

    def text(self) -> str:
        """Return the verdict and one line for each match."""
        lines = [f"{m.score:5.2f}  {m.name}  ({m.path}): {m.reason}" for m in self.matches]
        return "\n".join([f"{self.verdict}  ← {self.query!r}", *lines])

    def html(self) -> str:
        """Show it as HTML."""
        rows = [[f"{m.score:.2f}", m.name, m.path, m.description, m.reason] for m in self.matches]
        title = f"{self.query}: {self.verdict}"
        return table(["score", "skill", "path", "description", "reason"], rows, title=title, numeric=[0])


class Duplicate(BaseModel):
    """Two skills that say nearly the same; `score` is the mean cosine of their heads and bodies."""

    model_config = ConfigDict(frozen=True)

    first: str
    second: str
    score: float
    reason: str


class DuplicateReport(IndexResult):
    """Near-duplicate pairs of a whole tree, most alike first."""

    threshold: float
    skills: int
    pairs: tuple[Duplicate, ...]

    def text(self) -> str:
        """Return one line for each pair."""
        pairs = counted(self.pairs, "near-duplicate pair")
        head = f"{pairs} among {counted(self.skills, 'skill')} (score ≥ {self.threshold})"
        return "\n".join([head, *(f"{p.score:5.2f}  {p.first} ~ {p.second}: {p.reason}" for p in self.pairs)])


class BuildReport(IndexResult):
    """What a build or an update did; `problems` are skills that could not be read, with the reason."""

    root: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    embedded: int = 0
    problems: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0

    def text(self) -> str:
        """Return the counts as one line, and one line for each problem."""
        counts = f"{self.added} added, {self.changed} changed, {self.removed} removed, {self.unchanged} unchanged"
        head = (
            f"{seen_from_here(self.root)}: {counts}; {counted(self.embedded, 'text')} embedded in {self.seconds:.1f} s"
        )
        return "\n".join([head, *(f"could not read {path}: {why}" for path, why in self.problems)])


class IndexStatus(IndexResult):
    """What the index holds, and how the tree on disk differs from it."""

    state: Literal["missing", "stale", "current", "other model"]
    root: str | None = None
    model: str | None = None
    skills: int = 0
    chunks: int = 0
    segments: int = 0
    changed: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the state in a few lines, with the next step."""
        if self.state == "missing":
            return f"no index: run {how_to_build(self.root)}"
        of = seen_from_here(self.root or "")
        head = (
            f"{self.state}: {counted(self.skills, 'skill')}, {counted(self.chunks, 'chunk')} of {of} with {self.model}"
        )
        drift = f"{len(self.changed)} changed, {len(self.new)} new, {len(self.gone)} gone"
        return head if self.state == "current" else f"{head}; {drift}: run {how_to_build(self.root)}"
