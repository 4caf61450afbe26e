"""Commands on a server's jobs: the same tree, with a fleet that is elsewhere, and names that are found there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from skillfleet_nb.commands.context import Context
from skillfleet_nb.commands.resolve import SUFFIXES
from skillfleet_nb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillfleet_nb.fleet import Fleet

OFFERED = (
    "jobs", "job", "watch", "diff", "optimize", "resume", "cancel", "pause", "unpause", "answer", "estimate",
    "recommend", "headroom", "noise", "optimizers", "ensemble", "sql", "insights",
    "trends", "roi", "forecast", "notes", "traces", "monitor", "mlflow", "rename", "note", "tag", "archive", "save",
)  # fmt: skip
"""Commands that a server carries out."""
NOT_OFFERED = {
    "demo": "runs on this machine",
    "doctor": "looks at this machine",
    "trainset": "reads data of this machine",
    "modules": "lists packages of this machine; GET modules/available lists the server's",
    "metrics": "runs a metric on this machine",
    "dashboard": "shows a home of this machine; the server's is the page /skillfleet",
    "compare": "reads programs of a home of this machine; sql 'from jobs' and diff tell of the server's",
    "programs": "reads programs of a home of this machine; sql 'from program_versions' lists the server's",
    "program": "runs or moves programs of a home of this machine; sql 'from program_versions' lists the server's",
    "plot": "draws on this machine; the server's page /skillfleet has charts",
    "selector": "looks at advice given on this machine; ensemble tells what optimizers were worth on the server",
    "evaluate": "runs a program on this machine",
    "serve": "serves a home of this machine",
    "export": "writes a report of a home of this machine",
    "db": "looks after files of this machine",
    "signatures": "compares programs with code of this machine; POST signatures/check does so on the server",
    "delete": "moves files of this machine; the server's page /skillfleet deletes jobs and brings them back",
    "erase": "erases files of this machine; only who is at the server's may erase its jobs",
    "golden": "keeps examples in a home of this machine; sql 'from golden_examples' shows the server's",
    "ab": "routes programs of this machine; GET ab/TEST and sql 'from ab_tests' tell of the server's",
    "drift": "checks programs of a home of this machine; sql 'from drift_checks' tells of the server's",
    "learn": "trains programs of a home of this machine; sql 'from learn_steps' tells of the server's",
    "audit": "verifies files of this machine",
    "redact": "looks at settings of this machine",
    "skill": "reads and writes files of this machine; POST skills/create does so on the server",
}
"""Why no server carries out the others, and what tells the same of it."""
SERVER, TOKEN = "SKILLFLEET_SERVER", "SKILLFLEET_TOKEN"


class Address(NamedTuple):
    """Which server, and how: its token, and whether answers are kept on disk."""

    url: str
    token: str
    cached: bool

    def fleet(self) -> Any:
        """Return the fleet there."""
        from skillfleet_nb.remote.cache import TTL_S
        from skillfleet_nb.remote.fleet import RemoteFleet

        return RemoteFleet(self.url, self.token, cache_s=TTL_S if self.cached else None)


def taken_off(tokens: Sequence[str]) -> tuple[Address | None, list[str]]:
    """Take the options about a server off the beginning of a line; without them, the environment names it.

    Raises
    ------
    InputError
        If an option lacks its value.

    Examples
    --------
    >>> taken_off(["--server", "http://here:1", "--token", "t", "jobs", "--limit", "5"])
    (Address(url='http://here:1', token='t', cached=True), ['jobs', '--limit', '5'])
    """
    url, token, cached = os.environ.get(SERVER, ""), os.environ.get(TOKEN, ""), True
    rest = list(tokens)
    while rest and rest[0] in {"--server", "--token", "--no-cache"}:
        option = rest.pop(0)
        if option == "--no-cache":
            cached = False
            continue
        if not rest:
            raise InputError(f"{option} needs a value: skillfleet --server http://HOST:8888 --token TOKEN jobs")
        value = rest.pop(0)
        url, token = (value, token) if option == "--server" else (url, value)
    return (Address(url, token, cached) if url else None), rest


class RemoteContext(Context):
    """A context whose objects are names that the server finds; a file of this machine is sent as its rows."""

    def object(self, text: str, what: str) -> Any:
        """Leave a name as it is."""
        del what
        return text

    def rows(self, text: str | None, what: str, *, mixed: bool = False) -> Any:
        """Read a file that is here; any other text names what is there."""
        del what, mixed
        is_here = text is not None and Path(text).suffix.lower() in SUFFIXES and Path(text).is_file()
        return Path(text) if is_here and text is not None else text

    def metric(self, text: str) -> Any:
        """Leave a name as it is."""
        return text

    def lm(self, text: str | None) -> Any:
        """Leave a name as it is."""
        return text

    def _lms(self, texts: Sequence[str]) -> Any:
        return [name.strip() for text in texts for name in text.split(",") if name.strip()] or None


def check_offered(tokens: Sequence[str], address: Address) -> None:
    """Refuse a command that no server carries out.

    Raises
    ------
    InputError
        Saying why, and what does instead.
    """
    words = [token for token in tokens if token not in {"-h", "--help", "help"}]
    if words and words[0] in NOT_OFFERED:
        raise InputError(
            f"{words[0]} {NOT_OFFERED[words[0]]}, and {address.url} is another: leave --server (${SERVER}) out for it"
        )


def made(address: Address, context: Context) -> RemoteContext:
    """Return a context like another, on a server."""
    fleet: Fleet = address.fleet()

    def there(home: str | None) -> Fleet:
        if home is not None:
            raise InputError(f"--home {home}: a server has one home; leave --home or --server out")
        return fleet

    return RemoteContext(there, {}, context.wait, context.say, context.counting, stays=True)
