"""Templates for new skills: built-in ones and folders of one's own.

A template is a folder with a ``template.toml`` (title, description, categories, sections, minutes,
difficulty, style) and the skill to be, ``SKILL.md`` and any files beside it, in which ``{{name}}``,
``{{title}}``, ``{{description}}`` and ``{{style}}`` stand for what the user gives.  Nothing else is
replaced.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.format import expanded
from skillfleet_nb.html import Readable, preformatted, table
from skillfleet_nb.messages import as_switch
from skillfleet_nb.security import known_place
from skillfleet_nb.skills import _files
from skillfleet_nb.skills._edit import scalar
from skillfleet_nb.skills._source import Source
from skillfleet_nb.skills.document import slug
from skillfleet_nb.skills.skill import Skill
from skillfleet_nb.skills.style import STYLES, Style
from skillfleet_nb.skills.validation_report import Report

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

_BUILT_IN = Path(__file__).parent / "builtin_templates"
_PLACEHOLDER = re.compile(r"\{\{(name|title|description|style)\}\}")


class Template(Readable, BaseModel):
    """What a template is for.

    Attributes
    ----------
    minutes
        Time it takes to fill in, in minutes.
    sections
        Second-level headings of its ``SKILL.md``.
    folder
        Where it lies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    description: str
    categories: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    minutes: int = Field(gt=0)
    difficulty: Literal["beginner", "intermediate", "advanced"]
    style: Style
    folder: Path = Field(exclude=True)

    def files(self) -> dict[str, bytes]:
        """Return its files by path within the skill, placeholders as they are; no link that leads out of it."""
        paths = sorted(p for p in self.folder.rglob("*") if p.is_file() and p.name != "template.toml")
        inside = [path for path in paths if path.resolve().is_relative_to(self.folder.resolve())]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in inside}

    def text(self) -> str:
        """Return the template's description and its files."""
        head = f"{self.name}: {self.title} · {self.difficulty}, about {self.minutes} min · {self.style}"
        files = (
            f"--- {path} ---\n{content.decode(errors='replace').rstrip()}" for path, content in self.files().items()
        )
        return "\n".join([head, self.description, *files])

    def html(self) -> str:
        """Show it as HTML."""
        return preformatted(self.text(), title=f"{self.name}: {self.title}")


class TemplateList(Readable, BaseModel):
    """Templates at hand, by name."""

    model_config = ConfigDict(frozen=True)

    templates: tuple[Template, ...]

    def __iter__(self) -> Iterator[Template]:  # type: ignore[override]  # a list of templates, not of fields
        return iter(self.templates)

    def __len__(self) -> int:
        return len(self.templates)

    def text(self) -> str:
        """Return one line for each template."""
        return "\n".join(f"{t.name:<18}{t.difficulty:<14}{t.minutes:>4} min  {t.description}" for t in self)

    def html(self) -> str:
        """Show it as HTML."""
        header = ("name", "title", "for", "categories", "minutes", "difficulty", "style")
        rows = (
            (t.name, t.title, t.description, ", ".join(t.categories), str(t.minutes), t.difficulty, t.style)
            for t in self
        )
        return table(header, rows, title="Skill templates")


class NewSkill(Readable, BaseModel):
    """A skill just made: where, from what, and what validation says of it."""

    model_config = ConfigDict(frozen=True)

    path: str
    template: str
    files: tuple[str, ...]
    backup: str | None
    report: Report

    def load(self) -> Skill:
        """Read the skill."""
        return Skill.load(self.path)

    def text(self) -> str:
        """Return where it was made and its report."""
        return f"made {self.path} from {self.template}: {', '.join(self.files)}\n{self.report.text()}"

    def html(self) -> str:
        """Show it as HTML."""
        return preformatted(self.text(), title=f"made {self.path} from {self.template}")


def list_templates(*folders: str | os.PathLike[str]) -> TemplateList:
    """Return the built-in templates and those in `folders`, which come first where names are equal.

    Parameters
    ----------
    folders
        Folders whose sub-folders are templates.

    Raises
    ------
    InputError
        A folder does not exist, or a template in it has no valid ``template.toml`` or no ``SKILL.md``.

    Examples
    --------
    >>> [template.name for template in list_templates()]
    ['guide_basic', 'reference', 'tool_integration', 'workflow']
    """
    templates: dict[str, Template] = {}
    for folder in (*map(expanded, folders), _BUILT_IN):
        if not folder.is_dir():
            raise InputError(f"no folder of templates at {str(folder)!r}: give one whose sub-folders are templates.")
        for child in sorted(folder.iterdir()):
            if (child / "template.toml").is_file() and child.name not in templates:
                templates[child.name] = _read(child)
    return TemplateList(templates=tuple(templates[name] for name in sorted(templates)))


def preview(name: str, *folders: str | os.PathLike[str]) -> Template:
    """Return one template; its ``text()`` shows all of its files.

    Raises
    ------
    NotFoundError
        No such template.
    """
    templates = {template.name: template for template in list_templates(*folders)}
    if name not in templates:
        raise unknown("template", name, templates)
    return templates[name]


def new_skill(
    name: str,
    *,
    description: str,
    template: str = "guide_basic",
    style: Style | None = None,
    root: str | os.PathLike[str] = ".",
    overwrite: bool = False,
    templates: tuple[str | os.PathLike[str], ...] = (),
) -> NewSkill:
    """Make ``root/name`` from a template; nothing is written unless the result is a valid agent skill.

    Parameters
    ----------
    name
        Name of the skill and of its folder: lower case, digits, single hyphens.
    description
        What it does and when to use it, at most 1,024 characters: ``"Use when …"``.
    template
        See `list_templates`.
    style
        Declared style, None for the template's.
    root
        Folder to make it in; made where missing.
    overwrite
        Replace the template's files in a folder that is there, after a backup; other files stay.
    templates
        Folders with templates of one's own.

    Raises
    ------
    NotFoundError
        No such template or style.
    InputError
        The name or description is not one of a valid agent skill, the folder exists, or it cannot
        be written.
    """
    chosen = preview(template, *templates)
    if style is not None and style not in STYLES:
        raise unknown("style", style, STYLES)
    folder = known_place(root) / name
    values = {
        "name": name,
        "title": name.replace("-", " ").capitalize(),
        "description": description.strip(),
        "style": style or chosen.style,
    }
    files = {path: _fill(content, values) for path, content in chosen.files().items()}
    made = Skill.parse(files["SKILL.md"], folder)
    refused = next((f.message for f in made.validate("v2").errors if f.of_standard), None)
    if refused or Path(name).name != name:
        hint = f" Try {slug(name)!r}." if slug(name) not in ("", name) else ""
        why = (refused or "it is no name of a folder").rstrip(".")
        raise InputError(f"cannot make a skill {name!r}: {why}.{hint}")
    backup = _write(folder, files, overwrite=overwrite)
    report = Skill.load(folder).validate("v2")
    return NewSkill(path=str(folder), template=chosen.name, files=tuple(files), backup=backup, report=report)


def _read(folder: Path) -> Template:
    try:
        data = tomllib.loads((folder / "template.toml").read_text("utf-8"))
        template = Template(name=folder.name, folder=folder, **data)
        skill = Skill.load(folder)
    except (OSError, LookupError, TypeError, ValueError) as error:
        why = error.errors()[0] if isinstance(error, ValidationError) else None
        reason = f"{'.'.join(map(str, why['loc']))}: {why['msg']}" if why else " ".join(str(error).split())
        raise InputError(f"the template in {str(folder)!r} cannot be used: {reason}.") from error
    if "SKILL.md" not in template.files():
        raise InputError(f"the template in {str(folder)!r} cannot be used: its SKILL.md is a link to elsewhere.")
    sections = tuple(heading.title for heading in skill.outline.headings if heading.level == 2)  # noqa: PLR2004
    return template.model_copy(update={"sections": template.sections or sections})


def _fill(content: bytes, values: dict[str, str]) -> bytes:
    """Fill placeholders: in front matter a value is written as a YAML scalar, in a body as it is."""
    source = Source.decode(content)
    if not source.is_utf8:
        return content  # a picture, say
    start = source.span[2] if source.span else 0
    head = _PLACEHOLDER.sub(lambda match: scalar(values[match[1]]), source.text[:start])
    return source.replaced(head + _PLACEHOLDER.sub(lambda match: values[match[1]], source.text[start:])).encode()


def _write(folder: Path, files: dict[str, bytes], *, overwrite: bool) -> str | None:
    is_taken = folder.exists() or folder.is_symlink()
    if is_taken and not overwrite:
        raise InputError(f"{str(folder)!r} exists: choose another name, or pass {as_switch('overwrite')}.")
    try:
        if is_taken:
            backup = _files.replace(folder, files)
            return str(backup) if backup else None
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Made aside and moved as a whole: nobody sees half a skill.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as aside:
            made = Path(aside) / folder.name
            _files.fill(made, files)
            shutil.move(made, folder)
    except OSError as error:
        raise InputError(f"cannot write {str(folder)!r}: {error}. Check its permissions.") from error
    return None
