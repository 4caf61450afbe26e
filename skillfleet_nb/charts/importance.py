"""What mattered in jobs: how much of the differences in gain each setting accounts for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.kind import Takes, kind
from skillfleet_nb.charts.style import WIDTH, nothing, titled
from skillfleet_nb.design import BLUE
from skillfleet_nb.format import counted
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from skillfleet_nb.charts.jobs import Jobs

_LEAST, _MOST = 8, 2_000  # jobs: fewer tell nothing, more tell no more
_SHOWN = 12  # settings
_TREES, _REPEATS, _FOLDS = 100, 10, 4


def importance_data(jobs: pd.DataFrame, settings: pd.DataFrame) -> pd.DataFrame:
    """Estimate how much each setting of jobs has to do with how well they did.

    A random forest learns the gain over the given program (on the sealed test, else on validation), less the mean of
    the job's task, from the settings; a setting is important as far as the forest's error on jobs that a tree has not
    seen grows when its values are shuffled.  It tells what went together in these jobs, not what caused it.

    Parameters
    ----------
    jobs
        Rows of the relation ``jobs``.
    settings
        A row a job, `job_id` and a column each setting.

    Returns
    -------
    pandas.DataFrame
        Columns `setting`, `importance` in percent of the differences, `low` and `high` (two standard errors), `values`
        (how many there are), the most important first; none of fewer than 8 scored jobs, or where nothing differs.
    """
    import numpy as np
    import pandas as pd

    columns = ["setting", "importance", "low", "high", "values"]
    gain = jobs["test_delta"].fillna(jobs["best_score"] - jobs["baseline_score"])
    scored = jobs.assign(gain=gain).dropna(subset=["gain"]).head(_MOST)
    frame = scored.merge(settings, on="job_id", how="left", suffixes=("", "_set"))
    names = [name for name in settings.columns if name != "job_id" and _values(frame[name]) > 1]
    target = frame["gain"] - frame.groupby(["program", "metric"])["gain"].transform("mean")
    if len(frame) < _LEAST or not names or np.isclose(target.std(), 0):
        return pd.DataFrame(columns=columns)
    coded = np.column_stack([_coded(frame[name]) for name in names])
    shares = _shares(coded, target.to_numpy(float))
    error = 2 * shares.std(axis=1) / np.sqrt(_REPEATS)
    mean = shares.mean(axis=1)
    table = pd.DataFrame({
        "setting": names, "importance": mean, "low": (mean - error).clip(0), "high": mean + error,
        "values": [_values(frame[name]) for name in names],
    })  # fmt: skip
    return table.sort_values("importance", ascending=False, kind="stable").head(_SHOWN).reset_index(drop=True)


def _values(setting: pd.Series[Any]) -> int:
    """Count the values of a setting, jobs that do not have it left out."""
    return len(setting.dropna().astype(str).unique())


def _coded(values: pd.Series[Any]) -> NDArray[np.float64]:
    """Write a setting as numbers: itself where it is one, else the place among its values in order."""
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().equals(values.notna()):
        return numbers.fillna(-1).to_numpy(float)
    return pd.factorize(values.astype(str), sort=True)[0].astype(float)


def _shares(coded: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, per setting and shuffle, how much of the variance is no longer foretold, in percent; at least 0."""
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    rng = np.random.default_rng(0)
    folds = rng.permutation(len(target)) % _FOLDS
    importances = []
    for fold in range(_FOLDS):  # each is foretold from the others: what was learnt by heart is not important
        forest = RandomForestRegressor(_TREES, min_samples_leaf=2, random_state=0, n_jobs=1)
        seen = folds == fold
        forest.fit(coded[~seen], target[~seen])
        shuffled = permutation_importance(
            forest, coded[seen], target[seen], scoring="neg_mean_squared_error", n_repeats=_REPEATS, random_state=fold
        )
        importances.append(shuffled.importances * seen.mean())
    # shuffling what alone decides doubles the variance
    shares: NDArray[np.float64] = (50 * np.sum(importances, axis=0) / target.var()).clip(0)
    return shares


def importance(data: pd.DataFrame, *, title: str = "", note: str = "") -> Any:
    """Plot :func:`importance_data`: a bar a setting."""
    if data.empty:
        return nothing(f"Nothing to tell apart: it takes {_LEAST} scored jobs whose settings and gains differ. {note}")
    import altair as alt

    y = alt.Y("setting:N", title=None, sort=data["setting"].tolist())
    base = alt.Chart(data)
    bars = base.mark_bar(color=BLUE).encode(
        x=alt.X("importance:Q", title="of the differences in gain (%)"), y=y,
        tooltip=["setting", alt.Tooltip("importance:Q", format=".1f"), "values"],
    )  # fmt: skip
    spans = base.mark_rule().encode(x="low:Q", x2="high:Q", y=y)
    how = "How much worse gains are foretold when a setting is shuffled: what went together, not what caused it."
    return alt.layer(bars, spans).properties(
        width=WIDTH - 120, height=alt.Step(22), title=titled(title, f"{how} {note}".strip())
    )


@kind("importance", "which settings went with the gain; of all jobs, or those named", takes=Takes.ALL)
def of_jobs(jobs: Jobs) -> Chart:
    """Plot how much each setting of the jobs had to do with their gain over the given program."""
    data = importance_data(jobs.frame, _settings(jobs))
    title = f"What mattered in {counted(len(jobs.frame), 'job')}"
    return Chart(title, data, importance(data, title=title))


def _settings(jobs: Jobs) -> pd.DataFrame:
    """Take what each job was set up with: optimizer and its parameters, models, sizes and seed."""
    import pandas as pd

    frame = jobs.frame
    setups = queries.job_setups(jobs.store, frame["job_id"])
    rows = []
    for job_id, _, payload in setups[setups["kind"] == "job_created"].itertuples(index=False, name=None):
        payload_fields = json.loads(payload)
        spec = payload_fields.get("spec") or {}
        row = {"job_id": job_id, "optimizer": payload_fields.get("optimizer"), "model": spec.get("lm")}
        row |= {"prompt model": spec.get("prompt_lm"), "examples to train on": (spec.get("sizes") or {}).get("train")}
        row |= {
            f"{payload_fields.get('optimizer')}: {name}": _plain(value)
            for name, value in (spec.get("params") or {}).items()
        }
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["job_id"])


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else json.dumps(value, sort_keys=True)
