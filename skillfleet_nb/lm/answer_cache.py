"""Where DSPy keeps answers on disk, to replay them: for an encrypted home, in its private folder in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skillfleet_nb.store import Home

_MOST_BYTES = 2 << 30


def keep_answers_private(home: Home) -> None:
    """Turn this process's DSPy cache to the private folder of an encrypted home, unless it is off.

    Runs then resume from it as ever, until the home is locked or the machine restarts.

    Raises
    ------
    HomeError
        If the home is locked.
    """
    if not home.is_encrypted:
        return
    import dspy

    place = str(home.derived / "answers")
    if dspy.cache.enable_disk_cache and dspy.cache.disk_cache_dir != place:
        dspy.configure_cache(
            enable_memory_cache=dspy.cache.enable_memory_cache,
            disk_cache_dir=place,
            disk_size_limit_bytes=_MOST_BYTES,
        )


def forget_private_answers(home: Home) -> None:
    """Keep no answers on disk in this process any more, where they lay in the private folder of this home."""
    import sys

    if home.is_encrypted and (dspy := sys.modules.get("dspy")) is not None:
        cache = dspy.cache
        if cache.enable_disk_cache and str(cache.disk_cache_dir) == str(home.derived / "answers"):
            dspy.configure_cache(enable_disk_cache=False)
