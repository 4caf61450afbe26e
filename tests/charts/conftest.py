"""The made-up task of the tests of runs serves here too; its jobs run once for all tests of charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from skillfleet_nb import Fleet


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    from chart_jobs import make

    return make(tmp_path_factory.mktemp("charts") / "home")
