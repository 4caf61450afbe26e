"""A skill as a document: read tolerantly, written back byte for byte, edited in place."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.format import shortened
from skillfleet_nb.skills import _front_matter, _values
from skillfleet_nb.skills._source import Source, normalised
from skillfleet_nb.skills.markdown import outline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from skillfleet_nb.skills.markdown import Outline
    from skillfleet_nb.skills.style import Style, StyleVerdict
    from skillfleet_nb.skills.validation_report import Report

Format = Literal["v1", "v2"]
FormatChoice = Literal["auto", "v1", "v2"]
Origin = Literal["front matter", "metadata.json", "inferred"]

SPEC_FIELDS = ("name", "description", "license", "compatibility", "allowed-tools", "metadata")
"""Fields that Agent Skills allow at the top of the front matter."""

ORIGINAL = "original-"
"""Prefix, within ``metadata``, of a value that lost to another one for the same field."""

_FILE_NAMES = ("SKILL.md", "skill.md")  # in the order in which skills-ref looks
_NOT_A_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Skill:
    r"""One skill.  Reading never fails on content: what is wrong with it is `validate`'s to tell.

    Parameters
    ----------
    source
        The document, exact.
    path
        Its ``SKILL.md``, None for a document without a place; then nothing that depends on the
        folder (its name, linked files) is checked.
    metadata_bytes
        Content of the ``metadata.json`` beside it, None where there is none.

    Examples
    --------
    >>> skill = Skill.parse("---\nname: pdf\ndescription: Use when reading PDF files.\n---\n# PDF\n")
    >>> skill.name, skill.format, skill.provenance()["version"]
    ('pdf', 'v2', 'inferred')
    """

    source: Source
    path: Path | None = None
    metadata_bytes: bytes | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Skill:
        """Read a skill's folder or its ``SKILL.md``, with the ``metadata.json`` beside it.

        Raises
        ------
        NotFoundError
            There is no such folder or file, or no ``SKILL.md`` in the folder.
        InputError
            The path is neither a folder nor a ``SKILL.md``, or cannot be read.
        """
        given = Path(os.path.abspath(path))  # noqa: PTH100  a link keeps its name: skills-ref compares it
        try:
            folder = given if given.is_dir() else given.parent
            if not given.exists():
                raise NotFoundError(f"no skill at {str(path)!r}: give a skill's folder or its SKILL.md.")
            if given != folder and given.name.lower() != "skill.md":
                raise InputError(f"{str(path)!r} is not a SKILL.md: give a skill's folder or its SKILL.md.")
            file = next((folder / name for name in _FILE_NAMES if (folder / name).exists()), given)
            if file.is_dir():
                raise NotFoundError(f"no SKILL.md in {str(path)!r}: give the folder of one skill.")
            beside = folder / "metadata.json"
            return cls(Source.decode(file.read_bytes()), file, beside.read_bytes() if beside.is_file() else None)
        except (OSError, ValueError) as error:
            if isinstance(error, (InputError, NotFoundError)):
                raise
            raise InputError(f"cannot read {str(path)!r}: {error}.") from error

    @classmethod
    def parse(
        cls,
        text: str | bytes,
        path: str | os.PathLike[str] | None = None,
        *,
        metadata_json: str | bytes | None = None,
    ) -> Skill:
        """Read a document at hand; `path` is the folder or ``SKILL.md`` it is for, and may not exist yet."""
        file = None
        if path is not None:
            file = Path(os.path.abspath(path))  # noqa: PTH100  as in load
            file = file if file.name.lower() == "skill.md" else file / "SKILL.md"
        return cls(Source.decode(_as_bytes(text)), file, None if metadata_json is None else _as_bytes(metadata_json))

    # --- what it says

    @cached_property
    def _matter(self) -> _front_matter.FrontMatter:
        return _front_matter.read(self.source.front_matter)

    @property
    def entries(self) -> Mapping[str, _front_matter.Entry]:
        """Positions of the top-level fields in the front matter's text."""
        return self._matter.entries

    @property
    def front_matter(self) -> dict[str, Any]:
        """Front matter as read: strings, lists and mappings of them, in order; ``{}`` without one."""
        return self._matter.data

    @cached_property
    def metadata_json(self) -> dict[str, Any] | None:
        """Content of ``metadata.json``; None where there is none, or no JSON object to be read."""
        if self.metadata_bytes is None:
            return None
        try:
            found = json.loads(self.metadata_bytes.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) and _values.is_shallow(found) else None

    @property
    def body(self) -> str:
        """Markdown after the front matter, line ends as written."""
        return self.source.body

    @cached_property
    def outline(self) -> Outline:
        """Headings, code blocks and links of the body, with line numbers of the file."""
        span = self.source.span
        return outline(normalised(self.body), self.source.line_at(span[2]) if span else 1)

    @property
    def folder(self) -> Path | None:
        """Folder of the skill, None for a document without a place."""
        return self.path.parent if self.path else None

    @cached_property
    def _resolved(self) -> dict[str, tuple[Any, Origin]]:
        matter = self.front_matter
        nested = matter.get("metadata")
        found: dict[str, tuple[Any, Origin]] = {
            key: (value, "front matter") for key, value in matter.items() if key != "metadata" and value != ""
        }
        if isinstance(nested, dict):
            for key, value in nested.items():
                found.setdefault(key, (_values.loads(value), "front matter"))
        for key, value in (self.metadata_json or {}).items():
            found.setdefault(key, (value, "metadata.json"))
        for key, value in self._inferred(found).items():
            found.setdefault(key, (value, "inferred"))
        return found

    def _inferred(self, known: Mapping[str, tuple[Any, Origin]]) -> dict[str, str]:
        inferred = {"version": "1.0.0", "type": "technical"}
        skill_id = known["skill_id"][0] if "skill_id" in known else ""
        last = str(skill_id).rstrip("/").rsplit("/", 1)[-1]
        if name := slug(last) or slug(self.folder.name if self.folder else ""):
            inferred["name"] = name
        return inferred

    @cached_property
    def fields(self) -> dict[str, Any]:
        """Every field by priority: front matter, then ``metadata.json``, then inferred."""
        return {key: value for key, (value, _) in self._resolved.items()}

    def provenance(self) -> dict[str, Origin]:
        """Tell for every field of `fields` where its value comes from."""
        return {key: origin for key, (_, origin) in self._resolved.items()}

    @property
    def name(self) -> str:
        """Name, ``""`` where neither given nor to be inferred."""
        return _text(self.fields.get("name"))

    @property
    def description(self) -> str:
        """Description, ``""`` where there is none."""
        return _text(self.fields.get("description"))

    @property
    def metadata(self) -> dict[str, Any]:
        """Every field that Agent Skills have no place for at the top: version, type, tags, …."""
        return {key: value for key, value in self.fields.items() if key not in SPEC_FIELDS}

    @property
    def format(self) -> Format:
        """``v1`` while a ``metadata.json`` holds something that the front matter does not, else ``v2``."""
        if self.metadata_bytes is None or (self.metadata_json is not None and not self.uncovered()):
            return "v2"
        return "v1"

    def uncovered(self) -> dict[str, Any]:
        """Return the fields of ``metadata.json`` that the front matter lacks or has another value for."""
        matter = self.front_matter
        nested = matter.get("metadata")
        nested = nested if isinstance(nested, dict) else {}

        def covered(key: str, value: object) -> bool:
            places = [matter[key]] if key in matter and key != "metadata" else []
            original = re.compile(re.escape(ORIGINAL + key) + r"(-\d+)?")
            places += [v for k, v in nested.items() if k == key or original.fullmatch(k)]
            return any(_values.same(value, place) for place in places)

        return {key: value for key, value in (self.metadata_json or {}).items() if not covered(key, value)}

    @cached_property
    def style_verdict(self) -> StyleVerdict:
        """Style that the rules detect, with reasons."""
        from skillfleet_nb.skills.style import detect_style

        return detect_style(self)

    @property
    def style(self) -> Style:
        """Style declared as ``skill_style`` in the metadata, else the detected one."""
        return self.style_verdict.style

    # --- what can be done with it

    def validate(self, format: FormatChoice = "auto", *, strict: bool = False) -> Report:  # noqa: A002  the user's word
        """Check it against Agent Skills (`skills-ref` decides) and against this project's rules.

        Parameters
        ----------
        format
            Which of our rules to apply, ``"auto"`` for those of :attr:`format`.
        strict
            Count warnings as errors in the report's ``ok``.

        Raises
        ------
        NotFoundError
            Not a format.
        """
        from skillfleet_nb.skills.rules import validate

        return validate(self, format, strict=strict)

    def score(self) -> Any:
        """Score its quality with every metric; see :func:`skillfleet_nb.skills.scoring.score_skill`."""
        from skillfleet_nb.skills.scoring import score_skill

        return score_skill(self)

    def dumps(self) -> bytes:
        """Return the document's bytes: exactly those read, but for what `with_fields` changed."""
        return self.source.encode()

    def with_fields(self, fields: Mapping[str, Any] | None = None, /, **more: Any) -> Skill:
        r"""Return the skill with fields set (or, given None, removed) and everything else untouched.

        A field stands where it already is; a new one that Agent Skills name goes to the top of the
        front matter (write ``allowed_tools`` for ``allowed-tools``), any other to ``metadata``.
        Comments, order, unknown fields and line ends stay.

        Raises
        ------
        InputError
            The front matter is not YAML that can be edited in place, or a value cannot be written.

        Examples
        --------
        >>> skill = Skill.parse("---\nname: pdf # short\ndescription: x\n---\n")
        >>> print(skill.with_fields(name="pdf-forms", version="2.0.0").source.text, end="")
        ---
        name: pdf-forms # short
        description: x
        metadata:
          version: 2.0.0
        ---
        """
        from skillfleet_nb.skills._edit import Editor

        editor = Editor(self.source)
        for key, value in {**(fields or {}), **more}.items():
            editor.set("allowed-tools" if key == "allowed_tools" else key, value)
        return replace(self, source=editor.source())

    def __repr__(self) -> str:
        return f"Skill({self.name!r}, format={self.format!r}, path={str(self.path) if self.path else None!r})"

    def _repr_html_(self) -> str:
        from skillfleet_nb.html import table

        rows = [(key, _shown(self.fields[key]), origin) for key, origin in self.provenance().items()]
        return table(("field", "value", "from"), rows, title=f"{self.name} · {self.format} · {self.style}")


def find_skills(root: str | os.PathLike[str]) -> Iterator[Skill]:
    """Yield every skill under a folder, by path; hidden folders and links to folders are not entered.

    Raises
    ------
    NotFoundError
        There is no such folder.
    """
    if not Path(root).exists():
        raise NotFoundError(f"no folder {str(root)!r}: give a skill or a folder of skills.")
    if not Path(root).is_dir():
        yield Skill.load(root)
        return
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if any(name in files for name in _FILE_NAMES):
            yield Skill.load(folder)


def slug(text: str) -> str:
    """Return the nearest valid name, ``""`` where no letter or digit is left.

    Examples
    --------
    >>> slug("FastAPI  Stack_Development")
    'fastapi-stack-development'
    """
    return _NOT_A_NAME.sub("-", text.lower()).strip("-")[:64].strip("-")


def _as_bytes(text: str | bytes) -> bytes:
    # A lone surrogate has no UTF-8; its bytes are kept so that reading does not fail on it.
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _shown(value: object) -> str:
    text = _values.dumps(value)
    return shortened(text, 200)  # two lines of a table
