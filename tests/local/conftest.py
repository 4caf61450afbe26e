"""One engine for all tests of a worker; where the extra is not installed they are skipped, and say so."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from skillfleet_nb.local.weights import ENGINE, INSTALL_ENGINE, INSTALL_WEIGHTS, PACKAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dspy


@pytest.fixture(scope="session", autouse=True)
def _is_installed() -> None:
    for module, install in ((ENGINE, INSTALL_ENGINE), (PACKAGE, INSTALL_WEIGHTS)):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: {install}")


@pytest.fixture(scope="session")
def home_of_engine(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("engine") / ".skillfleet")


@pytest.fixture(scope="session")
def lm(home_of_engine: str) -> Iterator[dspy.LM]:
    from skillfleet_nb import local_lm

    with mock.patch.dict(os.environ, SKILLFLEET_HOME=home_of_engine):
        made = local_lm(threads=1, context=1024, constrained=True, cache=False, max_tokens=40)
    yield made
    made.engine.close()
