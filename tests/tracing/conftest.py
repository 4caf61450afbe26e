"""A tracking server of MLflow: one for all tests that ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tracking_server import tracking_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that keeps its runs in SQLite."""
    pytest.importorskip("mlflow")
    with tracking_server(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri
