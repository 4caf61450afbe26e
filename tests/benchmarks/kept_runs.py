"""Runs that take many seconds each, kept where ``$SKILLFLEET_BENCH_CACHE`` names a folder: for one state of the code.

A benchmark that was interrupted goes on where it stopped, and two that need the same run make it once.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def kept(name: str, measure: Callable[[], Any]) -> Any:
    """Return what was measured under a name, or measure it; what comes back is JSON."""
    folder = os.environ.get("SKILLFLEET_BENCH_CACHE")
    if not folder:
        return measure()
    file = Path(folder) / "runs" / f"{name}.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(measure()), "utf-8")
        part.rename(file)
    return json.loads(file.read_text("utf-8"))
