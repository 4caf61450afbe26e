from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from skillfleet_nb.store import Home, Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.find(tmp_path / ".skillfleet")


@pytest.fixture
def store(home: Home) -> Store:
    return Store(home)
