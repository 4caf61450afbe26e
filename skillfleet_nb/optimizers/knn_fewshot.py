"""``dspy.KNNFewShot``: demos chosen for each input among its nearest training examples."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import override

from skillfleet_nb.optimizers.base import Optimizer, OptimizerParams, Preset, Task
from skillfleet_nb.optimizers.rehearsal import Calls, Rehearsal, Shape, State, rehearsed


class KNNFewShotParams(OptimizerParams):
    """Parameters of ``dspy.KNNFewShot``."""

    k: int = Field(3, ge=1, description="nearest training examples used as demos")
    max_bootstrapped_demos: int = Field(0, ge=0, description="demos bootstrapped anew for every input; each is a call")
    max_labeled_demos: int = Field(16, ge=0, description="demos copied from the neighbours")


class KNNFewShot(Optimizer):
    """Choose the demos of each input among its nearest training examples, at inference."""

    name = "knn_fewshot"
    summary = "demos chosen per input by embedding similarity"
    changes = frozenset({"demos"})
    needs = "an embedding model (extra: offline); its program cannot be saved as JSON"
    presets = (Preset(prior_gain=0.136, by_likeness=True),)
    Params = KNNFewShotParams
    params: KNNFewShotParams

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
