"""One pass over the cycle of a policy: each step is told once, and can be done twice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import JobError, NotFoundError, SkillfleetError
from skillfleet_nb.events import JobState
from skillfleet_nb.events.learning import LearnStep
from skillfleet_nb.messages import as_typed
from skillfleet_nb.monitoring.learn_data import CycleData, joined
from skillfleet_nb.monitoring.learn_gate import gate, why_shut
from skillfleet_nb.store.people import person

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.events.learning import LearnStepName
    from skillfleet_nb.monitoring.learn_page import Cycle
    from skillfleet_nb.monitoring.learn_policy import LearnPolicy
    from skillfleet_nb.monitoring.learning import Learning
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.store import Journal

_STOPPED = frozenset({JobState.INTERRUPTED})


class Pass:
    """One pass over the cycle of a policy, by the one process that holds its stream."""

    def __init__(self, learning: Learning, journal: Journal, name: str, wait: Callable[[Job], object]) -> None:
        self._learning, self._journal, self._name, self._wait = learning, journal, name, wait
        self._registered, self._golden = learning.registered, learning.golden
        self._joined: CycleData | None = None

    def go(self, *, now: bool) -> None:
        """Begin a cycle where something triggers it, and go on with it as far as it goes."""
        learning, policy = self._learning, self._learning.policy(self._name)
        cycles = learning.cycles(self._name)
        cycle = cycles[-1] if cycles and not cycles[-1].is_over else None
        if cycle is None:
            why = learning.trigger(self._name) or ("asked for by hand" if now else None)
            if why is None:
                return
            number, standing = len(cycles) + 1, self._registered.aliases(self._name).get(policy.alias)
            self.tell(number, "triggered", why, baseline=standing)
            cycle = learning.cycles(self._name)[-1]
            if shut := why_shut(self._golden.find(policy.golden or self._name), policy.gain):
                self.tell(number, "refused", shut)
                return
        if cycle.state == "asked":
            return
        job = self._trained(policy, cycle)
        if job is not None:
            self._judged(policy, learning.cycles(self._name)[-1])

    def tell(self, cycle: int, step: LearnStepName, text: str, **more: Any) -> None:
        """Record a step."""
        event = LearnStep(name=self._name, cycle=cycle, step=step, text=text, by=person(), **more)
        self._journal.append(event, sync=True)

    def promote(self, policy: LearnPolicy, cycle: Cycle) -> None:
        """Set the alias to the version of a cycle, unless another moved it meanwhile."""
        moves = self._learning.registry.history(self._name, policy.alias)
        standing, number = moves[-1].version, cycle.number
        if standing not in {cycle.baseline, cycle.version}:
            raise JobError(
                f"{self._name}@{policy.alias} was moved to version {standing} meanwhile: version {cycle.version} was "
                f"compared with {cycle.baseline}. {as_typed(f'learn reject {self._name}')} leaves it as it is."
            )
        if standing != cycle.version:
            evidence = f"learning cycle {number}: {cycle.text_of('gated')}"
            self._learning.registry.move(
                self._name, policy.alias, int(cycle.version or 0), since=len(moves), evidence=evidence
            )
        self.tell(number, "promoted", f"{policy.alias} is version {cycle.version}", version=cycle.version)

    def _trained(self, policy: LearnPolicy, cycle: Cycle) -> Job | None:
        """Start a cycle's job, or go on with it, and register what it found; None where there is nothing to judge."""
        if cycle.version is not None:
            return self._learning.job(str(cycle.job_id))
        job = self._found(policy, cycle)
        if cycle.job_id != job.id:
            left_out = self._data(policy, cycle).left_out
            self.tell(cycle.number, "started", f"job {job.name}{left_out and f'; {left_out}'}", job_id=job.id)
        self._wait(job)
        if not job.progress.state.is_finished():
            return None  # it was left, and goes on
        try:
            version = self._registered.register(job, self._name, f"learning cycle {cycle.number}")
        except SkillfleetError as exc:
            self.tell(cycle.number, "failed", f"job {job.name} {job.progress.state}: {exc}", job_id=job.id)
            return None
        progress = job.progress
        spent = {"calls": progress.totals.calls, "cost_usd": progress.totals.cost_usd}
        result = progress.result
        text = result.summary if result is not None else str(progress.state)
        self.tell(cycle.number, "trained", text, job_id=job.id, version=version.version, **spent)
        if version.version == cycle.baseline:
            self.tell(
                cycle.number, "kept", "the search found nothing better than what there is", version=version.version
            )
            return None
        return job

    def _found(self, policy: LearnPolicy, cycle: Cycle) -> Job:
        """Find the job of a cycle, and go on with it where it died; else start it."""
        name = f"{self._name}-learn-{cycle.number}"
        learning = self._learning
        try:
            job = learning.job(cycle.job_id or name)
        except NotFoundError:
            return self._begun(policy, cycle, name)
        if job.progress.state not in _STOPPED:
            return job
        try:
            return learning.resume(job.id)
        except SkillfleetError:  # it died before it had kept what it was started with, or its model has no cache
            return self._begun(policy, cycle, name)

    def _begun(self, policy: LearnPolicy, cycle: Cycle, name: str) -> Job:
        version = self._learning.registry.find(f"{self._name}@{cycle.baseline}")
        data = self._data(policy, cycle)
        before = data.before
        request = replace(
            before, program=self._registered.load(version.ref, before.program, check=False), train=data.train,
            val=data.val, lm=_asked_anew(before.lm, cycle), prompt_lm=_asked_anew(before.prompt_lm, cycle),
            optimizer=policy.optimizer, params=None, budget_usd=policy.budget_usd, max_calls=policy.max_calls,
            max_tokens=None, max_minutes=None, review=(), engine="thread", name=name, tags=("learn", self._name),
            select=None, strategy=None, recommendation=None, race=None,
        )  # fmt: skip
        return self._learning.start(request)

    def _data(self, policy: LearnPolicy, cycle: Cycle) -> CycleData:
        """Put what was heard before a cycle to what its version was trained on."""
        if self._joined is None:
            before = self._learning.request_of(self._learning.registry.find(f"{self._name}@{cycle.baseline}"))
            said = [one for one, at in self._learning.heard(self._name) if at <= cycle.began]
            self._joined = joined(before, said, self._golden.find(policy.golden or self._name).rows)
        return self._joined

    def _judged(self, policy: LearnPolicy, cycle: Cycle) -> None:
        """Ask the golden set of both versions, and decide."""
        if not cycle.has("gated"):
            golden = self._golden.find(policy.golden or self._name)
            request = self._learning.request_of(self._learning.registry.find(f"{self._name}@{cycle.version}"))
            asked = []
            for number in (cycle.baseline, cycle.version):
                version = self._learning.registry.find(f"{self._name}@{number}")
                task = self._golden.task(golden, version, request.metric, request.lm)
                asked.append(self._golden.ask(golden, task, version, "learn"))
            verdict = gate(golden, asked[0], asked[1], policy.gain, policy.guardrails)
            costs = [one.cost_usd for one in asked]
            usd = None if None in costs else sum(cost or 0.0 for cost in costs)
            bought = {"version": cycle.version, "calls": sum(one.calls for one in asked), "cost_usd": usd}
            self.tell(cycle.number, "gated", verdict.text, passed=verdict.passed, **bought)
            cycle = self._learning.cycles(self._name)[-1]
        if not cycle.passed:
            self.tell(cycle.number, "kept", "the gate is not passed", version=cycle.version)
        elif policy.promote == "auto":
            self.promote(policy, cycle)
        elif policy.promote == "ask":
            line = as_typed(f"learn approve {self._name}")
            self.tell(cycle.number, "asked", f"version {cycle.version} waits for {line}", version=cycle.version)
        else:
            self.tell(cycle.number, "kept", "the policy never moves the alias", version=cycle.version)


def _asked_anew(lm: Any, cycle: Cycle) -> Any:
    """Have a model answer anew in a cycle, and from DSPy's cache when the cycle is gone on with.

    Behind its name may be another one by now, whose answers the cache does not have.
    """
    import dspy

    return lm.copy(rollout_id=int(cycle.began.timestamp())) if isinstance(lm, dspy.LM) else lm


def until_it_ends(job: Job) -> None:
    """Wait for a job without a word."""
    job.wait()
