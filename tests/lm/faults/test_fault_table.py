"""Each fault with each of three optimizers, over real HTTP: the outcome that docs/faults.md tells."""

from __future__ import annotations

import re
import socket
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from chat_server import serving
from fault_kit import FOREVER, OPTIMIZERS, SETTINGS, Runner

from skillfleet_nb import Fleet
from skillfleet_nb.errors import JobError
from skillfleet_nb.events import JobState
from skillfleet_nb.programs.state import dump_state
from skillfleet_nb.store import follow

if TYPE_CHECKING:
    from made_up import Clock

# What the person is told of each, and to do about it; and how often a call is tried with num_retries=2.
DEAD: dict[str, tuple[str, str, int]] = {
    "auth": ("LMAuthError", "the key is refused", 1),
    "quota": ("LMBillingError", "no quota or credit left", 1),
    "not_found": ("LMUnsupportedModelError", "no such model", 1),
    "malformed": ("LMProviderError", "cannot be read", 3),
    "no_choices": ("LMProviderError", "cannot be read", 3),
    "rate_limit": ("LMRateLimitError", "use fewer threads", 3),
    "server_500": ("LMServerError", "its server fails", 3),
    "unavailable_503": ("LMServerError", "its server fails", 3),
    "reset": ("LMTransportError", "cannot be reached", 3),
    "hang": ("LMTransportError", "cannot be reached", 3),
}
TRANSIENT = [name for name, (_, _, tries) in DEAD.items() if tries > 1]
BASELINE = 5  # calls that score the given program on validation
# Before the search all optimizers are one: there each fault meets one of them, and each of them some faults.
BEFORE_THE_SEARCH = [(fault, OPTIMIZERS[n % len(OPTIMIZERS)]) for n, fault in enumerate(DEAD)]


@pytest.fixture
def hanging_takes_long(runner: Runner, clock: Clock) -> None:
    """Put the time forward whenever a request hangs: that one is late, however slow the others are."""
    runner.server.on_fault = lambda: clock.forward(2 * FOREVER)


@pytest.mark.parametrize(("fault", "optimizer"), BEFORE_THE_SEARCH)
def test_a_dead_model_fails_the_job_on_its_first_call(runner: Runner, fault: str, optimizer: str) -> None:
    error, advice, tries = DEAD[fault]
    runner.server.always(fault)
    # Every call fails here: a time limit that good ones might miss does no harm.
    job = runner.start(optimizer, runner.lm(**({"timeout": 0.2} if fault == "hang" else {})))
    with pytest.raises(JobError, match=error) as raised:
        job.result()
    assert advice in str(raised.value)
    assert "\n" not in str(raised.value)
    assert runner.fleet.sql("select payload->'attempts' as n from events where kind = 'lm_call'").n.tolist() == [
        str(tries)
    ]
    assert len(runner.server.seen) <= tries if fault == "hang" else len(runner.server.seen) == tries
    assert job.state is JobState.FAILED
    assert advice in str(job.progress.stop_reason)
    assert runner.calls() == runner.calls("error is not null") == 1


def test_a_server_that_is_not_there_fails_the_job_on_its_first_call(runner: Runner) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # taken, and not listened at
        lm = runner.lm(api_base=f"http://127.0.0.1:{held.getsockname()[1]}/v1")
        with pytest.raises(JobError, match=r"refused.*check api_base="):
            runner.start(lm=lm).result()
    assert runner.calls() == 1


def test_requests_refused_one_by_one_stop_the_run_before_the_search(runner: Runner) -> None:
    runner.server.always("bad_request")
    job = runner.start("miprov2")
    with pytest.raises(JobError, match="LMInvalidRequestError"):
        job.result()
    assert job.state is JobState.FAILED
    assert len(runner.server.seen) == BASELINE


def test_answers_that_nobody_can_read_fail_the_program_and_not_the_model(runner: Runner) -> None:
    runner.server.always("nonsense")
    job = runner.start("gepa")
    with pytest.raises(
        JobError, match=r"the program failed on all 5 validation examples: AdapterParseError.*headroom tries"
    ):
        job.result()
    assert job.state is JobState.FAILED
    assert runner.calls("error is not null") == 0
    assert len(runner.server.seen) == 2 * BASELINE  # each is asked for again as JSON


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("fault", [*DEAD, "bad_request"])
@pytest.mark.usefixtures("hanging_takes_long")
def test_a_model_that_dies_in_the_search_ends_it_with_the_best_so_far(
    runner: Runner, fault: str, optimizer: str
) -> None:
    runner.server.after(BASELINE + 1, fault)
    job = runner.start(optimizer, runner.lm(num_retries=0))
    result = job.result()
    assert result.state is job.state is JobState.FAILED
    assert re.search(r" failed.*\bLM\w+Error", result.stop_reason)
    assert job.progress.error == result.stop_reason
    assert result.best_score is not None
    assert result.baseline_score is not None
    assert result.best_score >= result.baseline_score > 0
    assert result.test_score is None
    assert result.verdict is None
    # As many as had been answered before, fewer than five of the model in its other role, and those in flight.
    assert runner.calls("error is not null") <= (BASELINE + 1) + 4 + 2


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_model_that_turns_unreadable_in_the_search_is_told_of(runner: Runner, optimizer: str) -> None:
    runner.server.fault = lambda n: "nonsense" if n > BASELINE and n % 2 else None
    job = runner.start(optimizer)
    result = job.result()
    assert result.best_score is not None
    assert result.baseline_score is not None
    assert result.best_score >= result.baseline_score > 0
    assert runner.calls("error is not null") == 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_model_that_dies_before_the_test_gives_no_verdict(runner: Runner, optimizer: str) -> None:
    """Three examples are too few for the circuit: zeros on all of them are no result all the same."""
    job = runner.start(optimizer, num_threads=1)
    assert job.result().verdict is not None
    events = list(follow(runner.fleet.home, job.id).poll())
    sealed = next(n for n, e in enumerate(events) if e.kind == "phase" and "sealed" in e.payload.text)
    bought = sum(e.kind == "lm_call" and not e.payload.cached for e in events[:sealed])

    runner.server.seen.clear()
    runner.server.after(bought, "server_500")
    job = runner.start(optimizer, runner.lm(num_retries=0), num_threads=1)
    result = job.result()
    assert result.state is job.state is JobState.FAILED
    assert "LMServerError" in result.stop_reason
    assert (result.verdict, result.test_score) == (None, None)
    assert result.best_score is not None


@cache
def undisturbed(optimizer: str, home: Path) -> tuple[dict[str, Any], float | None, float | None]:
    with serving() as server:
        fleet = Fleet(home / optimizer)
        fleet.home.ensure()
        fleet.home.config.write_text(SETTINGS, encoding="utf-8")
        result = Runner(fleet, server).start(optimizer).result()
        assert result.state is JobState.COMPLETED
        return dump_state(result.program), result.best_score, result.test_score


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("fault", TRANSIENT)
@pytest.mark.usefixtures("hanging_takes_long")
def test_a_fault_now_and_then_changes_nothing_but_the_count(
    runner: Runner, homes: Path, fault: str, optimizer: str
) -> None:
    runner.server.every(5, fault)
    # As the time passes for one that hangs, it is the only one in flight.
    threads = 1 if fault == "hang" else 2
    job = runner.start(optimizer, runner.lm(num_retries=4), num_threads=threads)
    result = job.result()
    assert result.state is JobState.COMPLETED
    assert result.stop_reason == "the optimizer finished"
    assert (dump_state(result.program), result.best_score, result.test_score) == undisturbed(optimizer, homes)
    assert runner.calls("error is not null") == 0
    assert runner.server.failed > 0
    assert f"{runner.server.failed} attempts at calls failed and were repeated" in job.progress.warnings


@pytest.mark.parametrize("fault", DEAD)
def test_the_documentation_tells_what_is_shown_here(fault: str) -> None:
    error, advice, tries = DEAD[fault]
    page = (Path(__file__).parents[3] / "docs" / "faults.md").read_text("utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{fault}`"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:4] == [f"`{error}`", "yes" if tries > 1 else "no", advice]
    assert cells[4].startswith("same result" if tries > 1 else "counts as unanswered")
