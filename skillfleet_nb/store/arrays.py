"""Arrays kept by key, for what takes long to compute and can be computed again."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

from skillfleet_nb.errors import HomeError
from skillfleet_nb.store.home import atomic_write, writing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


class ArrayCache:
    """A folder of named groups of arrays, for any number of processes.

    Parameters
    ----------
    folder
        Made on first use; can be deleted at any time.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> cache = ArrayCache(Path(tempfile.mkdtemp()))
    >>> cache.put("k1", {"x": np.arange(3)})
    >>> cache.get("k1")["x"].tolist(), cache.get("k2")
    ([0, 1, 2], None)
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> dict[str, NDArray[np.generic]] | None:
        """Return the arrays under `key`, None where there are none or they are damaged."""
        import zipfile

        import numpy as np

        try:
            with np.load(self._folder / f"{key}.npz", allow_pickle=False) as kept:
                return {name: kept[name] for name in kept.files}
        except (OSError, ValueError, zipfile.BadZipFile):
            return None

    def put(self, key: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Keep arrays under `key`; a home that cannot be written keeps nothing."""
        import numpy as np

        data = io.BytesIO()
        np.savez(data, **arrays)  # type: ignore[arg-type]  # the stubs take a name for the option allow_pickle
        with suppress(HomeError), writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            atomic_write(self._folder / f"{key}.npz", data.getvalue())
