"""A job's calls as traces: one a trial, and one of the search around them, made of what every run records anyway."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from skillfleet_nb.format import points
from skillfleet_nb.store import queries

if TYPE_CHECKING:
    import pandas as pd

    from skillfleet_nb.store import Store

COLUMNS = (
    "trace_id", "span_id", "parent_id", "program", "name", "operation", "at", "latency_s", "model", "input_tokens",
    "output_tokens", "cached", "cost_usd", "error", "input", "output", "attributes",
)  # fmt: skip
"""Of the relation ``spans``."""

_SEARCH = "search"
SEARCH = "search: calls outside of trials"
"""Name of the trace of what was called for no trial."""


def job_spans(
    store: Store, job_id: str, name: str, calls: pd.DataFrame | None = None, *, with_tools: bool = True
) -> pd.DataFrame:
    """Arrange a job's calls, of models and of tools, by its trials; each trial and the search is a trace.

    A call belongs to the trial that ended first of those that were on during it; so of searches at the same time some
    calls may be told with another's trial.

    Parameters
    ----------
    name
        Of the job.
    calls
        Rows of ``lm_calls``; by default all, without their texts.
    with_tools
        Whether calls of tools are among them: of these it is not known which example they were made for.

    Returns
    -------
    pd.DataFrame
        Columns as in the relation ``spans``, the root of each trace first.
    """
    import pandas as pd

    calls = queries.call_spans(store, job_id, content=False) if calls is None else calls
    tools = queries.tool_spans(store, job_id) if with_tools else pd.DataFrame()
    trials = queries.trial_spans(store, job_id)
    keys = [f"trial-{row.trial}-{row.split}" for row in trials.itertuples()]
    steps: list[dict[str, Any]] = []
    search = []
    for some, row_of in ((calls, _call), (tools, _tool)):
        owners = [_SEARCH if place < 0 else keys[place] for place in _places(some, trials)]
        steps += [row_of(job_id, name, owner, call) for owner, call in zip(owners, _records(some), strict=True)]
        if len(some):
            search.append(some.loc[[owner == _SEARCH for owner in owners], ["at", "latency_s"]])
    if len(tools):
        steps.sort(key=lambda step: step["at"])
    rows = [_search(pd.concat(search), job_id, name) if search else None, *_roots(trials, keys, job_id, name), *steps]
    return pd.DataFrame([row for row in rows if row], columns=list(COLUMNS))


def _places(calls: pd.DataFrame, trials: pd.DataFrame) -> list[int]:
    """Return for each call the trial it was made in, by position, -1 where there is none."""
    import pandas as pd

    if trials.empty or calls.empty:
        return [-1] * len(calls)
    ended = trials["at"].to_numpy("datetime64[us]")
    began = trials.began_at.where(trials.began_at.notna(), trials["at"]).to_numpy("datetime64[us]")
    call_end = calls["at"].to_numpy("datetime64[us]")
    call_start = call_end - pd.to_timedelta(calls.latency_s, unit="s").to_numpy("timedelta64[us]")
    places = np.full(len(calls), -1)
    for place in range(len(trials) - 1, -1, -1):  # those that ended earlier are written over later ones
        places[(call_end <= ended[place]) & (call_start >= began[place])] = place
    return [int(place) for place in places]


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _id(job_id: str, what: str, length: int) -> str:
    return hashlib.sha256(f"{job_id}/{what}".encode()).hexdigest()[:length]


def _root(job_id: str, key: str, program: str, **fields: Any) -> dict[str, Any]:
    ids = {"trace_id": _id(job_id, key, 32), "span_id": _id(job_id, f"{key}/root", 16)}
    return {**ids, "program": program, "operation": "invoke_workflow", **fields}


def _roots(trials: pd.DataFrame, keys: list[str], job_id: str, name: str) -> list[dict[str, Any] | None]:
    rows: list[dict[str, Any] | None] = []
    for key, row in zip(keys, _records(trials), strict=True):
        began = row["at"] if row["began_at"] is None or row["began_at"] != row["began_at"] else row["began_at"]
        facts = {
            "skillfleet.trial": row["trial"],
            "skillfleet.split": row["split"],
            "skillfleet.score": row["score"],
            "skillfleet.n_examples": row["n_examples"],
            "skillfleet.program_id": row["program_id"],
            "skillfleet.job_id": job_id,
        }
        title = f"trial {row['trial']}: {points(row['score'])} on {row['n_examples']} of {row['split']}"
        seconds = (row["at"] - began).total_seconds()
        rows.append(_root(job_id, key, name, name=title, at=began, latency_s=seconds, attributes=facts))
    return rows


def _search(some: pd.DataFrame, job_id: str, name: str) -> dict[str, Any] | None:
    import pandas as pd

    if some.empty:
        return None
    began = (some["at"] - pd.to_timedelta(some.latency_s, unit="s")).min()
    seconds = (some["at"].max() - began).total_seconds()
    facts = {"skillfleet.job_id": job_id}
    return _root(job_id, _SEARCH, name, name=SEARCH, at=began, latency_s=seconds,
                 attributes=facts)  # fmt: skip


def _call(job_id: str, name: str, owner: str, call: dict[str, Any]) -> dict[str, Any]:
    import pandas as pd

    provider, _, model = str(call["model"]).rpartition("/")
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": call["input_tokens"],
        "gen_ai.usage.output_tokens": call["output_tokens"],
        "skillfleet.role": call["role"],
        "skillfleet.call_id": call["call_id"],
        "skillfleet.attempts": call["attempts"],
    }
    if provider:
        attributes["gen_ai.provider.name"] = provider.partition("/")[0]
    return {
        "trace_id": _id(job_id, owner, 32),
        "span_id": _id(job_id, str(call["call_id"]), 16),
        "parent_id": _id(job_id, f"{owner}/root", 16),
        "program": name,
        "name": f"{call['role']}: {call['model']}",
        "operation": "chat",
        "at": call["at"] - pd.Timedelta(seconds=call["latency_s"]),
        **{k: call[k] for k in ("latency_s", "model", "input_tokens", "output_tokens", "cached", "cost_usd", "error")},
        "input": call.get("prompt"),
        "output": call.get("response"),
        "attributes": attributes,
    }


def _tool(job_id: str, name: str, owner: str, call: dict[str, Any]) -> dict[str, Any]:
    import pandas as pd

    return {
        "trace_id": _id(job_id, owner, 32),
        "span_id": _id(job_id, f"tool-{call['seq']}", 16),
        "parent_id": _id(job_id, f"{owner}/root", 16),
        "program": name,
        "name": call["tool"],
        "operation": "execute_tool",
        "at": call["at"] - pd.Timedelta(seconds=call["latency_s"]),
        **{k: call[k] for k in ("latency_s", "error", "input", "output")},
        "attributes": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": call["tool"]},
    }
