"""What is declared can be installed, and what is advertised is there.  deptry holds imports to declarations."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from skillfleet_nb import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_EXTRAS: dict[str, list[str]] = _PROJECT["optional-dependencies"]
_PINS = {
    canonicalize_name(r.name): r
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    for r in [Requirement(line.partition("#")[0])]
}
_FOR_WORK = {"test", "docs"}  # extras of whoever works on the package, which users are not told of


def needed(asked: list[str]) -> Iterator[tuple[str, Requirement]]:
    """Walk whatever `asked` brings with it, each with the package that needs it."""
    todo = [(_PROJECT["name"], Requirement(a)) for a in asked]
    seen: set[tuple[str, str]] = set()
    while todo:
        by, requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name == _PROJECT["name"]:
            todo += [(name, Requirement(a)) for extra in requirement.extras for a in _EXTRAS[extra]]
            continue
        yield by, requirement
        new = {(name, extra) for extra in ("", *requirement.extras)} - seen
        todo += [(name, r) for _, extra in new for r in map(Requirement, requires(name) or ()) if is_for(extra, r)]
        seen |= new


def is_for(extra: str, requirement: Requirement) -> bool:
    """Tell whether `extra` needs this, here; the empty one stands for what is needed in any case."""
    return not extra if requirement.marker is None else requirement.marker.evaluate({"extra": extra})


@pytest.mark.parametrize("extra", ["", *_EXTRAS])
def test_the_pinned_versions_are_all_that_an_extra_needs(extra: str) -> None:
    asked = [*_PROJECT["dependencies"], *_EXTRAS.get(extra, ())]
    seen = 0
    for by, requirement in needed(asked):
        pin = _PINS.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement} of {by} is not pinned in constraints.txt"
        (version,) = (s.version for s in pin.specifier)
        assert requirement.specifier.contains(version, prereleases=True), f"{by} needs {requirement}, pinned {pin}"
        seen += 1
    assert seen > len(asked)


def test_whatever_names_an_extra_names_one_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*ROOT.glob("skillfleet_nb/**/*.py"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("notebooks/*.ipynb")]
    named = {
        extra.strip()
        for path in [ROOT / "README.md", *texts]
        for extras in re.findall(r"skillfleet-nb\[([^\]]+)\]", path.read_text())
        for extra in extras.split(",")
    }
    assert named == set(_EXTRAS) - _FOR_WORK
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    fixes = " ".join(check.fix for check in Fleet(tmp_path).advice.doctor().checks)
    assert set(re.findall(r"skillfleet-nb\[(\w+)\]", fixes)) == set(_EXTRAS) - _FOR_WORK


def test_commands_need_no_server() -> None:
    """What the extra of the dashboard installs is not there with the plain installation."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['voila', 'jupyter_server', 'tornado', 'jupyterlab']));"
        "from skillfleet_nb.commands.grammar import commands; print(len(commands()))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(told.stdout) > 20
