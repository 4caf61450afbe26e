"""Optimizers that choose demonstrations."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.optimizers.base import Changes, Optimizer, OptimizerParams, Preset, Task, Tier
from skillfleet_nb.optimizers.calls import Calls, Rehearsal, Shape, State, rehearsed

_DEMOS: frozenset[Changes] = frozenset({"demos"})


class LabeledFewShotParams(OptimizerParams):
    """Parameters of ``dspy.LabeledFewShot``."""

    k: int = Field(16, ge=1, description="demos put into the prompt")


class LabeledFewShot(Optimizer):
    """Put `k` training examples into the prompt, drawn at random once."""

    name = "labeled_fewshot"
    summary = "k training examples as demos; no calls"
    changes = _DEMOS
    presets = (Preset(prior_gain=0.10, tier=Tier.MINIMAL),)
    Params = LabeledFewShotParams

    @override
    def calls(self, shape: Shape) -> Calls:
        k = min(self.params.k, shape.train)
        return rehearsed(shape, lambda run: run.offered(demos=k))

    @override
    def build(self, task: Task) -> Any:
        del task
        import dspy

        return dspy.LabeledFewShot(k=self.params.k)

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        return {"trainset": list(task.train)}


class BootstrapFewShotParams(OptimizerParams):
    """Parameters of ``dspy.BootstrapFewShot``."""

    max_bootstrapped_demos: int = Field(4, ge=0, description="demos made by running the program")
    max_labeled_demos: int = Field(16, ge=0, description="demos copied from the training set")
    max_rounds: int = Field(1, ge=1, description="attempts per training example")
    metric_threshold: float | None = Field(None, ge=0, le=1, description="score a bootstrapped demo must reach")


class BootstrapFewShot(Optimizer):
    """Run the program on training examples and keep the successful traces as demos."""

    name = "bootstrap_fewshot"
    summary = "demos from the program's own successful runs"
    changes = _DEMOS
    presets = (Preset(prior_gain=0.12, tier=Tier.MINIMAL),)
    Params = BootstrapFewShotParams

    @override
    def calls(self, shape: Shape) -> Calls:
        p = self.params

        def play(run: Rehearsal) -> None:
            found = run.bootstrap(p.max_bootstrapped_demos, p.max_labeled_demos, rounds=p.max_rounds)
            run.offered(demos=_filled(found, p.max_labeled_demos, shape))

        return rehearsed(shape, play)

    @override
    def build(self, task: Task) -> Any:
        import dspy

        return dspy.BootstrapFewShot(metric=task.metric, **self.params.model_dump())

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        return {"trainset": list(task.train)}


class BootstrapRandomSearchParams(BootstrapFewShotParams):
    """Parameters of ``dspy.BootstrapFewShotWithRandomSearch``."""

    num_candidate_programs: int = Field(16, ge=1, description="candidate demo sets beyond the three fixed ones")
    stop_at_score: float | None = Field(None, ge=0, le=1, description="stop once a candidate reaches this score")


class BootstrapRandomSearch(Optimizer):
    """Bootstrap many demo sets and keep the one that scores best on validation."""

    name = "bootstrap_random_search"
    summary = "the best of many bootstrapped demo sets"
    changes = _DEMOS
    presets = (Preset(params={"num_candidate_programs": 8}, prior_gain=0.18),)
    Params = BootstrapRandomSearchParams

    @override
    def calls(self, shape: Shape) -> Calls:
        p = self.params

        def play(run: Rehearsal) -> None:
            run.evaluate(run.start, "val", shape.val)
            best, most = run.measured, 0.0
            for seed in range(-2, p.num_candidate_programs):
                if p.stop_at_score is not None and best >= p.stop_at_score:
                    break
                demos = float(min(p.max_labeled_demos, shape.train))
                if seed >= -1:
                    size = p.max_bootstrapped_demos if seed == -1 else run.rng.randint(1, p.max_bootstrapped_demos)
                    found = run.bootstrap(size, p.max_labeled_demos, rounds=p.max_rounds, key=seed)
                    demos = _filled(found, p.max_labeled_demos, shape)
                made = State(0, seed if demos else 0, demos)
                run.evaluate((made,) * shape.predictors, "val", shape.val)
                if (scored := run.measure(run.helped if demos else run.score)) > best:
                    best, most = scored, demos
            run.chosen(demos=most, changed=most > 0)

        return rehearsed(shape, play)

    @override
    def build(self, task: Task) -> Any:
        import dspy

        given = self.params.model_dump()
        if given["stop_at_score"] is not None:
            given["stop_at_score"] *= 100  # DSPy's scale
        return dspy.BootstrapFewShotWithRandomSearch(metric=task.metric, num_threads=task.num_threads, **given)


class KNNFewShotParams(OptimizerParams):
    """Parameters of ``dspy.KNNFewShot``."""

    k: int = Field(3, ge=1, description="nearest training examples used as demos")
    max_bootstrapped_demos: int = Field(0, ge=0, description="demos bootstrapped anew for every input; each is a call")
    max_labeled_demos: int = Field(16, ge=0, description="demos copied from the neighbours")


class KNNFewShot(Optimizer):
    """Choose the demos of each input among its nearest training examples, at inference."""

    name = "knn_fewshot"
    summary = "demos chosen per input by embedding similarity"
    changes = _DEMOS
    needs: ClassVar[str] = "an embedding model (extra: offline); its program cannot be saved as JSON"
    presets = (Preset(prior_gain=0.15),)
    Params = KNNFewShotParams

    @override
    def check(self, task: Task) -> None:
        from skillfleet_nb.lm.embed import Embedder

        super().check(task)
        Embedder().check()

    @override
    def calls(self, shape: Shape) -> Calls:
        # Bootstrapping happens as the program runs, anew for every input: that of validation is counted here,
        # that of the test with the program's own calls.
        p = self.params
        each = min(p.k, shape.train) if p.max_bootstrapped_demos else 0

        def play(run: Rehearsal) -> None:
            run.ask(each * shape.val * shape.predictors, State(0, "neighbours", min(p.k, p.max_labeled_demos)))
            run.offered(demos=min(p.k, shape.train))

        return rehearsed(shape, play)

    @override
    def build(self, task: Task) -> Any:
        import dspy

        from skillfleet_nb.lm.embed import Embedder

        return dspy.KNNFewShot(
            k=min(self.params.k, len(task.train)),
            trainset=list(task.train),
            vectorizer=dspy.Embedder(Embedder(), caching=False),  # DSPy's cache copies the model for its key
            metric=task.metric,
            max_bootstrapped_demos=self.params.max_bootstrapped_demos,
            max_labeled_demos=self.params.max_labeled_demos,
        )

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        del task
        return {}


def _filled(bootstrapped: float, labeled: int, shape: Shape) -> float:
    """Count the demos of a bootstrapped program: labeled examples fill what is left."""
    return bootstrapped + max(0.0, min(labeled - bootstrapped, shape.train - bootstrapped))
