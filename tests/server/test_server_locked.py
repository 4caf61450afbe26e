"""A server on a home that is encrypted, and locked while it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dspy
import httpx
from made_up import Data, counted_lm, exact, program
from serving import TOKEN, serving

from skillfleet_nb import Fleet

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = "correct horse battery staple"  # noqa: S105  of a home that goes with the test


def test_what_it_has_answered_is_not_told_again_once_the_home_is_locked(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / ".skillfleet")
    with dspy.context(lm=counted_lm()[0]):
        given = {"metric": exact, "optimizer": "labeled_fewshot", "params": {"k": 1}}
        job = fleet.optimize(program(), name="secret-plan", **given, **Data().splits())
        job.result()
        fleet.register(job, "secret-plan")
    fleet.encryption.encrypt(PASSPHRASE)
    with (
        serving(tmp_path) as address,
        httpx.Client(
            base_url=f"{address}/skillfleet/api/v1", headers={"Authorization": f"token {TOKEN}"}, timeout=60
        ) as client,
    ):
        addresses = ("/jobs", "/programs", "/jobs/secret-plan", "/trends", "/dashboard/jobs", "/dashboard/analysis")
        before = {path: client.get(path) for path in addresses}
        assert {one.status_code for one in before.values()} == {200}
        fleet.encryption.lock()
        for path, answer in before.items():
            for has in ({}, {"If-None-Match": answer.headers.get("ETag", '"none"')}):
                locked = client.get(path, headers=has)
                assert locked.status_code == 503, path
                assert "is encrypted and locked: skillfleet db unlock asks" in locked.json()["detail"]
        fleet.encryption.unlock(PASSPHRASE)
        assert {path: client.get(path).text for path in addresses} == {path: one.text for path, one in before.items()}
