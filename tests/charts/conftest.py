"""The made-up task of the tests of runs serves here too; its jobs run once for all tests of charts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from skillfleet_nb import Fleet

sys.path.append(str(Path(__file__).parents[1] / "runs"))


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    from chart_jobs import make

    return make(tmp_path_factory.mktemp("charts") / "home")
