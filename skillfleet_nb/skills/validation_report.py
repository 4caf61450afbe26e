"""What validation found: one skill's report and a tree's, as text, HTML and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, computed_field

from skillfleet_nb.format import counted, seen_from_here
from skillfleet_nb.html import SEVERITY, Readable, items, join, table
from skillfleet_nb.skills.style import Style

if TYPE_CHECKING:
    from collections.abc import Iterable

Severity = Literal["error", "warning", "info"]


class Finding(BaseModel):
    """One thing found.

    Attributes
    ----------
    code
        Stable: ``SR…`` is the verdict of `skills-ref`, ``SF…`` a rule of this project.
    line
        Line of ``SKILL.md`` from 1, None where it concerns the folder or the whole file.
    fix
        What to do about it.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    severity: Severity
    message: str
    fix: str
    line: int | None = None

    @property
    def of_standard(self) -> bool:
        """Whether it is the verdict of `skills-ref`, and no rule of this project."""
        return self.code[:2] == "SR"


class Report(Readable, BaseModel):
    """Findings on one skill, by severity and line.

    Attributes
    ----------
    format
        The format whose rules were applied.
    strict
        Whether warnings count against `ok`.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    path: str | None
    format: Literal["v1", "v2"]
    style: Style
    style_reasons: tuple[str, ...]
    strict: bool
    findings: tuple[Finding, ...]

    @computed_field  # type: ignore[prop-decorator]  # mypy has no decorated properties
    @property
    def conformant(self) -> bool:
        """Whether it is a valid agent skill: the verdict of `skills-ref`, untouched by our rules."""
        return not any(finding.of_standard for finding in self.findings)

    @computed_field  # type: ignore[prop-decorator]  # mypy has no decorated properties
    @property
    def ok(self) -> bool:
        """Whether there is no error; under `strict`, no warning either."""
        return not self.errors and not (self.strict and self.warnings)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that must be corrected."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that should be corrected."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def text(self) -> str:
        """Return the report as text: a summary, then a line for each finding and one for its fix."""
        where = seen_from_here(self.path) if self.path else self.name or "skill"
        lines = [self._summary()]
        for finding in self.findings:
            place = f"{where}:{finding.line}" if finding.line else where
            lines += [f"  {place}: {finding.severity} {finding.code} {finding.message}", f"      fix: {finding.fix}"]
        return "\n".join(lines)

    def _summary(self) -> str:
        verdict = "ok" if self.ok else "not ok"
        agent = "a valid agent skill" if self.conformant else "not a valid agent skill"
        counts = f"{counted(self.errors, 'error')}, {counted(self.warnings, 'warning')}"
        style = f"{self.style} ({'; '.join(self.style_reasons)})"
        return f"{self.name or '(no name)'}: {verdict}, {agent}, {counts} · {self.format} · {style}"

    def __repr__(self) -> str:
        return f"<Report {self._summary()}>"

    _repr_pretty_ = Readable._repr_pretty_  # IPython takes the nearest of this and __repr__

    def html(self) -> str:
        """Show it as HTML."""
        header = _HEADER if self.findings else ()
        return table(header, (_row(finding) for finding in self.findings), title=self._summary(), colours=SEVERITY)


class TreeReport(Readable, BaseModel):
    """Reports on every skill under a folder; a command exits with 0 if and only if `ok`.

    Attributes
    ----------
    notes
        On skills that were left out.
    problems
        Of skills that could not be read, where each lies and why; none of them is `ok`.
    """

    model_config = ConfigDict(frozen=True)

    root: str
    reports: tuple[Report, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()

    @computed_field  # type: ignore[prop-decorator]  # mypy has no decorated properties
    @property
    def ok(self) -> bool:
        """Whether every report is."""
        return not self.problems and all(report.ok for report in self.reports)

    @computed_field  # type: ignore[prop-decorator]  # mypy has no decorated properties
    @property
    def conformant(self) -> bool:
        """Whether every skill is a valid agent skill."""
        return not self.problems and all(report.conformant for report in self.reports)

    def text(self) -> str:
        """Return every report and a last line with the totals."""
        left_out = [f"left out: {note}" for note in self.notes]
        return "\n".join([*(report.text() for report in self.reports), *self._unread(), *left_out, self._summary()])

    def _unread(self) -> list[str]:
        return [f"could not read {path}: {why}" for path, why in self.problems]

    def _summary(self) -> str:
        ok, valid = sum(r.ok for r in self.reports), sum(r.conformant for r in self.reports)
        where = seen_from_here(self.root)
        return f"{counted(self.reports, 'skill')} in {where}: {ok} ok, {counted(valid, 'valid agent skill')}"

    def __repr__(self) -> str:
        return f"<TreeReport {self._summary()}>"

    _repr_pretty_ = Readable._repr_pretty_  # IPython takes the nearest of this and __repr__

    def html(self) -> str:
        """Show it as HTML."""
        rows = ((report.name, *_row(finding)) for report in self.reports for finding in report.findings)
        header = ("skill", *_HEADER) if any(report.findings for report in self.reports) else ()
        shown = table(header, rows, title=self._summary(), colours=SEVERITY)
        unread = items(self._unread(), title="Not read") if self.problems else ""
        return join([shown, unread, items(self.notes, title="Left out") if self.notes else ""])


_HEADER = ("severity", "code", "line", "message", "fix")
_ORDER: tuple[Severity, ...] = ("error", "warning", "info")


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings by severity, then line, then code."""
    return tuple(sorted(findings, key=lambda f: (_ORDER.index(f.severity), f.line or 0, f.code)))


def _row(finding: Finding) -> tuple[str, ...]:
    return finding.severity, finding.code, str(finding.line or ""), finding.message, finding.fix
