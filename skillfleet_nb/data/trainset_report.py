"""The report on a training set: what it holds, what is wrong with it, what it lacks, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_serializer

from skillfleet_nb.data.findings import Bands, Judged, Likeness, Performer, Suspect
from skillfleet_nb.data.gaps import Gap, Region
from skillfleet_nb.data.load import picked
from skillfleet_nb.data.scoring import LOW
from skillfleet_nb.data.selection import MIN_QUALITY, select
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, one_line
from skillfleet_nb.html import Readable, items, table, text_table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Frame = pd.DataFrame
    Given = Sequence[Any]
    Vectors = Callable[[], NDArray[np.float32]] | None
    Table = tuple[str, list[str], list[list[str]], list[int]]
else:
    Frame = Given = Vectors = Any  # pydantic reads annotations as it is loaded, and pandas is heavy

_SHOWN = 10


class TrainsetReport(Readable, BaseModel):
    """What is known of a training set.

    Attributes
    ----------
    name
        What the set is called.
    total_examples, analysed
        Rows in the set, and rows this report is on: fewer where the set was sampled.
    quality_distribution
        Analysed rows by quality.
    top_performers
        Best ten by rank.
    underrepresented
        Categories, and values of short fields such as style, with too few rows.
    uncovered
        Inputs of the reference with no example near.
    recommendations
        What to do, in words, most urgent first.
    conflicts, duplicates
        Rows that contradict or repeat each other.
    suspects
        Likely label errors, most suspicious first.
    never_solved
        Rows that no candidate of any run has solved.
    singles
        By field, the values that have one row.
    facets
        Counts of the values of short fields.
    label, inputs, categories
        Names of the label and of the inputs, and rows of each category.
    runs
        Rows that past runs have scored.
    judge
        What a model was asked to judge; None where none was.
    notes
        What was odd about the set.
    examples : pandas.DataFrame
        One row an example with every score, see :func:`~skillfleet_nb.data.scoring.score`;
        in a dump a list of records.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    name: str
    total_examples: int
    analysed: int
    quality_distribution: Bands
    top_performers: list[Performer]
    underrepresented: list[Gap]
    uncovered: list[Region]
    recommendations: list[str]
    conflicts: list[Likeness]
    duplicates: list[Likeness]
    suspects: list[Suspect]
    never_solved: list[int]
    singles: dict[str, list[str]]
    facets: dict[str, dict[str, int]]
    label: str | None
    inputs: list[str]
    categories: dict[str, int]
    runs: int
    judge: Judged | None = None
    notes: list[str]
    examples: Frame = Field(repr=False)
    _sealed: frozenset[str] = PrivateAttr(default=frozenset())
    _given: Given = PrivateAttr(default=())
    _vectors: Vectors = PrivateAttr(default=None)

    @field_serializer("examples")
    def _records(self, frame: pd.DataFrame) -> list[dict[str, Any]]:
        plain = frame.astype(object).where(frame.notna(), None)
        return [{str(k): v.item() if hasattr(v, "item") else v for k, v in r.items()} for r in plain.to_dict("records")]

    @property
    def strategy(self) -> str:
        """How examples are selected unless said otherwise."""
        return "balanced" if self.categories else "coverage"

    def select(
        self,
        k: int,
        strategy: str | None = None,
        *,
        min_quality: float = MIN_QUALITY,
        exclude: Collection[int] = (),
        sealed: Collection[str] = (),
        seed: int = 0,
    ) -> list[Any]:
        """Choose the `k` examples to train on, as they were given.

        Parameters
        ----------
        k, strategy, min_quality, seed
            As :func:`~skillfleet_nb.data.selection.select` takes them; by default
            ``"balanced"`` where there are categories, else ``"coverage"``.
        exclude
            Rows not to choose.
        sealed
            Ids of examples not to choose.

        Returns
        -------
        list
            Examples in the order of choice.

        Raises
        ------
        InputError, NotFoundError
            As that does.
        """
        chosen = self.rows(k, strategy, min_quality=min_quality, exclude=exclude, sealed=sealed, seed=seed)
        return self.given(chosen)

    def rows(
        self,
        k: int,
        strategy: str | None = None,
        *,
        min_quality: float = MIN_QUALITY,
        exclude: Collection[int] = (),
        sealed: Collection[str] = (),
        seed: int = 0,
    ) -> list[int]:
        """Return the numbers of the rows that :meth:`select` chooses."""
        left_out = set(self.examples.loc[self.examples["row"].isin(set(exclude)), "example_id"])
        chosen = select(
            self.examples,
            k,
            strategy or self.strategy,
            vectors=self._vectors,
            min_quality=min_quality,
            excluded=left_out | self._sealed | set(sealed),
            seed=seed,
        )
        return [int(r) for r in self.examples["row"].to_numpy()[chosen]]

    def without(self, rows: Collection[int]) -> list[Any]:
        """Return the set as it was given, without these rows.

        Raises
        ------
        InputError
            If there is no such row.
        """
        if bad := [r for r in rows if not 0 <= r < self.total_examples]:
            raise InputError(f"row {bad[0]} is not in {self.name}: rows are 0 to {self.total_examples - 1}.")
        out = set(rows)
        return [row for number, row in enumerate(self._given) if number not in out]

    def given(self, rows: Sequence[int]) -> list[Any]:
        """Return these rows as they were given."""
        return picked(self._given, rows)

    def of(self, rows: Given, vectors: Vectors, sealed: Collection[str] = ()) -> TrainsetReport:
        """Remember the rows themselves, how to embed them, and which never to select; returns itself."""
        self._given, self._vectors, self._sealed = rows, vectors, frozenset(sealed)
        return self

    def overview(self) -> list[list[str]]:
        """Return the facts of the overview, as name and value."""
        q = self.quality_distribution
        size = f"{self.total_examples:,}"
        if self.analysed < self.total_examples:
            size += f", of which {self.analysed:,} were analysed (random sample)"
        facts = [
            ["examples", size],
            ["quality", f"{q.high:,} high (0.8 and more), {q.medium:,} medium, {q.low:,} low (under 0.5)"],
            ["label", f"{self.label}, {counted(self.categories, 'value')}" if self.label else "none"],
        ]
        facts += [[name, ", ".join(f"{v} {n}" for v, n in counts.items())] for name, counts in self.facets.items()]
        for name, groups in (("duplicates", self.duplicates), ("conflicts", self.conflicts)):
            exact = sum(f.exact for f in groups)
            facts.append([name, f"{exact:,} exact, {len(groups) - exact:,} near"])
        if self.judge is not None:
            facts.append(["judge", self.judge.text(int(self.examples["judged"].notna().sum()), self.analysed)])
        return [
            *facts,
            ["label suspects", f"{len(self.suspects):,}"],
            ["seen by runs", f"{self.runs:,} of {self.analysed:,}"],
            *([["influence (estimated)", self._influence()]] if self.examples["as_demo"].any() else []),
        ]

    def influence_table(self, most: int) -> Table:
        """Return title, header, rows and columns of numbers of the estimated influences, largest effect first."""
        influential = self._influential().head(most)
        rows = [
            [str(row), f"{effect:+.3f}", f"{low:+.3f} to {high:+.3f}", str(n), one_line(text)]
            for row, effect, low, high, n, text in influential.itertuples(index=False)
        ]
        title = _of("estimated influence as a demo on the validation score", len(self._influential()), most)
        return title, ["row", "influence", "95 % interval", "candidates", "example"], rows, [0, 1, 2, 3]

    def _influential(self) -> pd.DataFrame:
        columns = ["row", "influence", "influence_low", "influence_high", "as_demo", "text"]
        influential = self.examples.loc[self.examples["influence"].notna(), columns]
        return influential.loc[(-influential["influence"].abs()).sort_values(kind="stable").index]

    def _influence(self) -> str:
        influential = self._influential()
        helps, hurts = int((influential["influence_low"] > 0).sum()), int((influential["influence_high"] < 0).sum())
        return (
            f"of {counted(len(influential), 'example')} as demos: {helps} raised the validation score, {hurts} lowered "
            f"it, {len(influential) - helps - hurts} not told apart from 0 (95 % intervals)"
        )

    def text(self) -> str:
        """Return the report as text for a terminal."""
        blocks = [f"training set {self.name}", *(f"note: {n}" for n in self.notes)]
        blocks.append(text_table(["", ""], self.overview()).strip("\n"))
        for title, header, rows, numeric in self._tables():
            blocks.append(f"{title}\n{text_table(header, rows, numeric=numeric)}")
        if self.recommendations:
            blocks.append("what to do\n" + "\n".join(f"  {r}" for r in self.recommendations))
        return "\n\n".join(blocks)

    def html(self) -> str:
        """Show it as HTML."""
        parts = [table([], self.overview(), title=f"Training set {self.name}")]
        if self.notes:
            parts.append(items(self.notes, title="Notes"))
        if self.recommendations:
            parts.append(items(self.recommendations, title="What to do"))
        parts += [
            table(header, rows, title=title.capitalize(), numeric=numeric)
            for title, header, rows, numeric in self._tables()
        ]
        return "".join(parts)

    def _tables(self) -> list[Table]:
        """Return the tables that have rows: title, header, cells, columns of numbers."""
        judged = self.examples[["row", "judged", "judged_why", "text"]]
        poor = judged[judged["judged"] < LOW].sort_values(["judged", "row"])
        tables: list[Table] = [
            ("best examples", ["row", "rank", "example"], _named(self.top_performers), [0, 1]),
            (
                _of("likely label errors", len(self.suspects)),
                ["row", "suspicion", "label", "likelier", "example"],
                [[str(s.row), f"{s.suspicion:.2f}", s.label, s.suggested, s.text] for s in self.suspects[:_SHOWN]],
                [0, 1],
            ),
            (
                _of("graded below 0.5 by the judge", len(poor)),
                ["row", "grade", "why", "example"],
                [
                    [str(row), f"{grade:.2f}", one_line(why), one_line(text)]
                    for row, grade, why, text in poor.head(_SHOWN).itertuples(index=False)
                ],
                [0, 1],
            ),
            self.influence_table(_SHOWN),
            (_of("conflicts", len(self.conflicts)), *_alike(self.conflicts)),
            (_of("duplicates", len(self.duplicates)), *_alike(self.duplicates)),
            (
                "under-represented",
                ["field", "value", "rows", "should be", "p"],
                [
                    [g.field, g.category, str(g.rows), f"{g.share:.1%}", f"{g.p_value:.3g}"]
                    for g in self.underrepresented
                ],
                [2, 3, 4],
            ),
        ]
        return [t for t in tables if t[2]]


def _named(performers: Sequence[Performer]) -> list[list[str]]:
    return [[str(p.row), f"{p.score:.3f}", p.name] for p in performers]


def _alike(groups: Sequence[Likeness]) -> tuple[list[str], list[list[str]], list[int]]:
    rows = [
        [", ".join(map(str, f.rows)), f"{f.similarity:.3f}", ", ".join(dict.fromkeys(map(str, f.labels))), f.text]
        for f in groups[:_SHOWN]
    ]
    return ["rows", "cosine", "labels", "example"], rows, [1]


def _of(title: str, n: int, most: int = _SHOWN) -> str:
    return f"{title}, {most} of {n:,}" if n > most else title
