"""Drift of inputs: whether what a program is asked now still is what it was made for."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skillfleet_nb.data.load import to_examples
from skillfleet_nb.errors import InputError, JobError, NotFoundError, unknown
from skillfleet_nb.events.monitoring import DRIFT, DriftChecked
from skillfleet_nb.format import counted, one_line, percent
from skillfleet_nb.html import Readable, fill, join, table, text_table
from skillfleet_nb.messages import as_typed
from skillfleet_nb.monitoring.two_sample import compare
from skillfleet_nb.store import Journal, queries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from skillfleet_nb.charts.chart import Chart
    from skillfleet_nb.reports.registered import Registered
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Store
    from skillfleet_nb.typing import Rows

KINDS = ("input",)
"""Kinds of drift that are looked for."""

_LEAST = 5
_SHOWN = 5
_WAIT_S = 60.0
_FIRST_LOOKS = 30
_NEW = 0.2  # share of new inputs that is planned for
_POWER = 0.8
_USUAL = 0.05  # share of the reference that lies as far out as new inputs do, at best


class Moved(NamedTuple):
    """A live input from where there are more than there were, and the reference's nearest to it."""

    live: str
    nearest: str
    similarity: float


@dataclass(frozen=True, eq=False, repr=False)
class DriftReport(Readable):
    """What a check says.

    Attributes
    ----------
    of, look
        What was checked, and its number among the checks of that name; None and 1 for a check by itself.
    kinds
        Kinds of drift that were looked for.
    alarm
        Whether drift is told: the p-value is at most `spent`.
    p_value
        Chance of a difference as large, were live inputs and reference from the same source.
    alpha, spent
        Risk of a false alarm over all checks of the name, and of this one.
    divergence
        How far apart they are, in [0, 1]; it says how far, not how surely.
    n, n_reference
        Inputs that were compared.
    share
        Smallest share of new inputs that so many tell in 8 of 10 checks, at best; None where none.
    rows
        Live inputs that tell a share of 20 % so.
    moved
        Live inputs from where there are more than there were.
    left
        Inputs of the reference from where there are fewer.
    """

    of: str | None
    look: int
    kinds: tuple[str, ...]
    alarm: bool
    p_value: float
    alpha: float
    spent: float
    divergence: float
    n: int
    n_reference: int
    share: float | None
    rows: int
    moved: Sequence[Moved]
    left: Sequence[str]

    @property
    def is_small(self) -> bool:
        """Whether so few live inputs would hardly tell a drift of 20 %."""
        return self.n < self.rows

    @property
    def ok(self) -> bool:
        """Whether there is no alarm."""
        return not self.alarm

    def sentence(self) -> str:
        """Say in one line what it came to."""
        by = f"p = {self.p_value:.2g} against {self.spent:.2g}"
        on = f"{counted(self.n, 'live input')} against {self.n_reference:,}"
        if self.alarm:
            return f"the inputs have drifted: {by}, {on}; divergence {self.divergence:.2f}"
        if self.is_small:
            least = "no share of new inputs" if self.share is None else f"new inputs only from {percent(self.share)} on"
            return f"too few to tell: {by}; {on} show {least}; {self.rows:,} show 20 % of them"
        return f"no drift is told: {by}, {on}; divergence {self.divergence:.2f}"

    def _rows(self) -> list[list[str]]:
        return [[one_line(m.live), one_line(m.nearest), f"{m.similarity:.2f}"] for m in self.moved]

    def text(self) -> str:
        """Return it as text."""
        if not self.alarm:
            return self.sentence()
        head = ["more than before", "nearest before", "similarity"]
        gone = "\n".join(["fewer than before:", *(f"- {one_line(text)}" for text in self.left)])
        return f"{self.sentence()}\n\n{text_table(head, self._rows(), numeric=[2])}\n\n{gone}"

    __repr__ = Readable.__str__

    def html(self) -> str:
        """Return it as HTML."""
        if not self.alarm:
            return fill("<div>{}</div>", self.sentence())
        more = table(["more than before", "nearest before", "similarity"], self._rows(), numeric=[2])
        fewer = table(["fewer than before"], [[one_line(text)] for text in self.left])
        return fill("<div><b>{}</b></div>{}", self.sentence(), join([more, fewer]))


class Drift:
    """Checks for drift, and what they came to.  Reached as ``fleet.drift``.

    Parameters
    ----------
    store
        Of the home.
    registered
        Its registered programs.
    job
        Finds a job.
    """

    def __init__(self, store: Store, registered: Registered, job: Callable[[str], Job]) -> None:
        self._store, self._registered, self._job = store, registered, job

    def check(
        self,
        reference: Rows | str,
        live: Rows,
        *,
        kinds: Sequence[str] = KINDS,
        alpha: float = 0.01,
        seed: int = 0,
        of: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> DriftReport:
        """Compare live inputs with a reference; see :meth:`skillfleet_nb.Fleet.check_drift`."""
        for kind in kinds:
            if kind not in KINDS:
                raise unknown("kind of drift", kind, KINDS)
        if not 0 < alpha < 1:
            raise InputError(f"alpha={alpha!r}: give a risk between 0 and 1, for example 0.01.")
        names = None
        if isinstance(reference, str):
            of = of or reference
            names, reference = self._reference(reference)
        texts = _texts(reference, live, names)
        from skillfleet_nb.lm.embed import Embedder

        vectors = Embedder.of(self._store.home.ensure().root, progress)([*texts[0], *texts[1]])
        if of is None:
            return _report(None, 1, texts, vectors, alpha, alpha, seed)
        try:
            journal = Journal(self._store.home, DRIFT, wait_s=_WAIT_S, join=True)
        except JobError:
            raise JobError(f"others have been checking for drift for {_WAIT_S:g} s: try again.") from None
        with journal:
            look = len(queries.drift_checks(self._store, of)) + 1
            report = _report(of, look, texts, vectors, alpha, spent(alpha, look), seed)
            fields = {name: getattr(report, name) for name in DriftChecked.model_fields if name != "kind"}
            journal.append(DriftChecked.model_validate(fields), sync=True)
        return report

    def history(self, name: str | None = None) -> pd.DataFrame:
        """List checks, the oldest first: the relation ``drift_checks``.

        Raises
        ------
        NotFoundError
            If nothing of that name was checked.
        """
        checks = queries.drift_checks(self._store)
        if name is None:
            return checks
        if name not in set(checks.name):
            raise unknown("drift check", name, set(checks.name))
        return checks[checks.name == name].reset_index(drop=True)

    def chart(self, name: str) -> Chart:
        """Draw the checks of a name over time, with the line of alarm; raises as :meth:`history` does."""
        from skillfleet_nb.monitoring.drift_chart import drift_chart

        return drift_chart(self.history(name), name)

    def _reference(self, ref: str) -> tuple[list[str], Any]:
        """Return the inputs that a registered version was trained on, and their fields."""
        from skillfleet_nb.runs.task import input_fields

        version, rows = self._registered.show(ref).version, None
        if version.job_id is not None:
            with suppress(JobError, NotFoundError):  # its data was not kept, or it was deleted
                rows = self._job(version.job_id).parcel().request.train
        if rows is None:
            typed = as_typed(f"drift check {ref} --inputs LIVE --reference DATA")
            raise InputError(f"{version.ref} comes from no job whose data was kept: {typed}")
        return input_fields(self._registered.load(version.ref, check=False)), rows


def spent(alpha: float, look: int) -> float:
    """Return what the `look`-th check may spend of the risk of all checks together (alpha spending).

    The first 30 share a half, the next 60 a quarter, and so on: whatever depends on what, all of them together give
    a false alarm with a probability of `alpha` at most.

    Examples
    --------
    >>> round(sum(spent(0.05, look) for look in range(1, 31)), 6), spent(0.05, 31) < spent(0.05, 30)
    (0.025, True)
    """
    part, left, size = alpha / 2, look - 1, _FIRST_LOOKS
    while left >= size:
        left, size, part = left - size, 2 * size, part / 2
    return part / size


def rows_to_tell(share: float, alpha: float) -> int:
    """Return the live inputs that tell a share of new ones in 8 of 10 checks, where they lie far out: the best case."""
    usual, more = _USUAL, _USUAL + (1 - _USUAL) * share
    beta = NormalDist().inv_cdf(_POWER) * math.sqrt(more * (1 - more))
    return math.ceil(((NormalDist().inv_cdf(1 - alpha) * math.sqrt(usual * (1 - usual)) + beta) / (more - usual)) ** 2)


def _report(
    of: str | None,
    look: int,
    texts: tuple[list[str], list[str]],
    vectors: NDArray[np.float32],
    alpha: float,
    spending: float,
    seed: int,
) -> DriftReport:
    n = len(texts[1])
    reference, live = vectors[:-n], vectors[-n:]
    comparison = compare(reference, live, alpha=spending, seed=seed)
    top = np.argsort(-comparison.moved)[:_SHOWN]
    nearest = [int((reference @ live[i]).argmax()) for i in top]
    moved = [
        Moved(texts[1][i], texts[0][near], float(reference[near] @ live[i]))
        for i, near in zip(top, nearest, strict=True)
    ]
    left = [texts[0][i] for i in np.argsort(-comparison.left)[:_SHOWN]]
    shares = (share / 100 for share in range(1, 101))
    share = next((one for one in shares if rows_to_tell(one, spending) <= n), None)
    alarm, rows = comparison.p_value <= spending, rows_to_tell(_NEW, spending)
    facts = (alarm, comparison.p_value, alpha, spending, comparison.divergence, n, len(texts[0]), share, rows)
    return DriftReport(of, look, KINDS, *facts, moved, left)


def _texts(reference: object, live: object, names: list[str] | None) -> tuple[list[str], list[str]]:
    """Make a text of each input; raises `InputError` where the two have different fields, or one is too small."""
    sides = {"reference": reference, "live inputs": live}
    first, second = (_inputs(rows, name, names) for name, rows in sides.items())
    fields = [sorted(set().union(*rows)) for rows in (first, second)]
    if names is None and fields[0] != fields[1]:
        said = [", ".join(one) or "none" for one in fields]
        raise InputError(f"the reference has the fields {said[0]}, live inputs {said[1]}: give the same inputs alone.")
    used = names or fields[0]
    return [_text(row, used) for row in first], [_text(row, used) for row in second]


def _inputs(rows: object, name: str, names: list[str] | None) -> list[dict[str, Any]]:
    examples = to_examples(rows, input_fields=names or (), name=name)
    if len(examples) < _LEAST:
        raise InputError(f"{name}: {counted(examples, 'row')}; give at least {_LEAST}, better a hundred.")
    return [dict(one.inputs().toDict() or one.toDict()) for one in examples]


def _text(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return "\n".join(str(row.get(name, "")) for name in names)
