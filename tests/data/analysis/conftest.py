"""Vectors without a model."""

from __future__ import annotations

import pytest
from message_sets import WordVectors


@pytest.fixture
def embed() -> WordVectors:
    return WordVectors()
