"""Frames that are kept: nothing is asked again while nothing is written, and none is older than what is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest
from store_samples import CREATED, call, trial

from skillfleet_nb.events import StateChanged
from skillfleet_nb.store import Home, Journal, Store, queries
from skillfleet_nb.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable

NO_WAIT = "the database is reached, though nothing has changed"


def as_new(home: Home, kept: Store) -> bool:
    """Tell whether a store answers as one does that has not been asked before."""
    new = Store(home)
    for ask in (queries.jobs, queries.job_names, lambda s: queries.calls(s, "job-1", limit=9)):
        pd.testing.assert_frame_equal(ask(kept), ask(new))
    return True


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List how often the database is reached."""
    times: list[str] = []
    reading = Database.reading
    monkeypatch.setattr(Database, "reading", lambda *args: times.append("read") or reading(*args))  # type: ignore[func-returns-value]
    return times


def test_what_is_asked_again_is_not_read_again_and_may_be_changed(home: Home, reached: list[str]) -> None:
    with Journal(home, "job-1") as journal:
        journal.append_many([CREATED.model_copy(update={"tags": ("a",)}), StateChanged(state="running"), call(1)])
        store = Store(home)
        first = queries.jobs(store)
        reached.clear()
        changed = queries.jobs(store)
        changed["state"] = "changed"
        changed.tags.iloc[0].append("changed")
        pd.testing.assert_frame_equal(queries.jobs(store), first)
        assert reached == [], NO_WAIT
        assert queries.jobs(store, state="pending").empty
        assert reached, "another question is"


def test_no_answer_is_older_than_what_is_written(home: Home) -> None:
    store = Store(home)
    assert queries.jobs(store).empty
    with Journal(home, "job-1") as journal:
        journal.append_many([CREATED, StateChanged(state="running"), trial(0), call(1)])
        assert queries.jobs(store).state.tolist() == ["running"]
        journal.append(call(2))
        assert as_new(home, store)
        assert queries.jobs(store).lm_calls.tolist() == [2]
    # Nothing is written as a process dies: the kernel frees its lock.
    assert queries.jobs(store).state.tolist() == ["interrupted"]
    with Journal(home, "job-1") as journal:
        assert queries.jobs(store).state.tolist() == ["running"]
        journal.append_many([StateChanged(state="completed"), call(3)])
    assert as_new(home, store)
    segment = max(home.journal_dir("job-1").glob("*.jsonl"))
    whole = segment.read_bytes()
    torn = whole[:-1] + b"x"  # of the same length: a line that was torn, and is written again
    segment.write_bytes(torn)
    store.rebuild()
    assert queries.jobs(store).lm_calls.tolist() == [2]
    segment.write_bytes(whole)
    assert queries.jobs(store).lm_calls.tolist() == [3]
    with Journal(home, "job-2") as journal:
        journal.append_many([CREATED, StateChanged(state="completed")])
    assert as_new(home, store)
    Store(home).discard({"job-2": "triage"})  # another process does
    assert queries.jobs(store).job_id.tolist() == ["job-1"]
    assert as_new(home, store)


@pytest.mark.parametrize("change", [lambda file: file.unlink(), lambda file: file.write_bytes(b"no database")])
def test_a_database_that_is_lost_is_made_anew(home: Home, change: Callable[[object], object]) -> None:
    store = Store(home)
    with Journal(home, "job-1") as journal:
        journal.append_many([CREATED, StateChanged(state="completed")])
    before = queries.jobs(store)
    change(home.database)
    pd.testing.assert_frame_equal(queries.jobs(store), before)
    assert not store.status().pending_migrations, "it is whole again"
