"""The facts that charts draw, asked of the store: added up there where there are many."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from skillfleet_nb.store import Store


def jobs(store: Store, labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Rows of ``jobs``, newest first: those of `labels`, or all."""
    if labels is None:
        return store.frame("from jobs order by created_at desc")
    frame = store.frame("from jobs where list_contains(?, job_id)", [list(labels)])
    return frame.assign(job=frame["job_id"].map(labels))


def curves(store: Store, labels: Mapping[str, str]) -> pd.DataFrame:
    """What a learning curve needs of ``trials``."""
    frame = store.frame(
        "select job_id, trial, split, full_eval, score from trials where list_contains(?, job_id)", [list(labels)]
    )
    frame["job"] = frame["job_id"].map(labels)
    return _in_order(frame, labels)


def trials(store: Store, job_id: str) -> pd.DataFrame:
    """Trials of one job, with parents."""
    return store.frame(
        "select trial, split, full_eval, score, program_id, parent_ids from trials where job_id = ? order by trial",
        [job_id],
    )


def outcomes(store: Store, job_id: str, shown: Sequence[int]) -> pd.DataFrame:
    """What became of each example in the trials `shown`."""
    return store.frame(
        "from example_outcomes where job_id = ? and list_contains(?, trial)", [job_id, [int(t) for t in shown]]
    )


def calls(store: Store, labels: Mapping[str, str]) -> pd.DataFrame:
    """What each role and model of each job took."""
    frame = store.frame(
        """select job_id, role, model, count(*) filter (not cached) as calls, count(*) filter (cached) as cached,
            coalesce(sum(input_tokens) filter (not cached), 0)::bigint as input_tokens,
            coalesce(sum(output_tokens) filter (not cached), 0)::bigint as output_tokens,
            coalesce(sum(cost_usd) filter (not cached), 0.0) as cost_usd,
            count(*) filter (not cached and cost_usd is null) as unpriced
        from lm_calls where list_contains(?, job_id) group by all order by all""",
        [list(labels)],
    )
    return frame.assign(job=frame["job_id"].map(labels))


def latencies(store: Store, labels: Mapping[str, str]) -> pd.DataFrame:
    """How long answers took, counted in tenths of a decade."""
    return store.frame(
        """with answered as (
            select role, model, greatest(latency_s, 1e-5) as s from lm_calls
            where list_contains(?, job_id) and not cached and error is null
        ), typical as (
            select role, model, quantile_cont(s, 0.5) as median_s, quantile_cont(s, 0.95) as p95_s
            from answered group by all
        )
        select role, model, floor(10 * log10(s))::int as bin, count(*) as calls, median_s, p95_s
        from answered join typical using (role, model) group by all order by all""",
        [list(labels)],
    )


def example_scores(store: Store, labels: Mapping[str, str]) -> pd.DataFrame:
    """Scores of each example by the program as given and by the best: on the test, else on validation."""
    frame = store.frame(
        """with judged as (
            select t.job_id, t.trial, t.split, row_number() over (
                partition by t.job_id
                order by t.split = 'test' desc, t.program_id = j.best_program_id desc, t.trial desc
            ) as place
            from trials t join jobs j using (job_id)
            where list_contains(?, t.job_id) and t.full_eval and (t.split = 'test' or
                (t.split = 'val' and t.program_id = j.best_program_id))
        )
        select o.job_id, o.split, o.example_id, o.before, o.score
        from judged join example_outcomes o using (job_id, trial) where place = 1 order by example_id""",
        [list(labels)],
    )
    frame["job"] = frame["job_id"].map(labels)
    return _in_order(frame, labels)


def examples(store: Store, labels: Mapping[str, str]) -> pd.DataFrame:
    """How candidates did on each example of train and validation."""
    return store.frame(
        """select example_id, count(*) as scored, avg(coalesce(s.score, 0)) as mean
        from scores s join trials t using (job_id, trial)
        where list_contains(?, job_id) and t.split in ('train', 'val') group by example_id""",
        [list(labels)],
    )


def _in_order(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    place = {job_id: at for at, job_id in enumerate(labels)}
    order = frame["job_id"].map(place)
    return frame.assign(order=order).sort_values("order", kind="stable").drop(columns="order")
