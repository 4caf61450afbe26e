"""Every face of a job: what each command answers, and each view shows."""

from __future__ import annotations

import base64
import re
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from job_stories import Story
from made_up import counted_lm, program, rows
from made_up import told as told_apart

from skillfleet_nb import Fleet
from skillfleet_nb.charts import kinds
from skillfleet_nb.commands import Context, run
from skillfleet_nb.commands.job_views import Overview
from skillfleet_nb.commands.views import as_text
from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.messages import MAGIC
from skillfleet_nb.runs.jobs.picture import picture
from skillfleet_nb.store import Journal
from skillfleet_nb.widgets import Dashboard, Monitor
from skillfleet_nb.widgets.still import still

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from job_stories import Attempt

COMMANDS = (
    "jobs",
    "job {0}",
    "job {0} --log",
    "diff {0}",
    "save {0} {folder}/best.json",
    "compare {0} {1}",
    "programs {0}",
    "program {0}",
    *(f"plot {kind} {{0}}" for kind in kinds()),
    "db status",
    "watch {0}",
)
RECOMMEND = "recommend program --train rows --metric metric --lm lm"
TRAINSET = ("trainset analyze rows", "trainset worst rows")  # these load an embedding model


def _shown(answer: Any) -> str:
    """Draw an answer on every surface that it has."""
    draws = [getattr(answer, face, None) for face in ("_repr_html_", "_repr_mimebundle_")]
    shown = "".join([as_text(answer), *(str(draw()) for draw in draws if callable(draw))])
    for source in _PICTURES.findall(shown):
        ET.fromstring(base64.b64decode(source))  # noqa: S314  a picture that is no XML is not shown
    return shown


_PICTURES = re.compile(r"image/svg\+xml;base64,([^']+)'")
EXPORT = "export {0} {1} --html {folder}/report.html"
NAMES = ("job-0", "job-1")


@contextmanager
def told(folder: Path, *jobs: tuple[list[Attempt], bool]) -> Iterator[Fleet]:
    """Make a home in which two jobs have happened so; one that lives has an owner."""
    fleet = Fleet(folder / ".skillfleet")
    home = fleet.home.ensure()
    with ExitStack() as alive:
        for name, (tries, lives) in zip(NAMES, jobs, strict=True):
            story = Story(home.journal_dir(name))
            for number, (begin, happens, end, done) in enumerate(tries, 1):
                story.attempt(number, begin, happens, end, done)
            if lives:
                alive.enter_context(Journal(home, name))
        yield fleet


def look_at_every_face(fleet: Fleet, folder: Path, *more: str) -> None:
    """Show everything of both jobs, and what further commands answer; raise where something breaks."""
    for command in (*COMMANDS, *more):
        _try(fleet, command.format(*NAMES, folder=folder))
    for name in NAMES:
        job = fleet.job(name)
        assert job.name in str(still(picture(job.progress)))
        assert _shown(job)
        assert job.progress.line()
        assert Monitor(job).html()
    assert _shown(Overview(fleet, MAGIC, "m"))
    assert _shown(Dashboard(fleet))


def _try(fleet: Fleet, command: str) -> None:
    lm, _ = counted_lm()
    names = {"program": program(), "rows": rows(3), "metric": told_apart, "lm": lm}
    context = Context(lambda _: fleet, names, lambda *_, **__: None, lambda _: None, lambda _: lambda *_: None)
    try:
        answer = run(command.split(), context)
        assert answer is None or _shown(answer), command
    except SkillfleetError as exc:
        if "\n" in str(exc).strip():
            raise AssertionError(f"{command}: {exc}") from exc
    except Exception as exc:
        raise AssertionError(f"{command}: {type(exc).__name__}: {exc}") from exc
