"""The handle of a job, its progress in words, and what else a run does with a person's data."""

from __future__ import annotations

import asyncio
import json
import threading
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import SMALL, Counting, Data, counted_lm, exact, program, rows, until

from skillfleet_nb import Fleet
from skillfleet_nb.errors import InputError, JobError, NotFoundError
from skillfleet_nb.runs.jobs.progress import duration
from skillfleet_nb.store import follow

if TYPE_CHECKING:
    from pathlib import Path

NASTY = "<script>alert(1)</script> & <u>\"'"


def start(fleet: Fleet, optimizer: str = "infer_rules", **changed: Any) -> Any:
    lm, _ = counted_lm()
    given = {"metric": exact, "params": SMALL[optimizer], "lm": lm, "num_threads": 2, **Data().splits()}
    return fleet.optimize(changed.pop("program", None) or program(), optimizer=optimizer, **{**given, **changed})


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "home")


class Held:
    """What takes a while to be freed, as a model in native code does."""

    def __init__(self, left: dict[str, bool]) -> None:
        self.left, self.thread = left, threading.current_thread().name
        left[self.thread] = True

    def __del__(self) -> None:
        threading.Event().wait(0.2)
        self.left[self.thread] = False


class Holding(dspy.Module):  # type: ignore[misc]
    """A program that leaves something with each thread that copies it."""

    def __init__(self, left: dict[str, bool]) -> None:
        super().__init__()
        self.ask = program()
        self.left, self.local = left, threading.local()

    def forward(self, **inputs: Any) -> Any:
        return self.ask(**inputs)

    def deepcopy(self) -> Any:
        if not hasattr(self.local, "held"):
            self.local.held = Held(self.left)
        copy = Holding(self.left)
        copy.ask, copy.local = self.ask.deepcopy(), self.local
        return copy


def test_what_threads_of_a_job_held_is_freed_before_its_result_is_there(fleet: Fleet) -> None:
    left: dict[str, bool] = {}
    assert start(fleet, program=Holding(left)).result().state == "completed"
    assert {is_left for name, is_left in left.items() if name.startswith("skillfleet-")} == {False}


def test_a_handle_here_and_one_from_the_record_say_the_same(fleet: Fleet, tmp_path: Path) -> None:
    job = start(fleet, name="mine")
    result = job.result()
    read = Fleet(fleet.home.root).job("mine")
    assert read.id == job.id
    assert read.state == job.state == "completed"
    assert str(read) == str(job)
    assert read.wait(0)
    for name in ("baseline_score", "best_score", "test_score", "p_value", "verdict", "lm_calls"):
        assert getattr(read.result(), name) == pytest.approx(getattr(result, name)), name
    best = read.best_program(program())
    assert best.signature.instructions == result.program.signature.instructions == job.program.signature.instructions
    for handle, name in ((job, "a.json"), (read, "b.json")):
        fresh = program()
        fresh.load(handle.save(tmp_path / name))
        assert fresh.signature.instructions == best.signature.instructions
        with pytest.raises(InputError, match="saved as JSON"):
            handle.save(tmp_path / "a.pkl")
    assert "Please adhere" in str(read.diff())
    assert fleet.job(job.id) is job
    with pytest.raises(NotFoundError, match="did you mean 'mine'"):
        fleet.job("mien")


def test_a_job_can_be_awaited(fleet: Fleet) -> None:
    job = start(fleet)

    async def wait() -> Any:
        return await job

    assert asyncio.run(wait()) is job.result(0)


def test_waiting_has_an_end(fleet: Fleet) -> None:
    hold = threading.Event()
    lm, engine = counted_lm(Counting(gate=hold))
    job = start(fleet, lm=lm)
    assert engine.reached.wait()
    assert not job.wait(0.01)
    with pytest.raises(JobError, match=r"is still running after 0.01 s: wait longer, or \.cancel\(\) it"):
        job.result(timeout=0.01)
    job.cancel()
    hold.set()
    assert job.wait()


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)


def test_what_is_shown_as_html_is_escaped(fleet: Fleet) -> None:
    from skillfleet_nb.commands.job_views import JobReport

    nasty = program()
    nasty.signature = nasty.signature.with_instructions(f"Classify the message by intent. {NASTY}")
    data = Data()
    data.all = [dspy.Example(text=f"{e.text} {NASTY}", intent=e.intent).with_inputs("text") for e in data.all]
    job = start(fleet, program=nasty, name=NASTY, **data.splits())
    job.result()
    for shown in (job, job.diff(), JobReport(job, fleet.trials(job.id))):
        page = shown._repr_html_()
        assert "script" not in Tags(page).names
        assert "u" not in Tags(page).names
        assert "&lt;script&gt;" in page
    assert NASTY in str(job)


def test_progress_tells_where_a_job_is(fleet: Fleet) -> None:
    hold = threading.Event()
    lm, _ = counted_lm(Counting(gate=hold, free=len(Data().val) + 1, latency_s=0.01))
    job = start(fleet, "gepa", lm=lm, name="on its way")
    until(lambda: job.progress.baseline is not None)
    line = job.progress.line()
    for part in ("on its way", "gepa", "trial", "best", "baseline", "calls", "$0.00"):
        assert part in line, part
    assert "\n" not in line
    left = job.progress.eta_s
    assert left is not None
    assert 0 <= left[0] <= left[1]
    job.cancel()
    hold.set()
    assert job.wait()
    assert "cancelled" in job.progress.line()
    assert job.progress.started_at <= job.progress.finished_at
    elapsed = job.progress.elapsed_s
    assert job.progress.elapsed_s == elapsed, "a finished job's clock stands still"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90061, "25 h 1 min")]
)
def test_time_reads_well(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize("seconds", [59.6, 119.7, 3599.9, 7199.9])
def test_time_never_reads_as_sixty(seconds: float) -> None:
    assert "60" not in duration(seconds)


def test_data_given_as_one_set_is_cut_the_same_way_for_a_seed(fleet: Fleet) -> None:
    jobs = [start(fleet, train=rows(), val=None, test=None, seed=seed) for seed in (4, 4, 5)]
    hashes = []
    for job in jobs:
        job.result()
        spec = fleet.sql(
            "select job_id, payload->'spec'->'data_hashes' as hashes from events where kind = 'job_created'"
        )
        hashes.append(json.loads(spec[spec.job_id == job.id].hashes.iloc[0]))
        assert "sealed until the end" in job.splits
    assert hashes[0] == hashes[1] != hashes[2]


def test_rows_that_repeat_are_warned_of_and_scored(fleet: Fleet) -> None:
    data = Data()
    splits = data.splits()
    splits["val"] = [*splits["val"], *splits["val"][:3]]
    job = start(fleet, **splits)
    result = job.result()
    assert result.state == "completed"
    assert result.best_score is not None
    assert any("repeat another exactly" in warning for warning in job.progress.warnings)
    assert not any("cut from it" in warning for warning in job.progress.warnings)
    cut = start(fleet, train=[*data.all, *data.all[:3]], val=None, test=None)
    assert cut.result().state == "completed"
    told = "train: 3 rows repeat another exactly, the first at row 48; they count twice, in the test that is cut from"
    assert any(warning.startswith(told) for warning in cut.progress.warnings)
    simba = start(fleet, "simba", **{**splits, "train": [*splits["train"], *splits["train"][:2]]})
    assert simba.result().state == "completed"


class Fails(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """Fails on some inputs, whatever the model says."""

    def __init__(self, texts: set[str]) -> None:
        super().__init__()
        self.label = program()
        self.texts = texts

    def forward(self, text: str) -> Any:
        if text in self.texts:
            raise ValueError(f"cannot take {text!r}")
        return self.label(text=text)


@pytest.mark.parametrize("culprit", ["program", "metric"])
def test_simba_has_trials_where_the_program_or_the_metric_fails_on_some_rows(fleet: Fleet, culprit: str) -> None:
    texts = {example.text for example in Data().splits()["train"][::2]}

    def judge(example: Any, pred: Any, trace: Any = None) -> bool:
        if culprit == "metric" and example.text in texts:
            raise ValueError("no opinion")
        return bool(example.intent == pred.intent)

    job = start(fleet, "simba", metric=judge, program=Fails(texts if culprit == "program" else set()))
    job.result()
    tried = [e.payload for e in follow(fleet.home, job.id).poll() if e.kind == "trial" and e.payload.split == "train"]
    assert tried
    for trial in tried:
        scores = [row.score for row in trial.scores]
        assert None in scores
        assert trial.score == pytest.approx(sum(s or 0.0 for s in scores) / len(scores))


def test_prompts_can_be_left_out(fleet: Fleet) -> None:
    start(fleet, record_prompts=False).result()
    calls = fleet.sql("select prompt, response from lm_calls")
    assert calls.prompt.str.startswith("sha256:").all()
    assert calls.response.str.startswith("sha256:").all()
    journal = b"".join(p.read_bytes() for p in fleet.home.journal.rglob("*.jsonl")).decode()
    assert "Your input fields are" not in journal


def test_a_model_without_a_cache_is_warned_of(fleet: Fleet) -> None:
    lm, _ = counted_lm(cache=False)
    job = start(fleet, lm=lm)
    assert job.result().cached_calls == 0
    assert any("an interrupted run cannot be replayed" in warning for warning in job.progress.warnings)


def test_a_program_that_fails_on_everything_says_why(fleet: Fleet) -> None:
    class Broken(dspy.Module):  # type: ignore[misc]  # dspy is untyped
        def __init__(self) -> None:
            super().__init__()
            self.classify = program()

        def forward(self, text: str) -> Any:
            raise KeyError("no such field")

    job = start(fleet, program=Broken())
    with pytest.raises(JobError, match="KeyError: 'no such field'"):
        job.result()
    assert job.state == "failed"
