"""Checks that a page is readable by a screen reader, in both colors, also on a narrow screen."""

from typing import Literal

from axe_playwright_python.base import AxeResults
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_OTHER_RULES = ["color-contrast", "scrollable-region-focusable", "target-size"]
"""The rules whose outcome depends on colors and widths."""


def check_accessible(page: Page) -> None:
    """Fail with axe's report if the page has a violation, or if it is wider than its window."""
    _show(page, "light", 1280)
    _check(page, Axe().run(page, options={"resultTypes": ["violations"]}))
    _show(page, "dark", 360)
    options = {"resultTypes": ["violations"], "runOnly": {"type": "rule", "values": _OTHER_RULES}}
    _check(page, AxeResults(page.evaluate("options => axe.run(options)", options)))


def _show(page: Page, scheme: Literal["light", "dark"], width: int) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 800})


def _check(page: Page, found: AxeResults) -> None:
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
