"""How well the real model finds hand-made skills by hand-made queries."""

from skillfleet_nb.skills.similarity.index import DUPLICATE, EXTEND, RELATED, SimilarityIndex


def test_every_card_is_asked_for_and_there_are_sixty_paraphrases(cards: list[dict[str, str]], queries: dict) -> None:
    assert len(queries["paraphrases"]) == 60
    assert {q["expected"] for q in queries["paraphrases"]} == {card["name"] for card in cards}


def test_paraphrases_find_their_skill_in_the_top_three(card_index: SimilarityIndex, queries: dict) -> None:
    missed = [
        q["query"]
        for q in queries["paraphrases"]
        if q["expected"] not in [m.name for m in card_index.query(q["query"], 3).matches]
    ]
    assert len(missed) <= 0.05 * len(queries["paraphrases"]), missed


def test_even_situations_mostly_find_their_skill(card_index: SimilarityIndex, queries: dict) -> None:
    hits = [q["expected"] in [m.name for m in card_index.query(q["query"], 3).matches] for q in queries["situations"]]
    assert sum(hits) / len(hits) >= 0.90


def test_verdicts_separate_known_from_new_topics(card_index: SimilarityIndex, queries: dict) -> None:
    known = [card_index.query(q["query"]) for q in queries["paraphrases"]]
    right = [q["expected"] for q in queries["paraphrases"]]
    extend = [found.verdict == f"extend {name}" for found, name in zip(known, right, strict=True)]
    assert sum(extend) / len(extend) >= 0.85
    assert all(found.verdict != "new" for found in known)
    new = [card_index.query(topic).verdict == "new" for topic in queries["novel"]]
    assert sum(new) / len(new) >= 0.95
    assert not any(card_index.query(q["query"]).verdict.startswith("extend") for q in queries["near"])


def test_no_two_cards_are_near_duplicates(card_index: SimilarityIndex) -> None:
    assert card_index.duplicates().pairs == ()


def test_thresholds_are_in_order() -> None:
    assert 0 < RELATED < EXTEND < DUPLICATE < 1
