"""Fixtures of the skills' tests."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from skill_documents import DATA

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def v1_sample(tmp_path: Path) -> Path:
    """A copy of the real v1 skill."""
    source = DATA / "skills_v1" / "fastapi-production"
    if not source.is_dir():
        pytest.skip("the real v1 skill is not at ../shared/data")
    return shutil.copytree(source, tmp_path / source.name)
