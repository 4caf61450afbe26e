from __future__ import annotations

import sys
from pathlib import Path

import pytest

from skillfleet_nb.store import Home, Store

sys.path.insert(0, str(Path(__file__).parent))  # the tests share `store_samples`, in any import mode of pytest


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.find(tmp_path / ".skillfleet")


@pytest.fixture
def store(home: Home) -> Store:
    return Store(home)
