"""A monitored program in use, as its monitor shows it: figures, what is said where there are none, the live view."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dspy
import pytest

import skillfleet_nb as sf
from skillfleet_nb.cli import main
from skillfleet_nb.commands import Context, run
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.events import Traced
from skillfleet_nb.runs.interrupts import taken
from skillfleet_nb.store import Journal, new_stream
from skillfleet_nb.tracing.usage import Usage
from skillfleet_nb.widgets.usage import UsageMonitor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from skillfleet_nb import Fleet

LONG = "a-rather-long-name-for-a-program-that-classifies-<i>-help-desk-messages-by-intent"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return sf.Fleet(tmp_path / "home")


def record(fleet: Fleet, *predictions: dict[str, Any], name: str = "triage") -> None:
    """Write predictions as a monitored program does, each a root and a call of a model."""
    with Journal(fleet.home, new_stream("traced")) as journal:
        for n, given in enumerate(predictions):
            number = given.pop("number", n)
            used = {"model": "a/b", "input_tokens": 100, "output_tokens": 10, "cached": False, "cost_usd": 0.002}
            used |= given.pop("used", {})
            shape = {"start_s": 0.0, "latency_s": 0.1, "error": None, "input": '{"text": "<b>hi"}', "output": None}
            shape |= {"attributes": {}}
            root = {**shape, "span_id": f"r{number}", "parent_id": None, "name": name, "operation": "invoke_workflow"}
            call = {
                **shape,
                "span_id": f"c{number}",
                "parent_id": f"r{number}",
                "name": "a/b",
                "operation": "chat",
                **used,
            }
            facts = {"share": 0.5, "latency_s": 0.1, **given}
            journal.append(Traced(name=name, trace_id=f"{number:032x}", spans=(root, call), **facts))


def context_of(fleet: Fleet, say: Callable[[Any], None], **variables: Any) -> Context:
    return Context(
        lambda _: fleet, variables, lambda job, watch=False: None, say, lambda what: lambda done, total: None
    )


def test_figures_stand_for_all_calls_of_which_a_share_is_recorded(fleet: Fleet) -> None:
    record(
        fleet,
        *({"latency_s": 0.1 * n, "score": 1.0, "alias": "production", "version": 2} for n in range(1, 9)),
        {
            "error": "LookupError: nothing on it",
            "score": None,
            "latency_s": 0.9,
            "used": {"cost_usd": 0.0, "cached": True},
        },
        {"error": "ValueError", "latency_s": 1.0, "version": 1},
    )
    usage = fleet.usage("triage")
    assert (usage.predictions, usage.calls, usage.failed, usage.success) == (10, 20, 4, 0.8)
    assert usage.calls_a_minute == pytest.approx(20 / 60)
    assert usage.success_low == pytest.approx(0.490, abs=1e-3), "Wilson's interval of the 10 that were recorded"
    assert (usage.p50_s, usage.p95_s) == (pytest.approx(0.55), pytest.approx(0.955))
    assert (usage.lm_calls, usage.cached, usage.input_tokens, usage.output_tokens) == (10, 1, 2000, 200)
    assert usage.cost_usd == pytest.approx(9 * 0.002 * 2)
    assert (usage.scored, usage.score) == (8, 1.0)
    assert usage.versions == {"2@production": 16, "1": 2}
    assert usage.errors == {"LookupError": 2, "ValueError": 2}
    assert sum(one.calls for one in usage.times) == 20
    assert [tree.row["trace_id"] for tree in usage.traces.trees] == [f"{n:032x}" for n in (9, 8, 7, 6, 5)]
    text = usage.text()
    assert "calls     0.33 a minute, about 20: 10 recorded" in text
    assert "80% [49%, 94%] · 4 failed: LookupError 2, ValueError 2" in text
    assert "100 + 10 a call · 2,000 + 200 in all · 10% of model calls from the cache" in text
    assert "└─ a/b  100 ms · 100 + 10 tokens · $0.0020" in text


def test_a_price_that_is_unknown_leaves_the_cost_unknown(fleet: Fleet) -> None:
    record(fleet, {}, {"used": {"cost_usd": None}})
    assert fleet.usage("triage").cost_usd is None
    assert "cost      cost unknown" in fleet.usage("triage").text()


def test_where_nothing_is_recorded_it_says_what_to_do(fleet: Fleet) -> None:
    with pytest.raises(NotFoundError, match=r"unknown monitored program 'triage'.*sf\.monitored\(program, name=…\)"):
        fleet.usage("triage")
    fleet.register(dspy.Predict("n -> odd: bool"), "odd")
    for usage in (
        fleet.usage("odd"),
        fleet.usage(sf.monitored(dspy.Predict("a -> b"), home=fleet.home.root, name="odd")),
    ):
        assert str(usage).startswith(
            "odd, the last 1 h: nothing is recorded yet: m = sf.monitored(program, name='odd')"
        )
        assert "nothing is recorded yet" in usage.html()
    record(fleet, {})
    with pytest.raises(NotFoundError, match="unknown monitored program 'triag': did you mean 'triage'"):
        fleet.usage("triag")
    for window in ("soon", 0, "nan", float("inf"), "99999999d"):
        with pytest.raises(InputError, match="window="):
            fleet.usage("triage", window=window)
    later = Usage(
        program="triage",
        until=datetime.now(UTC),
        window_s=60,
        last_at=datetime.now(UTC) - timedelta(hours=5, minutes=1),
    )
    assert "the last prediction is 5 h 1 min old: " in later.text()
    assert later.nothing().endswith("skillfleet monitor triage --window 6h")


def test_names_are_text(fleet: Fleet) -> None:
    record(fleet, {}, name=LONG)
    page = fleet.usage(LONG).html()
    assert "<i>" not in page
    assert "<b>hi" not in page
    assert "<wbr>" in page


def test_a_shell_tells_each_change_in_a_line_until_it_is_interrupted(fleet: Fleet) -> None:
    record(fleet, {})
    said: list[str] = []

    def say(answer: object) -> None:
        said.append(str(answer))
        if len(said) == 1:
            threading.Thread(target=record, args=(fleet, {"number": 7})).start()
        else:
            signal.raise_signal(signal.SIGINT)

    context = context_of(fleet, say)
    with taken():
        last: Any = run(["monitor", "triage", "--watch", "--every", "0.01"], context)
    assert said[0].startswith("triage, the last 1 h\ncalls     0.033 a minute, about 2: 1 recorded")
    assert "triage, the last 1 h: calls 0.067 a minute, about 4: 2 recorded | success 100%" in said[1]
    assert last.predictions == 2
    with pytest.raises(InputError, match="--every 0: give seconds"):
        run(["monitor", "triage", "--watch", "--every", "0"], context)


def test_a_variable_names_what_it_monitors(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    m = sf.monitored(dspy.Predict("a -> b"), home=fleet.home.root, name="fresh")
    context = Context(
        lambda _: fleet, {"m": m}, lambda job, watch=False: None, print, lambda _: lambda done, total: None
    )
    answer: Any = run(["monitor", "m"], context)
    assert answer.program == "fresh"
    assert main(["monitor", "none", "--home", str(fleet.home.root)]) == 2
    assert "unknown monitored program 'none'" in capsys.readouterr().err


def test_the_live_view_sends_what_is_new_once_the_page_has_drawn(fleet: Fleet) -> None:
    record(fleet, {})
    view = UsageMonitor(fleet.usage("triage"))
    assert (view.box.n, view.box.window, view.box.program) == (1, "1h", "triage")
    record(fleet, {"number": 7})
    view.refresh()
    assert (view.box.n, view.answer.predictions) == (2, 2)
    assert "about 4: 2 recorded" in view.box.figures
    view._heard(None, {"do": "window", "window": "1d"}, None)
    assert (view.box.window, view.answer.window_s) == ("1d", 86_400)
    view._heard(None, {"do": "window", "window": "soon"}, None)
    assert view.box.told.startswith("window='soon'")
    view._heard(None, {"do": "pause"}, None)
    assert view.box.paused
    view._heard(None, {"do": "unpause"}, None)
    assert not view.box.paused
    drew = threading.Event()
    view.box.observe(lambda change: drew.set(), ["n"])
    view._heard(None, {"do": "drawn", "n": view.box.n}, None)
    assert drew.wait(300), "while a page draws, the kernel looks again by itself"
    view.close()
    assert "about 4: 2 recorded" in view._repr_html_()


def test_what_is_seen_later_is_shown_though_an_earlier_look_ends_meanwhile(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(fleet, {})
    view = UsageMonitor(fleet.usage("triage"))
    look, looked, goes_on = Usage.again, threading.Event(), threading.Event()

    def again(usage: Usage, window: str | None = None) -> Usage:
        seen = look(usage, window)
        if threading.current_thread() is early:
            looked.set()
            goes_on.wait()
        else:
            early.join()
        return seen

    monkeypatch.setattr(Usage, "again", again)
    early, late = threading.Thread(target=view.refresh), threading.Thread(target=view.refresh)
    early.start()
    looked.wait()
    record(fleet, {"number": 7})
    late.start()
    goes_on.set()
    late.join()
    assert view.answer.predictions == 2
    view.close()
