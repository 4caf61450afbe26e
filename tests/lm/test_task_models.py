"""Models by what they are asked for: read from a home's file, used where there is such work, and checked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from IPython.core.interactiveshell import InteractiveShell
from made_up import Counting, Data, counted_lm, exact, program

import skillfleet_nb as sf
from skillfleet_nb import Fleet
from skillfleet_nb.commands.complete import offers
from skillfleet_nb.config import Settings
from skillfleet_nb.errors import InputError, LMError, NotFoundError
from skillfleet_nb.lm.fallback import with_fallbacks
from skillfleet_nb.lm.task_models import TaskModelWarning, named_lm
from skillfleet_nb.modules import create

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    made = Fleet(tmp_path / ".skillfleet")
    made.home.ensure()
    return made


def written(fleet: Fleet, text: str) -> None:
    fleet.home.config.write_text(text)


def test_a_role_has_its_model_with_its_options(fleet: Fleet) -> None:
    written(fleet, '[task_models.edit]\nmodel = "openai/gpt-4o-mini"\ntemperature = 0.3\nmax_tokens = 500\n')
    lm = sf.task_lm("edit")
    assert (lm.model, lm.kwargs["temperature"], lm.kwargs["max_tokens"]) == ("openai/gpt-4o-mini", 0.3, 500)


def test_a_role_without_a_model_is_answered_by_the_default_which_is_told(fleet: Fleet) -> None:
    with pytest.raises(LMError, match=r"no model is set for 'edit', and none is configured: add \[task_models.edit\]"):
        sf.task_lm("edit")
    written(fleet, '[task_models.default]\nmodel = "offline"\n')
    with pytest.warns(TaskModelWarning, match=r"no model is set for 'edit', skillfleet/offline-1 answers"):
        assert sf.task_lm("edit").model == "skillfleet/offline-1"
    configured = sf.offline_lm(name="of-the-notebook")
    with dspy.context(lm=configured), pytest.warns(TaskModelWarning, match="of-the-notebook answers"):
        assert sf.task_lm("edit") is configured


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[task_models.edits]\nmodel = "offline"',
            "unknown setting 'task_models.edits': did you mean 'task_models.edit'?",
        ),
        (
            '[task_models.edit]\nmodel = "offline"\ntemprature = 1',
            "unknown setting 'task_models.edit.temprature': did you mean 'task_models.edit.temperature'?",
        ),
        ('[task_models.edit]\nmodel = "offline"\ntemperature = "hot"', "setting 'task_models.edit.temperature': Input"),
        ('[task_models.edit]\nmodel = "offline"\nmax_tokens = 0', "given 0 in"),
        ("[task_models.edit]\ntemperature = 1", "setting 'task_models.edit.model' is missing"),
        (
            '[task_models.edit]\nmodel = "gpt"',
            "names the model 'gpt': give 'offline', 'local', or a model",
        ),
        ('[task_models.edit]\nmodel = "openai/"', "setting 'task_models.edit': model 'openai/' has a provider"),
        (
            '[task_models.edit]\nmodel = "openai/o3-mini"\ntemperature = 0.3',
            "setting 'task_models.edit': [openai/o3-mini] OpenAI's reasoning models require",
        ),
        ('[task_models.edit]\nmodel = "offline"\nfallback = "nobody"', "names the model 'nobody'"),
    ],
)
def test_what_cannot_be_is_one_line_with_the_nearest_name(fleet: Fleet, text: str, said: str) -> None:
    written(fleet, text)
    with pytest.raises((InputError, NotFoundError)) as caught:
        sf.task_lm("edit")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_role_is_told_with_the_nearest(fleet: Fleet) -> None:
    with pytest.raises(NotFoundError, match="unknown role of a model 'edits': did you mean 'edit'"):
        sf.task_lm("edits")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line", ['api_key = "my-own-key"', 'model = "sk-proj-0123456789abcdef"', 'fallback = ["a/b", "https://me:word123@host/v1"]']
)  # fmt: skip
def test_a_key_in_the_file_is_refused_and_not_repeated(fleet: Fleet, line: str) -> None:
    written(fleet, f"[task_models.edit]\n{line}\n")
    with pytest.raises(InputError, match=r"is a key, and keys are not kept in files: .* environment") as caught:
        Settings.load(fleet.home.config)
    for secret in ("my-own-key", "0123456789abcdef", "word123"):
        assert secret not in str(caught.value)


def test_a_setting_of_the_environment_is_read_as_json(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLFLEET_TASK_MODELS", '{"edit": {"model": "offline"}}')
    assert fleet.settings.task_models.edit is not None
    monkeypatch.setenv("SKILLFLEET_TASK_MODELS", "{")
    with pytest.raises(InputError, match=r"task_models.*JSON"):
        Settings.load(fleet.home.config)


def _failing(n: int) -> None:
    raise dspy.LMTransportError("no route", model="first", provider="test")


def test_a_fallback_takes_over_where_a_model_fails_for_good() -> None:
    first, broken = counted_lm(Counting(_failing), num_retries=0, cache=False)
    second, spare = counted_lm(cache=False)
    lm = with_fallbacks(first, [second])
    assert lm("hello") == second("hello")
    assert asyncio.run(lm.acall("hello"))
    assert (broken.calls, spare.calls) == (2, 3)
    with pytest.raises(dspy.LMTransportError):
        with_fallbacks(first, [first])("hello")
    with dspy.context(lm=lm):
        assert program()(text="where is my invoice").intent


def test_a_models_own_fallback_is_metered_as_its_own_in_a_run(fleet: Fleet) -> None:
    written(fleet, "lm_retry_delay_s = 0.005\n")
    first, _ = counted_lm(Counting(_failing, usd_per_1k_tokens=1.0), num_retries=0)
    second, spare = counted_lm(Counting(usd_per_1k_tokens=2.0))
    job = fleet.optimize(
        program(), **Data().splits(), metric=exact, optimizer="labeled_fewshot", params={"k": 2},
        lm=with_fallbacks(first, [second]),
    )  # fmt: skip
    result = job.result()
    assert spare.calls > 0
    calls = fleet.sql("select model, count(*) as n, sum(cost_usd) as usd from lm_calls where error is null group by 1")
    assert calls.model.tolist() == [second.model]
    assert result.cost_usd == pytest.approx(calls.usd[0])


def test_the_model_of_reflection_proposes_and_is_priced_and_recorded(fleet: Fleet) -> None:
    written(
        fleet,
        '[task_models.reflection]\nmodel = "offline"\n[prices]\n"skillfleet/offline-1" = [1000.0, 1000.0]\n',
    )
    lm, _ = counted_lm()
    task: dict[str, Any] = {**Data().splits(), "metric": exact, "lm": lm}
    options: dict[str, Any] = {"optimizer": "copro", "params": {"breadth": 2, "depth": 1}}
    forecast = fleet.advice.estimate(program(), **task, **options, probe=0)
    job = fleet.optimize(program(), **task, **options, name="by another")
    result = job.result()
    by_model = fleet.sql("select role, model, sum(cost_usd) as usd from lm_calls group by all order by 1").set_index(
        "role"
    )
    assert by_model.model["prompt"] == "skillfleet/offline-1"
    assert by_model.usd["prompt"] == pytest.approx(result.cost_usd)
    assert by_model.usd["prompt"] > 0
    assert job.progress.spec["prompt_lm"] == "skillfleet/offline-1"
    assert forecast.cost_usd is not None
    assert forecast.cost_usd.expected > 0
    stopped = fleet.optimize(program(), **task, **options, budget_usd=1e-6)
    assert stopped.result().stop_kind == "budget"
    given = fleet.optimize(program(), **task, **options, prompt_lm=lm)
    assert given.progress.spec["prompt_lm"] == lm.model, "what is given goes before"


def test_a_job_goes_on_with_the_model_it_began_with(fleet: Fleet) -> None:
    lm = sf.offline_lm(name="began-with")
    job = fleet.optimize(
        program(), **Data().splits(), metric=exact, lm=lm, optimizer="copro", params={"breadth": 2, "depth": 1},
        max_calls=20, name="short",
    )  # fmt: skip
    job.wait()
    written(fleet, '[task_models.reflection]\nmodel = "offline"\n')
    again = fleet.resume("short", max_calls=1000)
    assert again.result().stop_kind == "finished"
    assert again.progress.spec["prompt_lm"] == lm.model


def test_the_default_answers_where_nothing_is_configured(fleet: Fleet) -> None:
    written(fleet, '[task_models.default]\nmodel = "offline"\n')
    job = fleet.optimize(program(), **Data().splits(), metric=exact, optimizer="labeled_fewshot", params={"k": 2})
    assert job.progress.spec["lm"] == "skillfleet/offline-1"
    assert job.result().test_score is not None


def test_a_module_has_the_model_of_its_role(fleet: Fleet) -> None:
    assert create("skill_planner").lm is None
    written(fleet, '[task_models.understanding]\nmodel = "offline"\nmax_tokens = 77\n')
    assert create("skill_planner").lm.kwargs["max_tokens"] == 77
    assert create("example_judge").lm is None, "its role is another"


def test_a_role_stands_where_a_model_is_named(fleet: Fleet) -> None:
    written(fleet, '[task_models.validation]\nmodel = "offline"\n')
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    diagnosis = shell.run_line_magic("skillfleet", "doctor --lm validation")
    assert {check.name: check for check in diagnosis.checks}["LM"].found == "skillfleet/offline-1"
    _, found = offers("trainset analyze train --judge ", {}, lambda: fleet)
    assert [one.text for one in found] == ["validation", "local", "offline"]


def test_a_model_without_an_id_is_a_mistake_of_one_line() -> None:
    with pytest.raises(InputError, match=r"lm 'openai/': .*write PROVIDER/MODEL, such as openai/gpt-4o-mini"):
        named_lm("openai/")


def test_the_doctor_asks_each_model(fleet: Fleet) -> None:
    written(
        fleet,
        '[task_models.edit]\nmodel = "offline"\nfallback = "offline"\n[task_models.reflection]\nmodel = "gpt"\n',
    )
    checks = {check.name: check for check in fleet.advice.doctor(lm=sf.offline_lm(name="asked")).checks}
    for name in ("model of edit", "model of edit, if it fails"):
        assert checks[name].level == "ok"
        assert checks[name].found.startswith("skillfleet/offline-1 answers in")
    assert checks["model of reflection"].level == "fail"
    assert "names the model 'gpt'" in checks["model of reflection"].found
    assert "model of validation" not in checks
    asked = fleet.sql("select model, count(*)::int as n from lm_calls group by 1 order by 1")
    assert asked.to_numpy().tolist() == [["skillfleet/asked", 1], ["skillfleet/offline-1", 2]], "recorded as any call"
