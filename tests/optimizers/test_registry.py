"""Optimizers by name, their parameters checked before anything runs, plugins through the same door."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest
from made_up import SMALL, Data, counted_lm, program

from skillfleet_nb import Fleet
from skillfleet_nb.commands import resolve
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.optimizers import Shape, available, create, registry

ALL = {*SMALL, "knn_fewshot", "bootstrap_finetune", "reanchor"}


def test_every_optimizer_is_there_and_described(tmp_path: Any) -> None:
    assert set(available()) >= ALL
    listed = Fleet(tmp_path).optimizers().set_index("name")
    assert set(listed.index) == set(available())
    assert (listed["what it does"].str.len() > 10).all()
    assert set(", ".join(listed.changes).split(", ")) == {
        "instructions",
        "demos",
        "weights",
        "decisions",
    }


@pytest.mark.parametrize("name", sorted(ALL))
def test_parameters_are_listed_with_defaults_that_are_allowed(tmp_path: Any, name: str) -> None:
    listed = Fleet(tmp_path).optimizers(name)
    assert listed.columns.tolist() == ["parameter", "default", "what it is"]
    created = create(name)
    calls = created.calls(Shape(train=40, val=20, predictors=2))
    assert 0 <= calls.low <= calls.high


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("gepaa", {}, "unknown optimizer 'gepaa': did you mean 'gepa'?"),
        (
            "gepa",
            {"max_metric_cals": 4},
            "unknown parameter of gepa 'max_metric_cals': did you mean 'max_metric_calls'?",
        ),
        (
            "gepa",
            {"auto": "tiny"},
            "gepa: auto = 'tiny': Input should be 'light', 'medium' or 'heavy'",
        ),
        (
            "gepa",
            {"auto": "light", "max_full_evals": 2},
            "give one of auto, max_full_evals and max_metric_calls",
        ),
        ("copro", {"breadth": "1"}, "copro: breadth = '1'"),
        (
            "miprov2",
            {"num_candidates": 4},
            "give auto, or num_candidates and num_trials together",
        ),
        (
            "miprov2",
            {"max_bootstrapped_demos": 0},
            "max_bootstrapped_demos = 0 needs max_labeled_demos = 0",
        ),
        ("miprov2", {"init_temperature": "inf"}, "miprov2: init_temperature = 'inf': Input should be a finite number"),
        ("copro", {"init_temperature": float("inf")}, "copro: init_temperature = inf: Input should be a finite number"),
        ("labeled_fewshot", {"k": "many"}, "labeled_fewshot: k = 'many'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(name: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises((NotFoundError, InputError)) as caught:
        create(name, params)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_texts_are_read_as_their_type() -> None:
    params = create("gepa", {"use_merge": "false", "max_metric_calls": "30"}).params
    assert (params.use_merge, params.max_metric_calls, params.auto) == (False, 30, None)
    assert create("better_together", {"steps": "gepa -> simba"}).params.steps == (
        "gepa",
        "simba",
    )


def test_an_unknown_step_is_refused_before_anything_runs(tmp_path: Any) -> None:
    lm, engine = counted_lm()
    for steps, said in {
        "gepa -> simbaa": "did you mean 'simba'",
        "knn_fewshot": "cannot be a step",
    }.items():
        with pytest.raises((InputError, NotFoundError), match=said):
            Fleet(tmp_path).optimize(
                program(),
                metric=lambda e, p: True,
                optimizer="better_together",
                params={"steps": steps},
                lm=lm,
                **Data().splits(),
            )
    assert engine.calls == 0


def test_fine_tuning_is_refused_with_the_reason(tmp_path: Any) -> None:
    lm, engine = counted_lm()
    with pytest.raises(
        InputError,
        match=r"needs a model that DSPy can fine-tune, and 'skillfleet/.*' is none",
    ):
        Fleet(tmp_path).optimize(
            program(),
            metric=lambda e, p: True,
            optimizer="bootstrap_finetune",
            lm=lm,
            **Data().splits(),
        )
    assert engine.calls == 0


def test_a_plugin_that_is_no_optimizer_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = EntryPoint("odd", "collections:OrderedDict", registry.GROUP)
    monkeypatch.setattr(registry, "available", lambda: {"odd": point})
    with pytest.raises(
        InputError,
        match=r"optimizer 'odd' cannot be used: collections:OrderedDict is .*, not an Optimizer subclass",
    ):
        create("odd")


def test_a_metric_of_a_broken_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("gone", "package_of_nobody:metric", "skillfleet_nb.metrics")
    monkeypatch.setattr(resolve, "points", lambda group: [point])
    with pytest.raises(
        InputError, match=r"metric 'gone' cannot be loaded: ModuleNotFoundError.*update or uninstall its"
    ):
        resolve.resolve_metric("gone", {})


def test_what_gepa_is_told_beside_the_task_reaches_the_model_that_reflects(tmp_path: Any) -> None:
    lm, engine = counted_lm()
    given = {"skills": "A rule of the house.", "additional_instructions": "Write in the imperative."}
    job = Fleet(tmp_path).optimize(
        program(), metric=lambda e, p: e.intent == p.intent, optimizer="gepa", lm=lm, **Data().splits(),
        params={"max_metric_calls": 40, "add_format_failure_as_feedback": True, **given},
    )  # fmt: skip
    assert job.result().stop_reason == "the optimizer finished"
    reflecting = [prompt for prompt in engine.prompts if "A rule of the house." in prompt]
    assert reflecting
    assert all("Write in the imperative." in prompt for prompt in reflecting)
    with pytest.raises(InputError, match=r"gepa: skills = \['./none.md'\]: .*give files that are there"):
        Fleet(tmp_path).optimize(
            program(), metric=lambda e, p: True, optimizer="gepa", params={"skills": ["./none.md"]}, lm=lm,
            **Data().splits(),
        )  # fmt: skip


def test_a_reflection_on_all_predictors_takes_a_proposal_for_each() -> None:
    shape = Shape(train=40, val=20, predictors=3)
    proposals = [
        [use.prompt for use in create("gepa", {"component_selector": which}).calls(shape).runs]
        for which in ("round_robin", "all")
    ]
    assert sum(proposals[1]) == 3 * sum(proposals[0])


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_optimizer_declares_presets_that_it_can_run(name: str) -> None:
    presets = registry.load(name).presets
    assert presets
    assert len({preset.size for preset in presets}) == len(presets)
    for preset in presets:
        assert 0 <= preset.prior_gain <= 1
        calls = create(name, preset.params).expected_calls(Shape(train=40, val=20, predictors=2))
        assert 0 <= calls.low <= calls.high
        assert (calls.high > 0) is (name not in {"labeled_fewshot", "knn_fewshot"}), "these ask no model"


def test_instructions_of_gepa_keep_to_the_length_that_is_set(tmp_path: Any) -> None:
    lm, engine = counted_lm()
    job = Fleet(tmp_path).optimize(
        program(), metric=lambda e, p: e.intent == p.intent, optimizer="gepa", lm=lm, **Data().splits(),
        params={"max_metric_calls": 60, "max_chars": 150},
    )  # fmt: skip
    result = job.result()
    assert any("at most 150 characters" in prompt for prompt in engine.prompts)
    assert len(result.program.signature.instructions) <= 150


def test_an_iteration_of_gepa_makes_as_many_proposals_of_one_parent_as_are_asked_for(tmp_path: Any) -> None:
    lm, _ = counted_lm()
    fleet = Fleet(tmp_path)
    job = fleet.optimize(
        program(), metric=lambda e, p: e.intent == p.intent, optimizer="gepa", lm=lm, **Data().splits(),
        params={"max_metric_calls": 60, "proposals": 2},
    )  # fmt: skip
    assert job.result().stop_reason == "the optimizer finished"
    told = fleet.sql("select payload->>'text' as text from events where payload->>'text' like 'reflecting, iteration%'")
    assert told.text.value_counts().max() == 2
    made = fleet.sql("select distinct program_id, parent_ids from trials where split = 'val'")
    assert sorted(map(len, made.parent_ids)) == [0, *[1] * (len(made) - 1)]
    assert len(made) > 1


def test_an_instruction_that_may_be_too_long_is_reckoned_with_a_call_to_shorten_it() -> None:
    shape = Shape(train=40, val=20, predictors=1)
    free, kept_short = (
        sum(use.prompt for use in create("gepa", options).calls(shape).runs) for options in ({}, {"max_chars": 200})
    )
    assert free < kept_short <= 2 * free
