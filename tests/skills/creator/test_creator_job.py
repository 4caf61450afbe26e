"""A skill created as a job: recorded, limited, resumed, a person asked, and written last, over nothing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from writers import BODY, KEYS, TEXTS, nonsense, writer

from skillfleet_nb import Fleet, Monitor, offline_lm, skill_creator
from skillfleet_nb.cli import main
from skillfleet_nb.commands.complete import offers
from skillfleet_nb.commands.review import QuestionView
from skillfleet_nb.errors import InputError, JobError, NotFoundError, SkillfleetError
from skillfleet_nb.events import JobState, StopKind
from skillfleet_nb.runs.creation import CreateRequest
from skillfleet_nb.widgets.actions import Actions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from skillfleet_nb.runs.jobs.job import Job


def _until(job: Job, state: JobState) -> None:
    while job.state is not state and not job.state.is_finished():
        job.wait(0.1)
    assert job.state is state


def test_a_skill_is_created_recorded_and_written(tmp_path: Path) -> None:
    fleet, root = Fleet(), tmp_path / "skills"
    made = fleet.create_skill(KEYS, root=root, lm=writer()).result()
    assert made.skill.validate("v2").ok
    assert (made.folder, made.path, made.similar) == (str(root / "rotate-api-keys"), "normal", ())
    assert made.score == made.skill.score().score
    assert made.created.findings == ()
    assert [p.name for p in root.iterdir()] == ["rotate-api-keys"]
    fast = fleet.create_skill(KEYS, root=root, lm=writer(is_simple=True, complexity=0.1, name="rotate-fast")).result()
    assert (fast.path, fast.similar) == ("fast", ("rotate-api-keys",))
    assert fast.seconds_saved > 0
    assert fast.created.calls <= (made.created.calls + 1) / 2  # the normal one had no skill to compare with
    rows = fleet.sql("select path, calls, score, findings from skill_paths order by path").to_dict("records")
    assert [(r["path"], r["calls"]) for r in rows] == [("fast", fast.created.calls), ("normal", made.created.calls)]
    assert fleet.skills.paths().skills.tolist() == [1, 1]
    assert main(["skill", "paths", "report"]) == 0


def test_a_result_of_another_process_is_the_same(tmp_path: Path) -> None:
    job = Fleet().create_skill(KEYS, root=tmp_path / "skills", lm=offline_lm(), name="keys")
    here, there = job.result(), Fleet().job("keys").result()
    assert (there.created, there.folder, there.summary) == (here.created, here.folder, here.summary)
    assert there.program.named_predictors()
    assert "finding" in job.text()
    assert "section 'Quick Start' is empty" in job.text()


def test_a_name_that_is_taken_gets_a_number_unless_it_is_forced(tmp_path: Path) -> None:
    first = Fleet().create_skill(KEYS, root=tmp_path, lm=writer()).result()
    before = (tmp_path / "rotate-api-keys" / "SKILL.md").read_bytes()
    other = {"content": lambda prompt: TEXTS[prompt.partition("heading ## ]]\n")[2].partition("\n")[0]] + "\n\nAgain."}
    job = Fleet().create_skill(KEYS, root=tmp_path, lm=writer(**other))
    assert job.result().folder == f"{first.folder}-2"
    assert "another skill's" in job.text()
    assert [one.do for one in Actions(job).offered()] == ["score", "traces"]
    assert Actions(job).score().score == job.result().score
    assert (tmp_path / "rotate-api-keys" / "SKILL.md").read_bytes() == before
    forced = Fleet().create_skill(KEYS, root=tmp_path, lm=writer(**other), force=True).result()
    assert forced.folder == first.folder
    assert "Again." in forced.skill.body
    assert forced.created.backup is not None
    assert set(forced.similar) == {"rotate-api-keys", "rotate-api-keys-2"}
    assert [one.partition(" (")[0] for one in forced.created.findings] == ["it says nearly what rotate-api-keys-2 says"]


def _another_question(job: Job, answered: set[str]) -> str:
    while not job.state.is_finished():
        asked = job.question
        if asked is not None and asked.review_id not in answered:
            return str(asked.review_id)
        job.wait(0.1)
    return pytest.fail(f"nothing more was asked: {job.text()}")


def test_a_person_is_asked_and_a_no_writes_nothing(tmp_path: Path) -> None:
    fleet, lm = Fleet(), writer(revised=f"{BODY}\n\n## Who is told\n\nThe owner of the key.")
    job = fleet.create_skill(KEYS, root=tmp_path / "a", lm=lm, review="plan,draft", name="keys")
    _until(job, JobState.PENDING_HITL)
    assert "rotate-api-keys" in job.question.details["plan"]
    assert not (tmp_path / "a").exists()
    assert [tuple(step[:3]) for step in job.picture()["steps"]] == [
        ("understand", "done", "2"), ("plan", "asks you", "1"), ("write", "waiting", ""),
        ("check and revise", "waiting", ""), ("save", "waiting", ""),
    ]  # fmt: skip
    with pytest.raises(SkillfleetError, match="no, continue"):
        fleet.answer("keys", "no, continue")
    assert job.state is JobState.PENDING_HITL
    answered: set[str] = set()
    for said in ("revise: say who is told", "yes", "revise: say who is told", "yes"):
        answered.add(_another_question(job, answered))
        fleet.answer("keys", said)
    assert "## Who is told" in job.result().skill.body
    assert [r for _, r, _ in job.progress.reviews] == ["revise", "proceed", "revise", "proceed"]
    assert not job.picture()["has_best"], "a creation keeps no program"
    done = job.picture()["steps"]
    assert {state for _, state, *_ in done} == {"done"}
    assert sum(int(calls) for _, _, calls, _ in done) == job.progress.calls
    assert "check and revise" in Monitor(job).html()
    assert Fleet().job("keys").picture()["steps"] == done
    declined = fleet.create_skill(KEYS, root=tmp_path / "b", lm=lm, review=["draft"], name="no")
    _until(declined, JobState.PENDING_HITL)
    fleet.answer("no", "no")
    assert declined.result().state is JobState.CANCELLED
    assert [step[1] for step in declined.picture()["steps"]] == [
        "done",
        "done",
        "stopped",
        "not reached",
        "not reached",
    ]
    assert not (tmp_path / "b").exists()


def test_the_word_revise_alone_is_no_text_to_revise_by(tmp_path: Path) -> None:
    fleet, lm = Fleet(), writer()
    job = fleet.create_skill(KEYS, root=tmp_path, lm=lm, review="plan", name="keys")
    answered: set[str] = set()
    for said in ("Revise!", "yes"):
        answered.add(_another_question(job, answered))
        fleet.answer("keys", said)
    assert job.result().state is JobState.COMPLETED
    prompts = [prompt for _, prompt in lm.engine.asked]
    assert any("Do it another way." in prompt for prompt in prompts)
    assert not any("Revise!" in prompt for prompt in prompts)
    assert [(choice, text) for _, choice, text in job.progress.reviews] == [("revise", ""), ("proceed", "yes")]


def test_cards_tell_what_is_known_of_a_skill_while_it_is_created(tmp_path: Path) -> None:
    there: list[Any] = []
    jobs: list[Job] = []
    begun = threading.Event()

    def content(prompt: str) -> str:
        heading = prompt.partition("heading ## ]]\n")[2].partition("\n")[0]
        if heading == "Quick Start":
            assert begun.wait(300)
            there.append(jobs[0].picture()["cards"][-1])
        return TEXTS[heading]

    told = "## Who is told\n\nThe owner of it."
    lm = writer(
        content=content, complexity=0.9, revised=f"{BODY}\n\n{told}",
        problems=lambda prompt: [] if told in prompt else ["It never says who."],
    )  # fmt: skip
    job = Fleet().create_skill(KEYS, root=tmp_path, lm=lm, review="draft", name="keys")
    jobs.append(job)
    begun.set()
    _until(job, JobState.PENDING_HITL)
    written = there[0]
    assert written["facts"] == [("written", "2 of 6 sections")]
    assert (written["text"].count("## "), written["score"]) == (2, None)
    cards = {card["name"]: card for card in job.picture()["cards"]}
    assert list(cards) == ["similar", "intent", "template", "plan", "draft"]
    assert ("intent", "Keys change unseen.") in cards["intent"]["facts"]
    assert "## When to Use" in cards["template"]["text"]
    assert dict(cards["plan"]["facts"])["path"] == "expert"
    assert cards["draft"]["title"] == "Draft 2"
    assert told in cards["draft"]["text"]
    assert (cards["draft"]["score"], cards["draft"]["findings"]) == (pytest.approx(100 * 0.671, abs=5), [])
    assert "name: rotate-api-keys; description" in job.text()
    assert job.question.options["cancel"] == "stop here: no skill is written"
    for html in (str(Monitor(job).html()), str(QuestionView(job).html())):
        assert html.count(told) == 1
        assert f"quality {cards['draft']['score']:.1f}" in html
    fleet = Fleet()
    fleet.answer("keys", "yes")
    job.result()
    assert [card["name"] for card in fleet.job("keys").picture()["cards"]] == list(cards)


def test_a_section_and_a_revision_are_on_the_card_while_a_model_that_streams_writes_them(tmp_path: Path) -> None:
    seen: list[Any] = []
    jobs: list[Job] = []
    begun = threading.Event()
    further = "## Who is told\n\nThe owner of it.\nAnd nobody else."
    lm = writer(
        complexity=0.9, revised=f"{BODY}\n\n{further}", problems=lambda prompt: [] if further in prompt else ["Who?"]
    )

    class Streaming(type(lm.engine)):  # type: ignore[misc]
        def stream(self, request: Any) -> Iterator[Any]:
            for event in super().stream(request):
                text = event.delta.text if event.type == "delta" else ""
                for line in text.splitlines(keepends=True) or [text]:
                    yield replace(event, delta=replace(event.delta, text=line)) if text else event
                    if line.startswith(("2. Always", "And nobody")) and begun.wait(300):
                        seen.append(jobs[0].picture()["cards"][-1])

    lm = dspy.LM("test/writer", engine=Streaming(lm.engine.write), cache=False)
    jobs.append(Fleet().create_skill(KEYS, root=tmp_path, lm=lm, name="keys"))
    begun.set()
    made = jobs[0].result()
    section, _, revision = seen  # the steps are written a second time in the revision
    assert (section["title"], section["facts"]) == ("Draft, being written", [("written", "3 of 6 sections")])
    assert section["text"].endswith("## Rotation steps\n\n1. Issue the second key.")
    assert (revision["title"], [word for word, _ in revision["facts"]]) == (
        "Draft 2, being written", ["quality of each draft"],
    )  # fmt: skip
    assert revision["text"].startswith("## Overview")
    assert BODY.startswith(revision["text"])
    assert "## Who is told" in made.skill.body
    assert jobs[0].progress.calls == len(lm.engine.asked)
    assert "writing" not in [card.card for card in jobs[0].progress.cards]


def test_what_models_said_is_on_no_card_where_it_is_not_recorded(tmp_path: Path) -> None:
    fleet = Fleet()
    fleet.home.ensure()
    fleet.home.config.write_text("record_prompts = false\n")
    job = fleet.create_skill(KEYS, root=tmp_path, lm=writer())
    job.result()
    assert [(card["name"], card["text"], card["score"] > 60) for card in job.picture()["cards"]] == [
        ("draft", "", True)
    ]


def test_a_killed_process_is_resumed_without_buying_again_and_answers_stay(tmp_path: Path) -> None:
    fleet, root = Fleet(), tmp_path / "skills"
    task = f"{KEYS} The process is killed."
    options: dict[str, Any] = {"lm": offline_lm(), "path": "normal"}
    job = fleet.create_skill(task, root=root, review="intent,draft", engine="process", name="keys", **options)
    _until(job, JobState.PENDING_HITL)
    fleet.answer("keys", "yes")
    _until_asked(job, "Is this the skill?")
    os.kill(job.pid, signal.SIGKILL)
    _until(job, JobState.INTERRUPTED)
    assert not root.exists()
    fleet.answer("keys", "yes")
    again = fleet.resume("keys", engine="thread")
    made = again.result()
    assert made.skill.validate("v2").conformant
    whole = fleet.create_skill(task, root=tmp_path / "whole", **options).result()
    assert (whole.lm_calls, whole.cached_calls) == (0, made.lm_calls)
    assert [choice for _, choice, _ in again.progress.reviews] == ["proceed", "proceed"]


def _until_asked(job: Job, question: str) -> None:
    while not job.state.is_finished():
        asked = job.question
        if asked is not None and asked.question == question:
            return
        job.wait(0.1)
    pytest.fail(f"{question!r} was not asked: {job.text()}")


def test_a_budget_is_a_hard_stop_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    fleet, root = Fleet(), tmp_path / "skills"
    job = fleet.create_skill(f"{KEYS} On a budget.", root=root, lm=offline_lm(), max_calls=5, name="keys")
    stopped = job.result()
    assert (stopped.state, stopped.stop_kind, stopped.lm_calls) == (JobState.FAILED, StopKind.BUDGET, 5)
    assert not root.exists()
    made = fleet.resume("keys", max_calls=100).result()
    assert made.skill.name
    assert made.lm_calls == made.created.calls - made.cached_calls


def test_a_weak_model_gets_a_skill_with_a_low_score_and_its_findings(tmp_path: Path) -> None:
    made = Fleet().create_skill(KEYS, root=tmp_path, lm=nonsense()).result()
    assert made.skill.validate("v2").conformant
    assert made.score < 0.25
    assert made.created.findings
    assert "finding" in str(made)


def test_a_creator_of_ones_own_is_used_as_it_is(tmp_path: Path) -> None:
    creator = skill_creator()
    section = creator.generation.section
    section.signature = section.signature.with_instructions("Write as a pirate would.")
    lm = writer()
    made = Fleet().create_skill(KEYS, root=tmp_path, lm=lm, creator=creator, path="expert").result()
    assert made.path == "expert"
    assert creator.path == "auto"
    assert any("pirate" in system for system in lm.engine.systems)


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"task": ""}, InputError, "say in a sentence"),
    ({"task": "keys"}, InputError, "say in a sentence"),
    ({"root": __file__}, InputError, "is a file"),
    ({"template": "workflo"}, NotFoundError, "workflow"),
    ({"path": "quick"}, NotFoundError, "expert"),
    ({"review": "drafts"}, NotFoundError, "draft"),
    ({"creator": dspy.Predict("a -> b")}, InputError, "skill_creator"),
    ({"budget_usd": -1}, InputError, "budget"),
]


@pytest.mark.parametrize(("given", "error", "told"), BAD)
def test_bad_input_is_one_line_and_costs_nothing(
    tmp_path: Path, given: dict[str, Any], error: type[Exception], told: str
) -> None:
    lm = writer()
    options = {"task": KEYS, "root": tmp_path / "skills", "lm": lm, **given}
    with pytest.raises(error, match=told) as caught:
        Fleet().create_skill(options.pop("task"), **options)
    assert "\n" not in str(caught.value)
    assert lm.engine.asked == []
    assert not (tmp_path / "skills").exists()


def test_rules_of_the_home_hold(tmp_path: Path) -> None:
    fleet = Fleet()
    fleet.home.ensure()
    rules = fleet.home.root / "phase_rules.toml"
    rules.write_text("[fast]\nmax_complexity = 0.6\nneeds_simple = false\n")
    assert fleet.create_skill(KEYS, root=tmp_path, lm=writer()).result().path == "fast"
    rules.write_text("[fast]\nmax = 1\n")
    with pytest.raises(NotFoundError, match="phase_rules"):
        fleet.create_skill(KEYS, root=tmp_path, lm=writer())


def test_the_magic_creates_a_skill_and_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    job = shell.run_line_magic(
        "skillfleet", f'skill create "{KEYS}" --root {tmp_path}/s --lm offline --name keys -o made'
    )
    assert shell.user_ns["made"] is job
    assert job.result().skill.validate("v2").conformant
    assert "quality" in job.html()
    report = shell.run_line_magic("skillfleet", "skill paths report")
    assert job.result().path in str(report)
    assert "<table" in report.html()
    with pytest.raises(UsageError, match="say in a sentence"):
        shell.run_line_magic("skillfleet", 'skill create "x" --lm offline')
    assert [one.text for one in offers("skill create --path ", {}, Fleet)[1]] == ["auto", "fast", "normal", "expert"]
    assert main(["skill", "create", KEYS, "--root", str(tmp_path / "t"), "--lm", "offline"]) == 0
    assert "quality" in capsys.readouterr().out
    assert main(["skill", "create", KEYS, "--root", __file__, "--lm", "offline"]) == 2


OTHER_WORDS = {
    "revoked": "withdrawn", "revoke": "withdraw", "caller": "client", "callers": "clients", "issue": "create",
    "Issue": "Create", "deploy": "ship", "service": "server", "Watch": "Observe", "log": "record", "access": "entry",
}  # fmt: skip


def test_skills_that_are_there_are_compared_by_meaning(tmp_path: Path) -> None:
    abouts = {
        "picture-archive": "Copy images to a second disk.",
        "cake": "Bake a chocolate cake for eight people.",
    }
    for name, about in abouts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "SKILL.md").write_text(f"---\nname: {name}\ndescription: {about}\n---\n# X\n\nSo.\n")
    lm = writer()
    made = Fleet().create_skill("Back up photos so that none is lost", root=tmp_path, lm=lm).result()
    assert made.similar == ("picture-archive",)  # of which not a word is in the task
    body = BODY
    for word, other in OTHER_WORDS.items():
        body = re.sub(rf"\b{word}\b", other, body)
    about = "Rotate API keys of a server without downtime. Use when a key escaped, or is older than allowed."
    (tmp_path / "picture-archive" / "SKILL.md").write_text(
        f"---\nname: rotate-server-keys\ndescription: {about}\n---\n# X\n\n{body}\n"
    )
    shutil.rmtree(made.folder)
    again = Fleet().create_skill(KEYS, root=tmp_path, lm=lm).result()
    told = "it says nearly what rotate-server-keys says"
    assert [finding.startswith(told) for finding in again.created.findings] == [True]
    prompts = [prompt for name, prompt in lm.engine.asked if name == "revised"]
    assert told in prompts[-1]


def test_what_cannot_be_resumed_says_so(tmp_path: Path) -> None:
    Fleet().create_skill(KEYS, root=tmp_path, lm=offline_lm(), name="keys").result()
    with pytest.raises(JobError, match="complete"):
        Fleet().resume("keys")


def test_folders_of_templates_are_looked_into_before_a_model_is_asked_and_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm, fleet = writer(), Fleet()
    monkeypatch.chdir(tmp_path)
    for given in ({"templates": ["none"]}, {"docs": ["~nobody-here/docs"]}):
        with pytest.raises((InputError, NotFoundError), match=r"no folder of templates at .*none|no such folder"):
            fleet.create_skill(KEYS, root="skills", lm=lm, **given)
    assert lm.engine.asked == []
    (tmp_path / "mine").mkdir()
    asked = CreateRequest(KEYS, root="skills", templates=["mine"], lm=lm).run(fleet.home)
    assert asked.program.templates == (str(tmp_path / "mine"),)
