"""Which skills are alike: an index of a tree of skills, searched by meaning."""

from skillfleet_nb.lm.embed import Embedder
from skillfleet_nb.skills.similarity.index import SimilarityIndex

__all__ = ["Embedder", "SimilarityIndex"]
