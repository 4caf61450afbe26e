"""``%skillfleet`` in a real IPython shell."""

from __future__ import annotations

import contextlib
import io
import signal
import textwrap
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from made_up import Counting, Data, counted_lm, exact, program, told

from skillfleet_nb import Job
from skillfleet_nb.errors import SkillfleetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPTIMIZE = (
    "%skillfleet optimize program --train train --val val --test test --metric metric --lm lm --seed 3 --threads 2"
)


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


@pytest.fixture
def engine(shell: InteractiveShell) -> Counting:
    lm, engine = counted_lm()
    shell.push({"program": program(), "metric": told, "lm": lm, **Data().splits()})
    return engine


def run(shell: InteractiveShell, cell: str) -> tuple[Any, str, str]:
    """Run a cell as a notebook does; return its result, and what it printed."""
    with capture_output() as printed:
        result = shell.run_cell(cell, store_history=True)
    return result, printed.stdout, printed.stderr


def test_the_main_job(shell: InteractiveShell, engine: Counting, tmp_path: Path) -> None:
    result, _, _ = run(
        shell, f"{OPTIMIZE} --optimizer infer_rules --set num_candidates=2 --set num_rules=3 --name intents -o kept"
    )
    assert result.success
    job = shell.user_ns["_"]
    assert job is shell.user_ns["kept"]
    assert job.name == "intents"
    assert job.result(0).lm_calls == engine.calls > 0
    _, out, _ = run(shell, "print(_ is kept)")
    assert out == "True\n"

    table, _, _ = run(shell, "%skillfleet jobs")
    assert "intents" in str(table.result)
    assert isinstance(table.result.frame, pd.DataFrame)
    report, _, _ = run(shell, "%skillfleet job intents")
    for told_of in ("validation", "verdict", "LM calls", "Please adhere"):
        assert told_of in str(report.result), told_of
    assert "data:image/svg+xml" in report.result._repr_html_()

    saved, _, _ = run(shell, f"%skillfleet save intents {tmp_path / 'best.json'}")
    assert saved.success
    fresh = program()
    fresh.load(tmp_path / "best.json")
    assert fresh.signature.instructions == job.program.signature.instructions != program().signature.instructions
    diff, _, _ = run(shell, "%skillfleet diff intents")
    assert "+" in str(diff.result)


def test_expressions_and_values_of_variables_stand_in_options(shell: InteractiveShell, engine: Counting) -> None:
    shell.run_cell("data, n, lms = {'my set': [*train, *val, *test]}, 12, [lm]")
    optimize = "%skillfleet optimize program --metric metric --optimizer labeled_fewshot"
    ran, _, _ = run(shell, f"{optimize} --train data['my set'][:20] --lm lms[0] --name 'a {{b}}' --tag t{{n+1}}")
    job = ran.result
    assert (job.name, job.progress.tags) == ("a {b}", ("t13",))
    assert sum(job.progress.spec["sizes"].values()) == 20
    for wrong, why in (("data['no']", "KeyError"), ("train[:1/0]", "ZeroDivisionError")):
        ran, _, _ = run(shell, f"{optimize} --train {wrong} --lm lm")
        assert isinstance(ran.error_in_exec, UsageError)
        assert why in str(ran.error_in_exec)


def test_values_are_bound_to_a_query(shell: InteractiveShell) -> None:
    shell.push({"least": 0.5, "text": "x' or '1'='1", "several": ["a", "b"], "thing": object()})
    for query, n in (
        ("select count(*) as n from jobs where best_score > :least", 0),
        ("select count(*) as n from jobs where name = {{ text }}", 0),
        ("select (:text = 'x'' or ''1''=''1')::int as n", 1),
        ("select list_contains(:several, 'b')::int as n", 1),
        ("select (':least'[2:3] = 'le' and 1::int = 1)::int as n", 1),
    ):
        ran, _, _ = run(shell, f"%%skillfleet sql\n{query}")
        assert ran.result.frame.n[0] == n, query
    for query, why in (("select :nowhere", ":nowhere has no value"), ("select :thing", ":thing is a object")):
        ran, _, _ = run(shell, f"%%skillfleet sql\n{query}")
        assert isinstance(ran.error_in_exec, UsageError)
        assert why in str(ran.error_in_exec)


def test_sql_is_taken_as_it_is_written(shell: InteractiveShell, engine: Counting) -> None:
    x = 5
    shell.push({"x": x})
    result, _, _ = run(
        shell, "%%skillfleet sql -o df\nselect '{x} $x' as braces,\n  {'a': 1}.a as struct -- {not} $this"
    )
    assert result.success
    assert shell.user_ns["df"].to_dict("records") == [{"braces": "{x} $x", "struct": 1}]
    run(shell, "%skillfleet sql select 'a  b' as quoted where 'x' = 'x' -o df")
    assert shell.user_ns["df"].to_dict("records") == [{"quoted": "a  b"}]
    run(shell, "%skillfleet sql select 'it''s  so' as quoted, '' as \"e  f\" where 'x  y'='x  y' -o odd")
    assert shell.user_ns["odd"].to_dict("records") == [{"quoted": "it's  so", "e  f": ""}]
    assert "--limit -1: give 1 or more" in run(shell, "%skillfleet sql select 1 --limit -1")[2]
    result, _, _ = run(shell, """%skillfleet sql "select '{x}' as b" -o other""")
    assert shell.user_ns["other"].b.tolist() == ["{x}"]
    assert "{x}" in str(result.result)
    empty, _, _ = run(shell, "%%skillfleet sql\nselect name, best_score from jobs")
    assert "0 rows" in str(empty.result)
    for refused in ("drop table jobs", "attach 'x.db'", "copy jobs to 'x.csv'", "install httpfs", "selec 1"):
        error = run(shell, f"%%skillfleet sql\n{refused}")
        assert one_usage_error(error), refused


def one_usage_error(ran: tuple[Any, str, str]) -> str:
    """Check that exactly one line told of a mistake, and return it."""
    result, out, err = ran
    assert not result.success
    assert type(result.error_in_exec).__name__ == "UsageError"
    assert "Traceback" not in out + err
    lines = [line for line in (out + err).splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert lines[0].startswith("UsageError: ")
    return lines[0]


def none(example: Any, pred: Any, trace: Any = None) -> None:
    return None


def broken(example: Any, pred: Any, trace: Any = None) -> float:
    raise ValueError("no such label\nin two lines")


def text(example: Any, pred: Any, trace: Any = None) -> str:
    return "good"


class Empty:
    """Made into a program without a predictor in the test."""


BAD = [
    ("--optimizer gepaa", "did you mean 'gepa'?"),
    ("--optimizer gepa --max-cals 5", "did you mean --max-calls?"),
    ("--optimizer gepa --set max_metric_cals=5", "did you mean 'max_metric_calls'?"),
    ("--optimizer gepa --set auto", "write --set key=value"),
    ("--optimizer gepa --set auto=tiny", "'light', 'medium' or 'heavy'"),
    ("--optimizer simba --set bsize=99", "bsize = 99 exceeds the 16 training examples"),
    ("--optimizer gepa --metric nothing", "did you mean 'nothing_'?"),
    ("--optimizer gepa --metric none", "metric 'none' returned None"),
    ("--optimizer gepa --metric broken", "metric 'broken' raised ValueError: no such label in two lines"),
    ("--optimizer gepa --metric text", "metric 'text' returned 'good'"),
    ("--optimizer gepa --metric nan", "returned nan"),
    ("--optimizer gepa --metric percent", "returned 87.5: a metric returns a bool"),
    ("--optimizer gepa --metric train", "cannot be called"),
    ("--optimizer gepa --train few", "too few to cut"),
    ("--optimizer gepa --train empty", "train is empty"),
    ("--optimizer gepa --train no_inputs", "has no field 'text'"),
    ("--optimizer gepa --train twice", "repeated value"),
    ("--optimizer gepa --val train", "train are also in val"),
    ("--optimizer simba --train three --val val --test test", "simba needs at least 4 training examples"),
    ("--optimizer gepa --train missing.csv", "missing.csv"),
    ("--optimizer gepa --train odd.csv", "odd.csv"),
    ("--optimizer gepa --train ragged.csv", "line 3 has 3 values, the header has 2"),
    ("--optimizer gepa --train table.xlsx", "is no file of examples"),
    ("--optimizer gepa --lm nothing", "lm 'nothing' is no variable"),
    ("--optimizer gepa --lm metric", "give a dspy.LM"),
    ("--optimizer gepa --budget -1", "must be more than 0"),
    ("--optimizer gepa --max-calls 0", "must be more than 0"),
    ("--optimizer gepa --max-calls many", "invalid int value: 'many'"),
    ("--optimizer gepa --seed -4", "whole number from 0"),
    ("--optimizer gepa --threads 0", "whole number from 1"),
    ("--optimizer gepa --name ' '", "give the job a name"),
    ("--optimizer bootstrap_finetune", "cannot"),
    ("--optimizer gepa 'open", "close the quote"),
    ("", "--optimizer"),
]


@pytest.mark.parametrize(("options", "said"), BAD, ids=[b[0] or "no optimizer" for b in BAD])
def test_a_mistake_is_one_line_and_costs_nothing(
    shell: InteractiveShell,
    engine: Counting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.csv").write_bytes("text,intent\ncafé,bug_report\n".encode("latin-1"))
    (tmp_path / "ragged.csv").write_text("text,intent\na,bug_report\nb,c,bug_report\n")
    (tmp_path / "table.xlsx").write_bytes(b"PK")
    data = Data()
    shell.push(
        {
            "nothing_": exact,
            "none": none,
            "broken": broken,
            "text": text,
            "nan": lambda e, p, trace=None: float("nan"),
            "percent": lambda e, p, trace=None: 87.5,
            "few": data.train[:4],
            "three": data.train[:3],
            "empty": [],
            "no_inputs": [{"txt": "a", "intent": "bug_report"}] * 20,
            "twice": [{"id": 1, "text": f"t{n}", "intent": "bug_report"} for n in range(20)],
        }
    )
    line = "%skillfleet optimize program --metric metric --lm lm"
    line += "" if "--train" in options else " --train train"
    if "few" not in options and "empty" not in options and "--val" not in options:
        line += " --test test" if "--train" not in options else ""
    if options == "--optimizer bootstrap_finetune":
        said = "needs a model that DSPy can fine-tune"
    told_line = one_usage_error(run(shell, f"{line} {options}"))
    assert said in told_line
    assert engine.calls == 0
    jobs, _, _ = run(shell, "%skillfleet jobs")
    assert "no jobs yet" in str(jobs.result)


@pytest.mark.parametrize("n", [0, -1])
def test_a_list_of_no_jobs_is_a_mistake(shell: InteractiveShell, n: int) -> None:
    assert f"--limit {n}: give 1 or more" in one_usage_error(run(shell, f"%skillfleet jobs --limit {n}"))


def test_no_model_and_no_program(shell: InteractiveShell, engine: Counting) -> None:
    import dspy

    class NoPredictor(dspy.Module):  # type: ignore[misc]  # dspy is untyped
        def forward(self, text: str) -> Any:
            return dspy.Prediction(intent="x")

    shell.push({"bare": NoPredictor(), "cls": NoPredictor, "number": 3})
    line = "%skillfleet optimize {} --train train --metric metric --optimizer gepa {}"
    assert "no LM is configured" in one_usage_error(run(shell, line.format("program", "")))
    for name, said in {"bare": "has no predictor", "cls": "give an instance", "number": "program is a int"}.items():
        assert said in one_usage_error(run(shell, line.format(name, "--lm lm")))
    assert "did you mean 'program'?" in one_usage_error(run(shell, line.format("progam", "--lm lm")))
    assert "did you mean 'optimize'?" in one_usage_error(run(shell, "%skillfleet optimise program"))
    assert engine.calls == 0


def test_debug_shows_the_trace(shell: InteractiveShell, engine: Counting) -> None:
    result, out, err = run(shell, f"{OPTIMIZE} --optimizer gepaa --debug")
    assert not result.success
    assert "Traceback" in out + err
    assert "registry.py" in out + err


def test_a_mistake_in_python_is_one_line_too_and_tb_shows_its_trace(shell: InteractiveShell, engine: Counting) -> None:
    setup = """
    import dspy, skillfleet_nb as sf
    fleet = sf.Fleet()
    ref = fleet.register(program, "intents").ref
    status = fleet.start_ab("trial", [ref, ref])
    route = fleet.ab("trial")
    """
    ran, _, told_of = run(shell, textwrap.dedent(setup))
    assert ran.success, told_of
    mistakes = {
        "route(text='hello')": "unit=None: say who or what is answered",
        "route.feedback('call-1', 1)": "id 'call-1' is no call of this test",
        "fleet.optimize(program, train=train, metric=metric, lm=lm, optimizer='gepaa')": "did you mean 'gepa'?",
        "sf.targets.react('a -> b', [])": "tools is empty",
        "fleet.job('nope')": "nope",
    }
    for cell, says in mistakes.items():
        ran, out, err = run(shell, f"pass\n{cell}")
        assert isinstance(ran.error_in_exec, SkillfleetError)
        lines = [line for line in (out + err).splitlines() if line.strip()]
        assert len(lines) == 1, lines
        assert lines[0].startswith(type(ran.error_in_exec).__name__ + ": ")
        assert says in lines[0]
        assert lines[0].endswith("(line 2; %tb shows the trace)")
    shown = "".join(run(shell, "%tb")[1:])
    assert "Traceback" in shown
    assert "fleet.py" in shown


def test_homes_that_cannot_be_used(
    shell: InteractiveShell, engine: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "format").write_text("99\n")
    occupied = tmp_path / "file"
    occupied.write_text("")
    for home, said in {newer: "upgrade skillfleet-nb", occupied: "not a folder", occupied / "in": "cannot"}.items():
        assert said in one_usage_error(run(shell, f"{OPTIMIZE} --optimizer gepa --home {home}")), home
        monkeypatch.setenv("SKILLFLEET_HOME", str(home))
        assert said in one_usage_error(run(shell, f"{OPTIMIZE} --optimizer gepa")), home
        assert isinstance(complete(shell, "%skillfleet job "), list)
    assert engine.calls == 0


def complete(shell: InteractiveShell, line: str) -> list[str]:
    with capture_output() as printed, provisionalcompleter():
        found = [c.text for c in shell.Completer.completions(line, len(line))]
    assert printed.stderr == ""
    return list(found)


def test_completion(shell: InteractiveShell, engine: Counting) -> None:
    run(shell, f"{OPTIMIZE} --optimizer labeled_fewshot --name first-try")
    offered = complete(shell, "%skillfleet ")
    assert {"optimize", "jobs", "job", "sql", "doctor", "db", "help"} <= set(offered)
    assert "status" in complete(shell, "%skillfleet db ")
    assert {"--metric", "--optimizer", "--max-calls"} <= set(complete(shell, "%skillfleet optimize program --"))
    assert {"gepa", "miprov2"} <= set(complete(shell, "%skillfleet optimize program --optimizer "))
    assert complete(shell, "%skillfleet optimize program --optimizer ge") == ["gepa"]
    assert "breadth=" in complete(shell, "%skillfleet optimize program --optimizer copro --set ")
    assert {"train", "val"} <= set(complete(shell, "%skillfleet optimize program --train "))
    assert "program" in complete(shell, "%skillfleet optimize ")
    for command in ("job", "cancel", "diff", "save"):
        assert "first-try" in complete(shell, f"%skillfleet {command} ")
    assert "-o" in complete(shell, "%%skillfleet sql -")


def test_loading_twice_and_unloading(shell: InteractiveShell) -> None:
    shell.run_line_magic("load_ext", "skillfleet_nb")
    shell.run_line_magic("reload_ext", "skillfleet_nb")
    assert len([c for c in complete(shell, "%skillfleet ") if c == "optimize"]) == 1
    shell.run_line_magic("unload_ext", "skillfleet_nb")
    assert "skillfleet" not in shell.magics_manager.magics["line"]
    assert "skillfleet" not in shell.magics_manager.magics["cell"]
    assert "optimize" not in complete(shell, "%skillfleet ")
    _, _, err = run(shell, "%skillfleet jobs")
    assert "not found" in err
    shell.run_line_magic("load_ext", "skillfleet_nb")
    assert run(shell, "%skillfleet jobs")[0].success


def test_jobs_survive_a_reload(shell: InteractiveShell, engine: Counting) -> None:
    run(shell, f"{OPTIMIZE} --optimizer labeled_fewshot --name before -o job")
    shell.run_line_magic("reload_ext", "skillfleet_nb")
    again, _, _ = run(shell, "%skillfleet job before")
    assert "before" in str(again.result)
    assert shell.user_ns["job"].result(0).verdict is not None


@pytest.mark.parametrize("ask", ["help", "--help", "-h", "help optimize", "optimize --help", "help db", "db --help"])
def test_help_is_shown(shell: InteractiveShell, ask: str) -> None:
    result, _, err = run(shell, f"%skillfleet {ask}")
    assert result.success
    assert "usage: %skillfleet" in str(result.result)
    assert err == ""


def test_alone_it_says_where_one_is(shell: InteractiveShell) -> None:
    result, _, _ = run(shell, "%skillfleet")
    assert "home" in str(result.result)
    assert "optimize" in str(result.result)
    assert "%skillfleet help" in str(result.result)


def test_what_a_run_prints_goes_to_its_log(shell: InteractiveShell) -> None:
    import dspy

    class Talks(dspy.Module):  # type: ignore[misc]  # dspy is untyped
        def __init__(self) -> None:
            super().__init__()
            self.classify = program()

        def forward(self, text: str) -> Any:
            print("thinking about it")  # noqa: T201  what this test is about
            return self.classify(text=text)

    hold = threading.Event()
    lm, engine = counted_lm(Counting(gate=hold))
    shell.push({"program": Talks(), "metric": told, "lm": lm, **Data().splits()})
    started, _, _ = run(shell, f"{OPTIMIZE} --optimizer bootstrap_random_search --no-wait --name quiet")
    assert started.success
    job = started.result
    assert engine.reached.wait()
    _, out, err = run(shell, "print('mine'); import sys; print('also mine', file=sys.stderr)")
    assert not job.state.is_finished(), "the run was to be still on"
    assert (out, err) == ("mine\n", "also mine\n")
    job.cancel()
    hold.set()
    assert job.wait()
    _, out, err = run(shell, "print('after')")
    assert (out, err) == ("after\n", "")
    log, _, _ = run(shell, "%skillfleet job quiet --log")
    assert "thinking about it" in str(log.result)
    assert "mine" not in str(log.result).replace("determine", "")


def test_a_run_that_begins_in_a_captured_cell_prints_into_no_other(shell: InteractiveShell) -> None:
    import dspy

    class Talks(dspy.Module):  # type: ignore[misc]  # dspy is untyped
        def __init__(self) -> None:
            super().__init__()
            self.classify = program()

        def forward(self, text: str) -> Any:
            answer = self.classify(text=text)
            print("answered at last")  # noqa: T201  what this test is about
            return answer

    hold = threading.Event()
    lm, engine = counted_lm(Counting(gate=hold))
    shell.push({"program": Talks(), "metric": told, "lm": lm, **Data().splits()})
    with capture_output() as captured:  # what is put back at its end knows nothing of the run
        run(shell, f"{OPTIMIZE} --optimizer bootstrap_random_search --no-wait --name quiet -o kept")
        assert engine.reached.wait()
    with capture_output() as printed:
        hold.set()
        assert shell.user_ns["kept"].wait()
    log, _, _ = run(shell, "%skillfleet job quiet --log")
    answered = engine.calls
    assert str(log.result).count("answered at last") > answered // 2, "but for what was under way when the cell ended"
    assert "answered at last" not in captured.stdout
    assert printed.stdout.count("answered at last") < answered // 2
    _, out, _ = run(shell, "print('after')")
    assert out == "after\n"


def test_a_run_in_the_background_can_be_cancelled_by_name(shell: InteractiveShell) -> None:
    hold = threading.Event()
    lm, engine = counted_lm(Counting(gate=hold))
    shell.push({"program": program(), "metric": told, "lm": lm, **Data().splits()})
    job = run(shell, f"{OPTIMIZE} --optimizer gepa --no-wait --name long")[0].result
    assert engine.reached.wait()
    answer, _, _ = run(shell, "%skillfleet cancel long")
    assert "stops at its next call" in str(answer.result)
    hold.set()
    assert job.wait()
    assert job.state == "cancelled"
    again, _, _ = run(shell, "%skillfleet cancel long")
    assert "cancelled already" in str(again.result)
    for thread in threading.enumerate():
        if thread.name == f"skillfleet-{job.id}":
            thread.join()  # it has told its end, and has nothing more to do


class Terminal(io.StringIO):
    """Takes what is written, as a terminal or as a file."""

    def __init__(self, *, live: bool) -> None:
        super().__init__()
        self._live = live

    def isatty(self) -> bool:
        return self._live


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("live", [True, False])
def test_without_a_notebook_progress_is_one_line_that_is_written_over(shell: InteractiveShell, *, live: bool) -> None:
    written = Terminal(live=live)
    with contextlib.redirect_stdout(written):
        shell.run_cell(f"{OPTIMIZE} --optimizer labeled_fewshot --name few")
    lines = [line for line in written.getvalue().split("\n") if "few · labeled_fewshot" in line]
    assert len(lines) == 1
    assert "completed" in lines[0].rpartition("\r\x1b[2K")[2]
    assert (lines[0].count("\r\x1b[2K") > 1) is live


def test_an_interrupt_leaves_a_watched_job_alone(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    lm, engine = counted_lm(Counting(gate=hold))
    shell.push({"program": program(), "metric": told, "lm": lm, **Data().splits()})
    job = run(shell, f"{OPTIMIZE} --optimizer gepa --no-wait --name long")[0].result
    assert engine.reached.wait()

    def interrupted(*_: Any) -> bool:
        signal.raise_signal(signal.SIGINT)
        return False

    with monkeypatch.context() as patched:
        patched.setattr(type(job), "wait", interrupted)
        watched, _, _ = run(shell, "%skillfleet watch long")
    assert watched.result is job
    assert not job.state.is_finished()
    job.cancel()
    hold.set()
    assert job.wait()


class Finalized:
    """Python drops what is raised as this goes."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_in_a_finalizer_is_not_lost(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    lm, engine = counted_lm(Counting(gate=hold))
    shell.push({"program": program(), "metric": told, "lm": lm, **Data().splits()})
    wait, cancel = Job.wait, Job.cancel

    def interrupted(job: Job, timeout: float | None = None) -> bool:
        if not hold.is_set():
            engine.reached.wait()
            Finalized()
        return wait(job, timeout)

    def cancelled(job: Job) -> None:
        cancel(job)
        hold.set()

    monkeypatch.setattr(Job, "wait", interrupted)
    monkeypatch.setattr(Job, "cancel", cancelled)
    ran, _, _ = run(shell, f"{OPTIMIZE} --optimizer gepa --name dropped")
    assert ran.success
    assert str(ran.result.state) == "cancelled"


def test_an_interrupt_as_the_run_begins_keeps_its_handle(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skillfleet_nb.runs.engines import processes

    lm, _ = counted_lm()
    shell.push({"program": program(), "metric": told, "lm": lm, **Data().splits()})
    monkeypatch.setattr(processes, "forget", lambda *_: signal.raise_signal(signal.SIGINT))
    ran, _, _ = run(shell, f"{OPTIMIZE} --optimizer gepa --set max_metric_calls=5000 --name early -o job")
    assert ran.success
    job = ran.result
    assert job is shell.user_ns["job"]
    assert job.wait()
    assert str(job.state) == "cancelled"


@pytest.mark.parametrize("dropped", [(), (BaseException,)], ids=["raised", "dropped by the metric"])
def test_an_interrupt_before_the_run_is_one_line_and_starts_nothing(
    shell: InteractiveShell, dropped: tuple[type[BaseException], ...]
) -> None:
    lm, engine = counted_lm()

    def hangs(example: Any, pred: Any, trace: Any = None) -> bool:
        with suppress(*dropped):
            signal.raise_signal(signal.SIGINT)
        return True

    shell.push({"program": program(), "metric": hangs, "lm": lm, **Data().splits()})
    ran, out, err = run(shell, f"{OPTIMIZE} --optimizer gepa")
    assert isinstance(ran.error_in_exec, UsageError)
    assert str(ran.error_in_exec) == "interrupted"
    assert "Traceback" not in out + err
    assert engine.calls == 0
    assert "no jobs yet" in str(run(shell, "%skillfleet jobs")[0].result)


@pytest.mark.parametrize("code", ["%skillfleet jobs", "%skillfleet job kept", "%skillfleet plot scores kept", "job"])
def test_an_interrupt_while_an_answer_is_drawn_is_one_line_and_ends_the_cell(
    shell: InteractiveShell, engine: Counting, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    del engine
    run(shell, f"{OPTIMIZE} --optimizer labeled_fewshot --set k=4 --name kept -o job")
    answer = shell.user_ns["job"] if code == "job" else run(shell, code)[0].result
    # what a signal does by default: where the tests run in the background, none comes
    monkeypatch.setattr(type(answer), "text", lambda _: signal.default_int_handler(signal.SIGINT, None))
    ran, out, err = run(shell, code)
    assert isinstance(ran.error_in_exec, KeyboardInterrupt)
    assert (out + err).partition(": ")[2] == "interrupted while the answer was drawn: run the cell again to see it\n"
