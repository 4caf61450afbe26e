"""Continuous learning: a policy turns drift, feedback or time into a job, a gate and a decision, a step at a time.

A cycle is a line of events in a stream that one process at a time writes.  Whoever runs a policy reads how far its
cycle has come and goes on from there: what has a step is not done again, and what a step does can be done twice (a job
is found by its name, a version by its content, an alias stands where it stands), so a process that dies anywhere leaves
the next one to come to the same end.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from skillfleet_nb.data.identity import example_id
from skillfleet_nb.errors import InputError, JobError, NotFoundError, unknown
from skillfleet_nb.events.learning import FEEDBACK, POLICIES, FeedbackGiven, LearnStep, PolicySet
from skillfleet_nb.format import counted, is_missing
from skillfleet_nb.messages import as_typed
from skillfleet_nb.monitoring.learn_data import Fields, read_feedback
from skillfleet_nb.monitoring.learn_page import Cycle, LearnPage
from skillfleet_nb.monitoring.learn_pass import Pass, until_it_ends
from skillfleet_nb.monitoring.learn_policy import LearnPolicy
from skillfleet_nb.monitoring.scores import read_score
from skillfleet_nb.monitoring.stream import writing
from skillfleet_nb.monitoring.ticker import Ticker, seconds
from skillfleet_nb.programs.registry import Registry
from skillfleet_nb.store import follow, queries
from skillfleet_nb.store.people import person

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skillfleet_nb.monitoring.golden_sets import GoldenSets
    from skillfleet_nb.programs.registry import ProgramVersion
    from skillfleet_nb.reports.registered import Registered
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.runs.request import RunRequest
    from skillfleet_nb.store import Store
    from skillfleet_nb.typing import Rows


class Learning:
    """Continuous learning of a home's registered programs.  Reached as ``fleet.learning``.

    Parameters
    ----------
    store
        Of the home.
    registered, golden
        Its registered programs, and its golden sets.
    job, start, resume
        Find a job, start one, and go on with one.
    """

    def __init__(
        self,
        store: Store,
        registered: Registered,
        golden: GoldenSets,
        job: Callable[[str], Job],
        start: Callable[[RunRequest], Job],
        resume: Callable[[str], Job],
    ) -> None:
        self._store, self.registered, self.golden = store, registered, golden
        self.registry = Registry(store.home)
        self.job, self.start, self.resume = job, start, resume
        self._policies: dict[str, tuple[PolicySet, datetime]] = {}
        self._follower, self._reading = follow(store.home, POLICIES), threading.Lock()
        self._tickers: dict[str, Ticker] = {}
        self._fields: dict[str, Fields] = {}

    @property
    def names(self) -> list[str]:
        """Names that have a policy."""
        return sorted(self._up_to_date())

    def set(self, policy: LearnPolicy) -> LearnPage:
        """Set the policy of a program in the place of the one it had.

        Raises
        ------
        NotFoundError, InputError
            If there is no such program or alias, no scored golden set, or its version comes from no job.
        """
        self.request_of(self.registry.find(f"{policy.name}@{policy.alias}"))
        golden = self.golden.find(policy.golden or policy.name)
        if not golden.is_scored:
            raise InputError(golden.sentence())
        with writing(self._store.home, POLICIES, "setting policies") as journal:
            journal.append(policy.event(), sync=True)
        return self.status(policy.name)

    def policy(self, name: str) -> LearnPolicy:
        """Find the policy of a program; raises `NotFoundError` where it has none."""
        return LearnPolicy.of(self._set(name)[0])

    def feedback(
        self,
        name: str,
        inputs: Mapping[str, Any],
        *,
        score: float | None = None,
        correction: Mapping[str, Any] | None = None,
        id: str | None = None,  # noqa: A002  what it is called everywhere else
    ) -> str:
        """Tell how good an answer of a program was, and what is right; corrections are trained on in the next cycle.

        Parameters
        ----------
        name
            The registered program, or a version of it (``name@3``, ``name@alias``), whose fields are then looked at.
        inputs
            What was asked.
        score
            In [0, 1].
        correction
            The right outputs.
        id
            Of the answer, such as a ticket's: the first feedback of an id counts; by default that of its content.

        Returns
        -------
        str
            The id.

        Raises
        ------
        InputError, NotFoundError
            If there is neither a score nor a correction, the score is out of its range, the inputs are not the
            program's, the correction has a field that it does not answer with, or there is no such program.
        """
        version = self._version_of(name)
        try:
            fields = self._fields_of(version)
        except InputError:  # its class is not here: what does not fit is left out of training
            fields = None
        if fields is not None:
            fields.check(inputs, correction or {})
        value = None if score is None else read_score(score)
        event = _feedback(version.name, inputs, value, correction, id)
        self._keep([event])
        return event.id

    def feedback_rows(self, name: str, rows: Rows) -> int:
        """Keep the feedback of rows: the program's inputs, `score`, `id`, and the right outputs, as far as they go.

        Raises
        ------
        InputError, NotFoundError
            As :meth:`feedback` does, before any is kept.
        """
        from skillfleet_nb.data import to_examples

        version = self._version_of(name)
        fields, events = self._fields_of(version), []
        for place, row in enumerate(to_examples(rows, input_fields=fields.inputs, name="feedback")):
            score, right = read_feedback(row, place, fields)
            asked = {field: row[field] for field in fields.inputs}
            events.append(_feedback(version.name, asked, score, right or None, row.get("id")))
        self._keep(events)
        return len(events)

    def run(self, name: str, *, now: bool = False, wait: Callable[[Job], object] | None = None) -> LearnPage:
        """Go on with the cycle of a policy, or begin one where something triggers it, as far as it goes.

        Parameters
        ----------
        now
            Begin a cycle although nothing triggers one.
        wait
            Waits for a job; one that it leaves goes on, and a later call with it.

        Raises
        ------
        NotFoundError
            If the program has no policy.
        JobError
            If another process is running the policy.
        """
        self._set(name)
        stream = f"{POLICIES}.{name}"
        with writing(self._store.home, stream, f"running the policy of {name}", 1.0) as journal:
            Pass(self, journal, name, wait or until_it_ends).go(now=now)
        return self.status(name)

    def every(self, name: str, every: str | float = "1h", times: int | None = None) -> Ticker:
        """Run a policy again and again, in this process, until it is stopped.

        Raises
        ------
        JobError
            If it is run so already.
        InputError, NotFoundError
            If `every` is no time, or the program has no policy.
        """

        def once() -> tuple[bool, str]:
            return True, self.run(name).sentence()

        running = self._tickers.get(name)
        if running is not None and running.is_running:
            raise JobError(
                f"{name} is run already, {running.sentence()}: {as_typed(f'learn run {name} --stop')} ends it."
            )
        self._set(name)
        ticker = self._tickers[name] = Ticker(once, f"policy of {name}", "run", every, times)
        ticker.start()
        return ticker

    def running(self, name: str) -> Ticker:
        """Find what runs a policy in this process; raises `NotFoundError` where nothing does."""
        if name not in self._tickers:
            raise unknown("running policy", name, self._tickers, hint="It lives in the process that began it.")
        return self._tickers[name]

    def decide(self, name: str, *, approve: bool) -> LearnPage:
        """Answer a cycle that asks: move the alias to its version, or leave it; raises `JobError` where none asks."""
        policy = self.policy(name)
        with writing(self._store.home, f"{POLICIES}.{name}", f"running the policy of {name}", 1.0) as journal:
            page = self.status(name)
            last = page.cycles[-1] if page.cycles else None
            if last is None or last.state != "asked":
                raise JobError(f"the policy of {name} asks nothing: {page.sentence()}.")
            steps = Pass(self, journal, name, until_it_ends)
            if approve:
                steps.promote(policy, last)
            else:
                steps.tell(last.number, "rejected", f"left as it is, {person() or 'by hand'}", version=last.version)
        return self.status(name)

    def status(self, name: str) -> LearnPage:
        """Show the policy of a program, what came of it, and how to undo it; raises `NotFoundError` without one."""
        event, at = self._set(name)
        return LearnPage(LearnPolicy.of(event), at, self.cycles(name), self.heard(name))

    def cycles(self, name: str) -> list[Cycle]:
        """Return the cycles of a policy, the oldest first."""
        cycles: dict[int, list[tuple[LearnStep, datetime]]] = {}
        for one in follow(self._store.home, f"{POLICIES}.{name}").read():
            if isinstance(one.payload, LearnStep):
                cycles.setdefault(one.payload.cycle, []).append((one.payload, one.at))
        return [Cycle(number, steps) for number, steps in sorted(cycles.items())]

    def heard(self, name: str) -> list[tuple[FeedbackGiven, datetime]]:
        """Return the feedback on a program, the oldest first, of each id the first."""
        heard: dict[str, tuple[FeedbackGiven, datetime]] = {}
        for one in follow(self._store.home, FEEDBACK).read():
            if isinstance(one.payload, FeedbackGiven) and one.payload.name == name:
                heard.setdefault(one.payload.id, (one.payload, one.at))
        return list(heard.values())

    def trigger(self, name: str) -> str | None:
        """Say what triggers a cycle now; None where nothing does."""
        policy, since = self.policy(name), self._set(name)[1]
        cycles = self.cycles(name)
        since = max(since, cycles[-1].began) if cycles else since
        for trigger in policy.on:
            what, _, much = trigger.partition(":")
            if what == "drift":
                checks = queries.drift_checks(self._store)
                new = checks[checks.alarm.astype(bool) & (checks["at"] > since)]
                new = new[[str(of).partition("@")[0] == name for of in new.name]]
                if len(new):
                    return f"drift: {new.iloc[-1].sentence}"
            elif what == "feedback":
                n = sum(at > since for said, at in self.heard(name) if said.correction)
                if n >= int(much):
                    return f"feedback: {counted(n, 'correction')} since the last cycle"
            elif what == "every" and datetime.now(UTC) - since >= timedelta(seconds=seconds(much)):
                return f"every {much}: the last cycle was long enough ago"
            elif what == "model" and (changed := self._other_model(policy)):
                return f"model: {changed}"
        return None

    def _version_of(self, ref: str) -> ProgramVersion:
        """Find the version that is told of: of a program that is named alone, the one that its policy is about."""
        policy = self._up_to_date().get(ref)
        return self.golden.version_for(ref, f"{ref}@{policy[0].alias}" if policy else None)

    def _fields_of(self, version: ProgramVersion) -> Fields:
        """Tell what feedback on a version has, as it was trained on it."""
        if version.ref not in self._fields:
            try:
                request = self.request_of(version)
                self._fields[version.ref] = Fields.of(request.program, list(request.train))
            except InputError:  # from no job, or what it was started with was not kept
                self._fields[version.ref] = Fields.of(self.registered.load(version.ref, check=False))
        return self._fields[version.ref]

    def _keep(self, events: Sequence[FeedbackGiven]) -> None:
        with writing(self._store.home, FEEDBACK, "giving feedback") as journal:
            journal.append_many(events, sync=True)

    def _other_model(self, policy: LearnPolicy) -> str:
        import dspy

        before = self.registry.find(f"{policy.name}@{policy.alias}").setup.get("lm")
        now = getattr(dspy.settings.lm, "model", None)
        return f"{now} answers, it was made with {before}" if before and now and before != now else ""

    def request_of(self, version: ProgramVersion) -> RunRequest:
        """Return what the job of a version was asked; raises `InputError` where that was not kept."""
        try:
            if version.job_id is not None:
                return self.job(version.job_id).parcel().request
        except (JobError, NotFoundError) as error:
            raise InputError(f"{version.ref} cannot be trained anew: {error}") from error
        line = as_typed(f"program register JOB --as {version.name}")
        raise InputError(f"{version.ref} comes from no job, whose data and metric would be trained on: {line}")

    def _set(self, name: str) -> tuple[PolicySet, datetime]:
        policies = self._up_to_date()
        if name not in policies:
            line = as_typed(f"learn policy {name} --on drift --budget 5")
            raise unknown("policy", name, policies, hint=f"{line} sets one.")
        return policies[name]

    def _up_to_date(self) -> dict[str, tuple[PolicySet, datetime]]:
        with self._reading:
            for one in self._follower.read():
                if isinstance(one.payload, PolicySet):
                    self._policies[one.payload.name] = one.payload, one.at
        return self._policies


def _feedback(
    name: str,
    inputs: Mapping[str, Any],
    score: float | None,
    correction: Mapping[str, Any] | None,
    id: object = None,  # noqa: A002  what it is called everywhere else
) -> FeedbackGiven:
    if score is None and not correction:
        raise InputError("feedback says something: give a score in [0, 1], the right outputs, or both.")
    key = example_id(inputs, correction or {"score": score}) if is_missing(id) else str(id)
    corrected = None if correction is None else dict(correction)
    return FeedbackGiven(name=name, id=key, inputs=dict(inputs), score=score, correction=corrected, by=person())
