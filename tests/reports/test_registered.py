"""Registered programs with their evidence: from a job to production and back, in Python and by command."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import dspy
import pandas as pd
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from made_up import Data, program, told

from skillfleet_nb import Fleet, offline_lm
from skillfleet_nb.cli import main
from skillfleet_nb.errors import InputError, JobError, NotFoundError
from skillfleet_nb.events import JobCreated
from skillfleet_nb.programs.loading import LoadWarning
from skillfleet_nb.programs.state import dump_state
from skillfleet_nb.reports.golden import GoldenWarning
from skillfleet_nb.store import Home, Journal

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Lab


def wrong(example: Any, prediction: Any, trace: object = None) -> float:
    """Score the other way round, as another metric."""
    return 1.0 - float(told(example, prediction, trace).score)


@pytest.fixture(scope="session")
def registered(lab: Lab) -> Fleet:
    """Register as `intents`: the best of `few`, the better one of `rules`, one without a job, one by another metric."""
    fleet = lab.fleet
    fleet.register("few", "intents", note="the first")
    fleet.register("rules", "intents")
    bare = program()
    bare.signature = bare.signature.with_instructions("Guess.")
    fleet.register(bare, "intents")
    other = lab.run("backwards", metric=wrong, params={"k": 3})
    other.result(0)
    fleet.register(other, "intents")
    return fleet


def test_a_version_says_what_its_job_knows(lab: Lab, registered: Fleet) -> None:
    version = registered.registry.show("intents@1").version
    job, result = lab.fleet.job("few"), lab.fleet.job("few").result(0)
    assert (version.job_id, version.note) == (job.id, "the first")
    assert version.scores["test"] == pytest.approx(result.test_score)
    assert version.scores["test_low"] <= version.scores["test"] <= version.scores["test_high"]
    assert (version.scores["verdict"], version.scores["n_test"]) == (result.verdict, len(Data().test))
    assert version.setup["optimizer"] == "labeled_fewshot"
    assert version.versions["dspy"] == dspy.__version__
    row = registered.versions("intents").set_index("version").loc[1]
    assert row.test_score == pytest.approx(result.test_score)
    assert (row.job_id, row.verdict, row.optimizer) == (job.id, result.verdict, "labeled_fewshot")
    assert registered.register("few", "intents").version == 1, "the same program stays the version it is"


def test_what_is_loaded_answers_as_the_job_s_best(lab: Lab, registered: Fleet) -> None:
    loaded, best = registered.program("intents@1"), lab.fleet.job("few").result(0).program
    with dspy.context(lm=lab.lm):
        for example in Data().test[:3]:
            assert loaded(text=example.text).intent == best(text=example.text).intent
    assert all(p.lm is None for p in loaded.predictors())


def test_an_alias_goes_by_the_sealed_test(registered: Fleet) -> None:
    evidence = registered.alias("intents", "production", 1)
    assert "there is nothing to compare" in evidence.text
    evidence = registered.alias("intents", "production", 2)
    assert evidence.objection is None
    assert "version 1 to 2: no evidence: 41.7 → 66.7 on 12 examples, +25.0 points (95% interval" in evidence.text
    with pytest.raises(JobError, match=r"not moved to version 1: its sealed test is lower: .*production 1 --force"):
        registered.alias("intents", "production", 1)
    assert registered.registry.aliases("intents")["production"] == 2
    registered.alias("intents", "production", 1, force="a drill")
    assert registered.registry.show("intents@production").version.version == 1
    assert registered.rollback("intents", "production").version == 2


def test_what_cannot_be_compared_is_refused(lab: Lab, registered: Fleet) -> None:
    registered.alias("intents", "candidate", 1)
    with pytest.raises(JobError, match="version 3 was not scored on a test split"):
        registered.alias("intents", "candidate", 3)
    with pytest.raises(JobError, match="scored by different metrics"):
        registered.alias("intents", "candidate", 4)
    with pytest.raises(InputError, match="say why"):
        registered.alias("intents", "candidate", 3, force=" ")
    registered.alias("intents", "candidate", 3, force="a try")
    (*_, last) = lab.again.registry.show("intents@candidate").moves["candidate"]
    assert (last.version, last.forced) == (3, "a try")
    assert registered.rollback("intents", "candidate").version == 1
    with pytest.raises(JobError, match="stood for no other before"):
        registered.rollback("intents", "candidate")
    with pytest.raises(NotFoundError, match="never was version 2: it was 1, 3"):
        registered.rollback("intents", "candidate", to=2)


def test_a_live_program_follows_in_another_process(lab: Lab, registered: Fleet) -> None:
    registered.alias("intents", "served", 1)
    with pytest.warns(GoldenWarning, match="no model is configured"):
        live = lab.again.live("intents@served")
    assert live.version.version == 1
    with pytest.raises(InputError, match="follows an alias, for example intents@production"):
        registered.live("intents@1")


class Wrapped(dspy.Module):
    def __init__(self, signature: str = "text -> intent") -> None:
        super().__init__()
        self.sort = dspy.Predict(signature)

    def forward(self, text: str) -> Any:
        return self.sort(text=text)


class Needy(Wrapped):
    def __init__(self, signature: str) -> None:  # noqa: RUF100  it takes an argument
        super().__init__(signature)


def test_programs_of_one_s_own_are_made_anew(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home")
    fleet.register(Wrapped(), "own")
    assert isinstance(fleet.program("own"), Wrapped)
    fleet.register(Needy("text -> intent"), "needy")
    with pytest.raises(InputError, match=r"needy@1 cannot be loaded: its class .*Needy is made with signature"):
        fleet.program("needy")
    assert isinstance(fleet.program("needy", Needy("text -> intent")), Needy)
    with pytest.raises(InputError, match=r"intent .* is gone"):
        fleet.program("needy", Needy("text -> label"))
    kept = fleet.program("needy", Needy("text -> label"), differences="keep")
    assert list(kept.sort.signature.output_fields) == ["intent"]  # type: ignore[attr-defined]


def test_a_class_that_is_gone_is_named_and_nothing_else_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, module = Fleet(tmp_path / "home"), ModuleType("passing")
    sys.modules["passing"] = module
    try:
        module.Gone = type("Gone", (Wrapped,), {"__module__": "passing"})  # type: ignore[attr-defined]
        fleet.register(module.Gone(), "gone")
        module.Gone = lambda: pytest.fail("it was called")  # type: ignore[attr-defined]
        with pytest.raises(InputError, match=r"passing\.Gone is no class of DSPy programs any more"):
            fleet.program("gone")
    finally:
        del sys.modules["passing"]
    with pytest.raises(InputError, match=r"its class passing\.Gone is not to be found here: define or import it"):
        fleet.program("gone")
    assert isinstance(fleet.program("gone", Wrapped()), Wrapped)
    (tmp_path / "passing.py").write_text("import sys\nsys.exit()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"importing .passing. ends the process, .*; put what runs under"):
        fleet.program("gone")


def test_a_variable_of_any_kind_is_told_what_may_be_registered(tmp_path: Path) -> None:
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    shell.push({"frame": pd.DataFrame({"a": [1, 2]}), "kept": Wrapped()})
    with pytest.raises(UsageError, match="a DataFrame cannot be registered: give a job, its name, a program"):
        shell.run_line_magic("skillfleet", f"program register frame --as frame --home {tmp_path}")
    shell.run_line_magic("skillfleet", f"program register kept --as kept --home {tmp_path}")
    assert Fleet(tmp_path).registry.names == ["kept"]


def test_a_variable_that_is_no_program_stands_in_the_way_of_no_job(tmp_path: Path) -> None:
    with Journal(Home.init(tmp_path), "job-1") as journal:
        journal.append(JobCreated(name="frame", optimizer="copro", program="p", metric="m", engine="thread", seed=0))
    shell = InteractiveShell()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    shell.push({"frame": ("a", "tuple")})
    with pytest.raises(UsageError, match="job 'frame'"):
        shell.run_line_magic("skillfleet", f"program register frame --as frame --home {tmp_path / '.skillfleet'}")


def test_files_and_wrong_things(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home")
    for text in ('{"a": 1}', '{"a": {"b": 1}}'):
        (tmp_path / "none.json").write_text(text)
        with pytest.raises(InputError, match=r"none\.json has no predictor with a signature: give the JSON file"):
            fleet.register(str(tmp_path / "none.json"), "none")
    assert "none" not in fleet.registry.names
    dspy.Predict("text -> intent").save(tmp_path / "dspy.json")
    fleet.register(str(tmp_path / "dspy.json"), "raw")
    with pytest.raises(InputError, match="does not say its class"):
        fleet.program("raw")
    assert list(fleet.program("raw", dspy.Predict("text -> intent")).signature.fields) == ["text", "intent"]  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="a int cannot be registered"):
        fleet.register(3, "three")  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="unknown program 'nope'"):
        fleet.register("nope", "nope")
    assert fleet.registry.names == ["raw"]


def test_the_commands_say_it_too(
    lab: Lab, registered: Fleet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLFLEET_HOME", str(lab.fleet.home.root))

    def typed(*words: str) -> str:
        status = main([*words])
        printed = capsys.readouterr()
        return f"{status} {printed.out}{printed.err}"

    assert "intents         4" in typed("programs")
    shown = typed("program", "show", "intents@1")
    assert "note           the first" in shown
    assert "instructions" in shown
    assert "0 registered intents@1, which it was already" in typed("program", "register", "few", "--as", "intents")
    typed("program", "alias", "intents", "typed", "1")
    told_so = typed("program", "alias", "intents", "typed", "3", "--dry-run")
    assert "it would be refused without --force" in told_so
    assert "2 " in typed("program", "alias", "intents", "typed", "3")
    assert registered.registry.aliases("intents")["typed"] == 1
    assert "intents@typed is version 3" in typed("program", "alias", "intents", "typed", "3", "--force", "a drill")
    assert "is version 1 again, after 3" in typed("program", "rollback", "intents", "typed")
    assert "Guess." in typed("program", "diff", "intents@2", "intents@3")
    assert "did you mean 'intents'" in typed("program", "show", "intnts@1")


def test_an_empty_home_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLFLEET_HOME", str(tmp_path / "home"))
    assert main(["programs"]) == 0
    assert "no program is registered yet; skillfleet program register JOB --as NAME" in capsys.readouterr().out
    assert not (tmp_path / "home").exists()


def test_a_predictor_keeps_the_model_it_has_of_its_own_and_no_key(tmp_path: Path) -> None:
    fleet, own = Fleet(tmp_path), dspy.Predict("text -> intent")
    own.lm = dspy.LM("openai/gpt-4o-mini", api_key="a-secret-of-mine", temperature=0.3, max_tokens=77)
    fleet.register(own, "own")
    loaded = fleet.program("own").lm  # type: ignore[attr-defined]
    assert (loaded.model, loaded.kwargs) == ("openai/gpt-4o-mini", {"temperature": 0.3, "max_tokens": 77})
    assert not any(b"a-secret-of-mine" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert fleet.register(dspy.Predict("text -> intent"), "own").version == 2, "another model, another program"
    own.lm = offline_lm()
    fleet.register(own, "made")
    with pytest.warns(LoadWarning, match="made@1: it was saved with skillfleet/offline-1, which only code can make"):
        assert fleet.program("made").lm is None  # type: ignore[attr-defined]
    with dspy.context(lm=offline_lm()):
        given = fleet.program("made", own)
    assert given.lm is own.lm  # type: ignore[attr-defined]


def test_what_dspy_of_another_major_version_saved_is_loaded_and_said(tmp_path: Path) -> None:
    fleet, state = Fleet(tmp_path), dump_state(dspy.Predict("history: dspy.History, text -> intent"))
    state["metadata"]["dependency_versions"]["dspy"] = "2.6.27"
    (tmp_path / "old.json").write_text(json.dumps(state))
    fleet.register(tmp_path / "old.json", "old")
    with pytest.warns(LoadWarning, match=r"saved with DSPy 2\.6\.27 and is loaded with 3\."):
        program = fleet.program("old")
    assert program.signature.fields["history"].annotation is dspy.History  # type: ignore[attr-defined]
