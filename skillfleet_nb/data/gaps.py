"""What a set lacks: categories with too few rows, and regions where inputs come from and examples do not."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from skillfleet_nb.data.geometry import nearest_to
from skillfleet_nb.errors import InputError
from skillfleet_nb.format import counted, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

ALPHA = 0.05
"""Chance, over all categories together, to call any under-represented where none is."""

_FAR = 0.05  # share of the set's own rows that lie as far from the rest as an uncovered input
_TOGETHER = 0.5  # cosine from which uncovered inputs are one region
_SHOWN = 10


class Gap(BaseModel):
    """A category with fewer rows than its share, by more than chance.

    `rows` it has, `share` of the set it should have; `p_value` of so few rows or fewer, corrected
    for the number of categories; `add` the fewest and the most rows to add: no longer conspicuous,
    and in full proportion.
    """

    model_config = ConfigDict(frozen=True)
    field: str
    category: str
    rows: int
    share: float
    p_value: float
    add: tuple[int, int]

    def text(self) -> str:
        """Say what to do.

        Examples
        --------
        >>> Gap(field="label", category="web", rows=1, share=0.2, p_value=0.01, add=(2, 3)).text()
        'add 2 to 3 web examples: there is 1'
        """
        low, high = self.add
        count = f"{low} to {high}" if high > low else str(low)
        have = "there is 1" if self.rows == 1 else f"there are {self.rows}"
        return f"add {count} {self.category} {'examples' if high > 1 else 'example'}: {have}"


class Region(BaseModel):
    """Inputs of the reference with no example near: how many, some of them, and the best cosine."""

    model_config = ConfigDict(frozen=True)
    inputs: int
    texts: tuple[str, ...]
    nearest: float

    def text(self) -> str:
        """Say what to do."""
        count = counted(self.inputs, "input")
        have = "has" if self.inputs == 1 else "have"
        return f"add examples like {self.texts[0]!r}: {count} of the reference {have} none near"


def underrepresented(
    values: Sequence[str | None], field: str, target: Mapping[str, float] | None = None, *, alpha: float = ALPHA
) -> list[Gap]:
    """Find the values that have fewer rows than their share by more than chance.

    The count of a value is compared with a binomial draw at its share of the target, one-sided,
    and the p-values are corrected by Holm's method.

    Parameters
    ----------
    values
        Category of each row; rows without one are left out.
    field
        What the categories are called.
    target
        Weight of each category; uniform over those present by default.  One that has no row is
        under-represented too.
    alpha
        In (0, 1).

    Returns
    -------
    list of Gap
        The most conspicuous first.

    Raises
    ------
    InputError
        If a weight of `target` is negative, or all are 0.

    Examples
    --------
    >>> [gap.text() for gap in underrepresented(["a"] * 40 + ["b"] * 38 + ["c"], "label")]
    ['add 26 to 38 c examples: there is 1']
    """
    from scipy.stats import binom

    counts = Counter(v for v in values if v is not None)
    weights = dict.fromkeys(counts, 1.0) if target is None else {str(k): float(v) for k, v in target.items()}
    if target is not None and (not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0):
        raise InputError(f"target = {dict(target)}: give each category a positive weight, such as {{'web': 0.3}}.")
    whole = sum(weights.values())
    n = sum(counts[c] for c in weights)
    tested = sorted(
        (float(binom.cdf(counts[c], n, w / whole)), c, w / whole)
        for c, w in weights.items()
        if w > 0 and len(weights) > 1
    )
    gaps: list[Gap] = []
    corrected = 0.0
    for place, (p, category, share) in enumerate(tested):
        corrected = max(corrected, min(1.0, p * (len(tested) - place)))
        if corrected >= alpha or n == 0:
            break
        have = counts[category]
        # rows that are added also add to the whole
        full = math.ceil((share * n - have) / (1 - share)) if share < 1 else 0
        enough = next(m for m in range(1, full + 1) if m == full or binom.cdf(have + m, n + m, share) >= alpha)
        gaps.append(
            Gap(
                field=field,
                category=category,
                rows=have,
                share=share,
                p_value=corrected,
                add=(enough, full),
            )
        )
    return gaps


def uncovered(vectors: Floats, own_nearest: Floats, reference: Floats, texts: Sequence[str]) -> list[Region]:
    """Find inputs of a reference that lie farther from every example than examples lie from each other.

    Parameters
    ----------
    vectors : ndarray, shape (n, d)
        The set's unit vectors.
    own_nearest : ndarray, shape (n,)
        Cosine of each row's nearest other row; the lowest 5 % of these is where "far" begins.
    reference : ndarray, shape (m, d)
        Vectors of test or production inputs.
    texts
        The reference's texts.

    Returns
    -------
    list of Region
        Largest first, at most ten; none where no more inputs are far than chance would have it:
        one-sided binomial test at 5 %.
    """
    import numpy as np
    from scipy.stats import binom

    far_from = float(np.quantile(own_nearest, _FAR)) if len(own_nearest) else 1.0
    _, nearest = nearest_to(vectors, reference)
    far = np.flatnonzero(nearest < far_from)
    if len(far) == 0 or binom.sf(len(far) - 1, len(reference), _FAR) >= ALPHA:
        return []
    regions: list[Region] = []
    rest = far[np.argsort(nearest[far], kind="stable")]
    while len(rest) and len(regions) < _SHOWN:
        near = reference[rest] @ reference[rest[0]] >= _TOGETHER
        near[0] = True
        members = rest[near]
        regions.append(
            Region(
                inputs=len(members),
                texts=tuple(one_line(texts[i]) for i in members[:3]),
                nearest=float(nearest[members].max()),
            )
        )
        rest = rest[~near]
    return sorted(regions, key=lambda r: -r.inputs)
