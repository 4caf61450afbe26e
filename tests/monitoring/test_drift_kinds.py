"""Drift of outputs, quality and the model: told apart, at the risk that is stated, and to whom it is to be told."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
import numpy as np
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from scripted import Scripted, scripted

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.monitoring.alerts import AlertWarning
from skillfleet_nb.monitoring.drift_outputs import output_drift
from skillfleet_nb.monitoring.ticker import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = [{"text": f"message {n}", "intent": "even" if n % 2 == 0 else "odd"} for n in range(60)]


def metric(example: dspy.Example, pred: dspy.Prediction, trace: object = None) -> bool:
    return bool(example.intent == pred.intent)


def number(prompt: str) -> int:
    return int(prompt.rpartition("message ")[2].split()[0])


def right(prompt: str, _: str) -> str:
    return "even" if number(prompt) % 2 == 0 else "odd"


def wrong_from(first: int) -> Callable[[str, str], str]:
    """Answer as before up to a message, and otherwise from there on."""
    return lambda prompt, system: right(prompt, system) if number(prompt) < first else "neither"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    made = Fleet(tmp_path / "home")
    made.register(dspy.Predict("text -> intent"), "parity")
    made.alias("parity", "production", 1)
    return made


@pytest.fixture
def model() -> Iterator[Scripted]:
    lm, engine = scripted(right)
    with dspy.context(lm=lm):
        yield engine


def answers(rng: np.random.Generator, n: int, odds: float = 0.5) -> list[dict[str, Any]]:
    return [{"label": "a" if rng.random() < odds else "b", "reply": "x" * int(rng.integers(5, 60))} for _ in range(n)]


def test_outputs_drift_no_more_often_than_stated_and_are_told_part_by_part() -> None:
    rng, types = np.random.default_rng(0), {"label": None, "reply": str}
    p = [output_drift(answers(rng, 60), answers(rng, 40), types, 0.05, seed).finding.p_value for seed in range(40)]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 40)
    before = answers(rng, 120)

    def first(live: list[dict[str, Any]]) -> list[str]:
        drift = output_drift(before, live, types, 0.001, 0)
        assert drift.finding.alarm
        assert 0 < drift.finding.divergence <= 1
        return list(drift.finding.details[0].rows[0][:2])

    assert first(answers(rng, 80, odds=0.9)) == ["label", "shares"]
    assert first([{**row, "reply": row["reply"] * 3} for row in answers(rng, 80)]) == ["reply", "length"]
    assert first([{**row, "label": None} if n % 3 else row for n, row in enumerate(answers(rng, 80))]) == [
        "label",
        "missing answers",
    ]
    refusing = [{**row, "reply": "I'm sorry, no"} if n % 3 else row for n, row in enumerate(answers(rng, 80))]
    assert first(refusing) == ["reply", "refusals"]
    other = output_drift(before, [{**row, "label": "c"} for row in answers(rng, 80)], types, 0.001, 0)
    assert [(s.answer, s.live) for s in other.shares] == [("a", 0), ("b", 0), ("others", 1)]
    few = output_drift(before, answers(rng, 10), types, 0.001, 0).finding
    assert few.sentence().startswith("too few to tell: p = ")
    assert few.rows is not None
    assert f"{few.rows:,} show it" in few.sentence()


def test_answers_that_do_not_fit_their_type_are_told() -> None:
    before = [{"n": k % 7} for k in range(90)]
    live = [{"n": "many" if k % 2 else k % 7} for k in range(60)]
    rows = output_drift(before, live, {"n": int}, 0.001, 0).finding.details[0].rows
    assert [row[:4] for row in rows if row[1] == "answers that do not fit"] == [
        ["n", "answers that do not fit", "0%", "50%"]
    ]


def test_a_worse_program_and_a_changed_model_are_told_apart(fleet: Fleet, model: Scripted) -> None:
    fleet.golden_sets.add("parity", ROWS, metric=metric, score=True)
    both = ("quality", "model")
    same = fleet.check_drift("parity@production", kinds=both, metric=metric)
    assert (same.alarm, same.drifted, same.look) == (False, (), 1)
    assert model.calls == 60 * 3, "one asking serves both kinds"
    model.write = wrong_from(40)
    changed = fleet.check_drift("parity@production", kinds=both, metric=metric)
    assert (changed.alarm, changed.drifted, changed.look) == (True, both, 2)
    assert changed["quality"].divergence == changed["model"].divergence == pytest.approx(1 / 3)
    assert changed["quality"].spent == changed.spent / 2, "the kinds of a check share what it may spend"
    moved = "acme/support-1 has changed: 20 of 60 answers to the same prompts are others, 0 were so at once"
    assert moved in str(changed)
    assert ["message 40", "even", "neither"] in [list(row) for row in changed["model"].details[0].rows]
    assert set(fleet.golden_sets.history("parity").how[1:]) == {"drift"}
    # the model words its answers otherwise, which are as right: it has changed, the quality has not
    model.write = lambda prompt, system: f"{right(prompt, system)}."
    fleet.golden_sets.add("parity", metric=lenient, score=True)
    model.write = right
    assert fleet.check_drift("parity@production", kinds=both, metric=lenient).drifted == ("model",)
    # another program under the alias, of the same model: the quality has dropped, the model has not changed
    fleet.golden_sets.add("parity", metric=metric, score=True)
    worse = dspy.Predict("text -> intent")
    worse.signature = worse.signature.with_instructions("Guess.")
    fleet.register(worse, "parity")
    fleet.alias("parity", "production", 2, force="a colleague's")
    model.write = lambda prompt, system: "never" if "Guess" in system else right(prompt, system)
    edited = fleet.check_drift("parity@production", kinds=both, metric=metric)
    assert edited.drifted == ("quality",)
    assert "the quality has dropped: parity@2 scores -100.0 points" in str(edited)
    told = fleet.sql("select look, kind, alarm from drift_checks where look = 4 order by kind").to_numpy().tolist()
    assert told == [[4, "model", False], [4, "quality", True]]
    assert fleet.drift.chart("parity@production").svg.startswith("<svg")


def lenient(example: dspy.Example, pred: dspy.Prediction, trace: object = None) -> bool:
    return bool(str(pred.intent).startswith(example.intent))


def test_noise_that_was_there_at_once_is_no_change_of_the_model(fleet: Fleet, model: Scripted) -> None:
    times: Counter[int] = Counter()

    def unsteady(prompt: str, system: str) -> str:  # the same whichever thread asks first
        times[number(prompt)] += 1
        draw = random.Random(f"{number(prompt)} {times[number(prompt)]}").random()
        return right(prompt, system) if draw < 0.7 else "perhaps"

    model.write = unsteady
    golden = fleet.golden_sets.add("parity", ROWS, metric=metric, score=True)
    assert golden.differing > 10
    alarms = [
        fleet.check_drift("parity@1", kinds=("quality", "model"), metric=metric, alpha=0.2, of=f"a{n}").alarm
        for n in range(3)
    ]
    assert sum(alarms) <= 1
    model.write = lambda prompt, system: "never"
    assert fleet.check_drift("parity@1", kinds=["model"], metric=metric, alpha=0.2).alarm


def test_what_a_golden_set_cannot_tell_is_refused_before_anything_is_bought(fleet: Fleet, model: Scripted) -> None:
    with pytest.raises(NotFoundError, match="unknown golden set 'parity'"):
        fleet.check_drift("parity@1", kinds=["quality"])
    fleet.golden_sets.add("parity", ROWS[:8])
    with pytest.raises(InputError, match="not answered by any version yet: skillfleet golden add parity --score-now"):
        fleet.check_drift("parity@1", kinds=["quality"])
    fleet.golden_sets.add("parity", metric=metric, score=True)
    calls = model.calls
    other, _ = scripted(right)
    other.model = "acme/support-2"
    with pytest.raises(InputError, match="was answered by acme/support-1, this is acme/support-2"):
        fleet.check_drift("parity@1", kinds=["model"], metric=metric, lm=other)
    with pytest.raises(InputError, match="quality and the model are checked of a registered program"):
        fleet.check_drift(ROWS, ROWS, kinds=["quality"])
    with pytest.raises(InputError, match="told of live rows: give them"):
        fleet.check_drift("parity@1", kinds=["output"])
    with pytest.raises(InputError, match="live rows have no answers: give them with the program's outputs"):
        fleet.check_drift("parity@1", [{"text": "message 1"}] * 9, kinds=["output"])
    assert model.calls == calls
    few = fleet.check_drift("parity@1", kinds=["model"], metric=metric)
    assert "examples show that 20% of the answers changed" in few.sentence()
    assert few.is_small


def test_live_answers_are_compared_with_those_of_the_golden_set(fleet: Fleet, model: Scripted) -> None:
    del model
    fleet.golden_sets.add("parity", ROWS, metric=metric, score=True)
    live = [{"text": f"message {n}", "intent": "even"} for n in range(60)]
    report = fleet.check_drift("parity@production", live, kinds=["output"])
    assert report.alarm
    assert [(s.answer, s.reference, s.live) for s in report.shares] == [("even", 0.5, 1.0), ("odd", 0.5, 0.0)]
    assert report.share_chart().svg.startswith("<svg")
    with pytest.raises(InputError, match="inputs were not compared"):
        report.map()
    (fleet.home.root / "live.csv").write_text("text,intent\n" + "\n".join(f"{r['text']},{r['intent']}" for r in live))
    line = f"drift check parity@production --kinds output --inputs {fleet.home.root}/live.csv --plot"
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    shown = shell.run_line_magic("skillfleet", f"{line} --home {fleet.home.root}")
    assert repr(shown).startswith("the outputs have drifted, first shares of intent")
    assert (shown.ok, shown._repr_html_().count("<img")) == (False, 2)


def test_alarms_are_told_to_a_function_and_to_the_webhook_that_is_set_up(
    fleet: Fleet, model: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    fleet.golden_sets.add("parity", ROWS, metric=metric, score=True)
    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        monkeypatch.setenv("SKILLFLEET_ALERT_WEBHOOK", f"http://127.0.0.1:{server.server_port}/alarms")
        asked = {"kinds": ["model"], "metric": metric, "alert": lambda report: heard.append(report.drifted)}
        fleet.check_drift("parity@production", **asked)
        assert heard == [], "nobody is told that nothing has changed"
        model.write = wrong_from(20)
        report = fleet.check_drift("parity@production", **asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert heard[0] == ("model",)
    assert heard[1] == {
        "name": "parity@production", "look": 2, "drifted": ["model"], "p_value": report.p_value,
        "spent": report.spent, "divergence": report.divergence, "text": report.sentence(),
    }  # fmt: skip
    with pytest.warns(AlertWarning, match="the webhook of alarms does not answer"):
        assert fleet.check_drift("parity@production", kinds=["model"], metric=metric).alarm
    monkeypatch.setenv("SKILLFLEET_ALERT_WEBHOOK", "mailto:me")
    with pytest.raises(InputError, match="alert_webhook"):
        fleet.check_drift("parity@production", kinds=["model"], metric=metric)


def test_a_watch_checks_shows_alarms_and_stops(
    fleet: Fleet, model: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.golden_sets.add("parity", ROWS, metric=metric, score=True)
    model.write = wrong_from(20)
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    shell.push({"metric": metric})
    line = f"drift watch parity@production --kinds model --metric metric --every 1h --home {fleet.home.root}"
    watch = shell.run_line_magic("skillfleet", line)
    try:
        assert watch.is_running
        with pytest.raises(UsageError, match="parity@production is watched already"):
            shell.run_line_magic("skillfleet", line)
        assert watch.first.wait(120)
        shown = capsys.readouterr().out
        assert "acme/support-1 has changed: 40 of 60 answers to the same prompts are others" in shown
        stopped = shell.run_line_magic("skillfleet", f"drift watch parity@production --stop --home {fleet.home.root}")
        assert stopped is watch
        assert watch.wait(120)
    finally:
        watch.stop()
    assert "watch of parity@production, ended: 1 check, 1 alarm; acme/support-1 has changed" in str(watch)
    answer = shell.run_line_magic("skillfleet", f"drift report parity@production --home {fleet.home.root}")
    report, page = str(answer), answer._repr_html_()
    assert (page.count("<img"), page.count("<table")) == (1, 1), "charts among other answers are pictures"
    assert "parity@production: 1 check, 1 alarm; the last one:\n  model: acme/support-1 has changed" in report
    for wrong, said in (("--every never", "every='never': give a time"), ("--times 0", "--times 0: give a number")):
        with pytest.raises(UsageError, match=said):
            shell.run_line_magic("skillfleet", f"drift watch parity@production {wrong} --home {fleet.home.root}")
    missing = fleet.drift.watch("parity@1", list, every=0.001, times=2, kinds=["output"])
    assert missing.wait(120)
    assert (missing.done, missing.ok) == (2, True)
    assert "live rows have no answers" in missing.trouble


def test_a_shell_watches_until_it_is_told_to_end_and_its_exit_code_tells(
    fleet: Fleet, model: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.golden_sets.add("parity", ROWS, metric=metric, score=True)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    line = ["drift", "watch", "parity@production", "--kinds", "model", "--metric", "test_drift_kinds:metric"]
    line += ["--every", "0.01s", "--times", "2", "--home", str(fleet.home.root)]
    assert main(line) == 0
    model.write = wrong_from(20)
    assert main(line) == 1
    assert seconds("2d") == 172800
