"""A fleet that is quick to lose patience, and a server on loopback to lose it with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chat_server import ChatServer, serving
from fault_kit import KEY, SETTINGS, Runner
from made_up import Clock

from skillfleet_nb import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving() as found:
        yield found


@pytest.fixture
def make_server() -> Iterator[Callable[[], ChatServer]]:
    from contextlib import ExitStack

    with ExitStack() as open_ones:
        yield lambda: open_ones.enter_context(serving())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time the meter goes by, which a test can put forward."""
    made = Clock()
    for module in ("retry", "gate", "meter"):
        monkeypatch.setattr(f"skillfleet_nb.lm.{module}.time", made)
    return made


@pytest.fixture
def runner(server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("CHAT_API_KEY", KEY)  # a key that no variable holds keeps a job from being resumed
    fleet = Fleet(tmp_path / "home")
    fleet.home.ensure()
    fleet.home.config.write_text(SETTINGS, encoding="utf-8")
    return Runner(fleet, server)
