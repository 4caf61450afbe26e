"""Commands about agent skills: each reads its arguments and calls one function of ``skills``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.grammar import argument, command, group, written
from skillfleet_nb.commands.views import Note, Parts

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.skills.similarity.index import SimilarityIndex

SKILL = group("skill", "agent skills: validate, migrate, score, similar, templates, new", task="Agent skills", place=0)
_STYLES = ("navigation_hub", "comprehensive", "minimal")


@command(
    "skill validate",
    "check one skill, or every skill of a tree",
    argument("path", metavar="PATH", help="a skill's folder, its SKILL.md, or a folder of skills"),
    argument("--format", choices=("auto", "v1", "v2"), default="auto", help="format to check against (auto)"),
    argument("--strict", action="store_true", help="count warnings as errors"),
    written("--json", metavar="FILE", help="write the report as JSON too"),
    examples=("skill validate skills/pdf-tools", "skill validate skills --strict --json report.json"),
)
def _validate(c: Context, a: argparse.Namespace) -> object:
    del c
    from skillfleet_nb.skills import Skill, validate_tree

    place = Path(a.path)
    if place.is_file() or (place / "SKILL.md").is_file():
        report: Any = Skill.load(place).validate(a.format, strict=a.strict)
    else:
        report = validate_tree(place, a.format, strict=a.strict)
    if a.json:
        Path(a.json).write_text(report.model_dump_json(indent=2) + "\n", "utf-8")
    return report


@command(
    "skill migrate",
    "move skills to a format; shows what it would change, unless --apply",
    argument("path", metavar="PATH"),
    argument("--to", default="v2", metavar="FORMAT"),
    argument("--apply", action="store_true", help="write it; a backup is kept"),
    argument("--drop-metadata-json", action="store_true", help="remove metadata.json where nothing needs it"),
    argument("--portable", action="store_true", help="move fields too that only some hosts read"),
    examples=("skill migrate skills", "skill migrate skills --apply"),
)
def _migrate(c: Context, a: argparse.Namespace) -> object:
    del c
    from skillfleet_nb.skills import migrate_tree

    keep = not a.drop_metadata_json
    return migrate_tree(a.path, a.to, apply=a.apply, keep_metadata_json=keep, portable=a.portable)


@command(
    "skill score",
    "every metric of a skill, and what to improve",
    argument("path", metavar="PATH"),
    argument("--reference", metavar="PATH", help="a model skill: adds similarity and entity F1"),
    argument("--style", choices=_STYLES, help="override the detected style"),
    examples=("skill score skills/pdf-tools",),
)
def _score(c: Context, a: argparse.Namespace) -> object:
    from skillfleet_nb.skills import Skill
    from skillfleet_nb.skills.scoring import score_skill

    reference = Skill.load(a.reference) if a.reference else None
    embed = c.fleet.data.embedder(c.counting("embedding texts")) if reference else None
    return score_skill(Skill.load(a.path), reference=reference, embed=embed, style=a.style)


@command(
    "skill similar",
    "skills like this text, before writing a new one",
    argument("text", metavar="TEXT"),
    argument("--root", default=".", metavar="FOLDER", help="folder of skills (.)"),
    argument("-k", type=int, default=10, metavar="N", help="how many (10)"),
    examples=('skill similar "merge PDF files" --root skills',),
)
def _similar(c: Context, a: argparse.Namespace) -> object:
    index = _open(c, a)
    report = index.build(a.root)
    answer = index.query(a.text, a.k)
    return Parts([report, answer]) if report.embedded or report.problems else answer


@command(
    "skill duplicates",
    "pairs of skills that say nearly the same",
    argument("--root", default=".", metavar="FOLDER", help="folder of skills (.)"),
    examples=("skill duplicates --root skills",),
)
def _duplicates(c: Context, a: argparse.Namespace) -> object:
    index = _open(c, a)
    index.build(a.root)
    return index.duplicates()


@command(
    "skill templates",
    "list templates",
    argument("--templates", action="append", default=[], metavar="FOLDER", help="your own templates"),
    examples=("skill templates",),
)
def _templates(c: Context, a: argparse.Namespace) -> object:
    del c
    from skillfleet_nb.skills import list_templates

    return list_templates(*a.templates)


@command(
    "skill template",
    "preview a template",
    argument("action", choices=("preview",)),
    argument("name", metavar="TEMPLATE"),
    argument("--templates", action="append", default=[], metavar="FOLDER", help="your own templates"),
    examples=("skill template preview guide_basic",),
)
def _template(c: Context, a: argparse.Namespace) -> object:
    del c
    from skillfleet_nb.skills import preview

    return preview(a.name, *a.templates)


@command(
    "skill new",
    "write a new skill from a template",
    argument("name", metavar="NAME"),
    argument("--description", metavar="TEXT", required=True, help="what it does, and 'Use when …'"),
    argument("--template", default="guide_basic", metavar="TEMPLATE"),
    argument("--style", choices=_STYLES),
    argument("--root", default=".", metavar="FOLDER", help="where to put its folder (.)"),
    argument("--overwrite", action="store_true", help="replace the files of a skill that is there; a backup is kept"),
    argument("--templates", action="append", default=[], metavar="FOLDER", help="your own templates"),
    examples=('skill new pdf-tools --description "Merges PDF files. Use when several files become one."',),
)
def _new(c: Context, a: argparse.Namespace) -> object:
    del c
    from skillfleet_nb.skills import new_skill

    return new_skill(
        a.name,
        description=a.description,
        template=a.template,
        style=a.style,
        root=a.root,
        overwrite=a.overwrite,
        templates=tuple(a.templates),
    )


@command(
    "skill index",
    "the similarity index: build it, or tell its state",
    argument("action", choices=("build", "status")),
    argument("--root", default=".", metavar="FOLDER", help="folder of skills (.)"),
    examples=("skill index build --root skills", "skill index status --root skills"),
)
def _index(c: Context, a: argparse.Namespace) -> object:
    if a.action == "build":
        return _open(c, a).build(a.root)
    return c.fleet.skills.index(a.root).status()


def _open(c: Context, a: argparse.Namespace) -> SimilarityIndex:
    if "torch" not in sys.modules:
        c.say(Note("loading the embedding model, which takes some seconds"))
    return c.fleet.skills.index(a.root, c.counting("embedding texts"))
