"""``fleet.skills``: what a home keeps of agent skills."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.skills.similarity.index import SimilarityIndex


class Skills:
    """Agent skills of a home.  Reached as ``fleet.skills``.

    Parameters
    ----------
    home
        Its folder.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def index(self, root: str | Path, progress: Callable[[int, int], None] | None = None) -> SimilarityIndex:
        """Return the similarity index of the skills under `root`, kept in the home.

        Parameters
        ----------
        root
            A folder of skills.
        progress
            Called as ``progress(done, total)`` while texts are embedded, after two seconds.
        """
        from skillfleet_nb.data.identity import content_hash
        from skillfleet_nb.lm.embed import Embedder
        from skillfleet_nb.skills.similarity.index import SimilarityIndex

        name = content_hash(str(Path(root).resolve()))
        return SimilarityIndex(self._home / "vectors" / name, Embedder.of(self._home, progress))
