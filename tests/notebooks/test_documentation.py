"""What the documents say works: README's cells, the plugin example, and notebooks fit to be published."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def _blocks(file: Path, language: str, heading: str) -> list[str]:
    """Return the code blocks of a section."""
    _, _, after = file.read_text("utf-8").partition(f"\n## {heading}\n")
    section = re.split(r"^## ", after, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import dspy
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.chdir(tmp_path)
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()
    dspy.configure(lm=None)  # the README configures one


def _quickstart_definitions() -> list[str]:
    quickstart = nbformat.read(ROOT / "notebooks" / "00_quickstart.ipynb", as_version=4)
    code = [cell.source for cell in quickstart.cells if cell.cell_type == "code"]
    return [cell for cell in code if re.search(r"^(train|program|def metric)\b", cell, flags=re.MULTILINE)]


@pytest.mark.slow
def test_the_readme_works_cell_by_cell_as_it_stands(shell: Any) -> None:
    first, *cells = _blocks(ROOT / "README.md", "python", "Use it")
    for cell in (first, *_quickstart_definitions(), *cells):
        outcome = shell.run_cell(cell, store_history=True)
        assert outcome.success, f"{cell}\n{outcome.error_in_exec or outcome.error_before_exec}"
    names = shell.user_ns
    assert list(names["df"].columns) == ["optimizer", "best_score", "cost_usd"]
    assert str(names["fleet"].job("intents").state) == "completed"
    assert names["result"].verdict in {"improved", "no evidence", "worse"}


def test_the_optimizer_of_the_guide_is_found_and_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dspy

    import skillfleet_nb as sf
    from skillfleet_nb.optimizers import available

    guide = ROOT / "docs" / "plugins.md"
    (code,) = _blocks(guide, "python", "An example")
    (points,) = _blocks(guide, "toml", "An example")
    package = r"(?:from|import) (skillfleet_nb[\w.]*)"
    assert set(re.findall(package, code)) == {"skillfleet_nb.optimizers"}, "an author needs one room"
    group, name, target = re.search(r'"(.+)"\]\n(\w+) = "(.+)"', points).groups()
    installed = tmp_path / "shortest-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: shortest\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    (tmp_path / "shortest.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    assert name in available()

    rows = [{"word": "x" * n, "size": "long" if n > 20 else "short"} for n in range(1, 41)]
    job = sf.Fleet().optimize(
        dspy.Predict("word -> size"),
        train=rows,
        metric=lambda example, pred, trace=None: example.size == pred.size,
        optimizer=name,
        params={"k": 3},
        lm=sf.offline_lm(),
    )
    demos = job.result().program.demos
    assert len(demos) == 3
    assert max(len(demo["word"]) for demo in demos) < 20
    sys.modules.pop("shortest")


def test_the_rest_of_the_guide_works_with_that_room_alone() -> None:
    from skillfleet_nb import optimizers

    names = {name: getattr(optimizers, name) for name in optimizers.__all__}
    for heading in ("Be recommended", "Rehearse the loop"):
        (code,) = _blocks(ROOT / "docs" / "plugins.md", "python", heading)
        exec(code, names)  # noqa: S102  the document's own
    assert [preset.tier.name for preset in names["presets"]] == ["MINIMAL", "SMALL"]
    plugin = SimpleNamespace(params=SimpleNamespace(candidates=4))
    counted = names["calls"](plugin, optimizers.Shape(train=30, val=10, predictors=2))
    assert counted[:2] == (4 + 4 * 10 * 2,) * 2
    assert {(use.prompt, use.prompt_examples) for use in counted.runs} == {(4, 12)}


def test_the_help_that_pages_show_is_there() -> None:
    from skillfleet_nb.commands.tree import help_of

    pages = [file.read_text("utf-8") for file in (ROOT / "docs").glob("*.md")]
    shown = [line for page in pages for line in re.findall(r"\{command-help\} (.+)", page)]
    assert len(shown) > 10
    for line in shown:
        assert help_of(line.split()).startswith(f"usage: %skillfleet {line}")


_TYPED = re.compile(r"^\s*(?:\w+ = )?(?:%{1,2}|!)?skillfleet (.+)$", re.MULTILINE)


def _typed() -> Iterator[tuple[str, str, bool]]:
    """Yield the commands that pages and notebooks show: where, what, and whether it is more than a mention."""
    for file in [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]:
        text = file.read_text("utf-8")
        fence = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
        for block in fence.findall(text):
            yield from ((file.name, re.split(r"\s{3,}", line)[0], True) for line in _TYPED.findall(block))
        for line in re.findall(r"`%?skillfleet ([^`]+)`", fence.sub("", text)):
            yield file.name, line, False
    for file in NOTEBOOKS:
        for cell in nbformat.read(file, as_version=4).cells:
            if cell.cell_type == "code":
                yield from ((file.name, line, True) for line in _TYPED.findall(cell.source))


def test_every_command_that_is_shown_is_one_that_there_is() -> None:
    from skillfleet_nb.commands.tree import _Helped, _parse, split
    from skillfleet_nb.errors import SkillfleetError

    wrong, n = [], 0
    for place, line, is_whole in _typed():
        if "…" in line or line.startswith("help "):
            continue
        n += 1
        try:
            _parse(split(re.sub(r"[\[\]]", "", line) if is_whole else line), "%skillfleet")
        except _Helped:
            pass
        except SkillfleetError as exc:
            if is_whole or "arguments are required" not in str(exc):
                wrong.append(f"{place}: {line}: {exc}")
    assert wrong == []
    assert n > 200


def _imports(source: str) -> list[tuple[str, list[str]]]:
    """Return the modules of the package that a text imports from, and what of them."""
    parts = re.findall(r"^\s*from (skillfleet_nb[\w.]*) import ([\w, ]+)", source, flags=re.MULTILINE)
    return [(module, [name.split(" as ")[0].strip() for name in names.split(",")]) for module, names in parts]


def test_what_is_documented_is_public_and_what_is_public_is_documented() -> None:
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    table = page.partition("## What is public")[2].partition("## Fleet")[0]
    public = set(re.findall(r"`(skillfleet_nb[\w.]*)`", table))
    public |= {f"skillfleet_nb.skills{part}" for part in re.findall(r"`(\.\w+)`", table)}
    shown = [(file.name, file.read_text("utf-8")) for file in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]]
    for file in NOTEBOOKS:
        cells = nbformat.read(file, as_version=4).cells
        shown.append((file.name, "\n".join(cell.source for cell in cells if cell.cell_type == "code")))
    used = {(module, name) for _, text in shown for module, names in _imports(text) for name in names}
    assert len(used) > 10
    for module, name in used:
        assert module in public, f"{module} is shown to people: say in docs/python.md that it is public"
        assert name in import_module(module).__all__, f"{module}.{name} is shown to people and not in __all__"
    for module in public:
        exported = import_module(module)
        assert all(hasattr(exported, name) for name in exported.__all__)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_a_published_notebook_has_run_without_errors_and_names_nobody(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code), "run it, and keep its outputs"
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    shown = re.sub(r"https?://\S+", "", "\n".join(str(output) for output in outputs))
    assert not re.findall(r"(?<![\w.])/(?:home|root|tmp|work|Users|var|mnt)/[\w./-]+|[A-Z]:\\\\Users", shown)
    assert re.search(r"job\.result\(\)\s*$|^assert ", code[-1].source, flags=re.MULTILINE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_tutorial_is_a_script_that_compiles_and_comes_back_as_it_was(path: Path) -> None:
    """Without the setting in its metadata, jupytext leaves the SQL below a cell magic uncommented."""
    import jupytext

    notebook = nbformat.read(path, as_version=4)
    script = jupytext.writes(notebook, fmt="py:percent")
    compile(script, path.name, "exec")
    back = jupytext.reads(script, fmt="py:percent")
    assert [(c.cell_type, c.source) for c in back.cells] == [(c.cell_type, c.source) for c in notebook.cells]
    assert back.metadata.jupytext.custom_cell_magics == "skillfleet"
