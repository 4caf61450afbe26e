"""Optimizers that choose demonstrations."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.optimizers.base import Calls, Changes, Optimizer, OptimizerParams, Shape, Task

_DEMOS: frozenset[Changes] = frozenset({"demos"})


class LabeledFewShotParams(OptimizerParams):
    """Parameters of ``dspy.LabeledFewShot``."""

    k: int = Field(16, ge=1, description="demos put into the prompt")


class LabeledFewShot(Optimizer):
    """Put `k` training examples into the prompt, drawn at random once."""

    name = "labeled_fewshot"
    summary = "k training examples as demos; no calls"
    changes = _DEMOS
    Params = LabeledFewShotParams

    @override
    def calls(self, shape: Shape) -> Calls:
        del shape
        return Calls(0, 0)

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
    Params = BootstrapFewShotParams

    @override
    def calls(self, shape: Shape) -> Calls:
        demos = min(self.params.max_bootstrapped_demos, shape.train)
        return Calls(demos * shape.predictors, shape.train * self.params.max_rounds * shape.predictors)

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
    Params = BootstrapRandomSearchParams

    @override
    def calls(self, shape: Shape) -> Calls:
        sets = self.params.num_candidate_programs
        scoring = (sets + 3) * shape.val
        fewest, most = sets + 1, (sets + 1) * min(shape.train, 4 * max(1, self.params.max_bootstrapped_demos))
        return Calls((scoring + fewest) * shape.predictors, (scoring + most) * shape.predictors)

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
    Params = KNNFewShotParams

    @override
    def calls(self, shape: Shape) -> Calls:
        del shape
        return Calls(0, 0)

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
