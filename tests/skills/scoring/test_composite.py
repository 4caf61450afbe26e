import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_skills import good_skill

from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.skills.scoring import (
    METRICS,
    STYLE_WEIGHTS,
    Proposal,
    Weights,
    adapt_weights,
    composite_score,
    lm_advisor,
    score_skill,
    validate_weights,
)

PROPOSED = {"quality": 0.6, "semantic": 0.1, "entities": 0.1, "readability": 0.1, "coverage": 0.1}
VALUES = st.dictionaries(st.sampled_from(METRICS), st.floats(0, 1), min_size=1)


@pytest.mark.parametrize(
    ("style", "table"),
    [
        ("navigation_hub", (0.30, 0.15, 0.05, 0.35, 0.15)),
        ("comprehensive", (0.25, 0.25, 0.20, 0.20, 0.10)),
        ("minimal", (0.20, 0.50, 0.15, 0.10, 0.05)),
    ],
)
def test_weights_by_style(style: str, table: tuple[float, ...]) -> None:
    weights = adapt_weights(style).weights
    assert tuple(getattr(weights, name) for name in METRICS) == table
    assert weights.over(list(METRICS)) == pytest.approx(dict(zip(METRICS, table, strict=True)))


@given(VALUES)
def test_a_composite_lies_between_its_metrics(values: dict) -> None:
    for weights in (Weights(), *STYLE_WEIGHTS.values()):
        found = composite_score(values, weights)
        assert min(values.values()) - 1e-12 <= found <= max(values.values()) + 1e-12


@pytest.mark.parametrize(
    "proposed",
    [
        {},
        {**PROPOSED, "beauty": 0.1},
        {**PROPOSED, "quality": -0.1},
        {**PROPOSED, "quality": 1.6},
        {**PROPOSED, "quality": 0.9},
        {**PROPOSED, "quality": float("nan")},
        {**PROPOSED, "quality": "much"},
        {**PROPOSED, "quality": True},
    ],
)
def test_weights_that_do_not_validate_are_refused_and_the_table_holds(proposed: dict) -> None:
    with pytest.raises(InputError):
        validate_weights(proposed)
    adapted = adapt_weights("minimal", Proposal(weights=proposed))
    assert adapted.weights == STYLE_WEIGHTS["minimal"]
    assert "set aside" in adapted.reasons[0]


def test_proposed_weights_that_validate_are_used_and_the_reason_is_kept() -> None:
    adapted = adapt_weights("minimal", Proposal("comprehensive", PROPOSED, "it is long"))
    assert (adapted.style, adapted.weights) == ("comprehensive", Weights(**PROPOSED))
    assert adapted.reasons == (
        "style comprehensive instead of minimal: it is long",
        "weights proposed: it is long",
    )


def test_an_unknown_proposed_style_is_set_aside() -> None:
    adapted = adapt_weights("minimal", Proposal(style="baroque"))
    assert adapted.style == "minimal"
    assert "baroque" in adapted.reasons[0]


def test_an_lm_advises_through_a_signature() -> None:
    answers = [{"style": "comprehensive", "weights": str(PROPOSED).replace("'", '"'), "reason": "it is long"}]
    advise = lm_advisor(dspy.utils.DummyLM(answers))
    found = score_skill(good_skill(), advisor=advise)
    assert found.style == "comprehensive"
    assert any("weights proposed: it is long" in reason for reason in found.reasons)


def test_an_lm_that_answers_nonsense_changes_nothing() -> None:
    advise = lm_advisor(dspy.utils.DummyLM([{"style": "comprehensive", "weights": "a lot", "reason": "?"}] * 4))
    plain, advised = score_skill(good_skill()), score_skill(good_skill(), advisor=advise)
    assert advised.adjusted == plain.adjusted
    assert advised.style == plain.style


@pytest.mark.filterwarnings("ignore:Implementing custom LMs:DeprecationWarning")
def test_advice_that_repeats_a_key_says_so_without_it() -> None:
    class Repeating(dspy.LM):  # type: ignore[misc]  of DSPy's, untyped
        def forward(self, *_: object, **__: object) -> object:
            raise ValueError(f"refused: {self.kwargs['api_key']}")

    lm = Repeating("openai/none", api_key="Planted-Secret-7", cache=False)
    proposal = lm_advisor(lm)("a skill")
    assert proposal.reason == "the advice could not be read (refused: [key])"


def test_both_composites_are_recorded_with_reasons() -> None:
    found = score_skill(good_skill(), reference=good_skill(), style="minimal")
    assert set(found.values) == {"quality", "entities", "readability", "coverage"}
    assert found.original == pytest.approx(composite_score(found.values))
    assert found.adjusted == pytest.approx(composite_score(found.values, STYLE_WEIGHTS["minimal"]))
    assert sum(found.adjusted_weights.values()) == pytest.approx(1)
    assert any("no embedder" in reason for reason in found.reasons)
    assert type(found).model_validate_json(found.model_dump_json()) == found


def test_a_score_shows_itself() -> None:
    text = "---\nname: a<b\n---\n# A\n"
    assert "To improve:" in score_skill(text).text()
    assert "a&lt;b" in score_skill(text)._repr_html_()


def test_unknown_names_and_values_out_of_range_are_refused() -> None:
    with pytest.raises(NotFoundError, match="metric"):
        composite_score({"beauty": 1.0})
    with pytest.raises(InputError, match="from 0 to 1"):
        composite_score({"quality": 1.1})
    with pytest.raises(InputError, match="positive"):
        composite_score({"quality": 1.0}, Weights(quality=0))
    with pytest.raises(NotFoundError, match="style"):
        adapt_weights("baroque")
