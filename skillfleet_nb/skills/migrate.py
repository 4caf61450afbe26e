"""Migration v1 → v2: everything ``metadata.json`` holds goes into the front matter.

The default leaves ``metadata.json`` where it is (*mixed mode*: v1 readers go on working, v2 readers
need it no more) and says that it can go; ``keep_metadata_json=False`` removes it.  A dry run makes
the same plan and writes nothing.  The same plan also repairs what keeps a v2 document from being a
valid agent skill without touching its body: a name unlike its folder's, fields Agent Skills do not
know, a flow list in ``allowed-tools``, a byte-order mark, an encoding other than UTF-8.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, computed_field

from skillfleet_nb.errors import InputError, unknown
from skillfleet_nb.format import counted, seen_from_here
from skillfleet_nb.html import Readable, join, preformatted, table
from skillfleet_nb.security import known_place
from skillfleet_nb.skills import _files, _values, conformance
from skillfleet_nb.skills._edit import TOP_FIELDS, Editor, nested
from skillfleet_nb.skills._source import Source, normalised
from skillfleet_nb.skills.document import ORIGINAL, SPEC_FIELDS, slug
from skillfleet_nb.skills.hosts import for_hosts, readers
from skillfleet_nb.skills.skill import Skill, find_skills, no_skills
from skillfleet_nb.skills.validation_report import Finding, Report

if TYPE_CHECKING:
    import os


class Migration(Readable, BaseModel):
    """What migrating one skill changes, or changed.

    Attributes
    ----------
    steps
        What is done, one line each; empty where nothing is left to do.
    diff
        Unified diff of ``SKILL.md``, and of ``metadata.json`` where it is removed.
    blocked
        Why the skill cannot be migrated, None where it can; then nothing is written.
    metadata_json_can_go
        Whether the front matter (as migrated) holds all that ``metadata.json`` does.
    applied
        Whether the files were written; `backup` is the folder with those before.
    after
        Validation of the migrated skill by the v2 rules.
    kept
        Fields that `skills-ref` refuses at the top and hosts read there: they stay.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    to: Literal["v2"] = "v2"
    steps: tuple[str, ...]
    diff: str
    blocked: str | None
    metadata_json_can_go: bool
    applied: bool
    backup: str | None
    after: Report
    kept: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]  # mypy has no decorated properties
    @property
    def changed(self) -> bool:
        """Whether there was anything to do."""
        return bool(self.steps)

    @computed_field  # type: ignore[prop-decorator]  # mypy has no decorated properties
    @property
    def ok(self) -> bool:
        """Whether the skill can be migrated and is a valid agent skill afterwards, but for fields that were `kept`."""
        return self.blocked is None and not any(f.of_standard for f in self._left())

    def text(self) -> str:
        """Return the steps, the diff and what is left to do by hand."""
        lines = [self._summary(), *(f"  - {step}" for step in self.steps)]
        if self.diff:
            lines.append(self.diff.rstrip("\n"))
        lines += [f"  left to do: {f.code} {f.message}: {f.fix}" for f in self._left()]
        lines += [f"  kept: {name}, which {', '.join(readers(name))} reads there; skills-ref refuses it"
                  for name in self.kept]  # fmt: skip
        return "\n".join(lines)

    def _left(self) -> list[Finding]:
        """List the errors that are left; of fields that no standard has, hosts read whatever is left."""
        return [f for f in self.after.findings if f.severity == "error" and not (self.kept and f.code == "SR005")]

    def _summary(self) -> str:
        if self.blocked:
            return f"{seen_from_here(self.path)}: cannot be migrated: {self.blocked}"
        state = "migrated" if self.applied else "would change (dry run)" if self.changed else "nothing to do"
        kept = f"; backup in {seen_from_here(self.backup)}" if self.backup else ""
        can_go = "; metadata.json can go" if self.metadata_json_can_go else ""
        return f"{seen_from_here(self.path)}: {state}{kept}{can_go}"

    def __repr__(self) -> str:
        return f"<Migration {self._summary()}>"

    _repr_pretty_ = Readable._repr_pretty_  # IPython takes the nearest of this and __repr__

    def html(self) -> str:
        """Show it as HTML."""
        return preformatted(self.text().partition("\n")[2], title=self._summary())


class TreeMigration(Readable, BaseModel):
    """Migrations of every skill under a folder, each atomic by itself."""

    model_config = ConfigDict(frozen=True)

    root: str
    migrations: tuple[Migration, ...]

    @computed_field  # type: ignore[prop-decorator]  # mypy has no decorated properties
    @property
    def ok(self) -> bool:
        """Whether every one is."""
        return all(migration.ok for migration in self.migrations)

    def text(self) -> str:
        """Return every migration that changes or cannot change something, and the totals."""
        shown = [m.text() for m in self.migrations if m.changed or not m.ok]
        return "\n".join([*shown, self._summary()])

    def _summary(self) -> str:
        changed, blocked = sum(m.changed for m in self.migrations), sum(bool(m.blocked) for m in self.migrations)
        applied = sum(m.applied for m in self.migrations)
        skills = f"{counted(self.migrations, 'skill')} in {seen_from_here(self.root)}"
        return f"{skills}: {changed} to change, {applied} written, {blocked} blocked"

    def __repr__(self) -> str:
        return f"<TreeMigration {self._summary()}>"

    _repr_pretty_ = Readable._repr_pretty_  # IPython takes the nearest of this and __repr__

    def html(self) -> str:
        """Show it as HTML."""
        rows = ((seen_from_here(m.path), "; ".join(m.steps), m.blocked or "") for m in self.migrations)
        diffs = [preformatted(m.diff, title=seen_from_here(m.path)) for m in self.migrations if m.diff]
        return join([table(("skill", "steps", "blocked"), rows, title=self._summary()), *diffs])


def migrate(
    path: str | os.PathLike[str],
    to: str = "v2",
    *,
    apply: bool = False,
    keep_metadata_json: bool = True,
    portable: bool = False,
) -> Migration:
    """Migrate one skill; a dry run unless `apply`.

    Parameters
    ----------
    path
        Folder of the skill or its ``SKILL.md``.
    to
        Target format; ``"v2"`` is the only one.
    apply
        Write the files. ``SKILL.md`` is replaced in one step, after a backup; a second run finds
        nothing to do.
    keep_metadata_json
        Leave ``metadata.json`` for v1 readers.
    portable
        Move fields under ``metadata`` too that hosts read at the top: valid by the letter, but these hosts read
        them no more.

    Raises
    ------
    NotFoundError
        No such skill, or no such format.
    InputError
        The file changed on disk in between, or cannot be written.
    """
    if to != "v2":
        raise unknown("target format", to, ["v2"])
    return _migrate(Skill.load(path), apply=apply, keep_metadata_json=keep_metadata_json, portable=portable)


def migrate_tree(
    root: str | os.PathLike[str],
    to: str = "v2",
    *,
    apply: bool = False,
    keep_metadata_json: bool = True,
    portable: bool = False,
) -> TreeMigration:
    """Migrate one skill or every skill under a folder; see `migrate`.

    Raises
    ------
    NotFoundError
        There is no such folder, no skill in it, or no such format.
    InputError
        A file changed on disk in between, or cannot be written; skills before it are migrated.
    """
    if to != "v2":
        raise unknown("target format", to, ["v2"])
    place = known_place(root)
    skills = tuple(find_skills(place))  # one that cannot be read is told before any is written
    if not skills:
        raise no_skills(place)
    done = tuple(
        _migrate(skill, apply=apply, keep_metadata_json=keep_metadata_json, portable=portable, root=place)
        for skill in skills
    )
    return TreeMigration(root=str(place), migrations=done)


def _migrate(
    skill: Skill,
    *,
    apply: bool,
    keep_metadata_json: bool,
    portable: bool,
    root: str | os.PathLike[str] | None = None,
) -> Migration:
    blocked: str | None = None
    steps: list[str] = []
    after = skill
    try:
        _refuse_unsafe(skill, root)
        after = replace(skill, source=_planned(skill, steps, portable=portable))
    except InputError as error:
        blocked = str(error)
        steps.clear()
    can_go = blocked is None and after.metadata_json is not None and not after.uncovered()
    if can_go and not keep_metadata_json:
        steps.append("metadata.json is removed")
        after = replace(after, metadata_bytes=None)
    backup = _apply(skill, after) if apply and steps else None
    return Migration(
        path=str(skill.folder),
        steps=tuple(steps),
        diff=_diff(skill, after),
        blocked=blocked,
        metadata_json_can_go=can_go,
        applied=backup is not None,
        backup=backup,
        after=after.validate("v2"),
        kept=tuple(for_hosts(after.front_matter)),
    )


def _refuse_unsafe(skill: Skill, root: str | os.PathLike[str] | None) -> None:
    source = skill.source
    if not source.is_text:
        raise InputError("it is neither UTF-8 nor Windows-1252 (UTF-16?). Save it as UTF-8 first.")
    if source.span is None and source.text.lstrip().startswith("---"):
        raise InputError("its front matter is not closed, or does not begin in the first line. Mend it by hand first.")
    if skill.metadata_bytes is not None and skill.metadata_json is None:
        raise InputError("metadata.json is not a JSON object in UTF-8. Correct it by hand first.")
    if isinstance(skill.front_matter.get("name"), dict):  # {{name}}, as YAML reads it
        raise InputError("its name is a placeholder: it is a template to make skills of, and stays as it is.")
    if skill.path and skill.path.is_symlink():
        raise InputError("SKILL.md is a symbolic link. Migrate the file it points at.")
    if root is not None and skill.folder and not skill.folder.resolve().is_relative_to(Path(root).resolve()):
        raise InputError(f"it is linked to from here. Migrate {str(skill.folder.resolve())!r} itself.")


def _planned(skill: Skill, steps: list[str], *, portable: bool) -> Source:
    source = skill.source
    if source.mark or not source.is_utf8:
        steps.append(f"the file becomes UTF-8 without a byte-order mark (it was {source.encoding})")
        source = Source(source.text)
    editor = Editor(source)
    steps += [f"{key} is written so that strict YAML takes it" for key in editor.make_strict()]
    _name(skill, editor, steps)
    _spec_fields(skill, editor, steps)
    _unknown_fields(editor, steps, portable=portable)
    for key, value in replace(skill, source=editor.source()).uncovered().items():
        taken = key in nested(editor.read()) or key in SPEC_FIELDS
        place = _original_key(editor, key, value) if taken else key
        editor.set_metadata(place, _values.dumps(value))  # null is a value here, not a removal
        steps.append(f"{key} comes from metadata.json" + (f", as metadata.{place}" if taken else ""))
    return editor.source()


def _name(skill: Skill, editor: Editor, steps: list[str]) -> None:
    """Make the name the folder's, as Agent Skills demand; the old one is kept in the metadata."""
    folder, old = skill.folder, editor.read().data.get("name", "")
    names = [folder.name] if folder else []
    wanted = next((name for name in (*names, skill.name) if conformance.is_name(name)), slug(skill.name))
    if not wanted or old == wanted:
        return
    if old:
        editor.set_metadata(_original_key(editor, "name", old), old)
    editor.set_top("name", wanted)
    like = ", like the folder" if wanted in names else ", which Agent Skills allow"
    steps.append(f"name becomes {wanted!r}{like} (it was {_values.dumps(old)!r})")


def _spec_fields(skill: Skill, editor: Editor, steps: list[str]) -> None:
    metadata = skill.metadata_json or {}
    for key in TOP_FIELDS:
        value = editor.read().data.get(key)
        from_json = metadata.get(key, metadata.get(key.replace("-", "_")))
        if not value and key != "name" and isinstance(from_json, (str, list)) and from_json:
            editor.set_top(key, from_json)
            steps.append(f"{key} comes from metadata.json")
        elif value and not isinstance(value, str):
            editor.set_top(key, value)
            steps.append(f"{key} becomes one string")


def _unknown_fields(editor: Editor, steps: list[str], *, portable: bool) -> None:
    fields = editor.read().data
    stay = SPEC_FIELDS if portable else (*SPEC_FIELDS, *for_hosts(fields))
    for key in [key for key in fields if key not in stay]:
        matter = editor.read()
        held, value = nested(matter).get(key), matter.data[key]
        if held is not None and not _values.same(held, value):
            # The value at the top counts, as it did before; the other one is kept.
            editor.set_metadata(_original_key(editor, key, held), held)
            editor.set_metadata(key, value)
        if held is None:
            editor.move_to_metadata(key)
        else:
            editor.set_top(key, None)
        steps.append(f"{key} moves to metadata.{key}")


def _original_key(editor: Editor, key: str, value: object) -> str:
    held = nested(editor.read())
    place, number = f"{ORIGINAL}{key}", 2
    while place in held and not _values.same(held[place], value):
        place, number = f"{ORIGINAL}{key}-{number}", number + 1
    return place


def _apply(before: Skill, after: Skill) -> str:
    folder, path = before.folder, before.path
    if folder is None or path is None:
        raise InputError("a skill without a folder cannot be migrated on disk: load it from its folder.")
    beside = folder / "metadata.json"
    now = Skill.load(folder)
    if (now.source, now.metadata_bytes) != (before.source, before.metadata_bytes):
        raise InputError(f"{str(folder)!r} changed while it was migrated; nothing was written. Run it again.")
    files = {path.name: before.dumps()}
    if before.metadata_bytes is not None:
        files[beside.name] = before.metadata_bytes
    try:
        place = _files.back_up(folder, files)
        # Replacing SKILL.md is the one step that counts: before it the skill is v1, after it v2,
        # whether or not metadata.json still stands there.
        if after.dumps() != before.dumps():
            _files.write(path, after.dumps())
        if after.metadata_bytes is None:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write in {str(folder)!r}: {error}. Check its permissions.") from error
    return str(place)


def _diff(before: Skill, after: Skill) -> str:
    files = [("SKILL.md", before.source.text, after.source.text)]
    if before.metadata_bytes is not None and after.metadata_bytes is None:
        files.append(("metadata.json", Source.decode(before.metadata_bytes).text, ""))
    lines: list[str] = []
    for name, old, new in files:
        old_lines, new_lines = normalised(old).split("\n"), normalised(new).split("\n") if new else []
        target = f"b/{name}" if new else "/dev/null"
        lines += difflib.unified_diff(old_lines, new_lines, f"a/{name}", target, lineterm="")
    return "".join(f"{line}\n" for line in lines)
