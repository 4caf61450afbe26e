"""Similarity index of a tree of skills: exact search over memory-mapped vectors.

A folder holds immutable segments and one small ``manifest.json`` that lists them::

    manifest.json     {"format", "model", "root", "segments": ["3f…", …]}
    <id>.json         one entry a skill: path, content hash, name, description, headings, chunk hashes
    <id>.skills.npy   (n, 2, d) unit vectors: name with description; mean of the body's chunks
    <id>.chunks.npy   (m, d) unit vectors, one for each section of a body (long ones in pieces)

A later segment's entry for a path replaces an earlier one; an entry without a hash removes it.  An
update writes one more segment and then replaces the manifest, so readers need no lock: the manifest
they read names files that never change.  Writers exclude each other by an OS lock.

A query compares with both vectors of every skill, then with the chunks of the best `SHORTLIST`.
"""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from skillfleet_nb.errors import InputError, NotFoundError, SkillfleetError
from skillfleet_nb.lm.devices import CPU, Product
from skillfleet_nb.skills.places import folder_of_skills, look
from skillfleet_nb.skills.scoring.semantic import chunks
from skillfleet_nb.skills.similarity.records import (
    BuildReport,
    Duplicate,
    DuplicateReport,
    IndexStatus,
    Match,
    SimilarResult,
    how_to_build,
)
from skillfleet_nb.skills.similarity.segments import IndexEntry, IndexRow, IndexSegment, SegmentFiles, Snapshot
from skillfleet_nb.skills.skill import Skill

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Embed = Callable[[Sequence[str]], Vectors]

EXTEND: Final = 0.50
"""Score from which the best match already covers the topic: extend it."""
RELATED: Final = 0.30
"""Score from which a match is worth knowing about; below it the topic is new."""
DUPLICATE: Final = 0.80
"""Score from which two skills count as near-duplicates."""
SHORTLIST: Final = 256
HEAD: Final = 0.7
"""Share of the name and description in a skill's score; the rest is the best of it and a body chunk."""

_MANY_SEGMENTS: Final = 32
_BATCH: Final = 500  # skills embedded at a time, which bounds the texts in memory
_BLOCK: Final = 1024  # rows compared at a time for duplicates
_SECTION = re.compile(r"(?m)^(?=## )")
_WORD = re.compile(r"[^\W_]{3,}")
_FILLERS: Final = (
    "and are for from has have how into its not one our that the their them they this use used user using was what "
    "when where which who why will with you your skill skills"
)
_STOP = frozenset(_FILLERS.split())


class SimilarityIndex:
    """Find skills by meaning, before writing one that exists already.

    Parameters
    ----------
    folder
        Where the index lies, such as ``<home>/vectors/default``; made by the first build.
    embed
        Texts to unit vectors of shape (n, d); its ``fingerprint``, where it has one, names the model.
    clean
        Takes out of names, descriptions and headings what is not to be kept; vectors of names and descriptions are
        made of what it leaves.
    root
        Folder of the skills it is of, where that is known before the first build: messages name it.

    Examples
    --------
    >>> from skillfleet_nb.lm.embed import Embedder
    >>> index = SimilarityIndex(Path(".skillfleet/vectors/default"), Embedder())
    >>> index.build("skills/").added  # doctest: +SKIP
    42
    >>> index.query("fill in pdf forms").verdict  # doctest: +SKIP
    'extend pdf-form-filling'
    """

    def __init__(self, folder: Path, embed: Embed, clean: Callable[[str], str] = str, root: Path | None = None) -> None:
        self.folder = Path(folder)
        self._root = None if root is None else str(root)
        self._embed, self._clean = embed, clean
        self._files = SegmentFiles(self.folder)

    @property
    def model(self) -> str:
        """Name of the model whose vectors this object can compare."""
        named = getattr(self._embed, "fingerprint", None)
        return str(named) if named else str(getattr(self._embed, "__qualname__", type(self._embed).__qualname__))

    def build(self, root: str | os.PathLike[str]) -> BuildReport:
        """Bring the index in line with a tree of skills; embeds only what is new or has changed.

        A skill that cannot be read is reported and left out; the others are indexed.

        Raises
        ------
        NotFoundError
            There is no such folder.
        HomeError
            The folder of the index cannot be written, or another process keeps it locked.
        """
        place = folder_of_skills(root)
        start = time.perf_counter()
        with self._files.writer():
            old = self._files.read()
            usable = old if old is not None and old.model == self.model else None
            by_hash = {s.entries[r].hash: (s, r) for s, r in usable.live()} if usable else {}
            same_root = usable is not None and usable.root == place
            todo: list[tuple[str, Skill]] = []
            rows: list[IndexRow] = []
            problems, seen, added, unchanged, embedded = [], set(), 0, 0, 0
            for folder in look(place).folders:
                path = folder.relative_to(place).as_posix()
                try:
                    skill = Skill.load(folder)
                except SkillfleetError as error:
                    problems.append((path, str(error)))
                    continue
                seen.add(path)
                kept = usable.find(path) if usable and same_root else None
                added += kept is None
                if kept and kept[0].entries[kept[1]].hash == _hash(skill):
                    unchanged += 1
                    continue
                todo.append((path, skill))
                if len(todo) >= _BATCH:
                    embedded += self._vectors(todo, usable, by_hash, rows)
                    todo = []
            embedded += self._vectors(todo, usable, by_hash, rows)
            gone = {s.entries[r].path for s, r in usable.live()} - seen if usable and same_root else set()
            if usable is None or not same_root:
                self._files.commit(self.model, place, [self._files.write(rows)])
            elif rows or gone:
                names = [s.name for s in usable.segments]
                self._files.commit(self.model, place, [*names, self._files.write(rows, gone)])
                self._files.merge(0)
            elif len(usable.segments) > 1:
                self._files.merge(0)
        return BuildReport(
            root=str(place),
            added=added,
            changed=len(rows) - added,
            removed=len(gone),
            unchanged=unchanged,
            embedded=embedded,
            problems=tuple(problems),
            seconds=time.perf_counter() - start,
        )

    def update(self, path: str | os.PathLike[str]) -> BuildReport:
        """Bring one skill up to date: its folder or ``SKILL.md``; one that is gone leaves the index.

        Only sections that changed are embedded.

        Raises
        ------
        NotFoundError
            There is no index yet, or neither a skill nor an entry of that path.
        InputError
            The skill is outside the tree of the index, cannot be read, or the index is of another model.
        """
        start = time.perf_counter()
        place = Path(path).absolute()
        folder = place.parent if place.name.lower() == "skill.md" else place
        with self._files.writer():
            index = self._current()
            if not folder.is_relative_to(index.root):
                raise InputError(f"{str(path)!r} is not under {str(index.root)!r}: build an index of its tree.")
            key = folder.relative_to(index.root).as_posix()
            kept = index.find(key)
            rows: list[IndexRow] = []
            embedded = removed = 0
            if not any((folder / name).is_file() for name in ("SKILL.md", "skill.md")):
                if kept is None:
                    raise NotFoundError(f"no skill at {str(path)!r}: give a skill's folder or its SKILL.md.")
                removed = 1
            else:
                skill = Skill.load(folder)
                if kept is None or kept[0].entries[kept[1]].hash != _hash(skill):
                    embedded = self._vectors([(key, skill)], index, {}, rows)
            if rows or removed:
                names = [s.name for s in index.segments]
                self._files.commit(self.model, index.root, [*names, self._files.write(rows, {key} if removed else ())])
                if len(names) >= _MANY_SEGMENTS:
                    self._files.merge(1)  # all but the large first one: cheap
        return BuildReport(
            root=str(index.root),
            added=int(bool(rows) and kept is None),
            changed=int(bool(rows) and kept is not None),
            removed=removed,
            unchanged=int(not rows and not removed),
            embedded=embedded,
            seconds=time.perf_counter() - start,
        )

    def status(self) -> IndexStatus:
        """Tell what the index holds and which skills on disk differ from it; reads the tree."""
        index = self._files.read()
        if index is None:
            return IndexStatus(state="missing", root=self._root)
        indexed = {s.entries[r].path: s.entries[r].hash for s, r in index.live()}
        on_disk: dict[str, str] = {}
        if index.root.is_dir():
            for folder in look(index.root).folders:
                with suppress(SkillfleetError):  # an unreadable skill is not in the index either
                    on_disk[folder.relative_to(index.root).as_posix()] = _hash(Skill.load(folder))
        changed = tuple(sorted(path for path in indexed.keys() & on_disk.keys() if indexed[path] != on_disk[path]))
        new, gone = tuple(sorted(on_disk.keys() - indexed.keys())), tuple(sorted(indexed.keys() - on_disk.keys()))
        current: Literal["current", "stale"] = "stale" if changed or new or gone else "current"
        return IndexStatus(
            state="other model" if index.model != self.model else current,
            root=str(index.root),
            model=index.model,
            skills=len(indexed),
            chunks=sum(len(s.entries[r].chunks) for s, r in index.live()),
            segments=len(index.segments),
            changed=changed,
            new=new,
            gone=gone,
        )

    def query(self, text: str, k: int = 10) -> SimilarResult:
        """Find the `k` skills nearest in meaning to `text`, best first, with a verdict.

        A skill's score is ``HEAD · h + (1 - HEAD) · max(h, c)``: `h` the cosine with its name and
        description, `c` with its best body chunk.

        Raises
        ------
        NotFoundError
            There is no index yet.
        InputError
            The text is empty, `k` is below 1, or the index is of another model.
        """
        import numpy as np

        if not text.strip():
            raise InputError("the query is empty: say in a few words what the skill is about.")
        if k < 1:
            raise InputError(f"k {k} is not allowed: give a whole number of at least 1.")
        index = self._current()
        vector = np.asarray(self._embed([_clean(text)])[0], dtype=np.float32)
        best: list[tuple[float, IndexSegment, int]] = []
        for segment, alive in zip(index.segments, index.alive, strict=True):
            if not alive.any():
                continue
            near = segment.skills.reshape(-1, len(vector)) @ vector
            score = np.where(alive, _blend(near[0::2], near[1::2]), -np.inf)
            keep = min(max(SHORTLIST, k), int(alive.sum()))
            rows = np.argpartition(-score, keep - 1)[:keep]
            for row in rows.tolist():
                body = segment.chunks_of(row)
                nearest = float((body @ vector).max()) if len(body) else -1.0
                head = float(near[2 * row])
                best.append((float(_blend(np.float32(head), np.float32(nearest))), segment, row))
        best.sort(key=lambda hit: (-hit[0], hit[1].entries[hit[2]].path))
        words = _terms(text)
        matches = tuple(_match(score, segment.entries[row], words) for score, segment, row in best[:k])
        return SimilarResult(query=text, matches=matches, verdict=_verdict(matches))

    def duplicates(self, threshold: float = DUPLICATE) -> DuplicateReport:
        """Report every pair of skills at least `threshold` alike: mean cosine of heads and of bodies.

        Raises
        ------
        NotFoundError
            There is no index yet.
        InputError
            The threshold is not in (0, 1].
        """
        import numpy as np

        if not 0 < threshold <= 1:
            raise InputError(f"threshold {threshold} is not allowed: give a number above 0, up to 1.")
        index = self._current()
        live = list(index.live())
        entries = [segment.entries[row] for segment, row in live]
        pairs: list[Duplicate] = []
        if live:
            alive = [pair for pair in zip(index.segments, index.alive, strict=True) if pair[1].any()]
            flat = [segment.skills[rows].reshape(int(rows.sum()), -1) for segment, rows in alive]
            both: Vectors = (np.concatenate(flat) / np.float32(np.sqrt(2))).astype(np.float32, copy=False)
            device = getattr(self._embed, "device", CPU)
            product = Product(both.T, device) if device != CPU else None
            for start in range(0, len(both), _BLOCK):
                part = both[start : start + _BLOCK]
                alike = part @ both[start:].T if product is None else product(part)[:, start:]
                for one, two in np.argwhere(np.triu(alike >= threshold - 1e-6, k=1)).tolist():
                    first, second = entries[start + one], entries[start + two]
                    reason = _shared(first, second)
                    score = min(1.0, float(alike[one, two]))
                    pairs.append(Duplicate(first=first.path, second=second.path, score=score, reason=reason))
        pairs.sort(key=lambda pair: (-pair.score, pair.first, pair.second))
        return DuplicateReport(threshold=threshold, skills=len(entries), pairs=tuple(pairs))

    def _current(self) -> Snapshot:
        index = self._files.read()
        if index is None:
            raise NotFoundError(f"no index in '{self.folder}': run {how_to_build(self._root)} first.")
        if index.model != self.model:
            way = how_to_build(str(index.root))
            raise InputError(f"the index is of model {index.model!r}, not {self.model!r}: run {way}.")
        return index

    def _vectors(
        self,
        todo: Sequence[tuple[str, Skill]],
        index: Snapshot | None,
        by_hash: dict[str | None, tuple[IndexSegment, int]],
        rows: list[IndexRow],
    ) -> int:
        """Append a row for each skill to `rows`, embedding only texts with no vector yet; returns how many."""
        import numpy as np

        vectors: dict[str, Vectors] = {}
        plans: list[tuple[IndexEntry, str, list[str]]] = []
        texts: dict[str, str] = {}
        for path, skill in todo:
            entry, head, parts = _plan(path, skill, self._clean)
            for old in (index.find(path) if index else None, by_hash.get(entry.hash)):
                if old is not None:
                    segment, row = old
                    before = segment.entries[row]
                    vectors.update(zip(before.chunks, segment.chunks_of(row), strict=True))
                    vectors[_digest(_head(before.name, before.description))] = segment.skills[row, 0]
            texts |= {key: part for key, part in zip(entry.chunks, parts, strict=True) if key not in vectors}
            if (key := _digest(head)) not in vectors:
                texts[key] = head
            plans.append((entry, head, parts))
        if texts:
            vectors.update(zip(texts, np.asarray(self._embed(list(texts.values())), dtype=np.float32), strict=True))
        for entry, head, _ in plans:
            first = vectors[_digest(head)]
            body = (
                np.stack([vectors[key] for key in entry.chunks])
                if entry.chunks
                else np.zeros((0, len(first)), np.float32)
            )
            mean = body.mean(axis=0) if len(body) else first
            rows.append(IndexRow(entry, np.stack([first, mean / max(float(np.linalg.norm(mean)), 1e-9)]), body))
        return len(texts)


def likeness(one: Skill, other: Skill, embed: Embed) -> float:
    """Compare two skills as `SimilarityIndex.duplicates` does, without an index: mean cosine of heads and bodies."""
    import numpy as np

    both = [_plan("", skill)[1:] for skill in (one, other)]
    texts = [text for head, parts in both for text in (head, *parts)]
    vectors = np.asarray(embed(texts), dtype=np.float32)
    split = 1 + len(both[0][1])
    pairs = [
        (rows[0], rows[1:].mean(axis=0) if len(rows) > 1 else rows[0]) for rows in (vectors[:split], vectors[split:])
    ]
    lengths = [max(float(np.linalg.norm(body)), 1e-9) for _, body in pairs]
    (first, body), (second, other_body) = pairs
    return float(first @ second + (body @ other_body) / (lengths[0] * lengths[1])) / 2


def _head(name: str, description: str) -> str:
    return f"{name.replace('-', ' ')}. {description}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _hash(skill: Skill) -> str:
    return _digest(f"{skill.name}\0{skill.description}\0{skill.body}")


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # YAML can spell lone surrogates, JSON and models cannot


def _plan(path: str, skill: Skill, clean: Callable[[str], str] = str) -> tuple[IndexEntry, str, list[str]]:
    """Cut a skill into its texts: a head, and the body by sections so that an edit changes few of them."""
    name, description = clean(_clean(skill.name)), clean(_clean(skill.description))
    parts = [piece for section in _SECTION.split(_clean(skill.body)) for piece in chunks(section)]
    titles = tuple(clean(_clean(heading.title)) for heading in skill.outline.headings)
    entry = IndexEntry(path, _hash(skill), name, description, titles, tuple(_digest(part) for part in parts))
    return entry, _head(name, description), parts


def _blend(head: Vectors | np.float32, body: Vectors | np.float32) -> Any:
    import numpy as np

    return HEAD * head + (1 - HEAD) * np.maximum(head, body)


def _terms(*texts: str) -> set[str]:
    """Words that mean something, plural and singular alike."""
    words = (word.lower() for text in texts for word in _WORD.findall(text))
    return {word.removesuffix("s") if len(word) > 3 else word for word in words if word not in _STOP}  # noqa: PLR2004


def _match(score: float, entry: IndexEntry, words: set[str]) -> Match:
    headings = [title for title in entry.headings if _terms(title) & words]
    shared = sorted(words & _terms(entry.name, entry.description))
    return Match(
        name=entry.label,
        path=entry.path,
        description=entry.description,
        score=score,
        reason=_reason(headings, shared),
    )


def _shared(one: IndexEntry, two: IndexEntry) -> str:
    titles = {title.lower() for title in two.headings}
    headings = [title for title in one.headings if title.lower() in titles]
    return _reason(headings, sorted(_terms(one.name, one.description) & _terms(two.name, two.description)))


def _reason(headings: Sequence[str], terms: Sequence[str]) -> str:
    parts = [f"terms {', '.join(terms[:6])}"] if terms else []
    parts += [f"headings {', '.join(dict.fromkeys(headings[:3]))}"] if headings else []
    return "; ".join(parts) or "close in meaning, no word shared"


def _verdict(matches: Sequence[Match]) -> str:
    if matches and matches[0].score >= EXTEND:
        return f"extend {matches[0].name}"
    return "related" if matches and matches[0].score >= RELATED else "new"
