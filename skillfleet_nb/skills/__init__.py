"""Agent skills: documents, validation, migration and templates.

Pure: files in, objects out.  Nothing here needs a language model, a notebook or the store.
"""

from skillfleet_nb.skills.document import Format, FormatChoice, Origin, slug
from skillfleet_nb.skills.markdown import RESOURCE_FOLDERS, CodeBlock, Heading, Link, Outline, outline
from skillfleet_nb.skills.migrate import Migration, TreeMigration, migrate, migrate_tree
from skillfleet_nb.skills.skill import Skill, find_skills, validate_tree
from skillfleet_nb.skills.style import STYLES, Style, StyleVerdict, classify_style, detect_style
from skillfleet_nb.skills.templates import NewSkill, Template, TemplateList, list_templates, new_skill, preview
from skillfleet_nb.skills.validation_report import Finding, Report, Severity, TreeReport

__all__ = [
    "RESOURCE_FOLDERS",
    "STYLES",
    "CodeBlock",
    "Finding",
    "Format",
    "FormatChoice",
    "Heading",
    "Link",
    "Migration",
    "NewSkill",
    "Origin",
    "Outline",
    "Report",
    "Severity",
    "Skill",
    "Style",
    "StyleVerdict",
    "Template",
    "TemplateList",
    "TreeMigration",
    "TreeReport",
    "classify_style",
    "detect_style",
    "find_skills",
    "list_templates",
    "migrate",
    "migrate_tree",
    "new_skill",
    "outline",
    "preview",
    "slug",
    "validate_tree",
]
