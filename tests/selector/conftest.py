"""The made-up task of the tests of runs serves here too, and the tasks of the benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "runs"))
sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
