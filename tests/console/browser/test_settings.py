"""The rest of Settings in Chromium: guardrails, the log, and that every page of it can be read by everybody."""

import pytest
from playwright.sync_api import expect

from support.accessible import check_accessible
from support.chromium import HOSTILE, Visit
from support.real_server import Running, ask

pytestmark = [pytest.mark.browser, pytest.mark.process]


def test_a_guardrail_is_tried_and_replayed_live(ann: Visit, server: Running) -> None:
    policy = {"both": [{"guardrail": "max_length", "characters": 1000}]}
    ask(server, "PUT", "/llmos/v1/guardrails/tried-here", policy)
    page = ann.open("/settings/guardrails/tried-here")
    page.get_by_role("textbox", name="Text", exact=True).fill(HOSTILE * 20)
    page.get_by_role("button", name="Try it on a text").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#trial")).to_contain_text("blocked")
    page.get_by_role("button", name="Start a replay").click()
    expect(page.locator("#replays")).to_contain_text("more blocked")  # Without a reload.
    check_accessible(page)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_text("Remove tried-here").first.click()
    page.get_by_role("button", name="Remove tried-here").click()
    expect(page.get_by_role("status").first).to_contain_text("tried-here is removed.")


def test_the_log_shows_new_lines_by_itself(ann: Visit, server: Running) -> None:
    page = ann.open("/settings/logs?level=info")
    ask(server, "PUT", "/llmos/v1/routes/logged-here", {"targets": [{"target": "smollm2", "percent": 100}]})
    ask(server, "DELETE", "/llmos/v1/routes/logged-here")
    expect(page.locator("#log")).to_contain_text("/llmos/v1/routes/logged-here")


@pytest.mark.parametrize(
    "path", ["guardrails", "policies", "prices", "webhooks", "erasures", "encryption", "logs"]
)  # fmt: skip
def test_pages_are_accessible(looking: Visit, path: str) -> None:
    check_accessible(looking.open(f"/settings/{path}"))
    looking.check()
