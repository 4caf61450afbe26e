"""Fixtures of the browser tests: Chromium, and one JupyterLab for all of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jupyterlab_page import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Playwright

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
_PATIENCE_MS = 300_000  # a busy machine draws late


def chromium(playwright: Playwright) -> Browser:
    """Start headless Chromium, which reaches nothing but this machine."""
    launched = playwright.chromium.launch(
        timeout=_PATIENCE_MS,
        executable_path=str(CHROMIUM),
        args=[
            *("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"),
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # nothing comes from outside
        ],
    )
    launched.on("context", lambda context: context.set_default_timeout(_PATIENCE_MS))
    return launched


@pytest.fixture(scope="session")
def notebooks() -> Path:
    """Return the folder of the tutorial notebooks."""
    return NOTEBOOKS


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium, as Debian installs it."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_PATIENCE_MS)
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: install it, or set CHROMIUM")
    with sync_playwright() as playwright:
        launched = chromium(playwright)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def _lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"), browser)
    yield lab
    lab.stop()


@pytest.fixture(scope="module")
def lab(_lab: Lab) -> Iterator[Lab]:
    """JupyterLab, started once for all files of browser tests; each file's pages and kernels end with it."""
    yield _lab
    _lab.close_pages()
