"""What the facade says of programs in use: golden sets, drift, A/B tests and continuous learning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import dspy

    from skillfleet_nb.monitoring.ab import AB
    from skillfleet_nb.monitoring.ab_report import ABStatus
    from skillfleet_nb.monitoring.drift import Drift
    from skillfleet_nb.monitoring.drift_report import DriftReport
    from skillfleet_nb.monitoring.golden_sets import GoldenSet, GoldenSets
    from skillfleet_nb.monitoring.learn_page import LearnPage
    from skillfleet_nb.monitoring.learn_policy import LearnPolicy
    from skillfleet_nb.monitoring.learning import Learning
    from skillfleet_nb.monitoring.route import ABRoute
    from skillfleet_nb.reports.registered import Registered
    from skillfleet_nb.runs.jobs.job import Job
    from skillfleet_nb.runs.request import RunRequest
    from skillfleet_nb.store import Store
    from skillfleet_nb.typing import Metric, Model, Program, Rows


class MonitoringMethods(ABC):
    """Shortcuts to the facade's golden sets, checks for drift and A/B tests."""

    store: Store

    @property
    @abstractmethod
    def registry(self) -> Registered:
        """Registered programs."""

    @cached_property
    def ab_tests(self) -> AB:
        """A/B tests of registered programs."""
        from skillfleet_nb.monitoring.ab import AB

        return AB(self.store, self.registry, lambda: self.golden_sets)

    @abstractmethod
    def job(self, name_or_id: Job | str) -> Job:
        """Find a job."""

    @abstractmethod
    def resume(self, *name_or_id: Any, **options: Any) -> Job:
        """Go on with a job."""

    @abstractmethod
    def _run(self, request: RunRequest) -> Job:
        """Start a job."""

    @cached_property
    def drift(self) -> Drift:
        """Checks for drift: of inputs, outputs, quality and the model."""
        from skillfleet_nb.monitoring.drift import Drift

        return Drift(self.store, self.registry, self.job, lambda: self.golden_sets)

    @cached_property
    def golden_sets(self) -> GoldenSets:
        """Golden sets: examples that never change, with what a version answered to them."""
        from skillfleet_nb.monitoring.golden_sets import GoldenSets

        return GoldenSets(self.store, self.registry, self.job)

    def golden(self, name: str) -> GoldenSet:
        """Find a golden set, ``name@version``, or the last version of a name; raises `NotFoundError`."""
        return self.golden_sets.find(name)

    def check_drift(
        self,
        reference: Rows | str,
        live: Rows | None = None,
        *,
        kinds: Sequence[str] = ("input",),
        alpha: float = 0.01,
        seed: int = 0,
        of: str | None = None,
        golden: str | None = None,
        metric: Metric | None = None,
        lm: Model | None = None,
        alert: Callable[[DriftReport], object] | None = None,
    ) -> DriftReport:
        """Test whether a program is still asked what it was made for, and answers as it did.

        Parameters
        ----------
        reference
            Rows, or a registered program, ``name@alias``: the rows its job trained on, and its answers.
        live
            Rows of inputs, and for ``"output"`` of answers, five at least.
        kinds
            What is looked for: ``"input"`` (live inputs come from elsewhere), ``"output"`` (other answers come),
            ``"quality"`` (the program scores lower on its golden set), ``"model"`` (the same model answers the same
            prompts otherwise).  The last two buy the calls of a golden set.
        alpha
            Risk of a false alarm: of this check, or over all checks of the name `of` together; its kinds share it.
        seed
            Of the permutations.
        of
            Name under which checks are kept and share `alpha`; by default the registered program.
        golden
            The golden set; by default that of the program's name.
        metric, lm
            Of the golden set, by default those of the program's job.
        alert
            Called with the report if it is an alarm.

        Returns
        -------
        DriftReport
            With `alarm`, `p_value`, `divergence`, `kinds`, `drifted` and ``sentence()``; ``report["quality"]`` is what
            was found of a kind.

        Raises
        ------
        InputError, NotFoundError
            If there are too few rows, the fields differ, there is no golden set, or an argument cannot be used.
        LMError
            If the golden set is not answered.
        MissingExtraError
            If there is no model to embed with.
        """
        return self.drift.check(
            reference, live, kinds=kinds, alpha=alpha, seed=seed, of=of, golden=golden, metric=metric, lm=lm,
            alert=alert,
        )  # fmt: skip

    @cached_property
    def learning(self) -> Learning:
        """Continuous learning: policies, feedback, and what came of them."""
        from skillfleet_nb.monitoring.learning import Learning

        return Learning(self.store, self.registry, self.golden_sets, self.job, self._run, self.resume)

    def learn(self, policy: LearnPolicy | str) -> LearnPage:
        """Set a policy of continuous learning, or go on with the one of a program.

        Parameters
        ----------
        policy
            A :class:`skillfleet_nb.LearnPolicy` is set; of a program's name the policy is run, as
            far as it goes.

        Returns
        -------
        LearnPage
            What it did, why, what it cost and how to undo it.

        Raises
        ------
        NotFoundError, InputError
            If there is no such program, golden set or policy, or it cannot be trained anew.
        JobError
            If another process is running the policy.
        """
        return self.learning.run(policy) if isinstance(policy, str) else self.learning.set(policy)

    def start_ab(
        self,
        name: str,
        variants: Mapping[str, str] | Sequence[str],
        *,
        split: Sequence[float] | str | None = None,
        metric: Metric | str | None = None,
        alpha: float = 0.05,
        guardrails: Sequence[str] = (),
        effect: float = 0.05,
        power: float = 0.9,
        margin: float | None = None,
        units: int | None = None,
    ) -> ABStatus:
        """Start an A/B test of registered programs.

        Parameters
        ----------
        name
            What it is called.
        variants
            Label to ``name@version`` or ``name@alias``, the control first; an alias is the version it stands for now.
            The same program twice is an A/A test.
        split
            Shares of the units, such as ``(0.5, 0.5)`` or ``"90:10"``, equal ones by default; ``"ramp"`` goes from 1 %
            to 5, 25 and 50 % for the candidate; ``"adaptive"`` gives more units to what seems better.
        metric
            What the scores are of, to be remembered.
        alpha
            Risk that a winner is none, over all looks at all variants together.
        guardrails
            Such as ``"cost<=1.2x"`` or ``"latency<=1.5x"`` of the control; a broken one ends the test.
        effect, power
            Difference of mean scores that is planned for, and the chance to find it with the planned units.
        margin
            Asks whether the others are no worse than the control by this much, instead of which is better.
        units
            Units that there will be, where that is known: so few that they tell no difference at all are refused.

        Raises
        ------
        InputError, NotFoundError, JobError
            If an argument cannot be used, there is no such version, or a test of this name runs.

        Examples
        --------
        >>> import dspy, tempfile, skillfleet_nb as sf
        >>> fleet = sf.Fleet(tempfile.mkdtemp())
        >>> first = fleet.register(dspy.Predict("text -> intent"), "intents").ref
        >>> fleet.start_ab("aa", {"A": first, "B": first}).sentence().split(";")[0]
        'nothing is scored yet'
        """
        return self.ab_tests.start(
            name, variants, split=split, metric=metric, alpha=alpha, guardrails=guardrails, effect=effect, power=power,
            margin=margin, units=units,
        )  # fmt: skip

    def ab(self, name: str, signature: Program | type[dspy.Signature] | None = None) -> ABRoute:
        """Make the program that answers as a test says: ``route(unit="user-17", text=…)``.

        Raises
        ------
        NotFoundError, InputError
            If there is no such test, or a variant cannot be loaded.
        """
        return self.ab_tests.route(name, signature)

    def ab_status(self, name: str) -> ABStatus:
        """Look how a test stands: `low`, `high`, `winner`, `n`, ``sentence()``; raises `NotFoundError`."""
        return self.ab_tests.status(name)
