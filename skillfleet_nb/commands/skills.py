"""Commands about agent skills: each reads its arguments and calls one function of ``skills``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillfleet_nb.commands.views import Note, Parts

if TYPE_CHECKING:
    import argparse

    from skillfleet_nb.commands.context import Context
    from skillfleet_nb.skills.similarity.index import SimilarityIndex

_STYLES = ("navigation_hub", "comprehensive", "minimal")


def add(commands: Any) -> None:
    """Add these commands to the tree."""
    skill = commands.add_parser("skill", help="agent skills: validate, migrate, score, similar, templates, new")
    parts = skill.add_subparsers(dest="skill_command", metavar="command", parser_class=type(skill))

    p = parts.add_parser(
        "validate",
        help="check one skill, or every skill of a tree",
        examples=("skill validate skills/pdf-tools", "skill validate skills --strict --json report.json"),
    )
    p.add_argument("path", metavar="PATH", help="a skill's folder, its SKILL.md, or a folder of skills")
    p.add_argument("--format", choices=("auto", "v1", "v2"), default="auto", help="format to check against (auto)")
    p.add_argument("--strict", action="store_true", help="count warnings as errors")
    p.add_argument("--json", metavar="FILE", help="write the report as JSON too")
    p.set_defaults(run=_validate)

    p = parts.add_parser(
        "migrate",
        help="move skills to a format; shows what it would change, unless --apply",
        examples=("skill migrate skills", "skill migrate skills --apply"),
    )
    p.add_argument("path", metavar="PATH")
    p.add_argument("--to", default="v2", metavar="FORMAT")
    p.add_argument("--apply", action="store_true", help="write it; a backup is kept")
    p.add_argument("--drop-metadata-json", action="store_true", help="remove metadata.json where nothing needs it")
    p.set_defaults(run=_migrate)

    p = parts.add_parser(
        "score",
        help="every metric of a skill, and what to improve",
        examples=("skill score skills/pdf-tools",),
    )
    p.add_argument("path", metavar="PATH")
    p.add_argument("--reference", metavar="PATH", help="a model skill: adds similarity and entity F1")
    p.add_argument("--style", choices=_STYLES, help="override the detected style")
    p.set_defaults(run=_score)

    p = parts.add_parser(
        "similar",
        help="skills like this text, before writing a new one",
        examples=('skill similar "merge PDF files" --root skills',),
    )
    p.add_argument("text", metavar="TEXT")
    p.add_argument("--root", default=".", metavar="FOLDER", help="folder of skills (.)")
    p.add_argument("-k", type=int, default=10, metavar="N", help="how many (10)")
    p.set_defaults(run=_similar)

    p = parts.add_parser(
        "duplicates",
        help="pairs of skills that say nearly the same",
        examples=("skill duplicates --root skills",),
    )
    p.add_argument("--root", default=".", metavar="FOLDER", help="folder of skills (.)")
    p.set_defaults(run=_duplicates)

    p = parts.add_parser("templates", help="list templates", examples=("skill templates",))
    p.add_argument("--templates", action="append", default=[], metavar="FOLDER", help="your own templates")
    p.set_defaults(run=_templates)

    p = parts.add_parser("template", help="preview a template", examples=("skill template preview guide_basic",))
    p.add_argument("action", choices=("preview",))
    p.add_argument("name", metavar="NAME")
    p.add_argument("--templates", action="append", default=[], metavar="FOLDER", help="your own templates")
    p.set_defaults(run=_template)

    p = parts.add_parser(
        "new",
        help="write a new skill from a template",
        examples=('skill new pdf-tools --description "Merges PDF files. Use when several files become one."',),
    )
    p.add_argument("name", metavar="NAME")
    p.add_argument("--description", metavar="TEXT", required=True, help="what it does, and 'Use when …'")
    p.add_argument("--template", default="guide_basic", metavar="NAME")
    p.add_argument("--style", choices=_STYLES)
    p.add_argument("--root", default=".", metavar="FOLDER", help="where to put its folder (.)")
    p.add_argument(
        "--overwrite", action="store_true", help="replace the files of a skill that is there; a backup is kept"
    )
    p.add_argument("--templates", action="append", default=[], metavar="FOLDER", help="your own templates")
    p.set_defaults(run=_new)

    p = parts.add_parser(
        "index",
        help="the similarity index: build it, or tell its state",
        examples=("skill index build --root skills", "skill index status --root skills"),
    )
    p.add_argument("action", choices=("build", "status"))
    p.add_argument("--root", default=".", metavar="FOLDER", help="folder of skills (.)")
    p.set_defaults(run=_index)


def _validate(c: Context, a: argparse.Namespace) -> Any:
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


def _migrate(c: Context, a: argparse.Namespace) -> Any:
    del c
    from skillfleet_nb.skills import migrate_tree

    return migrate_tree(a.path, a.to, apply=a.apply, keep_metadata_json=not a.drop_metadata_json)


def _score(c: Context, a: argparse.Namespace) -> Any:
    from skillfleet_nb.skills import Skill
    from skillfleet_nb.skills.scoring import score_skill

    reference = Skill.load(a.reference) if a.reference else None
    embed = c.fleet.data.embedder(c.counting("embedding texts")) if reference else None
    return score_skill(Skill.load(a.path), reference=reference, embed=embed, style=a.style)


def _similar(c: Context, a: argparse.Namespace) -> Any:
    index = _open(c, a)
    report = index.build(a.root)
    answer = index.query(a.text, a.k)
    return Parts([report, answer]) if report.embedded or report.problems else answer


def _duplicates(c: Context, a: argparse.Namespace) -> Any:
    index = _open(c, a)
    index.build(a.root)
    return index.duplicates()


def _templates(c: Context, a: argparse.Namespace) -> Any:
    del c
    from skillfleet_nb.skills import list_templates

    return list_templates(*a.templates)


def _template(c: Context, a: argparse.Namespace) -> Any:
    del c
    from skillfleet_nb.skills import preview

    return preview(a.name, *a.templates)


def _new(c: Context, a: argparse.Namespace) -> Any:
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


def _index(c: Context, a: argparse.Namespace) -> Any:
    if a.action == "build":
        return _open(c, a).build(a.root)
    return c.fleet.skills.index(a.root).status()


def _open(c: Context, a: argparse.Namespace) -> SimilarityIndex:
    if "sentence_transformers" not in sys.modules:
        c.say(Note("loading the embedding model, which takes some seconds"))
    return c.fleet.skills.index(a.root, c.counting("embedding texts"))
