"""A ``SKILL.md`` as a document: read tolerantly, written back byte for byte, edited in place."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.security import known_place
from skillfleet_nb.skills import _front_matter, _values
from skillfleet_nb.skills._edit import Editor
from skillfleet_nb.skills._source import Source, normalised
from skillfleet_nb.skills.markdown import outline

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from skillfleet_nb.skills.markdown import Outline

Format = Literal["v1", "v2"]
FormatChoice = Literal["auto", "v1", "v2"]
Origin = Literal["front matter", "metadata.json", "inferred"]

SPEC_FIELDS = ("name", "description", "license", "compatibility", "allowed-tools", "metadata")
"""Fields that Agent Skills allow at the top of the front matter."""

ORIGINAL = "original-"
"""Prefix, within ``metadata``, of a value that lost to another one for the same field."""

FILE_NAMES = ("SKILL.md", "skill.md")
"""Names of the document, in the order in which skills-ref looks."""

_NOT_A_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Document:
    r"""The document of a skill.  Reading never fails on content: what is wrong with it is validation's to tell.

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
    >>> document = Document.parse("---\nname: pdf\ndescription: Use when reading PDF files.\n---\n# PDF\n")
    >>> document.name, document.format, document.provenance()["version"]
    ('pdf', 'v2', 'inferred')
    """

    source: Source
    path: Path | None = None
    metadata_bytes: bytes | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a skill's folder or its ``SKILL.md``, with the ``metadata.json`` beside it.

        Raises
        ------
        NotFoundError
            There is no such folder or file, or no ``SKILL.md`` in the folder.
        InputError
            The path is neither a folder nor a ``SKILL.md``, or cannot be read.
        """
        place = Path(os.path.abspath(known_place(path)))  # noqa: PTH100  a link keeps its name: skills-ref compares it
        try:
            folder = place if place.is_dir() else place.parent
            if not place.exists():
                raise NotFoundError(f"no skill at {str(path)!r}: give a skill's folder or its SKILL.md.")
            if place != folder and place.name.lower() != "skill.md":
                raise InputError(f"{str(path)!r} is not a SKILL.md: give a skill's folder or its SKILL.md.")
            file = next((folder / name for name in FILE_NAMES if (folder / name).exists()), place)
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
    ) -> Self:
        """Read a document at hand; `path` is the folder or ``SKILL.md`` it is for, and may not exist yet."""
        file = None
        if path is not None:
            file = Path(os.path.abspath(known_place(path)))  # noqa: PTH100  as in load
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
            data = json.loads(self.metadata_bytes.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return None
        return data if isinstance(data, dict) and _values.is_shallow(data) else None

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
        resolved: dict[str, tuple[Any, Origin]] = {
            key: (value, "front matter") for key, value in matter.items() if key != "metadata" and value != ""
        }
        if isinstance(nested, dict):
            for key, value in nested.items():
                resolved.setdefault(key, (_values.loads(value), "front matter"))
        for key, value in (self.metadata_json or {}).items():
            resolved.setdefault(key, (value, "metadata.json"))
        for key, value in self._inferred(resolved).items():
            resolved.setdefault(key, (value, "inferred"))
        return resolved

    def _inferred(self, resolved: Mapping[str, tuple[Any, Origin]]) -> dict[str, str]:
        inferred = {"version": "1.0.0", "type": "technical"}
        skill_id = resolved["skill_id"][0] if "skill_id" in resolved else ""
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

    # --- what can be done with it

    def dumps(self) -> bytes:
        """Return the document's bytes: exactly those read, but for what `with_fields` changed."""
        return self.source.encode()

    def with_fields(self, fields: Mapping[str, object] | None = None, /, **more: object) -> Self:
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
        >>> document = Document.parse("---\nname: pdf # short\ndescription: x\n---\n")
        >>> print(document.with_fields(name="pdf-forms", version="2.0.0").source.text, end="")
        ---
        name: pdf-forms # short
        description: x
        metadata:
          version: 2.0.0
        ---
        """
        editor = Editor(self.source)
        for key, value in {**(fields or {}), **more}.items():
            editor.set("allowed-tools" if key == "allowed_tools" else key, value)
        return replace(self, source=editor.source())

    def __repr__(self) -> str:
        path = str(self.path) if self.path else None
        return f"{type(self).__name__}({self.name!r}, format={self.format!r}, path={path!r})"


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
