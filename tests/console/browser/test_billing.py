"""Budgets, plans and invoices in Chromium, before the real server with the real model."""

from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from support.accessible import check_accessible
from support.chromium import Visit
from support.real_server import Running

pytestmark = [pytest.mark.browser, pytest.mark.process]


def test_a_budget_is_made_by_keyboard_and_fills_up_live(ann: Visit, server: Running) -> None:
    page = ann.open("/budgets")
    page.get_by_label("name", exact=True).focus()
    page.keyboard.type("tokens-of-eve")
    page.get_by_label("project", exact=True).select_option("owner")
    page.get_by_label("user", exact=True).fill("eve")
    page.get_by_label("unit").select_option("tokens")
    page.get_by_label("limit").fill("100000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("The budget tokens-of-eve is set.")
    expect(page.locator("#budget")).to_contain_text("0%")
    with server.openai() as client:
        client.completions.create(model="smollm2", prompt="word " * 1200, max_tokens=1, user="eve")
    expect(page.locator("#budget")).to_contain_text("1%")  # Without a reload.
    check_accessible(page)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_text("Remove tokens-of-eve").first.click()
    page.get_by_role("button", name="Remove tokens-of-eve").click()
    expect(page.get_by_role("status").first).to_contain_text("is removed")


def test_a_draft_of_a_month_without_prices_says_so(ann: Visit) -> None:
    page = ann.open("/invoices")
    page.get_by_label("project").select_option("owner")
    page.get_by_role("textbox", name="month").fill(f"{datetime.now(UTC):%Y-%m}")
    page.get_by_role("button", name="Show a draft").click()
    expect(page.get_by_role("alert")).to_contain_text("nothing to pay")
    page.get_by_role("link", name="Go back to the list").click()
    expect(page.get_by_role("button", name="Show a draft")).to_be_visible()
    ann.complaints.clear()  # That the page with the error has the status 400.


@pytest.mark.parametrize("path", ["/budgets", "/plans", "/credit/owner", "/invoices", "/invoices/settings"])
def test_pages_are_accessible(looking: Visit, path: str) -> None:
    check_accessible(looking.open(path))
    looking.check()
