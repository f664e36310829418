"""Compare in Chromium: targets side by side or blind, votes, and the dataset that they become."""

import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, expect

from support.chat_answers import answer_with, text
from support.chromium import HOSTILE, Visit
from support.real_server import Running

pytestmark = [pytest.mark.browser, pytest.mark.process]


@pytest.fixture(autouse=True)
def _no_votes_stay(ann: Visit) -> Iterator[None]:
    yield
    for each in ann.api("GET", "/llmos/v1/feedback")["data"]:
        ann.api("DELETE", f"/llmos/v1/feedback/{each['id']}")


def test_two_targets_answer_side_by_side_and_the_address_has_it_all(ann: Visit) -> None:
    page = ann.open("/compare")
    page.get_by_label("Target 1").select_option("smollm2")
    page.get_by_label("Target 2").select_option("smollm2")
    page.get_by_label("Prompt", exact=True).fill(HOSTILE)
    page.get_by_label("Most tokens").fill("6")
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Ask all").click()
    answers = page.locator("#answers .message")
    expect(answers.locator(".facts-line")).to_contain_text(["smollm2@1", "smollm2@1"])
    first, second = answers.locator(".text").all_inner_texts()
    assert first == second
    query = parse_qs(urlsplit(page.url).query)
    assert (query["model"], query["seed"], query["prompt"]) == (["smollm2", "smollm2"], ["7"], [HOSTILE])
    page.reload()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(HOSTILE)
    expect(page.get_by_label("Most tokens")).to_have_value("6")
    expect(page.get_by_label("Target 2")).to_have_value("smollm2")


def test_a_blind_vote_hides_the_names_until_it_is_given_and_becomes_a_dataset(ann: Visit) -> None:
    answer_with(ann, text("Red."), text("Blue."))
    page = ann.open("/compare?model=smollm2&model=smollm2&prompt=Name+a+color.&blind=on")
    page.get_by_role("button", name="Ask all").click()
    expect(page.locator("#answers h2")).to_have_text(["Answer A", "Answer B"])
    expect(page.locator("#answers .facts-line").first).to_be_empty()
    best = page.locator("#answers .text").first.inner_text()
    page.get_by_role("button", name="A is best").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your vote is stored.")).to_be_visible()
    expect(page.locator("#answers h2").first).to_have_text("smollm2 ★")
    (vote,) = ann.api("GET", "/llmos/v1/feedback?kind=vote")["data"]
    assert (vote["content"]["text"], vote["content"]["is_blind"]) == (best, True)
    assert {vote["content"]["text"], vote["content"]["rejected"][0]["text"]} == {"Red.", "Blue."}
    page.reload()
    expect(page.get_by_role("table", name="Votes")).to_contain_text("smollm2")
    page.get_by_label("Dataset of preferences").fill("compared")
    page.get_by_role("button", name="Make a version of it").click()
    expect(page.get_by_role("status").first).to_contain_text("compared@1 has 1 rows.")
    (row,) = ann.api("GET", "/llmos/v1/datasets/compared/rows")["data"]
    assert row["content"]["chosen"][0]["content"] == best
    page.goto(page.url.partition("?")[0] + "?model=smollm2&model=smollm2&dataset=compared&row=0")
    expect(page.locator(".prompt-row")).to_contain_text("Name a color.")
    asked = answer_with(ann, text("Green."), text("Pink."), text("Green."), text("Pink."))
    page.get_by_role("button", name="Ask all").click()
    page.get_by_role("button", name="Equally good").click()
    page.locator("#votes").get_by_role("link", name="Next row").click()
    expect(page.get_by_text("The dataset has no such row.")).to_be_visible()
    assert asked[0]["messages"] == [{"role": "user", "content": "Name a color."}]
    assert json.loads(json.dumps(asked[0]))["model"] == "smollm2"
    ann.api("DELETE", "/llmos/v1/datasets/compared")


def test_what_is_missing_is_said(ann: Visit) -> None:
    page = ann.open("/compare")
    page.get_by_role("button", name="Ask all").click()
    expect(page.get_by_role("alert")).to_contain_text("write a prompt")
    expect(ann.open("/compare?dataset=nothing").get_by_role("alert")).to_contain_text("nothing")
    ann.complaints.clear()  # The browser tells of the 404.


def test_the_set_up_reads_without_scripts(browser: Browser, server: Running) -> None:
    with Visit.begin(browser, server, "ann", java_script_enabled=False) as visit:
        page = visit.open("/compare")
        page.get_by_label("Prompt", exact=True).fill("Name a color.")
        page.get_by_role("button", name="Set up").click()
        expect(page.get_by_label("Prompt", exact=True)).to_have_value("Name a color.")
        expect(page.get_by_text("Asking and voting need JavaScript")).to_be_visible()
