"""The page Answers in Chromium, with an answer of the real model: live without moving, one answer, its receipt."""

import httpx
import pytest
from playwright.sync_api import expect

from support.accessible import check_accessible
from support.chromium import HOSTILE, Visit
from support.real_server import KEY, Running

pytestmark = [pytest.mark.browser, pytest.mark.process]


def ask_model(server: Running, text: str) -> str:
    """Return the id of a new stored answer."""
    headers = {"Authorization": f"Bearer {KEY}"}
    asked = {"model": "smollm2", "input": text, "max_output_tokens": 8, "user": HOSTILE[:100]}
    reply = httpx.post(f"{server.url}/v1/responses", json=asked, headers=headers, timeout=120)
    assert reply.status_code == 200, reply.text
    id: str = reply.json()["id"]
    return id


def test_newer_answers_are_offered_and_what_is_read_stays(ann: Visit, server: Running) -> None:
    ask_model(server, "One")
    page = ann.open("/answers?model=smollm2")
    rows = page.locator("tbody tr")
    before = rows.count()
    expect(page.get_by_text("There are newer answers.")).to_be_hidden()
    id = ask_model(server, "Two")
    expect(page.get_by_text("There are newer answers.")).to_be_visible()
    assert rows.count() == before
    page.get_by_role("link", name="Show them").click()
    expect(page.get_by_role("link", name=f"Open the answer {id}")).to_be_visible()
    expect(page).to_have_url(f"{server.url}/console/answers?model=smollm2")


def test_one_answer_shows_its_timeline_receipt_and_text(ann: Visit, server: Running) -> None:
    id = ask_model(server, f"Say hello. {HOSTILE}")
    page = ann.open("/answers")
    page.get_by_text("Time, person, cost, size").click()
    page.get_by_label("end user").fill(HOSTILE[:100])
    page.keyboard.press("Enter")
    page.get_by_role("link", name=f"Open the answer {id}").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(id)
    timeline = page.get_by_role("table", name="Timeline")
    expect(timeline.get_by_role("row", name="prefill")).to_be_visible()
    bar = timeline.locator("rect.stage").first
    assert bar.evaluate("rect => rect.getBoundingClientRect().width") > 0
    expect(page.get_by_text("Signed by this server as it is")).to_be_visible()
    expect(page.locator(".turn").first).to_contain_text("<script>alert(2)</script>")
    assert page.locator(".turn img, .turn script").count() == 0
    check_accessible(page)
