"""An interrupt ends the command or is counted; none is lost, and the handler there was comes back."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from skillfleet_nb.runs.interrupts import keep_from_here, taken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_before_a_run_it_is_raised_and_from_there_counted() -> None:
    with pytest.raises(KeyboardInterrupt), taken():
        interrupt()
    with taken():
        interrupts = keep_from_here()
        interrupt()
        interrupt()
        assert interrupts.count == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_command_that_a_shell_started_in_the_background_is_ended_too() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt), taken():
        interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_one_that_was_dropped_before_a_run_stops_it_from_beginning() -> None:
    with taken():
        with contextlib.suppress(BaseException):
            interrupt()
        with pytest.raises(KeyboardInterrupt):
            keep_from_here()


def test_one_that_comes_as_a_command_ends_leaves_the_next_one_as_it_is() -> None:
    def trace(frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code is contextlib._GeneratorContextManager.__exit__.__code__:
            sys.settrace(traced)
            interrupt()

    traced, left = sys.gettrace(), None
    try:
        with taken():
            sys.settrace(trace)
    except KeyboardInterrupt as exc:
        left = exc  # which keeps what was under way: nothing has given the handler back
    finally:
        sys.settrace(traced)
    assert left is not None
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    with taken():
        assert keep_from_here().count == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("interrupts", [1, 2])
def test_a_module_is_imported_whole_before_it_is_raised_unless_there_is_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupts: int
) -> None:
    def go() -> None:
        importlib.import_module(name)
        threading.Event().wait()  # it goes on

    name = f"interrupted_{interrupts}_times"
    lines = ["import signal", *["signal.raise_signal(signal.SIGINT)"] * interrupts, "is_whole = True"]
    (tmp_path / f"{name}.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt), taken():
        go()
    assert hasattr(sys.modules.get(name), "is_whole") is (interrupts == 1)


def test_what_it_makes_of_a_query_is_an_interrupt_too() -> None:
    def query() -> None:
        try:
            interrupt()
        except KeyboardInterrupt:
            raise RuntimeError("Query interrupted") from None  # as DuckDB does

    def fail() -> None:
        keep_from_here()
        interrupt()
        raise RuntimeError("its own")

    with pytest.raises(KeyboardInterrupt), taken():
        query()
    with pytest.raises(RuntimeError, match="its own"), taken():
        fail()
