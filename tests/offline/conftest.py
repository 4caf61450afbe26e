"""Shared pieces of the offline model's tests: an isolated DSPy and the model."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))

import dspy
import pytest

from skillfleet_nb.offline import offline_lm

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def lm() -> Iterator[dspy.LM]:
    """The offline model, uncached, as DSPy's model."""
    model = offline_lm(cache=False)
    with dspy.context(lm=model):
        yield model
