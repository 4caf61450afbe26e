"""A click counts though the kernel has what is pressed drawn anew before it is let go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dashboard_page import WIDGET_MODEL
from playwright.sync_api import expect

from skillfleet_nb.widgets.registry import RegistryPage

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser]

BUTTON = "<button type='button' data-do='ask'>{}</button>"


def test_a_click_counts_though_its_button_is_drawn_anew_meanwhile(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<!doctype html><html lang=en><title>x</title><main></main></html>")
    state = {"listing": "", "opened": BUTTON.format("Promote 2"), "panel": "", "told": "", "many": False, "heard": 0}
    page.evaluate(WIDGET_MODEL, [state, str(RegistryPage._esm), str(RegistryPage._css)])
    page.get_by_role("button", name="Promote 2").hover()
    for version in (3, 4):
        page.mouse.down()
        page.evaluate("html => kernel.take('opened', html)", BUTTON.format(f"Promote {version}"))
        page.mouse.up()
        expect(page.get_by_role("button", name=f"Promote {version}")).to_be_visible()
        assert [message["do"] for message in page.evaluate("kernel.said()")] == ["ask"]
    page.evaluate("html => kernel.take('opened', html)", BUTTON.format("Promote 5"))
    expect(page.get_by_role("button", name="Promote 5")).to_be_visible()
    page.close()
