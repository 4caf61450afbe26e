"""A run says which program its baseline is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skillfleet_nb.reports.start import starts_from

if TYPE_CHECKING:
    from conftest import Lab


def test_a_run_names_the_job_whose_best_program_it_was_given(lab: Lab) -> None:
    rules = lab.fleet.job("rules")
    assert starts_from(rules, lab.fleet.jobs()) == "starts from your program as it is, with no demos"
    onward = lab.run("onward", given=rules.program)
    told = starts_from(onward, lab.fleet.jobs())
    assert told == f"starts from the best program of rules, {100 * rules.result(0).test_score:.1f} on its sealed test"
    assert starts_from(lab.again.job("onward"), lab.fleet.jobs()) == told
