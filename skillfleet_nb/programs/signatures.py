"""Signatures and their versions: what a saved program was made for, and how it comes to fit the code of today."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, replace
from functools import reduce
from inspect import formatannotation
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from packaging.version import InvalidVersion, Version

from skillfleet_nb.data.identity import content_hash
from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import dspy

    Signature = type[dspy.Signature]
    Migrate = Callable[["SavedPredictor"], "SavedPredictor | None"]

FieldRole = Literal["input", "output"]

_MARK = "skillfleet_signature"  # in json_schema_extra of its fields: a class made from another keeps nothing else
_VERSION = "__signature_version__"
_MODULES = re.compile(r"""('[^']*'|"[^"]*")|(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])""")


@dataclass(frozen=True, slots=True)
class FieldShape:
    """A field of a signature: its name, whether it goes in or comes out, and its type as text, None where not kept."""

    name: str
    role: FieldRole
    type: str | None


@dataclass(frozen=True, slots=True)
class SignatureVersion:
    """The version that a signature class was declared with, and its way there from earlier ones."""

    version: str
    migrations: Mapping[str, Migrate]

    def path(self, start: str) -> list[tuple[str, str, Migrate]]:
        """Return the steps from version `start` to this one, each as (from, to, migration).

        Raises
        ------
        InputError
            If `start` is newer, or there is no migration for it.
        """
        if Version(start) > Version(self.version):
            raise InputError(f"it was made for version {start} and the code has {self.version}: update the code")
        versions = sorted({*self.migrations, self.version}, key=Version)
        if start not in versions:
            ways = ", ".join(v for v in versions if v != self.version) or "no version"
            raise InputError(
                f"it was made for version {start}, and there are migrations from {ways} to {self.version}: "
                f"add one to signature_version({self.version!r}, migrations={{{start!r}: …}})"
            )
        steps = versions[versions.index(start) :]
        return [(one, other, self.migrations[one]) for one, other in pairwise(steps)]


@dataclass
class SavedPredictor:
    """What was kept of a predictor, for a migration to change.

    Attributes
    ----------
    instructions
        The instructions.
    fields
        By name, in order: `prefix`, `description`, `role` and `type` (None where it was not kept).
    demos
        Values by field name.

    Examples
    --------
    >>> saved = SavedPredictor("Sort.", {"intent": {"prefix": "Intent:"}}, [{"intent": "refund"}])
    >>> saved.rename("intent", "label")
    >>> list(saved.fields), saved.demos
    (['label'], [{'label': 'refund'}])
    """

    instructions: str
    fields: dict[str, dict[str, Any]]
    demos: list[dict[str, Any]] = field(default_factory=list)

    def rename(self, old: str, new: str) -> None:
        """Give a field another name, in the demos too; its description and place stay.

        Raises
        ------
        InputError
            If there is no such field, or one of the new name.
        """
        if old not in self.fields or new in self.fields:
            raise InputError(f"cannot rename field {old!r} to {new!r}: its fields are {', '.join(self.fields)}")
        self.fields = {new if name == old else name: field for name, field in self.fields.items()}
        self.demos = [{new if name == old else name: value for name, value in demo.items()} for demo in self.demos]

    def drop(self, name: str) -> None:
        """Take a field away, from the demos too; raises `InputError` where there is none."""
        if name not in self.fields:
            raise InputError(f"cannot drop field {name!r}: its fields are {', '.join(self.fields)}")
        del self.fields[name]
        self.demos = [{key: value for key, value in demo.items() if key != name} for demo in self.demos]


def signature_version(
    version: str, *, migrations: Mapping[str, Migrate] | None = None
) -> Callable[[Signature], Signature]:
    """Declare the version of a signature class, and how programs saved for earlier ones are brought to it.

    Parameters
    ----------
    version
        As packages are numbered: ``"1.2"``.
    migrations
        By the version that each starts from; it leads to the next one that is named.  Each is given a
        :class:`SavedPredictor` and changes it, or returns another.

    Raises
    ------
    InputError
        If a version is none, or a migration starts from this one or a later one.

    Examples
    --------
    >>> import dspy
    >>> @signature_version("1.1", migrations={"1.0": lambda saved: saved.rename("intent", "label")})
    ... class Sort(dspy.Signature):
    ...     "Sort a message."
    ...     text: str = dspy.InputField()
    ...     label: str = dspy.OutputField()
    >>> version_of(Sort)
    ('Sort', '1.1')
    """
    steps = dict(migrations or {})
    for text in (version, *steps):
        try:
            Version(text)
        except InvalidVersion:
            raise InputError(f"signature version {text!r}: write numbers and dots, for example '1.2'") from None
    if late := [start for start in steps if Version(start) >= Version(version)]:
        raise InputError(
            f"a migration from {late[0]} cannot lead to version {version}: name the version it starts from"
        )

    def declare(signature: Signature) -> Signature:
        setattr(signature, _VERSION, SignatureVersion(version, steps))
        mark = f"{signature.__module__}:{signature.__qualname__}@{version}"
        for info in signature.fields.values():
            info.json_schema_extra = {**(info.json_schema_extra or {}), _MARK: mark}
        return signature

    return declare


def version_of(signature: Signature) -> tuple[str, str] | None:
    """Return name and version of the declared signature that this one is or was made from; None where none is."""
    mark = _mark(signature)
    return None if mark is None else (mark.partition(":")[2].rpartition("@")[0], mark.rpartition("@")[2])


def declared(signature: Signature) -> SignatureVersion | None:
    """Return what the class that `signature` is or was made from was declared with; None where that is gone."""
    mark = _mark(signature)
    if mark is None:
        return None
    module, _, rest = mark.partition(":")
    cls: Any
    try:
        cls = reduce(getattr, rest.rpartition("@")[0].split("."), sys.modules[module])
    except (KeyError, AttributeError):  # a class within a function, or of a module that was unloaded
        cls = signature
    version: SignatureVersion | None = getattr(cls, _VERSION, None)
    return version


def fields_of(signature: Signature) -> tuple[FieldShape, ...]:
    """Return the fields of a signature, in the order in which DSPy saves them.

    Examples
    --------
    >>> import dspy
    >>> [(f.name, f.role, f.type) for f in fields_of(dspy.Signature("text, n: int -> ok: bool"))]
    [('text', 'input', 'str'), ('n', 'input', 'int'), ('ok', 'output', 'bool')]
    """
    return tuple(
        FieldShape(name, "input" if name in signature.input_fields else "output", type_text(info.annotation))
        for name, info in signature.fields.items()
    )


def type_text(annotation: object) -> str:
    """Write a type as text that is the same wherever its class is defined.

    Examples
    --------
    >>> from typing import Literal
    >>> type_text(list[str]), type_text(Literal["a.b"]), type_text(Version)
    ('list[str]', "Literal['a.b']", 'Version')
    """
    return _MODULES.sub(lambda match: match[1] or "", formatannotation(annotation))


def fingerprint(fields: Sequence[FieldShape], instructions: str) -> str:
    """Identify a signature by names, roles, types and order of its fields, and its instructions.

    Examples
    --------
    >>> import dspy
    >>> one, other = dspy.Signature("a, b -> c", "Do."), dspy.Signature("b, a -> c", "Do.")
    >>> fingerprint(fields_of(one), "Do.") == fingerprint(fields_of(other), "Do.")
    False
    """
    return content_hash([[[f.name, f.role, f.type] for f in fields], instructions])


class MigrationStep(NamedTuple):
    """A declared migration of what was kept of a predictor, from one version of its signature to the next."""

    predictor: str
    signature: str
    start: str
    to: str


def migrated(saved: SavedPredictor, name: str, start: str, to: SignatureVersion) -> SavedPredictor:
    """Bring what was kept from version `start` to that of the code, step by step; `saved` itself is not changed.

    Raises
    ------
    InputError
        If there is no way, or a step raises: which, and what.
    """
    try:
        steps = to.path(start)
    except InputError as error:
        raise InputError(f"signature {name}: {error}") from None
    for one, other, migrate in steps:
        copy = replace(
            saved, fields={n: dict(f) for n, f in saved.fields.items()}, demos=[dict(demo) for demo in saved.demos]
        )
        try:
            saved = migrate(copy) or copy
        except Exception as error:
            raise InputError(
                f"the migration of signature {name} from {one} to {other} raised {type(error).__name__}: {error}; "
                "nothing was changed"
            ) from error
    return saved


def _mark(signature: Signature) -> str | None:
    marks = [(info.json_schema_extra or {}).get(_MARK) for info in signature.fields.values()]
    return next((str(mark) for mark in reversed(marks) if mark is not None), None)
