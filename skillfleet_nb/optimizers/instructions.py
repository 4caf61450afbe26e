"""Optimizers that write instructions, some of them choosing demos as well."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from skillfleet_nb.errors import InputError
from skillfleet_nb.optimizers.base import Changes, Optimizer, OptimizerParams, Preset, Proposals, Task, Tier
from skillfleet_nb.optimizers.calls import Calls, Rehearsal, Shape, State, rehearsed
from skillfleet_nb.optimizers.demos import BootstrapFewShotParams

if TYPE_CHECKING:
    from collections.abc import Callable

Auto = Literal["light", "medium", "heavy"]
_INSTRUCTIONS: frozenset[Changes] = frozenset({"instructions"})
_BOTH: frozenset[Changes] = frozenset({"instructions", "demos"})
_AUTO_CANDIDATES = {"light": 6, "medium": 12, "heavy": 18}  # dspy 3.4.1, AUTO_RUN_SETTINGS
_AUTO_VAL = {"light": 100, "medium": 300, "heavy": 1000}
_STARTUP_TRIALS = 10  # optuna's sampler draws by chance so long
_EXPLORES = (0.4, 0.9)  # how often it then leaves what scored well, by variable


class COPROParams(OptimizerParams):
    """Parameters of ``dspy.COPRO``."""

    breadth: int = Field(10, ge=2, description="instructions tried per round")
    depth: int = Field(3, ge=1, description="rounds, each learning from the last one's scores")
    init_temperature: float = Field(1.4, gt=0, description="sampling temperature of the proposals")


class COPRO(Optimizer):
    """Propose instructions, score them, propose again from the scores."""

    name = "copro"
    summary = "instructions by coordinate ascent on their scores"
    changes = _INSTRUCTIONS
    presets = (Preset(params={"breadth": 4, "depth": 2}, prior_gain=0.11, few_shot=False),)
    Params = COPROParams
    proposals = Proposals(template=400, answer=47, instruction=15)

    @override
    def calls(self, shape: Shape) -> Calls:
        p = self.params

        def play(run: Rehearsal) -> None:
            n = shape.predictors
            repeats = run.rng.uniform(0.05, 0.4)  # proposals that say what another one said
            again = run.happens((shape.repeats or 0.0) * 0.8)  # a model may propose the same in every round
            taken = run.rng.uniform(0.2, 0.9)
            known: list[list[Any]] = [[0] for _ in range(n)]  # the given instruction is a candidate too
            latest = known
            program = list(run.start)
            run.propose(n * (p.breadth - 1))
            for depth in range(p.depth):
                fresh = [
                    [
                        (at, i) if again else _instruction(run, repeats, depth, at, i)
                        for i in range(p.breadth - (depth == 0))
                    ]
                    for at in range(n)
                ]
                if depth == 0:
                    known = [[*f, 0] for f in fresh]
                else:
                    run.propose(n * p.breadth)
                    known = [k + f for k, f in zip(known, fresh, strict=True)]
                latest = known if n > 1 or depth == 0 else fresh
                for at in range(n):
                    for instruction in latest[at]:
                        program[at] = State(instruction)
                        run.evaluate(tuple(program), "train", shape.train)
                    # The best so far stays in place; often that is the one that was given.
                    program[at] = State(run.rng.choice(known[at]) if run.happens(taken) else 0)
            rewritten = any(state.instruction for state in program)
            run.chosen(rewritten=rewritten, changed=rewritten and run.happens(0.8), unscored=rewritten * shape.val)

        return rehearsed(shape, play)

    @override
    def build(self, task: Task) -> Any:
        import dspy

        return dspy.COPRO(prompt_model=task.prompt_lm, metric=task.metric, **self.params.model_dump())

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        return {
            "trainset": list(task.train),
            "eval_kwargs": {"num_threads": task.num_threads, "display_progress": False},
        }


class MIPROv2Params(OptimizerParams):
    """Parameters of ``dspy.MIPROv2``; `auto` sets the number of candidates and trials."""

    auto: Auto | None = Field("light", description="size of the search; none when num_candidates is given")
    num_candidates: int | None = Field(None, ge=2, description="instructions and demo sets to choose from")
    num_trials: int | None = Field(None, ge=1, description="combinations tried")
    max_bootstrapped_demos: int = Field(4, ge=0)
    max_labeled_demos: int = Field(4, ge=0)
    metric_threshold: float | None = Field(None, ge=0, le=1)
    init_temperature: float = Field(1.0, gt=0)
    minibatch: bool = Field(default=True, description="score trials on a part of validation")
    minibatch_size: int = Field(35, ge=1)
    minibatch_full_eval_steps: int = Field(5, ge=1, description="trials between full evaluations")

    @model_validator(mode="before")
    @classmethod
    def _own_size(cls, given: dict[str, Any]) -> dict[str, Any]:
        # Giving a size means not taking an automatic one; both at once is refused below.
        if given.get("num_candidates") is not None and "auto" not in given:
            return {**given, "auto": None}
        return given

    @model_validator(mode="after")
    def _one_size(self) -> MIPROv2Params:
        own = self.num_candidates is not None and self.num_trials is not None
        if own == (self.auto is not None):
            raise ValueError("give auto, or num_candidates and num_trials together")
        return self


class MIPROv2(Optimizer):
    """Bootstrap demos, propose instructions from data and program, search both with a Bayesian sampler."""

    name = "miprov2"
    summary = "instructions and demos together, by Bayesian search"
    changes = _BOTH
    presets = (
        Preset("light", {"auto": "light"}, prior_gain=0.26, tier=Tier.LIGHT),
        Preset("medium", {"auto": "medium"}, prior_gain=0.28, tier=Tier.MEDIUM),
        Preset("heavy", {"auto": "heavy"}, prior_gain=0.30, tier=Tier.HEAVY),
    )
    min_train = 2
    Params = MIPROv2Params
    proposals = Proposals(
        template=380, per_example=1.3, answer=60, answer_label=42, instruction=60, instruction_label=92
    )

    def _trials(self, shape: Shape) -> int:
        p = self.params
        if p.num_trials is not None:
            return int(p.num_trials)
        zero_shot = p.max_bootstrapped_demos == 0 and p.max_labeled_demos == 0
        variables = shape.predictors * (1 if zero_shot else 2)
        n = _AUTO_CANDIDATES[p.auto]
        return int(max(2 * variables * math.log2(n), 1.5 * n))

    @override
    def calls(self, shape: Shape) -> Calls:
        p = self.params
        sets = p.num_candidates or _AUTO_CANDIDATES[p.auto]
        zero_shot = p.max_bootstrapped_demos == 0 and p.max_labeled_demos == 0
        instructions = sets if zero_shot or p.auto is None else sets // 2
        val = min(shape.val, _AUTO_VAL[p.auto]) if p.auto else shape.val
        batch = min(p.minibatch_size, val)
        # As compile() is told below, and as `auto` decides by the size of validation.
        minibatch = val > 50 if p.auto else p.minibatch and p.minibatch_size <= shape.val  # noqa: PLR2004  dspy's
        batch = batch if minibatch else val
        trials = self._trials(shape)

        def play(run: Rehearsal) -> None:
            demos = _demo_sets(run, p, sets, zero_shot=zero_shot)
            views = 1 + min(len(range(10, shape.train, 10)), 9)
            for view in range(views):
                run.propose(1, min(10, shape.train), view)
            run.propose(1, 0, views)
            run.propose(3 * instructions * shape.predictors, 0, 1.0)
            run.evaluate(run.start, "val", val)
            search = _Search(run, instructions, demos if not zero_shot else [0.0], val)
            number = 1  # the given program is the sampler's first trial
            done = 0
            last = trials + trials // p.minibatch_full_eval_steps + (trials % p.minibatch_full_eval_steps != 0)
            while done < trials:
                done, number = done + 1, number + 1
                search.trial(batch)
                if minibatch and (number % (p.minibatch_full_eval_steps + 1) == 0 or number == last):
                    search.full()
                    number += 1
            demos_kept, rewritten = search.best()
            unscored = shape.val - val if minibatch or val < shape.val else 0
            run.chosen(demos=demos_kept, rewritten=rewritten, unscored=unscored, changed=bool(demos_kept or rewritten))

        return rehearsed(shape, play)

    @override
    def build(self, task: Task) -> Any:
        import dspy

        p = self.params
        teleprompter = type("MIPROv2", (_ToldSteps, dspy.MIPROv2), {"say": staticmethod(task.say)})
        return teleprompter(
            metric=task.metric,
            prompt_model=task.prompt_lm,
            task_model=task.lm,
            auto=p.auto,
            num_candidates=p.num_candidates,
            num_threads=task.num_threads,
            max_bootstrapped_demos=p.max_bootstrapped_demos,
            max_labeled_demos=p.max_labeled_demos,
            metric_threshold=p.metric_threshold,
            init_temperature=p.init_temperature,
            # Given here and not to compile(), which reads a seed of 0 as no seed and runs with 9.
            seed=task.seed,
        )

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        p = self.params
        return {
            **super().compile_args(task),
            "num_trials": p.num_trials,
            "minibatch": p.minibatch and (p.auto is not None or p.minibatch_size <= len(task.val)),
            # Under `auto` the size of validation decides whether there are minibatches at all.
            "minibatch_size": min(p.minibatch_size, len(task.val)),
            "minibatch_full_eval_steps": p.minibatch_full_eval_steps,
        }


class _ToldSteps:
    """Mixed in before ``dspy.MIPROv2``: tells which of its steps it is at."""

    say: Callable[[str], None]

    def _bootstrap_fewshot_examples(self, *args: Any, **kwargs: Any) -> Any:
        self.say("bootstrapping demos")
        return super()._bootstrap_fewshot_examples(*args, **kwargs)  # type: ignore[misc]  # a mixin

    def _propose_instructions(self, program: Any, *args: Any, **kwargs: Any) -> Any:
        import dspy
        from dspy.utils.callback import BaseCallback

        n = kwargs.get("num_instruct_candidates", args[-1] if args else 0) * len(program.predictors())
        self.say("looking at data and program, to propose instructions")
        counting = type("Counting", (_Proposals, BaseCallback), {})(self.say, n)
        with dspy.context(callbacks=[*dspy.settings.callbacks, counting]):
            return super()._propose_instructions(program, *args, **kwargs)  # type: ignore[misc]  # a mixin

    def _optimize_prompt_parameters(self, *args: Any, **kwargs: Any) -> Any:
        self.say("trying combinations of instructions and demos")
        return super()._optimize_prompt_parameters(*args, **kwargs)  # type: ignore[misc]  # a mixin


class _Proposals:
    """DSPy's callback; counts the instructions that MIPROv2 asks for."""

    def __init__(self, say: Callable[[str], None], of: int) -> None:
        self._say, self._n, self._of = say, 0, of

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        del call_id, inputs
        if type(instance).__name__ == "GenerateModuleInstruction":
            self._n += 1
            self._say(f"proposing instructions, {self._n} of {max(self._n, self._of)}")


class SIMBAParams(OptimizerParams):
    """Parameters of ``dspy.SIMBA``."""

    bsize: int | None = Field(None, ge=1, description="examples per step; 32, or all where there are fewer")
    num_candidates: int = Field(6, ge=1, description="programs sampled and built per step")
    max_steps: int = Field(8, ge=1)
    max_demos: int = Field(4, ge=0)


class SIMBA(Optimizer):
    """Sample trajectories, contrast good with bad ones, add a demo or a rule."""

    name = "simba"
    summary = "demos and self-reflected rules from contrasted trajectories"
    changes = _BOTH
    presets = (Preset(params={"num_candidates": 4, "max_steps": 4}, prior_gain=0.13, few_shot=False),)
    min_train = 4
    Params = SIMBAParams
    proposals = Proposals(template=4300, answer=140, instruction=120)

    @override
    def trial_size(self, n_train: int) -> int:
        return min(self.params.bsize or 32, n_train)

    @override
    def calls(self, shape: Shape) -> Calls:
        p, batch = self.params, self.trial_size(shape.train)

        def play(run: Rehearsal) -> None:
            uneven = run.rng.uniform(0.25, 1.0)  # share of examples that a sampled model sometimes solves
            pool: list[tuple[float, tuple[State, ...]]] = [(0.0, run.start)]
            winners = [run.start]
            for step in range(p.max_steps):
                top = sorted(pool, key=lambda one: -one[0])[: p.num_candidates]
                top = top if pool[0] in top else [*top[:-1], pool[0]]
                weights = [math.exp(score / 0.2) for score, _ in top]
                for model in range(p.num_candidates):
                    for weight, (_, program) in zip(weights, top, strict=True):
                        run.evaluate(program, f"model-{model}", batch * weight / sum(weights), of=shape.train)
                made = []
                for at in range(min(p.num_candidates + 1, batch)):
                    _, source = run.rng.choices(top, weights)[0]
                    informed = run.happens(uneven)
                    rule = p.max_demos == 0 or run.happens(0.5)
                    if rule and informed:
                        run.propose(1, 2)
                    changed = tuple(
                        State((s.instruction, step, at) if rule else s.instruction, s.demos if rule else (step, at),
                              s.n_demos if rule else min(p.max_demos, s.n_demos + 1))
                        for s in source
                    ) if informed or not rule else source  # fmt: skip
                    run.evaluate(changed, "train", batch)
                    made.append((run.rng.gauss(run.helped, 0.1), changed))
                pool += made
                winners.append(max(made, key=lambda one: one[0])[1])
            picked = {round(i * p.max_steps / p.num_candidates) for i in range(p.num_candidates + 1)}
            for at in sorted(picked):
                run.evaluate(winners[at], "train", shape.train)
            best = winners[run.rng.choice(sorted(picked))]
            run.chosen(
                demos=best[0].n_demos, rewritten=best[0].instruction != 0, unscored=shape.val,
                changed=best != run.start,
            )  # fmt: skip

        return rehearsed(shape, play)

    @override
    def check(self, task: Task) -> None:
        super().check(task)
        if (self.params.bsize or 0) > len(task.train):
            raise InputError(f"simba: bsize = {self.params.bsize} exceeds the {len(task.train)} training examples")

    @override
    def build(self, task: Task) -> Any:
        import dspy

        p = self.params
        return dspy.SIMBA(
            metric=task.metric.feedback,
            bsize=self.trial_size(len(task.train)),
            num_candidates=p.num_candidates,
            max_steps=p.max_steps,
            max_demos=p.max_demos,
            prompt_model=task.prompt_lm,
            num_threads=task.num_threads,
        )

    @override
    def compile_args(self, task: Task) -> dict[str, Any]:
        return {"trainset": list(task.train), "seed": task.seed}


class InferRulesParams(BootstrapFewShotParams):
    """Parameters of ``dspy.InferRules``."""

    num_candidates: int = Field(10, ge=1, description="rule sets induced and scored")
    num_rules: int = Field(10, ge=1, description="rules per set")


class InferRules(Optimizer):
    """Induce rules in words from the training examples and keep the set that scores best."""

    name = "infer_rules"
    summary = "rules induced from the examples, with bootstrapped demos"
    changes = _BOTH
    presets = (Preset(params={"num_candidates": 4}, prior_gain=0.16),)
    Params = InferRulesParams
    proposals = Proposals(template=260, answer=30, answer_label=95, instruction=30, instruction_label=97)

    @override
    def calls(self, shape: Shape) -> Calls:
        p = self.params

        def play(run: Rehearsal) -> None:
            found = run.bootstrap(p.max_bootstrapped_demos, p.max_labeled_demos, rounds=p.max_rounds, prompt=True)
            demos = found + max(0.0, min(p.max_labeled_demos - found, shape.train - found))
            for candidate in range(p.num_candidates):
                run.propose(shape.predictors, shape.train)
                instruction = 1 if run.happens(run.repeats) else candidate + 1
                run.evaluate((State(instruction, "demos", demos),) * shape.predictors, "val", shape.val)
            run.chosen(demos=demos, rewritten=True)

        return rehearsed(shape, play)

    @override
    def build(self, task: Task) -> Any:
        from dspy.teleprompt import InferRules as Teleprompter

        class OwnSignatures(Teleprompter):  # type: ignore[misc]  # dspy is untyped
            """Gives every candidate a signature class of its own.

            DSPy 3.4.1 writes the rules into the class all candidates share, which is the user's own:
            it would be changed, and the returned program would carry the last candidate's rules.
            """

            def update_program_instructions(self, predictor: Any, natural_language_rules: str) -> None:
                predictor.signature = predictor.signature.with_instructions(predictor.signature.instructions)
                super().update_program_instructions(predictor, natural_language_rules)

        return OwnSignatures(
            metric=task.metric,
            num_threads=task.num_threads,
            teacher_settings={"lm": task.prompt_lm},
            **self.params.model_dump(),
        )


class GEPAParams(OptimizerParams):
    """Parameters of ``dspy.GEPA``; exactly one of the three budgets, light by default."""

    auto: Auto | None = Field(None, description="size of the search; light when no budget is given")
    max_full_evals: int | None = Field(None, ge=1)
    max_metric_calls: int | None = Field(None, ge=1)
    reflection_minibatch_size: int = Field(3, ge=1)
    candidate_selection_strategy: Literal["pareto", "current_best"] = "pareto"
    use_merge: bool = True
    max_merge_invocations: int = Field(5, ge=0)
    stop_at_perfect: bool = Field(default=True, description="stop once validation is perfect: nothing can beat it")

    @model_validator(mode="before")
    @classmethod
    def _light_by_default(cls, given: dict[str, Any]) -> dict[str, Any]:
        if all(given.get(k) is None for k in ("auto", "max_full_evals", "max_metric_calls")):
            return {**given, "auto": "light"}
        return given

    @model_validator(mode="after")
    def _one_budget(self) -> GEPAParams:
        if sum(b is not None for b in (self.auto, self.max_full_evals, self.max_metric_calls)) != 1:
            raise ValueError("give one of auto, max_full_evals and max_metric_calls")
        return self


class GEPA(Optimizer):
    """Reflect on feedback to rewrite instructions, keeping a Pareto front of candidates."""

    name = "gepa"
    summary = "instructions evolved by reflection on feedback"
    changes = _INSTRUCTIONS
    needs: ClassVar[str] = "best with a metric that returns dspy.Prediction(score, feedback)"
    presets = (
        Preset("light", {"auto": "light"}, prior_gain=0.22, few_shot=False),
        Preset("medium", {"auto": "medium"}, prior_gain=0.23, tier=Tier.MEDIUM, few_shot=False),
    )
    prompt_role = "reflection"
    Params = GEPAParams
    proposals = Proposals(
        template=360, per_example=1.8, answer=110, answer_label=45, instruction=100, instruction_label=52
    )

    @override
    def calls(self, shape: Shape) -> Calls:
        p = self.params
        if p.auto is not None:
            n = _AUTO_CANDIDATES[p.auto]
            trials = int(max(4 * shape.predictors * math.log2(n), 1.5 * n))
            metric_calls = shape.val + 5 * n + 35 * trials + ((trials + 1) // 5 + 1 + (trials < 5)) * shape.val  # noqa: PLR2004
        elif p.max_full_evals is not None:
            metric_calls = p.max_full_evals * (shape.train + shape.val)
        else:
            metric_calls = p.max_metric_calls
        batch = p.reflection_minibatch_size

        def play(run: Rehearsal) -> None:
            run.evaluate(run.start, "val", shape.val)
            used, scores, seen, programs, merges = shape.val, [run.score], run.measured, [run.start], 0
            ceiling = min(1.0, run.score + (1 - run.score) * run.rng.uniform(0.05, 0.9))
            gains = run.rng.uniform(0.0, 0.12)
            taken = run.rng.uniform(0.15, 1.0)  # proposals that beat their parent on its minibatch
            while used < metric_calls:
                if p.stop_at_perfect and seen >= 1:
                    break
                at = max(range(len(scores)), key=lambda i: scores[i] + run.rng.gauss(0, 0.08))
                run.evaluate(programs[at], "train", batch)
                used += batch
                if run.happens(scores[at] ** batch):
                    continue
                run.propose(1, batch, float(at > 0))
                child = list(programs[at])
                child[len(programs) % shape.predictors] = State((at, used))
                run.evaluate(tuple(child), "train", batch)
                used += batch
                if not run.happens(taken):
                    continue
                run.evaluate(tuple(child), "val", shape.val)
                used += shape.val
                programs.append(tuple(child))
                scores.append(min(ceiling, scores[at] + run.rng.gauss(gains, 0.06)))
                seen = max(seen, run.measure(scores[-1]))
                if p.use_merge and merges < p.max_merge_invocations and len(scores) > 2 and run.happens(0.2):  # noqa: PLR2004
                    merges += 1
                    run.evaluate((State(("merged", merges)),) * shape.predictors, "val", 5)
                    used += 5
            rewritten = len(programs) > 1
            run.chosen(rewritten=rewritten, changed=rewritten)

        return rehearsed(shape, play)

    @override
    def build(self, task: Task) -> Any:
        import dspy
        from gepa.utils import ScoreThresholdStopper

        p = self.params
        options: dict[str, Any] = {"callbacks": [_Lineage(task)]}
        if p.stop_at_perfect:
            options["stop_callbacks"] = [ScoreThresholdStopper(1.0)]
        return dspy.GEPA(
            metric=task.metric.feedback,
            reflection_lm=task.prompt_lm,
            num_threads=task.num_threads,
            seed=task.seed,
            gepa_kwargs=options,
            **p.model_dump(exclude={"stop_at_perfect"}),
        )


class _Lineage:
    """Hears from GEPA which candidate came from which, and what it is doing."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._parent: dict[str, str] = {}

    def on_proposal_start(self, event: Any) -> None:
        self._parent = dict(event["parent_candidate"])
        self._task.say(f"reflecting, iteration {event['iteration']}")

    def on_proposal_end(self, event: Any) -> None:
        self._task.lineage({**self._parent, **event["new_instructions"]}, [self._parent])


def _instruction(run: Rehearsal, repeats: float, *which: int) -> Any:
    """Name a proposal; some say what an earlier one said."""
    return run.rng.choice([0, ("again", *which[1:2])]) if run.happens(repeats) else which


def _demo_sets(run: Rehearsal, p: MIPROv2Params, sets: int, *, zero_shot: bool) -> list[float]:
    """Bootstrap MIPROv2's demo sets; return how many demos each holds."""
    most, labeled = (3, 0) if zero_shot else (p.max_bootstrapped_demos, p.max_labeled_demos)
    held = []
    for seed in range(-3, sets - 3):
        if seed == -3:  # noqa: PLR2004  none
            held.append(0.0)
        elif seed == -2 and labeled > 0:  # noqa: PLR2004  labeled ones alone
            held.append(float(min(labeled, run.shape.train)))
        else:
            size = most if seed == -1 else run.rng.randint(1, max(1, most))
            found = run.bootstrap(size, labeled, key=seed)
            held.append(found + max(0.0, min(labeled - found, run.shape.train - found)))
    return held


class _Search:
    """MIPROv2's Bayesian search: at first by chance, then mostly around what scored well."""

    def __init__(self, run: Rehearsal, instructions: int, demos: list[float], val: int) -> None:
        self._run, self._instructions, self._demos, self._val = run, instructions, demos, val
        self._explores = run.rng.uniform(*_EXPLORES)
        given = (0, 0) * run.shape.predictors
        self._scores: dict[tuple[int, ...], float] = {given: run.measured}
        self._full = {given}
        self._true: dict[tuple[int, ...], float] = {given: run.measured}
        self._tried = 1

    def trial(self, batch: int) -> None:
        """Score one combination on `batch` examples."""
        combination = self._next()
        self._tried += 1
        self._run.evaluate(self._program(combination), "val", batch)
        self._scores[combination] = self._score(combination)

    def full(self) -> None:
        """Score the best combination that has not been scored on all of validation."""
        left = {c: s for c, s in self._scores.items() if c not in self._full}
        if left:
            combination = max(left, key=lambda c: left[c])
            self._run.evaluate(self._program(combination), "val", self._val)
            self._full.add(combination)
        self._tried += 1

    def best(self) -> tuple[float, bool]:
        """Return the demos of the best program, and whether an instruction of it was proposed."""
        best = max(self._scores, key=lambda c: self._scores[c])
        return self._demos[best[1]], any(best[::2])

    def _next(self) -> tuple[int, ...]:
        rng = self._run.rng
        random_one = [
            rng.randrange(self._instructions if at % 2 == 0 else len(self._demos))
            for at in range(2 * self._run.shape.predictors)
        ]
        if self._tried < _STARTUP_TRIALS:
            return tuple(random_one)
        ranked = sorted(self._scores, key=lambda c: -self._scores[c])
        good = ranked[: max(1, len(ranked) // 5)]
        source = rng.choice(good)
        return tuple(r if rng.random() < self._explores else s for r, s in zip(random_one, source, strict=True))

    def _score(self, combination: tuple[int, ...]) -> float:
        if combination not in self._true:
            helped = self._run.helped if any(self._demos[d] for d in combination[1::2]) else self._run.score
            self._true[combination] = self._run.measure(self._run.rng.gauss(helped, 0.05))
        return self._true[combination]

    def _program(self, combination: tuple[int, ...]) -> tuple[State, ...]:
        pairs = zip(combination[::2], combination[1::2], strict=True)
        return tuple(State(i, d, self._demos[d]) for i, d in pairs)
