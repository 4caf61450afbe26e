"""Asking a person whether the program a search came to is the one they want, and taking in their changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skillfleet_nb.errors import InputError
from skillfleet_nb.events import ReviewAsked
from skillfleet_nb.format import counted, money, points

if TYPE_CHECKING:
    from collections.abc import Callable

    from skillfleet_nb.events import Choice
    from skillfleet_nb.lm.gate import Gate
    from skillfleet_nb.projection import Totals
    from skillfleet_nb.runs.recorder import Candidate, Recorder
    from skillfleet_nb.runs.review.reviewer import Reviewer
    from skillfleet_nb.runs.scoring import Scorer

_UNSCORED = "not scored"
_BACK = {"back", "undo"}
_OPTIONS: dict[Choice, str] = {
    "proceed": "test it on the sealed split, and keep it",
    "revise": "give a new instruction: it is scored on validation, and you are asked again",
    "cancel": "keep the program as it was given",
}


def accepted(
    reviewer: Reviewer,
    scorer: Scorer,
    recorder: Recorder,
    candidate_of: Callable[[Any], Candidate],
    baseline: Candidate,
    best: Candidate,
    gate: Gate,
) -> Candidate | None:
    """Ask until a person accepts a version of the best program, or declines it.

    Parameters
    ----------
    candidate_of
        Stores a program and returns what is known of its scores.
    baseline, best
        The program as it was given, and the one to be accepted.
    gate
        Through which the scoring of a change is bought.

    Returns
    -------
    Candidate or None
        The version accepted; None where it was declined.

    Raises
    ------
    RunStopped
        If the run is stopped meanwhile.
    """
    versions, note, times = [best], "", 0
    while True:
        shown = versions[-1]
        totals = gate.ledger.totals
        question = ReviewAsked(
            review_id=f"accept-{times}-{shown.program_id[:12]}",
            asks="preview",
            about="accept",
            question="Accept this program?" if times == 0 else "Accept this version of the program?",
            details=_details(baseline, versions, totals),
            programs=(baseline.program_id, shown.program_id),
            draft=_draft(shown.program),
            options=_OPTIONS if len(versions) == 1 else {**_OPTIONS, "revise": f"{_OPTIONS['revise']}; or go back"},
            note=note,
        )
        answer = reviewer.ask(question)
        times += 1
        if answer.choice == "proceed":
            return shown
        if answer.choice == "cancel":
            return None
        if answer.text.strip().casefold() in _BACK and len(versions) > 1:
            versions.pop()
            note = "back at the version before"
            continue
        try:
            program = revised(shown.program, answer.text)
        except InputError as exc:
            note = str(exc)
            continue
        recorder.descends(_instructions(program), [_instructions(shown.program)])
        version = candidate_of(program)
        if "val" not in version.scores:
            scorer.validate(program, gate)
        versions.append(version)
        note = "" if "val" in version.scores else f"it could not be scored: {(gate.closed or ('', 'stopped'))[1]}"


def revised(program: Any, text: str) -> Any:
    """Return a copy of a program with a new instruction.

    Parameters
    ----------
    text
        The instruction; of a program with several predictors, behind the name of one and a colon.

    Raises
    ------
    InputError
        If it is empty, or does not name which of several predictors it is for.

    Examples
    --------
    >>> import dspy
    >>> revised(dspy.Predict("text -> label"), "Be brief.").signature.instructions
    'Be brief.'
    """
    predictors = dict(program.named_predictors())
    name, instruction = next(iter(predictors)), text.strip()
    if len(predictors) > 1:
        name, _, instruction = (part.strip() for part in text.partition(":"))
        if name not in predictors or not instruction:
            raise InputError(
                f"the program has several predictors: write PREDICTOR: TEXT, with one of {', '.join(predictors)}"
            )
    if not instruction:
        raise InputError("the new instruction is empty: write it out")
    copy = program.deepcopy()
    predictor = dict(copy.named_predictors())[name]
    predictor.signature = predictor.signature.with_instructions(instruction)
    return copy


def _instructions(program: Any) -> dict[str, str]:
    return {name: p.signature.instructions for name, p in program.named_predictors()}


def _draft(program: Any) -> str:
    instructions = list(_instructions(program).items())
    return instructions[0][1] if len(instructions) == 1 else ": ".join(instructions[0])


def _details(baseline: Candidate, versions: list[Candidate], totals: Totals) -> dict[str, str]:
    shown = versions[-1]
    start, now = baseline.scores.get("val"), shown.scores.get("val")
    details = {"validation": f"{points(start, _UNSCORED)} → {points(now, _UNSCORED)}"}
    if len(versions) > 1:
        details["version before"] = points(versions[-2].scores.get("val"), _UNSCORED)
    details["cost so far"] = f"{money(totals.cost_usd)}, {counted(totals.calls, 'call')}"
    if len(dict(shown.program.named_predictors())) > 1:
        details["predictors"] = ", ".join(name for name, _ in shown.program.named_predictors())
    return details
