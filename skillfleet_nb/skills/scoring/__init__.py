"""Metrics of skills and skill plans, each in [0, 1] with a documented formula; higher is better.

Pure: nothing here imports a notebook, a database or DSPy before it is called; embeddings come in as a
function.
"""

from skillfleet_nb.skills.scoring.composite import (
    METRICS,
    STYLE_WEIGHTS,
    Adaptation,
    Proposal,
    Weights,
    adapt_weights,
    composite_score,
    lm_advisor,
    validate_weights,
)
from skillfleet_nb.skills.scoring.coverage import Coverage, coverage_score
from skillfleet_nb.skills.scoring.entities import EntityMatch, entity_f1, extract_entities
from skillfleet_nb.skills.scoring.feedback import planning, skill_fit, skill_quality
from skillfleet_nb.skills.scoring.page import Page
from skillfleet_nb.skills.scoring.quality import QualityCheck, quality_checks, quality_score
from skillfleet_nb.skills.scoring.readability import Readability, readability_score
from skillfleet_nb.skills.scoring.score import SkillScore, score_skill
from skillfleet_nb.skills.scoring.semantic import chunks, semantic_similarity
from skillfleet_nb.skills.scoring.taxonomy import FieldScore, metadata_accuracy, plan_accuracy, taxonomy_accuracy

__all__ = [
    "METRICS",
    "STYLE_WEIGHTS",
    "Adaptation",
    "Coverage",
    "EntityMatch",
    "FieldScore",
    "Page",
    "Proposal",
    "QualityCheck",
    "Readability",
    "SkillScore",
    "Weights",
    "adapt_weights",
    "chunks",
    "composite_score",
    "coverage_score",
    "entity_f1",
    "extract_entities",
    "lm_advisor",
    "metadata_accuracy",
    "plan_accuracy",
    "planning",
    "quality_checks",
    "quality_score",
    "readability_score",
    "score_skill",
    "semantic_similarity",
    "skill_fit",
    "skill_quality",
    "taxonomy_accuracy",
    "validate_weights",
]
