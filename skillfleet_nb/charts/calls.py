"""LM calls: what each role and model cost, and how long answers took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.charts.chart import Chart
from skillfleet_nb.charts.kind import kind
from skillfleet_nb.charts.style import HEIGHT, WIDTH, nothing, panel_title, shortened, titled
from skillfleet_nb.design import BLUE, GREY, PURPLE, VERMILION
from skillfleet_nb.format import counted
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.charts.jobs import Jobs

_ROLES = {"task": BLUE, "prompt": VERMILION, "reflection": PURPLE}
_MOST_BARS, _MOST_PANELS = 30, 6
_MEASURES = {"cost_usd": "cost (USD)", "calls": "LM calls made"}


def cost_data(calls: pd.DataFrame) -> pd.DataFrame:
    """Add up what roles and models cost.

    Parameters
    ----------
    calls
        Columns `job`, `role`, `model`, `calls` (bought), `cached`, `input_tokens`, `output_tokens`,
        `cost_usd` and `unpriced`, a row each job, role and model.

    Returns
    -------
    pandas.DataFrame
        The same, dearest first, with `label` (role and model, and of several jobs the job),
        `measure` (``"cost_usd"``, or ``"calls"`` where nothing has a price above 0) and `amount`.
        Of more than 30 rows the last is the sum of the rest.
    """
    import pandas as pd

    measure = "cost_usd" if (calls["cost_usd"] > 0).any() else "calls"
    several = len(calls["job"].unique()) > 1
    label = calls["role"] + " · " + calls["model"]
    data = calls.assign(
        label=calls["job"].map(shortened(calls["job"].unique())) + " · " + label if several else label,
        measure=measure,
        amount=calls[measure].astype(float).fillna(0.0),
    ).sort_values(["amount", "label"], ascending=[False, True], kind="stable")
    if len(data) > _MOST_BARS:
        rest = data.iloc[_MOST_BARS - 1 :]
        added = rest[["calls", "cached", "input_tokens", "output_tokens", "cost_usd", "unpriced", "amount"]].sum()
        summed = added.to_frame().T.assign(job="", role="other", model="", label=f"{len(rest)} others", measure=measure)
        data = pd.concat([data.iloc[: _MOST_BARS - 1], summed.astype(data.dtypes.to_dict(), errors="ignore")])
    return data.reset_index(drop=True)


def costs(data: pd.DataFrame, *, title: str = "") -> Any:
    """Plot :func:`cost_data`: a bar each role and model."""
    if data.empty:
        return nothing("No LM calls yet: nothing has been spent.")
    import altair as alt

    measure = str(data["measure"].iloc[0])
    form = "$,.3~r" if measure == "cost_usd" else ",d"
    unpriced = int(data["unpriced"].sum())
    counts = (
        "format(datum.calls, ',') + ' calls' + (datum.cached > 0 ? ', ' + format(datum.cached, ',') + ' cached' : '')"
    )
    amount = f"format(datum.amount, '{form}') + ' · ' + " if measure == "cost_usd" else ""
    base = alt.Chart(data).encode(y=alt.Y("label:N", title=None, sort=data["label"].tolist()))
    most = float(data["amount"].max())
    x = alt.X("amount:Q", title=_MEASURES[measure], axis=alt.Axis(format=form, tickCount=5))
    bars = base.mark_bar(height=14).encode(
        x=x.scale(domain=[0, most * 1.6 or 1]),
        color=alt.Color(
            "role:N", title="role", scale=alt.Scale(domain=[*_ROLES, "other"], range=[*_ROLES.values(), GREY])
        ).legend(None),
        tooltip=[
            "job", "role", "model", alt.Tooltip("calls:Q", format=","), alt.Tooltip("cached:Q", format=","),
            alt.Tooltip("input_tokens:Q", format=","), alt.Tooltip("output_tokens:Q", format=","),
            alt.Tooltip("cost_usd:Q", format="$,.4f"),
        ],
    )  # fmt: skip
    texts = base.transform_calculate(told=amount + counts).mark_text(align="left", dx=6, fontSize=10)
    how = "Cached calls cost nothing."
    if measure == "calls":
        how += " Bars are calls: no call has a price above 0."
    if unpriced:
        how += f" Without a known price, and so not in the sums: {counted(unpriced, 'call')}."
    return (bars + texts.encode(x="amount:Q", text="told:N")).properties(
        width=WIDTH - 130, height=alt.Step(24), title=titled(title, how)
    )


def latency_data(bins: pd.DataFrame) -> pd.DataFrame:
    """Prepare latencies for their distribution.

    Parameters
    ----------
    bins
        Columns `role`, `model`, `bin` (ten a decade: floor of 10 log10 of seconds), `calls`, and the
        role and model's `median_s` and `p95_s`.

    Returns
    -------
    pandas.DataFrame
        Columns `panel` (role and model), `low_s`, `high_s`, `calls`, `share` (of the panel's calls),
        `median_s`, `p95_s`; the six with most calls.
    """
    panel = bins["role"] + " · " + bins["model"]
    total = bins.groupby(panel)["calls"].sum().sort_values(ascending=False, kind="stable")
    data = bins.assign(
        panel=panel,
        low_s=10.0 ** (bins["bin"] / 10),
        high_s=10.0 ** ((bins["bin"] + 1) / 10),
        share=bins["calls"] / panel.map(total).astype(float),
    )
    data = data[data["panel"].isin(total.index[:_MOST_PANELS])]
    order = data["panel"].map({name: place for place, name in enumerate(total.index)})
    data = data.assign(order=order).sort_values(["order", "low_s"])
    return data[["panel", "low_s", "high_s", "calls", "share", "median_s", "p95_s"]].reset_index(drop=True)


def latencies(data: pd.DataFrame, *, title: str = "") -> Any:
    """Plot :func:`latency_data`: a histogram each role and model, on a logarithmic axis."""
    if data.empty:
        return nothing(
            "No latencies yet: no call was answered by a model; cached answers take no time and do not count."
        )
    import altair as alt

    panels = list(dict.fromkeys(data["panel"]))
    # Round decades around the data: on a logarithmic axis a bar cannot begin at 0.
    import math

    domain = [
        10 ** math.floor(math.log10(data["low_s"].min()) + 1e-9),
        10 ** math.ceil(math.log10(data["high_s"].max()) - 1e-9),
    ]
    span = "datum.value < 1 ? format(datum.value * 1000, '~g') + ' ms' : format(datum.value, '~g') + ' s'"
    x = alt.X(
        "low_s:Q",
        scale=alt.Scale(type="log", domain=domain, nice=False),
        axis=alt.Axis(
            labelExpr=span, values=[domain[0] * 10**d for d in range(round(math.log10(domain[1] / domain[0])) + 1)]
        ),
    )
    y = alt.Y("share:Q", title="share of calls", axis=alt.Axis(format="%", tickCount=3))
    tooltip = ["panel", alt.Tooltip("low_s:Q", format=".3~g"), alt.Tooltip("high_s:Q", format=".3~g"), "calls"]
    plots = []
    for panel in panels:
        rows = data[data["panel"] == panel]
        bars = (
            alt.Chart(rows)
            .mark_rect(color=BLUE)
            .encode(
                x=x.title("time until the answer" if panel == panels[-1] else None),
                x2="high_s:Q",
                y=y,
                y2=alt.datum(0),
                tooltip=tooltip,
            )
        )
        lines = [
            alt.Chart(rows.head(1)).mark_rule(color=VERMILION, strokeWidth=2, strokeDash=dash).encode(x=f"{column}:Q")
            for column, dash in (("median_s", [1, 0]), ("p95_s", [5, 3]))
        ]
        typical = f"median {_span(rows['median_s'].iloc[0])}, 95% within {_span(rows['p95_s'].iloc[0])}"
        plots.append(
            alt.layer(bars, *lines).properties(
                width=WIDTH, height=HEIGHT - 60 if len(panels) == 1 else 70, title=panel_title(f"{panel}: {typical}")
            )
        )
    how = "Of calls that were made and answered. Solid line: the median; dashed: 95% of answers came within."
    return alt.vconcat(*plots, spacing=12).resolve_scale(x="shared").properties(title=titled(title, how))


def _span(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


@kind("costs", "what each role and model cost")
def costs_of_jobs(jobs: Jobs) -> Chart:
    """Plot what each role and model cost."""
    data = cost_data(jobs.labelled(queries.calls_by_model(jobs.store, jobs.labels)))
    title = f"Cost by role and model of {jobs.title}"
    return Chart(title, data, costs(data, title=title))


@kind("latency", "how long answers took")
def latency_of_jobs(jobs: Jobs) -> Chart:
    """Plot how long answers took, by role and model."""
    data = latency_data(queries.latencies(jobs.store, jobs.labels))
    title = f"Latency of LM calls of {jobs.title}"
    return Chart(title, data, latencies(data, title=title))
