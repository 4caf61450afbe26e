"""An optimizer of somebody else's package is forecast, recommended where its runs deserve it, and followed."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from made_up import Counting, Data, counted_lm, program, told

from skillfleet_nb import Fleet
from skillfleet_nb.commands.complete import offers
from skillfleet_nb.errors import InputError, PluginError
from skillfleet_nb.optimizers import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CODE = """
from pydantic import Field

from skillfleet_nb.optimizers import Optimizer, OptimizerParams, Preset, Tier, rehearsed


class TakeParams(OptimizerParams):
    k: int = Field(8, ge=1, description="demos put into the prompt")


class Take(Optimizer):
    name = "take"
    summary = "the first examples as demos"
    changes = frozenset({"demos"})
    needs = "examples in a telling order"
    Params = TakeParams
    presets = (
        Preset("few", {"k": 2}, prior_gain=0.05, tier=Tier.MINIMAL),
        Preset("many", {"k": 10}, prior_gain=0.14, tier=Tier.HEAVY),
    )

    def calls(self, shape):
        return rehearsed(shape, lambda run: run.offered(demos=self.params.k))

    def build(self, task):
        import dspy

        return dspy.LabeledFewShot(k=self.params.k)

    def compile_args(self, task):
        return {"trainset": list(task.train[: self.params.k])}
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """Install a package that has one optimizer."""
    modules: list[str] = []

    def put(name: str, code: str, target: str) -> None:
        site = tmp_path / f"site-{name}"
        about = site / f"{name}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{name} = {name}_optimizer:{target}\n")
        (site / f"{name}_optimizer.py").write_text(code)
        monkeypatch.syspath_prepend(site)
        modules.append(f"{name}_optimizer")

    yield put
    for module in modules:
        sys.modules.pop(module, None)


def _given() -> dict[str, Any]:
    lm, _ = counted_lm(Counting(usd_per_1k_tokens=0.001))
    return {**Data().splits(), "metric": told, "lm": lm}


def test_a_plugin_is_forecast_and_recommended_where_it_deserves_and_followed(
    tmp_path: Path, install: Callable[[str, str, str], None]
) -> None:
    install("take", CODE, "Take")
    fleet, given = Fleet(tmp_path / "home"), _given()
    before = fleet.advice.recommend(program(), **given, budget_usd=0.9)
    options = {o.name: o for o in before.options}
    assert before.optimizer != "take", "it says of itself that it wins little, and no run says otherwise"
    assert options["take few"].feasible
    assert options["take many"].feasible, "forecasts decide what is possible, not a tier"
    assert options["take few"].cost_usd is not None
    assert options["take many"].cost_usd is not None
    assert 0 < options["take few"].cost_usd.expected < options["gepa light"].cost_usd.expected
    assert fleet.advice.estimate(program(), **given, optimizer="take", params={"k": 10}).calls.expected > 0

    for _ in range(3):
        job = fleet.advice.follow(before, optimizer="take", params={"k": 10})
        assert job.result(timeout=120).test_score is not None
    gained = fleet.sql("select avg(gain) as gain from recommendations where chosen = 'take'").gain[0]
    assert gained > 0.2

    enough = 1.5 * options["take many"].cost_usd.high
    after = fleet.advice.recommend(program(), **given, budget_usd=enough)
    assert (after.optimizer, after.params) == ("take", {"k": 10})
    assert after.chosen.runs > 1.5
    assert after.reasons[0].startswith("runs of this home on tasks like this")
    assert "take many: examples in a telling order." in after.reasons
    job = fleet.advice.follow(after, name="as advised")
    assert job.result(timeout=120).test_score is not None
    rows = fleet.sql("select chosen, how from recommendations where how = 'accepted'")
    assert rows.to_numpy().tolist() == [["take", "accepted"]]


def _variant(name: str, body: str) -> str:
    """Write a plugin called `name`, whose class is the same with a capital, and its own in `body`."""
    return CODE.replace('"take"', f'"{name}"') + f"\n\nclass {name.capitalize()}(Take):\n    {body}\n"


BROKEN = {
    "absent": ("import package_of_nobody", "ModuleNotFoundError: No module named 'package_of_nobody'"),
    "ends": ("raise SystemExit('no licence')", "SystemExit: no licence"),
    "bare": (
        "from skillfleet_nb.optimizers import Optimizer\nclass Bare(Optimizer): pass",
        "does not define name, summary",
    ),
    "other": (CODE + "\nOther = Take", "calls itself 'take'"),
    "fast": (_variant("fast", "presets = ('fast',)"), "declares presets = ('fast',): give a tuple of Preset"),
    "gone": (_variant("gone", "presets = None"), "declares presets = None: give a tuple of Preset"),
    "free": (_variant("free", "presets = (Preset(prior_gain='much'),)"), "give a tuple of Preset"),
    "word": (_variant("word", "changes = {'demoes'}"), "declares changes = {'demoes'}: give a set of decisions, demos"),
    "text": (_variant("text", "changes = 'demos'"), "declares changes = 'demos': give a set of decisions, demos"),
    "bald": (_variant("bald", "Params = None"), "declares Params = None: give a subclass of OptimizerParams"),
}
"""Code of plugins that cannot be used, and what is said of each."""


def test_broken_plugins_are_listed_with_the_reason_and_all_else_works(
    tmp_path: Path, install: Callable[[str, str, str], None]
) -> None:
    for name, (code, _) in BROKEN.items():
        install(name, code, name.capitalize())
    fleet = Fleet(tmp_path / "home")
    listed = fleet.optimizers().set_index("name")["what it does"]
    diagnosis = {check.name: check for check in fleet.advice.doctor(lm=_given()["lm"]).checks}
    for name, (_, reason) in BROKEN.items():
        assert listed[name].startswith("broken: ")
        assert reason in listed[name]
        check = diagnosis[f"plugin {name}"]
        assert (check.level, check.fix) == ("warning", f"update or uninstall {name}")
        assert reason in check.found
        with pytest.raises(InputError, match="update or uninstall"):
            fleet.optimize(program(), **_given(), optimizer=name)
        assert offers(f"optimize program --optimizer {name} --set ", {}, lambda: fleet) == ("", [])
    assert listed["gepa"] == "instructions evolved by reflection on feedback"
    job = fleet.optimize(program(), **_given(), optimizer="labeled_fewshot")
    assert job.result(timeout=120).test_score is not None


def test_a_plugin_that_breaks_is_named_and_stands_in_no_others_way(
    tmp_path: Path, install: Callable[[str, str, str], None]
) -> None:
    for name in ("absent", "fast"):
        install(name, BROKEN[name][0], name.capitalize())
    install("wrong", CODE.replace('{"k": 2}', '{"kk": 2}').replace('"take"', '"wrong"'), "Take")
    made = Fleet(tmp_path / "home").advice.recommend(program(), **_given(), budget_usd=5.0, probe=0)
    names = [o.name for o in made.options]
    assert "gepa light" in names
    assert "wrong many" in names
    assert "wrong few" not in names
    notes = "\n".join(made.notes)
    assert f"optimizer 'absent' cannot be loaded: {BROKEN['absent'][1]}; update or uninstall absent" in notes
    assert f"fast_optimizer:Fast {BROKEN['fast'][1]}; update or uninstall fast" in notes
    assert "wrong few is left out, since it cannot be forecast: NotFoundError: unknown parameter of wrong 'kk'" in notes


def test_a_name_that_two_packages_register_is_refused_with_both(
    tmp_path: Path, install: Callable[[str, str, str], None]
) -> None:
    install("copro", _variant("copro", "n = 1"), "Copro")
    fleet = Fleet(tmp_path / "home")
    why = r"^optimizer 'copro' is registered by several packages \(copro, skillfleet-nb\); uninstall one of them"
    with pytest.raises(InputError, match=why):
        fleet.optimize(program(), **_given(), optimizer="copro")
    listed = fleet.optimizers().set_index("name")["what it does"]
    assert "several packages (copro, skillfleet-nb)" in listed["copro"]
    (check,) = [c for c in fleet.advice.doctor().checks if c.name == "plugin copro"]
    assert check.fix == "uninstall one of them, or update it to one that takes another name"
    job = fleet.optimize(program(), **_given(), optimizer="labeled_fewshot")
    assert job.result(timeout=120).test_score is not None


FAULTY = {
    "loses": ("def calls(self, shape): return {}['calls']", "loses cannot tell its calls: KeyError: 'calls'; mend it"),
    "three": (
        "def calls(self, shape): return 3",
        "three cannot tell its calls: TypeError: 3 is not Calls(least, most)",
    ),
    "upside": (
        "def calls(self, shape): from skillfleet_nb.optimizers import Calls; return Calls(9, 2)",
        "upside cannot tell its calls: TypeError: Calls(low=9, high=2, runs=()) is not Calls(least, most)",
    ),
    "checks": ("def check(self, task): task.examples", "checks cannot check the task: AttributeError: "),
    "makes": ("def __init__(self, params): params.n", "makes cannot be made: AttributeError: "),
}
"""Plugins that raise or return what they must not, each with what is said of it."""


def test_what_a_plugin_raises_is_told_in_one_line_and_the_others_are_recommended(
    tmp_path: Path, install: Callable[[str, str, str], None]
) -> None:
    for name, (body, _) in FAULTY.items():
        install(name, _variant(name, body), name.capitalize())
    fleet = Fleet(tmp_path / "home")
    made = fleet.advice.recommend(program(), **_given(), budget_usd=5.0, probe=0)
    assert "gepa light" in [o.name for o in made.options]
    assert {o.optimizer for o in made.options}.isdisjoint(FAULTY)
    for name, (_, said) in FAULTY.items():
        assert any(note.startswith(f"{name} few is left out, since it cannot be forecast: ") for note in made.notes)
        asked = [fleet.optimize] if name == "checks" else [fleet.optimize, fleet.advice.estimate]
        for ask in asked:
            with pytest.raises(PluginError, match=f"^{re.escape(said)}") as told:
                ask(program(), **_given(), optimizer=name)
            assert "\n" not in str(told.value)
    with pytest.raises(PluginError, match="loses cannot tell its calls"):
        fleet.optimize(program(), **_given(), optimizer="better_together", params={"steps": "loses"})
    members = {"members": "checks,copro"}
    with pytest.raises(InputError, match=r"member 'checks' cannot do this task \(checks cannot check the task: Attr"):
        fleet.optimize(program(), **_given(), optimizer="ensemble", params=members)
