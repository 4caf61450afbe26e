"""Drift of inputs: false alarms as rare as stated at every size, drift told, and how it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import numpy as np
import pandas as pd
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.data.bundled import bundled
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.events.monitoring import DriftChecked
from skillfleet_nb.monitoring import two_sample
from skillfleet_nb.monitoring.drift import spent
from skillfleet_nb.monitoring.drift_inputs import rows_to_tell
from skillfleet_nb.monitoring.two_sample import compare
from skillfleet_nb.store import journal

if TYPE_CHECKING:
    from pathlib import Path


def vectors(rng: np.random.Generator, n: int, *, centres: int = 0) -> np.ndarray:
    """Draw vectors; of a few centres alone there are many ties and duplicates."""
    made = rng.standard_normal((n, 8)) if not centres else rng.integers(0, centres, (n, 1)) * np.ones((1, 8))
    return made.astype(np.float32)


@pytest.mark.parametrize(("n", "centres"), [(100, 0), (30, 12)])
def test_p_values_are_as_rare_as_they_say(n: int, centres: int) -> None:
    rng, p = np.random.default_rng(0), []
    for seed in range(24):
        reference, live = vectors(rng, 60, centres=centres), vectors(rng, n, centres=centres)
        p.append(compare(reference, live, alpha=0.05, seed=seed).p_value)
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 24)
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.25)


def test_new_inputs_are_told_and_pointed_at() -> None:
    rng = np.random.default_rng(1)
    reference, live = vectors(rng, 300), vectors(rng, 100)
    live[:25] += np.array([3, 3, 0, 0, 0, 0, 0, 0])
    found = compare(reference, live, alpha=0.005)
    assert found.p_value <= 0.001
    assert 0 < found.divergence < 1
    assert np.isin(np.argsort(-found.moved)[:10], np.arange(25)).mean() >= 0.8
    assert compare(reference, live, alpha=0.005).p_value == found.p_value, "the same seed, the same answer"


def test_a_few_that_lie_apart_a_crowd_and_more_of_the_known_are_each_told() -> None:
    rng = np.random.default_rng(5)
    reference, usual = vectors(rng, 300), vectors(rng, 80)
    scattered, crowd, more = usual.copy(), usual.copy(), usual.copy()
    scattered[:20] *= 3
    crowd[:20] = 1 + 0.05 * vectors(rng, 20)
    more[:40] = more[:40] * 0.5
    p = [compare(reference, live, alpha=0.01).p_value for live in (usual, scattered, crowd, more)]
    assert p[0] > 0.01
    assert max(p[1:]) <= 0.01


def test_many_vectors_are_compared_in_blocks_as_exactly() -> None:
    rng = np.random.default_rng(2)
    p = [compare(vectors(rng, 1600), vectors(rng, 801), alpha=0.05, seed=s).p_value for s in range(3)]
    assert min(p) > 0.01
    assert compare(vectors(rng, 1600), vectors(rng, 801) + np.float32(0.15), alpha=0.05).p_value <= 0.01


def test_new_vectors_one_after_the_other_are_told_as_those_between_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_sample, "_BLOCKS", 40)
    monkeypatch.setattr(two_sample, "_BLOCKS_OF_EACH", 20)
    rng = np.random.default_rng(3)
    reference, live = vectors(rng, 400), vectors(rng, 400)
    live[-60:] *= 3
    p = [compare(reference, rows, alpha=0.01).p_value for rows in (live, live[rng.permutation(400)])]
    assert max(p) <= 0.01


def test_a_small_sample_is_compared_with_many_as_well() -> None:
    rng = np.random.default_rng(4)
    reference, live = vectors(rng, 3000), vectors(rng, 60)
    assert compare(reference, live, alpha=0.01).p_value > 0.01
    live[:15] *= 3
    assert compare(reference, live, alpha=0.01).p_value <= 0.01
    assert compare(live, reference, alpha=0.01).p_value <= 0.01


def test_inputs_that_are_all_the_same_are_no_alarm() -> None:
    same = np.ones((20, 4), np.float32)
    assert compare(same, same).p_value == 1.0


def test_all_checks_together_spend_no_more_than_the_risk() -> None:
    assert sum(spent(0.01, look) for look in range(1, 31)) == pytest.approx(0.005)
    assert sum(spent(0.01, look) for look in range(1, 5000)) < 0.01
    assert rows_to_tell(0.2, 0.01) < rows_to_tell(0.1, 0.01) < rows_to_tell(0.1, 0.001)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return [dict(row) for row in bundled("intents")]


def test_a_check_is_kept_shown_and_told_by_its_exit_code(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    fleet = Fleet(tmp_path / "home")
    fleet.register(dspy.Predict("text -> intent"), "intents")
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    texts = [{"text": row["text"]} for row in rows]
    live = [{"text": f"Please write a poem about the sea and the {n % 12} winds."} for n in range(24)]
    shell.push({"known": texts[:40], "alike": texts[40:50], "poems": live})
    line = f"drift check intents@1 --reference known --alpha 0.05 --home {fleet.home.root} --inputs"
    assert str(shell.run_line_magic("skillfleet", f"{line} alike")).startswith("too few to tell: p = ")
    report = shell.run_line_magic("skillfleet", f"{line} poems")
    assert (report.alarm, report.ok, report.look, report.spent) == (True, False, 2, spent(0.05, 2))
    assert "the inputs have drifted, 24 live inputs against 40: p = " in str(report)
    assert all("poem" in moved.live for moved in report.moved)
    assert len({moved.live for moved in report.moved}) == 5  # each text once, though it was asked twice
    checks = fleet.sql("select name, look, kind, alarm, n from drift_checks order by look")
    assert checks.to_numpy().tolist() == [["intents@1", 1, "input", False, 10], ["intents@1", 2, "input", True, 24]]
    assert report.map().data.side.value_counts().to_dict() == {"reference": 40, "live": 24}
    assert fleet.drift.chart("intents@1").svg.startswith("<svg")
    (tmp_path / "live.csv").write_text("text\n" + "\n".join(row["text"] for row in live))
    (tmp_path / "known.csv").write_text("text\n" + "\n".join(row["text"].replace(",", " ") for row in texts[:40]))
    files = ["--inputs", str(tmp_path / "live.csv"), "--reference", str(tmp_path / "known.csv")]
    assert main(["drift", "check", "intents@1", "--home", str(fleet.home.root), "--alpha", "0.05", *files]) == 1
    with pytest.raises(UsageError, match="intents@1 comes from no job whose data was kept"):
        shell.run_line_magic("skillfleet", f"drift check intents@1 --inputs poems --home {fleet.home.root}")


def test_live_inputs_that_hold_the_reference_are_no_drift_and_new_ones_among_them_are(
    tmp_path: Path, rows: list[dict[str, str]]
) -> None:
    fleet, texts = Fleet(tmp_path / "home"), [{"text": row["text"]} for row in rows]
    poems = [{"text": f"Please write a poem about the sea and the {n} winds."} for n in range(60)]
    for seed in range(5):
        whole = [texts[place] for place in np.random.default_rng(seed).permutation(len(texts))]
        half = whole[: len(whole) // 2]
        report = fleet.check_drift(half, whole, seed=seed)
        assert not report.alarm, str(report)
    assert fleet.check_drift(half, [*half, *poems]).alarm


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    fleet, some = Fleet(tmp_path / "home"), [{"text": str(n)} for n in range(9)]
    with pytest.raises(InputError, match="live inputs: 3 rows; give at least 5"):
        fleet.check_drift(some, some[:3])
    with pytest.raises(InputError, match="the reference has the fields text, live inputs body"):
        fleet.check_drift(some, [{"body": row["text"]} for row in some])
    with pytest.raises(InputError, match=r"alpha=0: give a risk between 0 and 1"):
        fleet.check_drift(some, some, alpha=0)
    with pytest.raises(InputError, match=r"seed = -1: it must be a whole number from 0"):
        fleet.check_drift(some, some, seed=-1)
    with pytest.raises(NotFoundError, match="unknown kind of drift 'inputs': did you mean 'input'"):
        fleet.check_drift(some, some, kinds=("inputs",))
    with pytest.raises(NotFoundError, match="unknown drift check"):
        fleet.drift.history("none")


class Died(BaseException):
    """What ends a check as a kill does: nothing after it happens."""


def test_checks_that_die_at_any_step_leave_what_whole_ones_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = journal.Journal.append
    before, now = ([{"text": f"message {n}", "intent": one} for n in range(40)] for one in ("odd", "even"))

    def check(fleet: Fleet, moment: str = "") -> None:
        def dying(self: journal.Journal, payload: Any, **more: Any) -> int:
            if isinstance(payload, DriftChecked) and moment == "before":
                raise Died
            number = append(self, payload, **more)
            if isinstance(payload, DriftChecked) and moment == "after":
                raise Died
            return number

        with monkeypatch.context() as patch:
            patch.setattr(journal.Journal, "append", dying)
            fleet.drift.check("intents@1", now, rows=before, kinds=("output",), alpha=0.5)

    fleets = [Fleet(tmp_path / name) for name in ("whole", "killed")]
    for fleet in fleets:
        fleet.register(dspy.Predict("text -> intent"), "intents")
        for _ in range(2):
            if fleet is fleets[1]:
                with pytest.raises(Died):
                    check(fleet, "before")
            check(Fleet(fleet.home.root))
    with pytest.raises(Died):
        check(fleets[1], "after")
    check(fleets[0])
    whole, killed = (fleet.drift.history().drop(columns=["at"]) for fleet in fleets)
    assert whole.look.tolist() == [1, 2, 3]
    pd.testing.assert_frame_equal(killed, whole)
