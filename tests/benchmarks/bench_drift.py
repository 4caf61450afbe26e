"""Checks for drift: how often an alarm is false, how often drift is told, how early, and what a check takes.

Inputs are vectors of eight normal numbers, or of one of twelve values, so that most are ties; answers are one of three
labels and a text; golden sets are of 0/1 scores.  Seeds are fixed.  The curves are of banking77: a reference of 12
intents, live windows of 100 messages with a share of messages of other intents, drawn anew each time.

Beside them stand the statistics of two detectors in use, as their documentation describes them, each at the threshold
that gives it the false alarms of ours: the classifier of Evidently's drift of texts and embeddings, whose area under
the ROC curve on held-out rows is compared with a number (docs.evidentlyai.com, "Embeddings drift detection"), and
Alibi Detect's MMD with a Gaussian kernel as wide as the median distance (docs.seldon.io, "Maximum Mean Discrepancy").
"""

from __future__ import annotations

import csv
import os
import resource
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from skillfleet_nb.events.monitoring import GoldenAdded, GoldenRow
from skillfleet_nb.monitoring.drift import spent
from skillfleet_nb.monitoring.drift_golden import model_drift, quality_drift
from skillfleet_nb.monitoring.drift_inputs import rows_to_tell
from skillfleet_nb.monitoring.drift_outputs import output_drift
from skillfleet_nb.monitoring.golden_sets import Asked, GoldenSet
from skillfleet_nb.monitoring.two_sample import compare
from skillfleet_nb.store import Home

DATA = Path(__file__).parents[2] / "../shared/data"
_RUNS, _LOOKS, _RISK = 2000, 30, 0.2
_WINDOWS, _NULLS, _REFERENCE, _LIVE = 200, 400, 700, 100
_EMBEDDED = 2048


def run() -> list[dict[str, object]]:
    """Simulate checks, and time one."""
    return [*_alone(), *_together(), *_power(), *_curves(), *_time()]


def _row(what: str, value: float, unit: str, target: object = None) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "target": target}


def _alone() -> list[dict[str, object]]:
    rng, rows = np.random.default_rng(4), []
    for n, ties in ((30, 0), (100, 0), (100, 12), (1000, 0)):
        p = np.array([compare(_sample(rng, n, ties), _sample(rng, n, ties), seed=s).p_value for s in range(_RUNS)])
        rows += _false_alarms(p, f"inputs: {n:,}{', many ties' if ties else ''}")
    for n in (30, 100, 1000):
        p = np.array([_outputs(rng, n, n, 0.01, s) for s in range(_RUNS)])
        rows += _false_alarms(p, f"outputs: {n:,}", at_most=True)
        p = np.array([_quality(rng, n, 0.0, 0.01).p_value for _ in range(_RUNS)])
        rows += _false_alarms(p, f"quality: {n:,} examples", at_most=True)
        p = np.array([_model(rng, n, 0.0, 0.01).p_value for _ in range(_RUNS)])
        rows += _false_alarms(p, f"model: {n:,} examples", at_most=True)
    return rows


def _false_alarms(p: Any, what: str, *, at_most: bool = False) -> list[dict[str, object]]:
    rows = []
    for alpha in (0.01, 0.05):
        least = 0 if at_most else 100 * alpha - 0.5
        target = f"≤ {100 * alpha + 0.5:g}" if not least else f"{least:g} to {100 * alpha + 0.5:g}"
        of = f"false alarms of a check, {what}, risk {alpha:.0%}, {_RUNS:,} runs"
        rows.append(_row(of, 100 * float((p <= alpha).mean()), "%", target))
    return rows


def _together() -> list[dict[str, object]]:
    rng, rows = np.random.default_rng(5), []
    risks = [spent(_RISK, look) for look in range(1, _LOOKS + 1)]
    what = f"false alarms within {_LOOKS} checks of one reference, at a risk of {_RISK:.0%} over all"
    for kind, runs in (("outputs", _RUNS), ("inputs", 100)):
        alarms = 0
        for seed in range(runs):
            if kind == "outputs":
                before = _answers(rng, 100, 0.5)
                seen = (output_drift(before, _answers(rng, 60, 0.5), _TYPES, one, seed).finding.alarm for one in risks)
            else:
                reference = _sample(rng, 100, 0)
                seen = (compare(reference, _sample(rng, 60, 0), alpha=one, seed=seed).p_value <= one for one in risks)
            alarms += any(seen)
        rows.append(_row(f"{what}, {kind}, {runs:,} runs", 100 * alarms / runs, "%", "≤ 20"))
    return rows


def _power() -> list[dict[str, object]]:
    rng, alpha, told = np.random.default_rng(7), 0.01, defaultdict(list)
    n = rows_to_tell(0.2, alpha / 2)
    for seed in range(_RUNS // 4):
        live = _sample(rng, n, 0)
        live[rng.random(n) < 0.2] *= 5
        told["inputs, 20 % new ones far out"].append(compare(_sample(rng, 500, 0), live, seed=seed).p_value)
    for seed in range(_RUNS):
        found = output_drift(_answers(rng, 500, 0.5), _answers(rng, 20, 0.7), _TYPES, alpha, seed).finding
        n = int(found.rows or 0)
        told["outputs, 20 points of a share"].append(_outputs(rng, 500, n, alpha, seed, 0.7))
        n = int(_quality(rng, 100, 0.05, alpha).rows or 0)
        told["quality, 5 points"].append(_quality(rng, n, 0.05, alpha, noise=0.0).p_value)
        n = int(_model(rng, 10, 0.2, alpha).rows or 0)
        told["model, 20 % of the answers"].append(_model(rng, n, 0.2, alpha, noise=0.0).p_value)
    return [
        _row(f"drift told at the planned size, risk 1 %: {what}, {len(p):,} runs", 100 * np.mean(np.array(p) <= alpha),
             "%", "≥ 80")
        for what, p in told.items()
    ]  # fmt: skip


def _curves() -> list[dict[str, object]]:
    if not DATA.exists():
        return [
            {"what": "detection curves: no data folder, nothing measured", "value": None, "unit": "", "target": None}
        ]
    known, other = _banking()
    rng, nulls = np.random.default_rng(8), defaultdict(list)

    def drawn(share: float) -> tuple[Any, Any]:
        order, new = rng.permutation(len(known)), round(_LIVE * share)
        old = known[order[_REFERENCE : _REFERENCE + _LIVE - new]]
        return known[order[:_REFERENCE]], np.concatenate([old, other[rng.choice(len(other), new, replace=False)]])

    for seed in range(_NULLS):
        reference, live = drawn(0.0)
        nulls["classifier"].append(_classifier(reference, live, seed))
        nulls["MMD"].append(_mmd(reference, live))
    limits = {name: float(np.quantile(values, 0.99)) for name, values in nulls.items()}
    rows, wins = [], []
    for share in (0.0, 0.1, 0.2, 0.4):
        alarms = defaultdict(list)
        for seed in range(_WINDOWS):
            reference, live = drawn(share)
            alarms["ours"].append(compare(reference, live, alpha=0.01, seed=seed).p_value <= 0.01)
            alarms["classifier"].append(_classifier(reference, live, seed) > limits["classifier"])
            alarms["MMD"].append(_mmd(reference, live) > limits["MMD"])
        rates = {name: 100 * float(np.mean(seen)) for name, seen in alarms.items()}
        wins += [rates["ours"] >= rate for rate in rates.values()] if share else []
        words = f"banking77, windows of {_LIVE} with {share:.0%} of other intents, at 1 % false alarms"
        rows += [_row(f"{words}: {name} tells", rate, "%") for name, rate in rates.items()]
    rows.append(_row("curves on which ours tells at least as often", 100 * float(np.mean(wins)), "%", "≥ 100"))
    return rows


def _banking() -> tuple[Any, Any]:
    from skillfleet_nb.lm.embed import Embedder

    table, rng = _messages(), np.random.default_rng(0)
    intents = set(rng.permutation(sorted({label for _, label in table}))[:12])
    known = [text for text, label in table if label in intents]
    other = [text for text, label in table if label not in intents]
    known = [known[i] for i in rng.permutation(len(known))[:1400]]
    other = [other[i] for i in rng.permutation(len(other))[:800]]
    with tempfile.TemporaryDirectory() as folder:
        vectors = Embedder.of(Home.find(os.environ.get("SKILLFLEET_BENCH_VECTORS", folder)))([*known, *other])
    return vectors[: len(known)], vectors[len(known) :]


def _messages() -> list[tuple[str, str]]:
    table = []
    for name in ("train", "test"):
        with (DATA / f"banking77/{name}.csv").open(encoding="utf-8") as file:
            table += [(row["text"], row["category"]) for row in csv.DictReader(file)]
    return table


def _classifier(reference: Any, live: Any, seed: int) -> float:
    from sklearn.linear_model import SGDClassifier
    from sklearn.metrics import roc_auc_score

    rows, is_live = np.concatenate([reference, live]), np.repeat([0, 1], [len(reference), len(live)])
    order, half = np.random.default_rng(seed).permutation(len(rows)), len(rows) // 2
    fitted = SGDClassifier(loss="log_loss", random_state=seed).fit(rows[order[:half]], is_live[order[:half]])
    return float(roc_auc_score(is_live[order[half:]], fitted.predict_proba(rows[order[half:]])[:, 1]))


def _mmd(reference: Any, live: Any) -> float:
    rows, n, m = np.concatenate([reference, live]).astype(np.float64), len(reference), len(live)
    squares = np.maximum(2 - 2 * rows @ rows.T, 0)
    kernel = np.exp(-squares / np.median(squares))
    within = [
        (block.sum() - np.trace(block)) / (k * (k - 1)) for block, k in ((kernel[:n, :n], n), (kernel[n:, n:], m))
    ]
    return float(sum(within) - 2 * kernel[:n, n:].mean())


def _time() -> list[dict[str, object]]:
    reference, live = np.random.default_rng(6).standard_normal((2, 10_000, 384)).astype(np.float32)
    crowd, first = live.copy(), spent(0.01, 1)
    crowd[:2000] += 0.3 * live[0]
    compare(reference[:100], live[:100])
    what, rows = "10,000 inputs against 10,000, embedded before, time of a core", []
    for of, rows_now, target in (("no drift", live, "≤ 2"), ("20 % new ones, the risk of a first check", crowd, "≤ 4")):
        start = time.process_time()
        compare(reference, rows_now, alpha=first)
        rows.append(_row(f"{what}: {of}", time.process_time() - start, "s", target))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [*rows, _row("memory of the process, all of this included", memory, "GiB", "≤ 1"), *_embedding()]


def _embedding() -> list[dict[str, object]]:
    from skillfleet_nb.lm.embed import Embedder

    what = f"20,000 messages embedded, time of a core, by {_EMBEDDED:,} of them"
    if not DATA.exists():
        return [{"what": what, "value": None, "unit": "s", "target": None}]
    embed, texts = Embedder(), [text for text, _ in _messages()]
    order = np.random.default_rng(9).permutation(len(texts))
    embed([texts[place] for place in order[:64]])
    start = time.process_time()
    embed([texts[place] for place in order[64 : 64 + _EMBEDDED]])
    return [_row(what, (time.process_time() - start) * 20_000 / _EMBEDDED, "s", "≤ 116")]


_TYPES = {"label": None, "reply": None}


def _sample(rng: np.random.Generator, n: int, ties: int) -> Any:
    if ties:
        return (rng.integers(0, ties, (n, 1)) * np.ones((1, 8))).astype(np.float32)
    return rng.standard_normal((n, 8)).astype(np.float32)


def _answers(rng: np.random.Generator, n: int, odds: float) -> list[dict[str, Any]]:
    labels = np.where(rng.random(n) < odds, "a", np.where(rng.random(n) < odds, "b", "c"))
    return [{"label": str(a), "reply": "x" * int(k)} for a, k in zip(labels, rng.integers(1, 200, n), strict=True)]


def _outputs(rng: np.random.Generator, m: int, n: int, alpha: float, seed: int, odds: float = 0.5) -> float:
    return output_drift(_answers(rng, m, 0.5), _answers(rng, n, odds), _TYPES, alpha, seed).finding.p_value


def _golden(first: Any, again: Any) -> GoldenSet:
    rows = tuple(
        GoldenRow(example_id=str(i), inputs={"n": i}, expected={}, output={"a": int(a)}, score=a, again=b, same=a == b)
        for i, (a, b) in enumerate(zip(first.tolist(), again.tolist(), strict=True))
    )
    import dspy

    kept = GoldenAdded(name="g", version=1, content="", rows=rows, ref="p@1", lm="m", dspy=dspy.__version__)
    return GoldenSet(kept, datetime(2026, 1, 1, tzinfo=UTC))


def _asked(rng: np.random.Generator, n: int, noise: float, drop: float) -> tuple[GoldenSet, Asked]:
    """Make a set whose answers come out otherwise with a chance of `noise`, and of whose right ones a part drops."""
    true = (rng.random(n) < 0.8).astype(float)
    first, again, now = (np.where(rng.random(n) < noise, 1 - true, true) for _ in range(3))
    now = np.where((rng.random(n) < drop / 0.8) & (true > 0), 0.0, now)
    return _golden(first, again), Asked([{"a": int(x)} for x in now], now.tolist(), 0, None)


def _quality(rng: np.random.Generator, n: int, drop: float, alpha: float, noise: float = 0.1) -> Any:
    golden, now = _asked(rng, n, noise, drop)
    return quality_drift(golden, now, "p@1", alpha, 0)


def _model(rng: np.random.Generator, n: int, changed: float, alpha: float, noise: float = 0.1) -> Any:
    golden, now = _asked(rng, n, noise, 0.0)
    outputs = [{"a": 9} if rng.random() < changed else one for one in now.outputs]
    return model_drift(golden, now._replace(outputs=outputs), "m", alpha)


if __name__ == "__main__":
    for row in run():
        print(row, flush=True)  # noqa: T201  a script reports to the terminal
