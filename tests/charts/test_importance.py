"""Which settings went with the gain: what made it is found, what did not is not, and little data says nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from skillfleet_nb.charts.importance import importance, importance_data


def jobs(n: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    demos, noise, kind = rng.integers(0, 9, n), rng.integers(0, 9, n), rng.choice(["a", "b"], n)
    gain = 0.03 * demos + 0.002 * rng.normal(size=n)
    ids = [f"job-{i}" for i in range(n)]
    frame = pd.DataFrame({
        "job_id": ids, "program": "p", "metric": "m", "test_delta": gain, "best_score": 0.5, "baseline_score": 0.5,
    })  # fmt: skip
    return frame, pd.DataFrame(
        {"job_id": ids, "demos": demos, "noise": noise, "kind": kind, "same": 1, "rare": [7, *[None] * (n - 1)]}
    )


def test_what_made_the_gain_is_found() -> None:
    found = importance_data(*jobs(60)).set_index("setting")
    assert found.index[0] == "demos"
    assert found.importance["demos"] > 50
    assert (found.importance.drop("demos") < 10).all()
    assert not {"same", "rare"} & set(found.index)
    assert (found.low <= found.importance).all()
    assert (found.importance <= found.high).all()


def test_of_few_jobs_or_of_equal_ones_nothing_is_said() -> None:
    few = importance_data(*jobs(7))
    assert few.empty
    assert "it takes 8 scored jobs" in importance(few).to_dict()["description"]
    frame, settings = jobs(20)
    assert importance_data(frame.assign(test_delta=0.1), settings).empty
    assert importance_data(frame, settings[["job_id", "same"]]).empty
