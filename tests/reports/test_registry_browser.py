"""The browser of registered programs: what it lists, draws, asks before it moves an alias, and refuses."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from made_up import Data, program, told

from skillfleet_nb import Fleet
from skillfleet_nb.cli import main
from skillfleet_nb.errors import InputError, JobError
from skillfleet_nb.programs.registry import Registry
from skillfleet_nb.reports.registered_page import VersionList
from skillfleet_nb.reports.registry_timeline import SHOWN, timeline
from skillfleet_nb.widgets.registry import RegistryBrowser

if TYPE_CHECKING:
    from conftest import Lab


@pytest.fixture(scope="module")
def browsed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Register as `browsed`, in a copy: the best of `few`, the better one of `rules`, and one that nothing scored."""
    fleet = Fleet(shutil.copytree(lab.fleet.home.root, tmp_path_factory.mktemp("browsed") / "home"))
    fleet.register("few", "browsed", note="the <first>")
    fleet.register("rules", "browsed")
    bare = program()
    bare.signature = bare.signature.with_instructions("Guess again.")
    fleet.register(bare, "browsed")
    return fleet


@pytest.fixture
def browser(browsed: Fleet) -> RegistryBrowser:
    return RegistryBrowser(browsed.registry.show("browsed"), browsed.registry)


def click(browser: RegistryBrowser, do: str, **more: Any) -> None:
    browser._on_message(None, {"do": do, "n": browser.box.heard + 1, "fields": {}, **more}, [])


def test_it_promotes_with_evidence_refuses_and_rolls_back(browsed: Fleet, browser: RegistryBrowser) -> None:
    alias = "clicked"
    browsed.alias("browsed", alias, 1)
    click(browser, "select", version="2")
    click(browser, "ask", fields={"alias": alias})
    assert "version 1 to 2: no evidence: 41.7 → 66.7 on 12 examples" in browser.box.panel
    assert "Promote to clicked</button>" in browser.box.panel
    assert browsed.registry.aliases("browsed")[alias] == 1, "asking moves nothing"
    click(browser, "confirm")
    assert browsed.registry.aliases("browsed")[alias] == 2
    assert (browser.box.panel, browser.box.heard) == ("", 3)
    assert "browsed@clicked is version 2: version 1 to 2" in browser.box.told

    click(browser, "select", version="3")
    click(browser, "ask", fields={"alias": alias})
    assert "against the evidence" in browser.box.panel
    click(browser, "confirm")
    assert "version 3 was not scored on a test split" in browser.box.told
    assert browsed.registry.aliases("browsed")[alias] == 2
    click(browser, "ask", fields={"alias": alias})
    click(browser, "confirm", fields={"reason": "a drill"})
    assert browsed.registry.show("browsed").moves[alias][-1].forced == "a drill"

    click(browser, "ask-back", alias=alias)
    assert "back from version 3 to" in browser.box.panel
    click(browser, "confirm")
    assert browsed.registry.aliases("browsed")[alias] == 2
    assert browser.program is not None
    assert browser.program.aliases[alias] == 2


def test_an_alias_that_another_moved_meanwhile_is_told(browsed: Fleet, browser: RegistryBrowser) -> None:
    browsed.alias("browsed", "contested", 1)
    browser.open("browsed@2")
    browser.ask_promotion("contested")
    Registry(browsed.home).move("browsed", "contested", 3)
    with pytest.raises(JobError, match=r"was moved to version 3 by .* meanwhile"):
        browser.promote("contested")
    click(browser, "confirm")
    assert "was moved to version 3" in browser.box.told
    assert "contested → 3" in browser.box.opened, "and what is shown is new"
    browser.ask_rollback("contested")
    Registry(browsed.home).move("browsed", "contested", 2)
    with pytest.raises(JobError, match="was moved to version 2"):
        browser.roll_back("contested")


def test_a_mistake_is_told_on_the_page(browsed: Fleet, browser: RegistryBrowser) -> None:
    click(browser, "confirm")
    assert "nothing is asked" in browser.box.told
    click(browser, "open", name="brwsed")
    assert "did you mean &#39;browsed&#39;?" in browser.box.told
    with pytest.raises(InputError, match="no program is open"):
        RegistryBrowser(VersionList([]), browsed.registry).promote("production")


def test_a_name_that_is_mistyped_is_told_with_the_nearest(browsed: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["program", "show", "browzed", "--home", str(browsed.home.root)]) == 2
    assert "unknown registered program 'browzed': did you mean 'browsed'?" in capsys.readouterr().err


def test_names_are_found_and_an_empty_list_says_what_to_do(browsed: Fleet) -> None:
    browsed.register("few", "another-name")
    browser = RegistryBrowser(browsed.registry.listing(), browsed.registry)
    click(browser, "find", text="ANOTHER")
    assert re.findall(r"data-name='([^']+)'", browser.box.listing) == ["another-name"]
    click(browser, "open", name="another-name")
    assert "aria-current" in browser.box.listing
    empty = RegistryBrowser(VersionList([]), browsed.registry)
    assert "no program is registered yet" in empty.box.listing
    assert "no program is registered yet" in repr(empty)


def test_html_stands_beside_it_with_the_same_timeline(browsed: Fleet, browser: RegistryBrowser) -> None:
    still = browser._repr_html_()
    assert "data:image/svg+xml" in still
    assert "data-do" not in still, "nothing is to be clicked where nobody listens"
    assert "the &lt;first&gt;" in still
    assert "data-do='select' data-version='3'" in browser.box.opened
    assert "text/html" in browser._repr_mimebundle_()[0]


def test_a_version_tells_where_it_is_used(browsed: Fleet, lab: Lab) -> None:
    browsed.alias("browsed", "live", 2)
    with dspy.context(lm=lab.lm):
        options: dict[str, Any] = {"optimizer": "labeled_fewshot", "params": {"k": 2}, "metric": told}
        browsed.optimize(browsed.program("browsed@2"), **Data().splits(), **options, name="goes-on").result()
    with dspy.context(lm=lab.lm):
        live = browsed.live("browsed@live", record=0.5)
        for _ in range(4):
            live(text=Data().test[0].text)
        live.close()
    page = browsed.registry.show("browsed@2")
    assert page.uses["browsed"][2].answers == 4, "two were recorded, each for two"
    assert "about 4 live answers, the last" in str(page)
    assert "goes-on" in page.uses["browsed"][2].jobs
    assert "goes-on" not in str(page.uses["browsed"].get(3))
    row = next(line for line in str(browsed.registry.listing()).splitlines() if line.startswith("browsed "))
    assert "live answer" in row


def test_many_versions_are_turned_over(browsed: Fleet) -> None:
    registry, name = Registry(browsed.home), "many"
    for number in range(SHOWN + 5):
        registry.register(name, {"signature": {"instructions": str(number), "fields": []}, "demos": []})
    registry.move(name, "production", 2)
    browser = RegistryBrowser(browsed.registry.show(name), browsed.registry)
    shown = re.findall(r"data-version='(\d+)' data-key='version", browser.box.opened)
    assert [int(shown[0]), int(shown[-1])] == [6, SHOWN + 5]
    click(browser, "window", to=str(SHOWN))
    assert f"versions 1 to {SHOWN} of {SHOWN + 5}" in browser.box.opened
    click(browser, "select", version="2")
    assert browser.program is not None
    assert browser.program.version.version == 2
    assert "aria-pressed='true' aria-label='version 2, not scored, production" in browser.box.opened
    assert f"versions of many, 21 of {SHOWN + 5}" in browser.program.html()


@pytest.mark.parametrize("score", [None, 0.0, 0.5, 1.0])
def test_any_score_is_drawn(browsed: Fleet, score: float | None) -> None:
    from dataclasses import replace

    version = replace(browsed.registry.show("browsed@1").version, scores={} if score is None else {"test": score})
    drawn = str(timeline([version], {f"alias-{n}": 1 for n in range(30)}, 1))
    heights = [float(y) for y in re.findall(r" c?y='([-\d.]+)'", drawn)]
    assert all(0 <= y <= float(re.findall(r"height='(\d+)'", drawn)[0]) for y in heights)
