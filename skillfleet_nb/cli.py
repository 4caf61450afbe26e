"""The ``skillfleet`` shell command: the command tree in a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.format import visible
from skillfleet_nb.messages import SHELL, read_in
from skillfleet_nb.runs.collector import collect_rarely
from skillfleet_nb.runs.interrupts import keep_from_here, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skillfleet_nb.fleet import Fleet
    from skillfleet_nb.runs.jobs.job import Job

_POLL_S = 0.2
_QUIET_POLLS = 25  # without a terminal, a line every five seconds


def shell() -> NoReturn:
    """Run the command of this process, and end it."""
    collect_rarely()
    status = main()
    from skillfleet_nb.runs.leavable import leave

    leave(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0 for success, 1 where the answer is a failure (a failed job, an invalid skill), 2 for a
        mistake in the command.
    """
    with read_in(SHELL):
        return _main(list(sys.argv[1:] if argv is None else argv))


def _main(tokens: list[str]) -> int:
    from skillfleet_nb.commands import Context, one_line, run
    from skillfleet_nb.commands.remote import check_offered, made, taken_off

    try:
        context = Context(_fleet, {}, wait, _print, counting, stays=False)
        address, tokens = taken_off(tokens)
        if address is not None and tokens:
            check_offered(tokens, address)
            context = made(address, context)
        with taken():
            answer = run(tokens, context, prog=SHELL)
    except SkillfleetError as exc:
        if "--debug" in tokens:
            raise
        print(f"skillfleet: {one_line(exc)}", file=sys.stderr)  # noqa: T201  this is the terminal's face
        return 2
    except KeyboardInterrupt:
        return 130
    try:
        if answer is not None:
            _print(answer)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if getattr(answer, "ok", True) else 1


def _fleet(home: str | None) -> Fleet:
    from skillfleet_nb.fleet import Fleet

    return Fleet(home)


def _print(answer: object) -> None:
    from skillfleet_nb.commands.views import as_text

    print(as_text(answer))  # noqa: T201  this is the terminal's face


def counting(what: str) -> Callable[[int, int], None]:
    """Make a function that shows how much of `what` is done."""
    live = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        _status(f"\r\x1b[2K{what}: {done:,} of {total:,}" if live else "")
        if done >= total:
            _status("\n" if live else f"{what}: {total:,} done\n")

    return show


def wait(job: Job, *, watch: bool = False) -> None:
    """Show the job's progress until it is finished; an interrupt asks it to stop and keep its best.

    A second interrupt gives up: the job belongs to this process and ends with it, readable as interrupted.
    Of a job that is only watched, the first one leaves it as it is.  What the job asks is asked here, at a
    terminal; elsewhere it is shown, for ``skillfleet answer`` from another one.
    """
    live, asked, polls = sys.stderr.isatty(), 0, 0
    shown: object = None
    interrupts = keep_from_here()
    while not job.wait(_POLL_S):
        question = job.question
        if question is not None and question != shown:
            shown = question
            _status("\r\x1b[2K" if live else "")
            _show_question(job)
            _status("> " if live and sys.stdin.isatty() else "")
        if question is not None and live and sys.stdin.isatty() and not interrupts.count:
            _answer_here(job)
            continue
        if interrupts.count > asked:
            if asked or watch:
                raise KeyboardInterrupt
            asked = interrupts.count
            job.cancel()
        polls += 1
        if live:
            _status(f"\r\x1b[2K{visible(job.progress.line())}")
        elif polls % _QUIET_POLLS == 0:
            _status(f"{visible(job.progress.line())}\n")
    end = f"{visible(job.progress.line())}\n"
    _status(f"\r\x1b[2K{end}" if live else end)


def _show_question(job: Job) -> None:
    from skillfleet_nb.commands.review import QuestionView

    _status(f"{QuestionView(job)}\n")


def _answer_here(job: Job) -> None:
    """Read an answer from the terminal; one that cannot be read is said why, and asked for again."""
    from skillfleet_nb.commands import one_line

    said = _line()
    if said is None or job.question is None:
        return
    try:
        job.answer(said)
    except SkillfleetError as exc:
        _status(f"{one_line(exc)}\n> ")


def _line() -> str | None:
    """Wait a moment for a line of the terminal."""
    import select

    ready, _, _ = select.select([sys.stdin], [], [], _POLL_S)
    return sys.stdin.readline().strip() if ready else None


def _status(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    shell()
