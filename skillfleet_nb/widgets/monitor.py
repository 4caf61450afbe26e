"""The job card, and run monitor: where a job is, live in a notebook, what it came to, and buttons for what is next.

The kernel sends one state and no second one before the page has drawn the first, so a slow page gets the
newest and never a queue.  A still of it lies hidden beside it, for whoever opens the notebook without its kernel.
"""

from __future__ import annotations

import secrets
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import orjson
import traitlets as t

from skillfleet_nb.commands.views import ProgressLine
from skillfleet_nb.design import script, stylesheet
from skillfleet_nb.errors import SkillfleetError
from skillfleet_nb.html import drawing, pictured
from skillfleet_nb.reports.after_run import failing, next_steps
from skillfleet_nb.runs.jobs.picture import changes
from skillfleet_nb.store.blobs import Blobs
from skillfleet_nb.widgets.actions import ACTIONS, Actions, best_name
from skillfleet_nb.widgets.clicks import let_in
from skillfleet_nb.widgets.face import Twice
from skillfleet_nb.widgets.front_end import has_widgets
from skillfleet_nb.widgets.still import After, still
from skillfleet_nb.widgets.twin import kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from markupsafe import Markup

    from skillfleet_nb.html import Readable
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.runs.jobs.picture import Picture

_STATIC = Path(__file__).parent / "static"
_CALM_S = (
    0.5  # how often numbers alone are sent: a message costs the run's kernel some milliseconds to write and hear of
)
_BEAT_S = 5.0  # the page is told at least so often that all is well
_UNSEEN_S = 2.0  # a page that says nothing gets a state so often, and ever less often
_UNSEEN_MOST_S = 30.0
_KEEP_S = 5.0  # how often the hidden still is renewed
_DIFF_SHARE = 0.02  # of the time that may go into diffs
_LAST_S = 10.0  # how long a finished cell waits for its still
_NOW = "the state when this was kept; %skillfleet watch {name} shows it now"


class MonitorPage(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget is untyped
    """What the page gets, one JSON text; what it says comes back as messages."""

    _esm = script(_STATIC / "monitor.js")
    _css = stylesheet(_STATIC / "monitor.css")
    state = t.Unicode("").tag(sync=True)


class Monitor:
    """A live view of a job; shows itself in a notebook.  Whatever can be clicked is a method as well.

    Parameters
    ----------
    job
        The job, of this process or another.

    Attributes
    ----------
    actions
        What can be done with the job once it is over.

    Examples
    --------
    >>> import tempfile
    >>> from skillfleet_nb import Job
    >>> from skillfleet_nb.store import Home
    >>> Monitor(Job(Home.find(tempfile.mkdtemp()), "job-1")).html().count("no score on validation")
    1
    """

    def __init__(self, job: Job) -> None:
        self.job, self.actions = job, Actions(job)
        self._note = self._answer = ""  # of what was done last, in words and as HTML
        self._twice = Twice()
        self._after: After | None = None
        self._id = secrets.token_hex(4)
        self._page: MonitorPage | None = None
        self._shown: list[Any] = []  # handles of the stills, of each place it is shown at
        self._lock = threading.Lock()
        self._news: tuple[Any, ...] = ()  # what was sent last: words, and numbers
        self._numbers: tuple[Any, ...] = ()
        self._n = self._drawn = self._heard = 0
        self._sent_at = self._kept_at = self._diff_from = 0.0
        self._unseen_s = _UNSEEN_S
        self._diff: tuple[Any, str] = (None, "")
        self._asked = "", ""  # the question shown, and what its programs differ in
        self._stopping = False
        self._over = threading.Event()

    def stop(self) -> None:
        """Ask the job to stop; its best program so far is kept."""
        self._stopping = True
        self.job.cancel()

    def pause(self) -> None:
        """Let the job make no further call until :meth:`unpause`."""
        self.job.pause()

    def unpause(self) -> None:
        """Let a paused job go on."""
        self.job.unpause()

    def answer(self, text: str = "", choice: str | None = None) -> None:
        """Answer what the job asks; one that cannot be read is said why, and the question stays."""
        try:
            answer = self.job.answer(text, choice)
        except SkillfleetError as exc:
            self.say(str(exc))
        else:
            self.say(f"answered: {answer.choice}")

    def forecast(self, calls: int | None = None) -> None:
        """Show what `calls` more would add to the best score, while the job runs or afterwards.

        Raises
        ------
        JobError, InputError
            If nothing was scored on all of validation yet; if `calls` is no number of calls.
        """
        self.say(self.actions.ahead(calls).sentence())

    def say(self, note: str) -> None:
        """Show a note, in place of the last one."""
        self._note, self._kept_at = note, 0.0

    def html(self) -> str:
        """Return a still: what a page without scripts shows."""
        return self._still(self.job.picture())

    def settle(self) -> bool:
        """Wait until the last state is on the page, a few seconds at most; return whether it is."""
        return not self._shown or self._over.wait(_LAST_S)

    def __repr__(self) -> str:
        return self._line()

    def _repr_html_(self) -> str:
        return pictured(self.html())

    def _display_(self) -> Any:
        """Show it in marimo, which knows anywidgets and nothing of IPython's displays."""
        from IPython.display import HTML

        if self.job.state.is_finished():
            return HTML(self._repr_html_())
        page = self._live()
        self.job.feed.subscribe(self._take)
        return page

    @drawing()
    def _ipython_display_(self) -> None:
        from IPython import get_ipython
        from IPython.display import display

        picture, shell = self.job.picture(), get_ipython()
        self.job.shown_in = getattr(shell, "execution_count", None)
        if not hasattr(shell, "kernel"):
            display(self._bundle(picture), raw=True)
            return
        if has_widgets():
            page = self._live()
            if picture["finished"]:
                self._send(picture, self._still(picture))
            view, metadata = page._repr_mimebundle_()
            display({**view, "text/plain": "", "text/html": ""}, metadata=metadata, raw=True)
        self._shown.append(display(self._bundle(picture), raw=True, display_id=True))
        if picture["finished"]:
            self._over.set()
        elif len(self._shown) == 1:
            self.job.feed.subscribe(self._take)

    def _live(self) -> MonitorPage:
        if self._page is None:
            self._page = MonitorPage()
            let_in(self._page.comm)
            self._page.on_msg(self._on_message)
        return self._page

    def _bundle(self, picture: Picture) -> dict[str, str]:
        """Return a still that gives way to the live view, for whatever shows no widgets."""
        hint = "" if picture["finished"] else _NOW.format(name=picture["name"])
        text = self.job.text() if picture["finished"] else self._line()
        return {"text/html": kept(self._still(picture, hint), text, self._id), "text/plain": text}

    def _line(self) -> str:
        return str(ProgressLine(self.job.progress.line(), note=self._note))

    def _still(self, picture: Picture, hint: str = "") -> Markup:
        diff = self._compared(picture)
        if not picture["finished"]:
            return still(picture, diff, hint)
        if self._after is None:
            steps = [*next_steps(self.job), *filter(None, [self.job.next_step()])]
            self._after = After(*failing(self.job), steps, Blobs(self.job.home).read)
        return still(picture, diff, hint, self._after)

    def _compared(self, picture: Picture) -> Markup | None:
        """Show what the job changed, where it is over and did."""
        compared = (picture["result"] or {}).get("programs")
        return changes(self.job.home, *compared) if compared else None

    def _take(self, picture: Picture) -> None:
        """Send the page the newest picture, where it has drawn the last one; on the follower's thread."""
        if picture["finished"]:
            self._finish(picture)
            return
        now = time.monotonic()
        said = [picture[name] for name in ("phase", "told", "trials", "question", "error")]
        news = (said, len(picture["notes"]), self._note, self._heard)
        numbers = picture["seen"], picture["elapsed_s"]
        with self._lock:
            seen = self._drawn >= self._n
            self._unseen_s = _UNSEEN_S if seen else self._unseen_s
            since = now - self._sent_at
            new = news != self._news or (numbers != self._numbers and since >= _CALM_S)
            if not (new and seen) and since < (_BEAT_S if seen else self._unseen_s):
                return
            if not seen:
                self._unseen_s = min(2 * self._unseen_s, _UNSEEN_MOST_S)
            self._news, self._numbers, self._sent_at = news, numbers, now
        self._send(picture)
        if now - self._kept_at >= _KEEP_S:
            self._kept_at = now
            bundle = self._bundle(picture)
            for shown in self._shown:
                shown.update(bundle, raw=True)

    def _send(self, picture: Picture, still_html: str = "") -> None:
        self._n += 1
        sent = {
            **picture,
            "n": self._n,
            "monitor": self._id,
            "note": self._note,
            "heard": self._heard,
            "stopping": self._stopping,
            "diff": self._changes(picture),
            "proposed": self._proposed(picture),
            "still": still_html,
            "actions": [vars(action) for action in self.actions.offered()] if self._after is not None else [],
            "unsure": self._twice.unsure,
            "answer": self._answer,
        }
        page = self._page
        if page is not None:
            page.state = orjson.dumps(sent).decode()

    def _changes(self, picture: Picture) -> str:
        compared = (picture["tried"] or {}).get("programs")
        started = time.monotonic()
        if compared != self._diff[0] and (not compared or started >= self._diff_from):
            self._diff = compared, changes(self.job.home, *compared) if compared else ""
            self._diff_from = started + (time.monotonic() - started) / _DIFF_SHARE
        return self._diff[1] if compared == self._diff[0] else ""

    def _proposed(self, picture: Picture) -> str:
        """Return what the two programs of a question differ in; it is made once."""
        question = picture["question"]
        if question is None:
            self._asked = "", ""
        elif self._asked[0] != question["review_id"]:
            pair = question["programs"]
            self._asked = question["review_id"], changes(self.job.home, *pair) if pair else ""
            self._note = ""
        return self._asked[1]

    def _finish(self, picture: Picture) -> None:
        """Show what the job came to, and keep it."""
        try:
            if self._after is None:  # the verdict at once; what is slow to find follows
                self._send(picture, still(picture, self._compared(picture)))
            self._send(picture, self._still(picture))
            bundle = self._bundle(picture)
            for shown in self._shown:
                shown.update(bundle, raw=True)
        finally:
            self._over.set()

    def act(self, what: str) -> None:
        """Do what a button of the finished card says, and tell what became of it.

        What would replace a variable or a file is done when it is asked for a second time.
        """
        self._answer = ""
        test: Job | None = None
        try:
            if what == "test":
                test = self._twice(what, lambda _: self.actions.test())
                self._note = f"testing: {test.name} scores both programs on the sealed test split"
            else:
                self._note = self._twice(what, lambda replace: self._done(what, replace=replace))
        except SkillfleetError as exc:
            self._note = str(exc)
        picture = self.job.picture()
        if picture["finished"]:
            self._send(picture, self._still(picture))
        if test is not None:  # followed only now: one answered from the cache ends at once, and has the last word
            test.feed.subscribe(partial(self._tested, test))

    def _done(self, what: str, *, replace: bool) -> str:
        actions, name = self.actions, self.job.name
        if what == "use":
            actions.use(replace=replace)
            return f"{best_name(name)} is the best program of {name}"
        says: dict[str, Callable[[], str]] = {
            "save": lambda: f"saved {actions.save(replace=replace)}",
            "register": lambda: f"registered {actions.register().ref}",
            "ahead": lambda: actions.ahead().sentence(),
        }
        if what in says:
            return says[what]()
        answers: dict[str, Callable[[], Readable]] = {
            "compare": actions.compare, "score": actions.score, "traces": actions.traces,
        }  # fmt: skip
        if what in answers:
            self._answer = str(answers[what]().html())
            return ""
        self.job = actions.resume()
        self.actions, self._after, self._stopping = Actions(self.job), None, False
        self._over.clear()
        self.job.feed.subscribe(self._take)
        return ""

    def _tested(self, test: Job, picture: Picture) -> None:
        """Show what a test came to that was asked for here."""
        if picture["finished"]:
            self._note, self._answer = f"{test.name} is done:", str(still(picture))
            own = self.job.picture()
            self._send(own, self._still(own))

    def _on_message(self, page: object, content: dict[str, Any], buffers: object) -> None:
        """Take in what a page says; on whatever thread the kernel reads it."""
        del page, buffers
        what, n = content.get("do"), int(content.get("n") or 0)
        if what == "ack":
            with self._lock:
                self._drawn = max(self._drawn, n)
            return
        if what == "answer":
            self.answer(str(content.get("text") or ""), str(content.get("choice")))
        obey = {"stop": self.stop, "pause": self.pause, "unpause": self.unpause}.get(str(what))
        if obey is not None:
            obey()
        self._heard = max(self._heard, n)
        if what in ACTIONS:  # some take a while: whatever the page says next is heard meanwhile
            threading.Thread(target=self.act, args=(str(what),), name="skillfleet-action", daemon=True).start()
