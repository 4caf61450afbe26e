"""``fleet.skills``: what a home keeps of agent skills."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from skillfleet_nb.skills.places import folder_of_skills
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from skillfleet_nb.skills.similarity.index import SimilarityIndex
    from skillfleet_nb.store import Home, Store


def index_of(home: Home, root: str | Path, progress: Callable[[int, int], None] | None = None) -> SimilarityIndex:
    """Return the similarity index of the skills under `root` that a home keeps."""
    from skillfleet_nb.data.identity import content_hash
    from skillfleet_nb.lm.embed import Embedder
    from skillfleet_nb.skills.similarity.index import SimilarityIndex
    from skillfleet_nb.store.redacting import redactor_of

    place = Path(root).resolve()
    folder = home.derived / "vectors" / content_hash(str(place))
    return SimilarityIndex(folder, Embedder.of(home, progress), redactor_of(home).text, place)


class Skills:
    """Agent skills of a home.  Reached as ``fleet.skills``.

    Parameters
    ----------
    store
        Of the home.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._home = store, store.home

    def index(self, root: str | Path, progress: Callable[[int, int], None] | None = None) -> SimilarityIndex:
        """Return the similarity index of the skills under `root`, kept in the home.

        Parameters
        ----------
        root
            A folder of skills.
        progress
            Called as ``progress(done, total)`` while texts are embedded, after two seconds.

        Raises
        ------
        NotFoundError
            There is no such folder.
        """
        return index_of(self._home, folder_of_skills(root), progress)

    def paths(self) -> pd.DataFrame:
        """Tell how often each way to a skill was taken, and what came of it; see ``docs/skill_creator.md``.

        Columns: `path`, `skills`, and their mean `score`, `complexity`, `seconds`, `calls`, `cost_usd`, the share
        `flawless` without a finding, and `seconds_saved` in all.
        """
        return queries.skill_paths(self._store)
