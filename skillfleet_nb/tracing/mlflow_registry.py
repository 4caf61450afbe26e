"""Registered programs in MLflow's registry: versions and aliases, as they stand in the home."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.format import is_missing
from skillfleet_nb.store import queries
from skillfleet_nb.tracing.mlflow_server import asked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow.tracking import MlflowClient

    from skillfleet_nb.store import Store

VERSION, CONTENT = "skillfleet.version", "skillfleet.content_id"
_FACTS = ("program_id", "val_score", "test_score", "verdict", "optimizer", "metric", "lm", "note")


def mirror(store: Store, client: MlflowClient, uri: str, runs: Mapping[str, str]) -> int:
    """Register the versions that came of jobs, `runs` by the job's id, and set aliases as they stand; count versions.

    MLflow counts versions of its own; the home's number stands in a tag, and a version is known
    again by its content, which no two of a name share, in whichever home they are.
    """
    versions = queries.program_versions(store)
    mirrored = versions[versions.job_id.isin(list(runs))].sort_values(["name", "version"])
    with asked(uri):
        for name, rows in mirrored.groupby("name"):
            _mirror_one(client, str(name), rows.to_dict("records"), runs)
    return len(mirrored)


def _mirror_one(client: MlflowClient, name: str, rows: list[dict[Any, Any]], runs: Mapping[str, str]) -> None:
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, {"skillfleet": "yes"})
    present = {one.tags.get(CONTENT): one for one in client.search_model_versions(f"name = '{name}'")}
    for row in rows:
        content = str(row["content_id"])
        if content not in present:
            tags = {CONTENT: content, VERSION: str(row["version"])} | {
                f: str(row[f]) for f in _FACTS if not is_missing(row[f])
            }
            run_id = runs[row["job_id"]]
            source = f"{client.get_run(run_id).info.artifact_uri}/programs"
            present[content] = client.create_model_version(name, source, run_id, tags)
        for alias in row["aliases"]:
            stands = client.get_registered_model(name).aliases.get(alias)
            if str(stands) != str(present[content].version):
                client.set_registered_model_alias(name, alias, str(present[content].version))
