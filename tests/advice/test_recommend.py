"""Recommendations: within the limits, never weaker for more money, told why, recorded with what was done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import SMALL, Counting, Data, counted_lm, exact, program, told

from skillfleet_nb import Fleet
from skillfleet_nb.advice import past_runs
from skillfleet_nb.advice.configurations import installed
from skillfleet_nb.advice.forecast import Forecast, Interval
from skillfleet_nb.advice.posterior import Expectation
from skillfleet_nb.advice.rules import allowed
from skillfleet_nb.advice.selector import WITHIN, Prospect, Selector
from skillfleet_nb.errors import InputError, LMError, MissingExtraError
from skillfleet_nb.html import pictured
from skillfleet_nb.lm.embed import Embedder
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    from pathlib import Path

    from skillfleet_nb.advice.recommendation import Recommendation

PRICE = 0.01
EVERY = {c.name: c for c in installed().configurations}


def _recommend(fleet: Fleet, **changed: Any) -> Recommendation:
    lm, _ = counted_lm(Counting(usd_per_1k_tokens=PRICE))
    given = {**Data().splits(), "metric": told, "lm": lm, "budget_usd": 5.0, **changed}
    return fleet.advice.recommend(program(), **given)


def test_a_recommendation_keeps_its_limits_and_says_why(tmp_path: Path) -> None:
    made = _recommend(Fleet(tmp_path / "home"), max_minutes=30)
    assert made.cost_usd is not None
    assert made.cost_usd.high <= made.budget_usd <= 5.0
    assert made.wall_s.high <= 30 * 60
    assert 0 <= made.confidence <= 1
    assert 0 <= made.score[0] <= made.expected_score <= made.score[1] <= 1
    assert len(made.alternatives) <= 3
    assert all(a.feasible and a.difference <= 0 for a in made.alternatives)
    assert all(reason.endswith(".") for reason in made.reasons)
    for said in (made.text(), made._repr_html_()):
        assert made.optimizer in said
        assert all(a.name in said for a in made.alternatives)
    assert json.loads(made.model_dump_json())["optimizer"] == made.optimizer


def test_a_followed_recommendation_runs_within_its_budget_and_is_recorded(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home")
    made = _recommend(fleet, budget_usd=1.5)
    result = fleet.advice.follow(made, name="advised").result(timeout=240)
    assert result.cost_usd is not None
    assert result.cost_usd <= 1.5
    row = fleet.sql("select * from recommendations where how = 'accepted'").iloc[0]
    assert (row.recommended, row.chosen) == (made.optimizer, made.optimizer)
    assert row.expected_cost_usd == pytest.approx(made.cost_usd.expected)
    assert row.actual_cost_usd == pytest.approx(result.cost_usd)
    assert row.score == pytest.approx(result.test_score)
    assert json.loads(row.features)["lm"].startswith("skillfleet/counted")


def test_what_is_given_with_a_followed_recommendation_goes_before_it(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home")
    made = _recommend(fleet, budget_usd=1.5)
    spec = fleet.advice.follow(made, optimizer="labeled_fewshot", seed=7, budget_usd=0.5, num_threads=2).progress.spec
    assert (spec["seed"], spec["budget"]["usd"], spec["num_threads"]) == (7, 0.5, 2)


def test_what_is_overridden_or_chosen_by_hand_is_recorded_as_that(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home")
    lm, _ = counted_lm(Counting(usd_per_1k_tokens=PRICE))
    given = {**Data().splits(), "metric": told, "lm": lm}
    made = fleet.advice.recommend(program(), **given, budget_usd=3.0)
    fleet.advice.follow(made, optimizer="labeled_fewshot", params={"k": 4}).result(timeout=120)
    fleet.optimize(program(), **given, optimizer="infer_rules", params=SMALL["infer_rules"]).result(timeout=120)
    fleet.advice.recommend(program(), **given, budget_usd=2.0)
    rows = fleet.sql("select how, chosen, regret from recommendations order by how")
    assert rows.how.tolist() == ["manual", "not run", "overridden"]
    assert rows.regret.dropna().min() == 0  # of two jobs on one task, the better one
    said = fleet.advice.report()
    assert (said.overridden, said.manual, said.not_run, said.known) == (1, 1, 1, 0)
    assert {e.what: e.n for e in said.errors} == {"calls": 1, "cost": 1, "time": 1}  # the second finds the cache filled
    assert "overridden" in said.text()
    told_off, sure, won = said.charts
    assert sorted(told_off.data.what) == ["calls", "cost", "time"]
    assert sure.data.empty
    assert sorted(won.data.chosen) == ["by hand", "overridden"]
    assert all(pictured(chart.svg) in said._repr_html_() for chart in said.charts)


def test_auto_is_advised_on_the_rows_that_the_run_selects(tmp_path: Path) -> None:
    fleet, lm = Fleet(tmp_path / "home"), counted_lm(Counting(usd_per_1k_tokens=PRICE))[0]
    given = {**Data().splits(), "metric": told, "lm": lm, "optimizer": "auto", "budget_usd": 0.9}
    job = fleet.optimize(program(), **given, select=12, strategy="top")
    job.cancel()  # what is looked at was recorded as it started
    advised = fleet.sql("select features from recommendations").features.map(json.loads)
    assert [f["train"] for f in advised] == [12]
    assert job.progress.spec["sizes"]["train"] == 12


def test_auto_chooses_and_runs(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home")
    lm, _ = counted_lm(Counting(usd_per_1k_tokens=PRICE))
    job = fleet.optimize(program(), **Data().splits(), metric=told, lm=lm, optimizer="auto", budget_usd=0.9)
    made = fleet.sql("select recommended, expected_cost_usd from recommendations").iloc[0]
    # No run of the home supports one name: several are run, the recommended one among them.
    assert job.progress.optimizer == "portfolio"
    spec = job.progress.spec["params"]
    assert made.recommended in spec["members"]
    assert spec["requests"] > 0
    assert made.expected_cost_usd <= 0.9
    result = job.result(timeout=120)
    assert result.cost_usd is not None
    assert result.cost_usd <= 0.9
    with pytest.raises(InputError, match="leave params"):
        fleet.optimize(
            program(), **Data().splits(), metric=told, lm=lm, optimizer="auto", params={"k": 3}, budget_usd=1
        )


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"budget_usd": 0}, InputError, "budget_usd = 0: give more than 0 USD"),
        ({"budget_usd": -2.0}, InputError, "budget_usd = -2.0"),
        ({"budget_usd": float("nan")}, InputError, "budget_usd = nan"),
        ({"quality_target": 85}, InputError, "quality_target = 85: give a score in [0, 1]; divide by 100"),
        ({"quality_target": -0.1}, InputError, "quality_target = -0.1"),
        ({"max_minutes": 0}, InputError, "max_minutes = 0"),
        ({"domain": " "}, InputError, "domain = ' '"),
        ({"train": Data().train[:4], "val": None, "test": None}, InputError, "train holds 4 examples"),
        ({"budget_usd": 0.05, "probe": 0}, InputError, "the smallest budget that will do is $"),
        ({"max_minutes": 1e-4}, InputError, "even the quickest optimizer may take"),
    ],
)
def test_limits_that_cannot_be_kept_are_refused_in_one_line(
    tmp_path: Path, changed: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        _recommend(Fleet(tmp_path), **changed)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_smallest_budget_that_is_named_will_do(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    with pytest.raises(InputError) as caught:
        _recommend(fleet, budget_usd=0.05, probe=0)
    least = float(str(caught.value).split("is $")[1].split(",")[0])
    assert _recommend(fleet, budget_usd=least, probe=0).optimizer


@pytest.mark.parametrize("probe", [0, 3])
def test_a_budget_for_a_model_without_a_price_is_refused(tmp_path: Path, probe: int) -> None:
    import dspy

    with pytest.raises(LMError, match=r"cannot be compared: .* has no known price; add to config.toml"):
        _recommend(Fleet(tmp_path), lm=dspy.LM("acme/unheard-of"), probe=probe)
    made = _recommend(Fleet(tmp_path), lm=dspy.LM("acme/unheard-of"), probe=0, budget_usd=None, metric=exact)
    assert made.cost_usd is None
    assert "unknown" in made.text()


def test_no_budget_is_recommended_for_that_a_run_would_refuse(tmp_path: Path) -> None:
    import dspy

    other, fleet = dspy.LM("acme/unheard-of"), Fleet(tmp_path)
    with pytest.raises(LMError, match=r"'acme/unheard-of' has no known price; add to config.toml"):
        _recommend(fleet, prompt_lm=other)
    assert fleet.sql("select count(*) as n from lm_calls").n[0] == 0, "it is refused before the probe"
    made = _recommend(fleet, prompt_lm=other, budget_usd=None)
    with pytest.raises(LMError, match=r"'acme/unheard-of' has no known price"):
        made.under(budget_usd=5.0, quality_target=0.85, max_minutes=None)


def _prospect(name: str, cost: float, wall: float, mean: float, evidence: float) -> Prospect:
    span, seconds = Interval(cost / 2, cost * 0.8, cost), Interval(wall / 2, wall * 0.8, wall)
    calls = Interval(1, 2, 3)
    forecast = Forecast(
        optimizer=EVERY[name].optimizer,
        calls=calls,
        by_role={},
        cached=calls,
        tokens=calls,
        cost_usd=span,
        wall_s=seconds,
    )
    draws = np.random.default_rng(int(1000 * mean)).normal(mean, 0.1, 300)
    return Prospect(EVERY[name], forecast, Expectation(mean, 0.1, evidence, draws))


_prospects = st.lists(
    st.builds(
        _prospect, st.sampled_from([*EVERY]), st.floats(0.001, 500), st.floats(1, 20_000),
        st.floats(0, 1), st.sampled_from([0.0, 0.5, 2.0, 10.0]),
    ),
    min_size=1, max_size=12, unique_by=lambda p: p.configuration.name,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    _prospects, st.integers(5, 2000), st.lists(st.floats(0.01, 600), min_size=2, max_size=6),
    st.floats(0, 1), st.one_of(st.none(), st.floats(0.1, 400)),
)  # fmt: skip
def test_more_budget_never_gives_a_weaker_optimizer_and_no_budget_is_broken(
    prospects: list[Prospect], n: int, budgets: list[float], quality: float, minutes: float | None
) -> None:
    selector = Selector(tuple(prospects), {"n": n, "lm": "acme/one"}, 0.4)
    weakest = -1.0
    for budget in [*sorted(budgets), None]:
        try:
            made = selector.choose(budget_usd=budget, quality_target=quality, max_minutes=minutes)
        except InputError:
            assert weakest < 0  # what was possible for less is possible for more
            continue
        assert made.expected_score >= weakest
        weakest = made.expected_score
        assert made.cost_usd is not None
        assert budget is None or made.cost_usd.high <= budget
        assert minutes is None or made.wall_s.high <= 60 * minutes
        beside = made.companion
        if beside is not None:
            assert beside.cost_usd is not None
            assert beside.cost_usd.expected <= made.cost_usd.expected / 2
            assert budget is None or made.cost_usd.high + beside.cost_usd.high <= budget * (1 + 1e-9)
            assert minutes is None or made.wall_s.high + beside.wall_s.high <= 60 * minutes * (1 + 1e-9)


def test_a_cheap_optimizer_of_another_manner_is_named_beside_the_recommended_one() -> None:
    """The better of two with equal means and independent scores of sd 0.1 scores 0.1 / sqrt(pi) more on average."""
    best, alike, other = (
        _prospect("miprov2 light", 1.0, 60, 0.7004, 10),
        _prospect("infer_rules", 0.4, 60, 0.7, 10),
        _prospect("bootstrap_fewshot", 0.01, 60, 0.69, 10),
    )
    assert Selector((best, alike), {"n": 300, "lm": "acme/one"}, 0.4).choose(budget_usd=9).companion is None
    made = Selector((best, alike, other), {"n": 300, "lm": "acme/one"}, 0.4).choose(budget_usd=9)
    assert made.companion is not None
    assert made.companion.name == "bootstrap_fewshot"
    assert made.companion_gain == pytest.approx(0.1 / np.sqrt(np.pi), abs=0.015)
    assert "run as well" in made.text()
    assert "run as well" in made.html()


@given(st.integers(1, 3000), st.floats(0, 1), st.floats(0.01, 500), st.floats(0.01, 500))
def test_the_rules_allow_no_less_for_more_money(n: int, quality: float, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert allowed(n, less, None, quality)[0] <= allowed(n, more, None, quality)[0]
    assert allowed(n, less, less, quality)[0] <= allowed(n, less, more, quality)[0]


@pytest.mark.parametrize(
    ("n", "budget", "minutes", "quality", "strongest"),
    [
        (50, 0.5, None, 0.85, "bootstrap_fewshot"),
        (50, 50, 1.0, 0.85, "bootstrap_fewshot"),
        (50, 3, None, 0.85, "gepa light"),
        (50, 10, None, 0.85, "miprov2 light"),
        (300, 10, None, 0.85, "miprov2 light"),
        (300, 50, None, 0.85, "miprov2 medium"),  # fell to the weakest in the rules as first published
        (800, 10, None, 0.85, "miprov2 light"),
        (800, 40, None, 0.85, "miprov2 medium"),
        (800, 200, None, 0.85, "miprov2 heavy"),
        (800, 200, None, 0.95, "bootstrap_finetune"),
    ],
)
def test_the_house_rules(n: int, budget: float, minutes: float | None, quality: float, strongest: str) -> None:
    tier, _ = allowed(n, budget, minutes, quality)
    within = [c for c in EVERY.values() if c.preset.tier <= tier]
    assert max(within, key=lambda c: c.preset.prior_gain).name == strongest


def test_a_run_counts_for_the_configuration_that_it_was_one_of() -> None:
    every = installed()
    assert [every.of_run(c.optimizer, c.params) for c in every.configurations] == list(every.configurations)


def test_limits_are_changed_without_a_call(tmp_path: Path) -> None:
    lm, engine = counted_lm(Counting(usd_per_1k_tokens=PRICE))
    made = Fleet(tmp_path).advice.recommend(program(), **Data().splits(), metric=told, lm=lm, budget_usd=2.0)
    asked = engine.calls
    richer = made.under(budget_usd=500.0, quality_target=0.9, max_minutes=None)
    assert richer.expected_score >= made.expected_score
    assert engine.calls == asked == 3
    loaded = type(made).model_validate_json(made.model_dump_json())
    with pytest.raises(InputError, match="not made in this session"):
        loaded.request()


def test_a_choice_is_right_within_two_points() -> None:
    assert WITHIN == 0.02


def test_landmarks_are_looked_at_once_and_known_of_runs_chosen_by_hand(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home")
    lm, _ = counted_lm(Counting(usd_per_1k_tokens=PRICE))
    given = {**Data().splits(), "metric": told, "lm": lm}
    fleet.optimize(program(), **given, optimizer="labeled_fewshot", params={"k": 4}).result(timeout=120)
    made = [fleet.advice.recommend(program(), **given, budget_usd=3.0) for _ in range(2)]
    looked = fleet.sql("select payload->>'key' as task from events where kind = 'landmarks'")
    assert looked.task.tolist() == [made[0].features["task"]]
    assert 0 <= made[0].features["nearest"] <= 1
    known = past_runs.Histories(fleet.store).of(made[0].features["task"])
    assert [run.features["words"] for run in known.past] == [made[0].features["words"]]


def test_recommending_again_reads_no_history_until_a_run_has_ended(tmp_path: Path) -> None:
    fleet, (lm, _) = Fleet(tmp_path / "home"), counted_lm(Counting(usd_per_1k_tokens=PRICE))
    task = _recommend(fleet, lm=lm).features["task"]
    histories = past_runs.Histories(fleet.store)
    before = histories.of(task)
    made = _recommend(fleet, lm=lm)
    assert histories.of(task) is before
    assert before.past == ()
    fleet.advice.follow(made, optimizer="labeled_fewshot").result(timeout=120)
    assert [run.configuration.name for run in histories.of(task).past] == ["labeled_fewshot"]


def test_without_an_embedding_model_nothing_is_recommended_that_needs_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: Embedder) -> None:
        raise MissingExtraError("no weights")

    monkeypatch.setattr(Embedder, "check", missing)
    made = _recommend(Fleet(tmp_path))
    assert "knn_fewshot" not in {option.name for option in made.options}
    assert "nearest" not in made.features
    with pytest.raises(MissingExtraError, match="no weights"):
        Fleet(tmp_path).optimize(program(), **Data().splits(), metric=told, lm=counted_lm()[0], optimizer="knn_fewshot")


def test_a_rerun_from_the_cache_counts_as_what_its_calls_would_have_cost(tmp_path: Path) -> None:
    class Priced(Counting):
        def price_per_token(self) -> tuple[float, float]:
            return 1e-6, 2e-6

    fleet = Fleet(tmp_path / ".skillfleet")
    lm, _ = counted_lm(Priced())
    asked = {"lm": lm, "metric": exact, "optimizer": "labeled_fewshot", "params": {"k": 4}, **Data().splits()}
    bought, again = (fleet.optimize(program(), **asked).result() for _ in range(2))
    assert bought.cost_usd
    assert again.cost_usd == 0
    costs = [run["actual_cost_usd"] for run in queries.experience(fleet.store, "").runs]
    assert costs == pytest.approx([bought.cost_usd] * 2)
    assert fleet.sql("select actual_cost_usd from recommendations").actual_cost_usd.to_list() == pytest.approx(costs)


def test_where_no_name_is_supported_a_set_is_named_with_its_cost() -> None:
    unsure = (
        _prospect("miprov2 light", 4.0, 60, 0.7004, 10),
        _prospect("infer_rules", 2.0, 60, 0.699, 10),
        _prospect("gepa light", 1.0, 60, 0.698, 10),
        _prospect("simba", 1.0, 60, 0.697, 10),  # tells nothing on its way
    )
    made = Selector(unsure, {"n": 300, "lm": "acme/one"}, 0.4).choose(budget_usd=50)
    several = made.together
    assert several is not None
    assert several is made.to_run
    assert (several.optimizer, set(several.params["members"])) == ("portfolio", {"miprov2", "infer_rules", "gepa"})
    assert several.params["settings"]["miprov2"] == {"auto": "light"}
    assert several.cost_usd is not None
    assert several.cost_usd.expected == pytest.approx(1.5 * unsure[0].forecast.cost_usd.expected)  # type: ignore[union-attr]
    assert several.difference > 0.05
    assert several.expected_score - made.expected_score == pytest.approx(several.difference), "one account of both"
    assert "run these 3, racing, for about $4.8" in made.text()
    high = unsure[0].forecast.cost_usd.high  # type: ignore[union-attr]
    least = Selector(unsure, {"n": 300, "lm": "acme/one"}, 0.4).choose(budget_usd=high)
    assert least.together is not None
    assert least.together.cost_usd is not None
    assert least.together.cost_usd.high <= high
    sure = (_prospect("miprov2 light", 4.0, 60, 0.95, 10), _prospect("infer_rules", 2.0, 60, 0.4, 10))
    made = Selector(sure, {"n": 300, "lm": "acme/one"}, 0.4).choose(budget_usd=50)
    assert (made.together, made.to_run.optimizer) == (None, "miprov2")


def test_where_likeness_tells_more_than_the_program_the_optimizer_that_goes_by_it_is_named() -> None:
    both = (_prospect("miprov2 light", 4.0, 60, 0.7, 10), _prospect("knn_fewshot", 0.5, 60, 0.6, 10))

    def reasons(prospects: tuple[Prospect, ...], **told: float) -> str:
        return " ".join(Selector(prospects, {"n": 300, "lm": "acme/one", **told}, 0.45).choose(budget_usd=50).reasons)

    told = "have its label in 83% of cases, and the program is right in about 45%: knn_fewshot may gain more"
    assert told in reasons(both, nearest=0.83)
    for said in (reasons(both, nearest=0.5), reasons(both), reasons(both[:1], nearest=0.83)):
        assert "knn_fewshot" not in said
    best = (both[0], _prospect("knn_fewshot", 0.5, 60, 0.9, 10))
    assert "may gain more than is expected" not in reasons(best, nearest=0.83)
