"""A skill: its document, and what can be done with it; and every skill under a folder."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from skillfleet_nb.errors import NotFoundError, SkillfleetError
from skillfleet_nb.format import shortened
from skillfleet_nb.html import table
from skillfleet_nb.security import known_place
from skillfleet_nb.skills import _values, rules
from skillfleet_nb.skills.document import Document
from skillfleet_nb.skills.places import look
from skillfleet_nb.skills.style import detect_style
from skillfleet_nb.skills.validation_report import TreeReport

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from skillfleet_nb.skills.document import FormatChoice
    from skillfleet_nb.skills.scoring.score import SkillScore
    from skillfleet_nb.skills.style import Style, StyleVerdict
    from skillfleet_nb.skills.validation_report import Report


class Skill(Document):
    r"""One skill: what its document says, its style, whether it is valid and how good it is.

    Examples
    --------
    >>> skill = Skill.parse("---\nname: pdf\ndescription: Use when reading PDF files.\n---\n# PDF\n")
    >>> skill.name, skill.style, skill.validate().conformant
    ('pdf', 'minimal', True)
    """

    @cached_property
    def style_verdict(self) -> StyleVerdict:
        """Style that the rules detect, with reasons."""
        return detect_style(self)

    @property
    def style(self) -> Style:
        """Style declared as ``skill_style`` in the metadata, else the detected one."""
        return self.style_verdict.style

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
        return rules.validate(self, format, strict=strict)

    def score(self) -> SkillScore:
        """Score its quality with every metric; see :func:`skillfleet_nb.skills.scoring.score_skill`."""
        from skillfleet_nb.skills.scoring.score import score_skill

        return score_skill(self)

    def _repr_html_(self) -> str:
        rows = [(key, _shown(self.fields[key]), origin) for key, origin in self.provenance().items()]
        return str(table(("field", "value", "from"), rows, title=f"{self.name} · {self.format} · {self.style}"))


def find_skills(root: str | os.PathLike[str]) -> Iterator[Skill]:
    """Yield every skill under a folder, by path, where hosts find them; see :mod:`skillfleet_nb.skills.places`.

    Raises
    ------
    NotFoundError
        There is no such folder.
    """
    place = known_place(root)
    if not place.exists():
        raise NotFoundError(f"no folder {str(root)!r}: give a skill or a folder of skills.")
    if not place.is_dir():
        yield Skill.load(place)
        return
    for folder in look(place).folders:
        yield Skill.load(folder.absolute())  # a folder that is called ~draft is nobody's home


def no_skills(root: str | os.PathLike[str]) -> NotFoundError:
    """Say that there is no skill under a folder, and what is left out."""
    place = known_place(root)
    notes = "".join(f"; {note}" for note in look(place).notes) if place.is_dir() else ""
    return NotFoundError(f"no SKILL.md under {str(root)!r}: give a skill or a folder of skills{notes}.")


def validate_tree(root: str | os.PathLike[str], format: FormatChoice = "auto", *, strict: bool = False) -> TreeReport:  # noqa: A002  the user's word
    """Check one skill or every skill under a folder; of a folder, one that cannot be read is told, and not ok.

    Raises
    ------
    NotFoundError
        There is no such folder, no skill in it, or no such format.
    """
    place = known_place(root)
    if not place.is_dir():
        reports = [skill.validate(format, strict=strict) for skill in find_skills(place)]
        return TreeReport(root=str(place), reports=tuple(reports))
    reports, problems, places = [], [], look(place)
    for folder in places.folders:
        try:
            skill = Skill.load(folder.absolute())
        except SkillfleetError as error:
            if folder == place:  # it is all that was asked for
                raise
            problems.append((folder.relative_to(place).as_posix(), str(error)))
            continue
        reports.append(skill.validate(format, strict=strict))
    if not places.folders:
        raise no_skills(place)
    return TreeReport(root=str(place), reports=tuple(reports), notes=places.notes, problems=tuple(problems))


def _shown(value: object) -> str:
    text = _values.dumps(value)
    return shortened(text, 200)  # two lines of a table
