"""Modules by name and version, of this package and of others, their configuration checked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from IPython.core.interactiveshell import InteractiveShell

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.commands.complete import offers
from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.modules import available, create
from skillfleet_nb.modules.registry import GROUP, factory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CODE = """
import dspy
from pydantic import Field
from skillfleet_nb.modules import ModuleConfig, ModuleFactory

class Config(ModuleConfig):
    words: int = Field(20, ge=1, description="most words of the summary")

class Summary(ModuleFactory):
    name, version, summary, role = "summary", "1.0", "a text in few words", "generation"
    Config = Config

    def build(self):
        return dspy.Predict(dspy.Signature("text -> summary", f"At most {self.config.words} words."))

class Newer(Summary):
    version, summary = "1.10", "a text in few words, with its title"

    def build(self):
        return dspy.Predict("text -> title, summary")

class Trial(Newer):
    version = "2.0rc1"

class Unlike(Summary):
    version = "9"

class Odd(Summary):
    version = "latest"
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a package that has modules, by the names of their entry points."""
    imported: list[str] = []

    def put(package: str, code: str = CODE, **points: str) -> None:
        site = tmp_path / f"site-{package}"
        about = site / f"{package}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {package}_modules:{cls}" for name, cls in points.items()]
        (about / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]))
        (site / f"{package}_modules.py").write_text(code)
        monkeypatch.syspath_prepend(site)
        imported.append(f"{package}_modules")

    yield put
    for module in imported:
        sys.modules.pop(module, None)


def test_built_in_modules_come_through_the_same_door() -> None:
    known = available()
    assert {"example_judge", "resilient", "skill_planner", "skill_style"} <= known.keys()
    for name in ("example_judge", "skill_planner", "skill_style"):
        made = create(name)
        assert isinstance(made, dspy.Module)
        assert all(p.signature.instructions for p in made.predictors())
        assert known[name][0].package == "skillfleet-nb"
    assert known["resilient"][0].schema["required"] == ["program"]


def test_votes_are_modules_too() -> None:
    both = create("ensemble", programs=["text -> label", dspy.ChainOfThought("text -> label")], min_agreement=0.6)
    assert (type(both).__name__, len(both.programs), both.min_agreement) == ("Ensemble", 2, 0.6)
    assert create("majority_vote", program="text -> label", n=3).n == 3
    assert create("best_of_n", program="text -> label", reward=lambda inputs, prediction: 1.0).threshold == 1.0
    for name, config, said in (
        ("ensemble", {"programs": ["text -> label"]}, "ensemble: programs"),
        ("majority_vote", {"program": 3}, "majority_vote: program = 3: give a dspy.Module, or a signature"),
        ("best_of_n", {"program": "text -> label", "reward": 1}, "best_of_n: reward = 1: give a function"),
        ("majority_vote", {"program": "text -> label", "temperature": 0}, "majority_vote: temperature = 0"),
    ):
        with pytest.raises(InputError, match=said):
            create(name, **config)


def test_a_second_version_lives_beside_the_first(install: Callable[..., None]) -> None:
    install("words", **{"summary-1.0": "Summary", "summary-1.10": "Newer", "summary-2.0rc1": "Trial"})
    assert [one.version for one in available()["summary"]] == ["2.0rc1", "1.10", "1.0"]
    assert list(create("summary").signature.output_fields) == ["title", "summary"], "a pre-release is asked for"
    assert factory("summary", "2.0rc1").version == "2.0rc1"
    old = create("summary", version="1.0", words=5)
    assert list(old.signature.output_fields) == ["summary"]
    assert old.signature.instructions == "At most 5 words."


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"name": "sumary"}, "unknown module 'sumary': did you mean 'summary'?"),
        ({"version": "1.1"}, "unknown version of summary '1.1': did you mean '1.10'?"),
        ({"word": 3}, "unknown configuration of summary 'word': did you mean 'words'?"),
        ({"words": 0}, "summary: words = 0: Input should be greater than or equal to 1"),
    ],
)
def test_what_cannot_be_made_is_one_line(install: Callable[..., None], asked: dict[str, Any], said: str) -> None:
    install("words", **{"summary-1.0": "Summary", "summary-1.10": "Newer"})
    with pytest.raises((InputError, NotFoundError)) as caught:
        create(asked.pop("name", "summary"), **asked)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "points", "why"),
    [
        ("import package_of_nobody", {"gone-1": "X"}, "cannot be loaded: ModuleNotFoundError"),
        ("raise SystemExit(3)", {"leaves-1": "X"}, "cannot be loaded: SystemExit"),
        ("X = dict", {"plain-1": "X"}, "not a ModuleFactory subclass"),
        ("from skillfleet_nb.modules import ModuleFactory as X", {"bare-1": "X"}, "does not define name, version"),
        (CODE, {"summary-1": "Unlike"}, "calls itself summary-9"),
        (CODE, {"summary-latest": "Odd"}, "has the version 'latest'"),
    ],
)
def test_a_broken_module_is_named_and_nothing_else_is_hurt(
    install: Callable[..., None], tmp_path: Path, code: str, points: dict[str, str], why: str
) -> None:
    install("odd", code, **points)
    (whole,) = points
    name = whole.partition("-")[0]
    (told,) = available()[name]
    assert why in str(told.broken)
    assert "update or uninstall odd" in str(told.broken)
    with pytest.raises(InputError) as caught:
        create(name)
    assert why in str(caught.value)
    assert create("skill_planner") is not None
    fleet = Fleet(tmp_path / "home")
    assert f"broken: module '{whole}'" in str(fleet.modules.listing())
    (check,) = [c for c in fleet.advice.doctor().checks if c.name == f"plugin {whole}"]
    assert (check.level, check.fix) == ("warning", "update or uninstall odd")


def test_a_version_of_two_packages_is_named(install: Callable[..., None]) -> None:
    install("one", **{"summary-1.0": "Summary"})
    install("two", **{"summary-1.0": "Summary"})
    with pytest.raises(InputError, match=r"is registered by several packages \(one, two\)"):
        create("summary")


def test_modules_are_listed_and_shown_by_command(
    install: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    install("words", **{"summary-1.0": "Summary", "summary-1.10": "Newer"})
    assert main(["modules", "list"]) == 0
    listed = capsys.readouterr().out
    assert "1.10, 1.0" in listed
    assert "skillfleet modules info NAME shows one" in listed
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "skillfleet_nb")
    page = shell.run_line_magic("skillfleet", "modules info summary")
    assert 'module = create("summary", version="1.10")' in str(page)
    assert "most words of the summary" in page.html()
    assert "[task_models.generation] in config.toml names it" in str(page)
    assert "a text in few words\n" not in str(page)
    assert "a text in few words  " in str(shell.run_line_magic("skillfleet", "modules info summary --with-versions"))
    assert main(["modules", "info", "sumary"]) == 2
    assert "did you mean 'summary'?" in capsys.readouterr().err
    _, found = offers("modules info s", {}, Fleet)
    assert {"skill_planner", "skill_style", "summary"} <= {one.text for one in found}
    assert all(one.text.startswith("s") for one in found)
