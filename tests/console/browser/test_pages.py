"""The console in Chromium, before the real server with the real model: the main job of each page."""

import json
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Request, Route, expect

from llmos.console.pages import PAGES
from support.accessible import check_accessible
from support.chromium import HOSTILE, Visit
from support.real_server import KEY, Running, lines_until, start

pytestmark = [pytest.mark.browser, pytest.mark.process]


def test_the_first_page_answers_and_stays_up_to_date(ann: Visit, server: Running) -> None:
    page = ann.open("/")
    expect(page.locator("#health")).to_contain_text("ready")
    page.get_by_label("Your question").fill("Say hello.")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#answer")).not_to_be_empty()
    errors = page.locator(".figure", has_text="errors since the start").locator("b")
    num_errors = int(errors.inner_text())
    page.get_by_label("Your question").fill("half a question")
    page.get_by_label("Your question").focus()
    long = {"model": "smollm2", "prompt": "word " * 9000}
    headers = {"Authorization": f"Bearer {KEY}"}
    assert httpx.post(f"{server.url}/v1/completions", json=long, headers=headers).status_code == 400
    expect(errors).to_have_text(str(num_errors + 1))
    expect(page.get_by_label("Your question")).to_be_focused()
    expect(page.get_by_label("Your question")).to_have_value("half a question")


def test_a_page_asks_for_news_only_while_it_is_seen(ann: Visit) -> None:
    def is_live(request: Request) -> bool:
        return "/console/live?" in request.url

    def hide(is_hidden: bool) -> None:
        ann.page.evaluate("is => Object.defineProperty(document, 'hidden', {value: is, configurable: true})", is_hidden)
        ann.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    with ann.page.expect_request(is_live):
        expect(ann.open("/").locator("#health")).to_contain_text("ready")
    with ann.page.expect_event("requestfailed", is_live):
        hide(True)
    with ann.page.expect_request(is_live):
        hide(False)
    expect(ann.page.get_by_text("The connection to the server is lost")).to_be_hidden()


def test_models_are_found_by_keyboard_described_and_given_aliases(ann: Visit) -> None:
    page = ann.open("/models")
    page.get_by_label("Filter").last.focus()
    page.keyboard.type("qwen3 over")
    expect(page.get_by_role("cell", name="qwen3-0.6b")).to_be_visible()
    expect(page.get_by_role("cell", name="minilm", exact=True)).to_have_count(0)
    expect(page.get_by_label("Filter").last).to_be_focused()
    expect(page).to_have_url(re.compile("catalog.q=qwen3"))
    page.get_by_role("link", name="smollm2@1").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("smollm2@1")
    page.get_by_label("Alias that points here").fill("prod")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("smollm2:prod points at smollm2@1 now.")
    page.get_by_role("button", name="Remove the alias").first.click()
    expect(page.get_by_role("status").first).to_contain_text("is removed")
    page.get_by_label("Alias that points here").fill("not a name!")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").first).to_contain_text("not a name!")


def test_a_download_that_cannot_begin_says_why(ann: Visit) -> None:
    page = ann.open("/models")
    page.get_by_label("Model of the catalog").fill("smolm2")
    page.get_by_role("button", name="Download").click()
    expect(page.get_by_role("alert")).to_contain_text("smollm2")


def test_a_chat_streams_repeats_with_a_seed_and_has_receipts(ann: Visit) -> None:
    page = ann.open("/chat")
    page.get_by_text("Sampling", exact=True).click()
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Most tokens").fill("24")
    page.get_by_label("Message").fill("Name three colors.")
    page.keyboard.press("Enter")
    answer = page.locator(".message.assistant")
    expect(answer.locator(".facts-line")).to_contain_text("seed 7")
    first = answer.locator(".text").inner_text()
    assert first.strip()
    assert "smollm2@1" in answer.locator(".facts-line").inner_text()
    page.get_by_role("button", name="Try again").click()
    expect(answer.locator(".facts-line")).to_contain_text("seed 7")
    assert answer.locator(".text").inner_text() == first
    assert '"seed": 7' in page.locator("#code-curl").text_content()  # type: ignore[operator]
    answer.get_by_role("link", name="receipt").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Receipt of an answer")
    expect(page.locator("dl")).to_contain_text("smollm2@1")


def test_an_answer_can_be_stopped(ann: Visit, server: Running) -> None:
    page = ann.open("/chat")
    page.get_by_label("Message").fill("Write a very long story about a llama. Do not stop.")
    page.keyboard.press("Enter")
    expect(page.locator(".message.assistant .text")).not_to_be_empty()
    page.keyboard.press("Escape")
    expect(page.locator(".message.assistant .facts-line")).to_contain_text("stopped")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    server.wait_until_idle()


def test_what_a_model_writes_runs_and_loads_nothing(ann: Visit) -> None:
    text = (
        f"# Title {HOSTILE}\n\n[bad](javascript:alert(1)) [data](data:text/html,x) [good](https://example.com/a)\n\n"
        "![picture](https://evil.example/pixel.png)\n\n```html\n<script>alert(3)</script>\n```\n\n"
        "https://example.com/raw <iframe src=//evil.example></iframe>\n" + "> " * 60 + "deep\n"
    )
    pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
    events = [{"choices": [{"delta": {"content": piece}, "finish_reason": None}]} for piece in pieces]
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"

    def answer(route: Route) -> None:
        route.fulfill(status=200, content_type="text/event-stream", body=stream)

    ann.page.route("**/v1/chat/completions", answer)
    page = ann.open("/chat")
    page.get_by_label("Message").fill(HOSTILE)
    page.keyboard.press("Enter")
    shown = page.locator(".message.assistant .text")
    expect(shown).to_contain_text("deep")
    assert shown.locator("img, script, iframe").count() == 0
    links = shown.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert {link for link in links if link} <= {
        "https://example.com/a", "https://example.com/raw", "https://evil.example/pixel.png",
    }  # fmt: skip
    expect(page.locator(".message.user .text")).to_have_text(HOSTILE)


def test_usage_is_drawn_and_comes_as_csv(ann: Visit) -> None:
    page = ann.open("/usage?by=day")
    expect(page.locator(".chart canvas")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0].startswith("value,num_calls,input_tokens")
    assert len(lines) == 2


def test_a_model_is_deployed_scaled_put_to_sleep_and_stopped(ann: Visit) -> None:
    page = ann.open("/deployments")
    page.get_by_role("button", name="Deploy").click()
    expect(page.get_by_role("status").first).to_contain_text("smollm2@1 is deployed")
    page.get_by_role("link", name="smollm2@1").first.click()
    page.get_by_label("Most replicas").fill("2")
    page.get_by_role("button", name="Scale").click()
    expect(page.get_by_role("status").first).to_contain_text("is changed")
    page.get_by_role("button", name="Unload").click()
    expect(page.locator("#deployment")).to_contain_text("asleep")
    page.get_by_role("button", name="Load", exact=True).click()
    expect(page.locator("#state")).to_contain_text("ready")
    expect(page.get_by_role("table", name="What happened")).to_contain_text("Scaled")
    expect(page.locator("#log")).to_contain_text("smollm2@1")
    page.locator(".confirm summary").click()
    page.get_by_role("button", name="Stop smollm2@1").click()
    expect(page.get_by_role("status").first).to_contain_text("not deployed any more")


def test_a_key_is_shown_once_works_and_ends(ann: Visit, server: Running) -> None:
    page = ann.open("/settings/keys")
    page.get_by_label("What it is for").fill(HOSTILE[:60])
    page.get_by_role("button", name="Create a key").click()
    key = page.locator("#key").inner_text()
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{server.url}/v1/models", headers=headers).status_code == 200
    page.get_by_role("link", name="I have it").click()
    assert key not in page.content()
    row = page.get_by_role("row", name="onerror")
    expect(row).to_be_visible()
    row.get_by_role("link").click()
    page.get_by_text("Revoke it").first.click()
    page.get_by_role("button", name="Revoke it").click()
    expect(page.get_by_role("status").first).to_contain_text("is revoked")
    assert httpx.get(f"{server.url}/v1/models", headers=headers).status_code == 401


def test_users_and_projects_are_made_and_the_audit_log_has_it(ann: Visit) -> None:
    page = ann.open("/settings/projects")
    page.get_by_label("name").fill("shop")
    page.get_by_label("description").fill(HOSTILE)
    page.get_by_role("button", name="Create a project").click()
    expect(page.get_by_role("row", name="onerror")).to_be_visible()
    page = ann.open("/settings/users")
    page.get_by_label("name", exact=True).fill("cid")
    page.get_by_label("project", exact=True).select_option("shop")
    page.get_by_role("button", name="Create a user").click()
    page.get_by_role("link", name="cid").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("status").first).to_contain_text("cid can't sign in any more.")
    page = ann.open("/settings/audit?actor=user:ann")
    expect(page.get_by_role("table")).to_contain_text("user.disable")
    page.get_by_role("button", name="Verify the whole log").click()
    expect(page.get_by_role("status").first).to_contain_text("The log is whole")


def test_tenants_see_nothing_of_each_other(browser: Browser, server: Running) -> None:
    with Visit.begin(browser, server, "bob") as visit:
        page = visit.open("/usage")
        expect(page.get_by_text("Nothing was consumed")).to_be_visible()
        expect(visit.open("/").get_by_text("errors since the start")).to_have_count(0)
        page = visit.open("/models/smollm2@1")
        expect(page.get_by_role("button", name="Remove smollm2@1")).to_have_count(0)
        expect(page.get_by_label("Alias that points here")).to_have_count(0)


def test_pages_read_without_scripts_and_forms_work(browser: Browser, server: Running) -> None:
    with Visit.begin(browser, server, "ann", java_script_enabled=False) as visit:
        page = visit.open("/")
        page.get_by_label("Your question").fill("Say hello.")
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#answer")).not_to_be_empty()
        expect(visit.open("/chat").get_by_text("The chat needs JavaScript")).to_be_visible()
        expect(visit.open("/usage").get_by_role("cell", name="smollm2@1")).to_be_visible()


def test_language_and_colors_are_switched_by_keyboard(ann: Visit) -> None:
    page = ann.open("/usage")
    page.locator(".account summary").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Language").select_option("zh")
    expect(page.get_by_role("heading", level=1)).to_have_text("用量")
    page.locator(".account summary").click()
    page.get_by_label("配色").select_option("dark")
    expect(page.locator("html[data-theme=dark]")).to_be_visible()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert re.match(r"rgb\((\d+), .*", background)[1] < "30"  # type: ignore[index]


PLACES = [
    "/",
    "/answers",
    "/apps",
    "/chat",
    "/datasets",
    "/chat/conversations",
    "/compare",
    "/deployments",
    "/deployments/nodes",
    "/deployments/providers",
    "/deployments/rollouts",
    "/deployments/routes",
    "/deployments/smollm2@1",
    "/evals",
    "/knowledge",
    "/models",
    "/models/smollm2@1",
    "/models/smollm2@1/fit",
    "/models/smollm2@1/jobs",
    "/releases",
    "/settings/audit",
    "/settings/doctor",
    "/settings/keys",
    "/settings/users/ann",
    "/usage",
    "/usage/exporters",
]


@pytest.mark.parametrize("path", PLACES)
def test_pages_are_accessible_in_both_colors_and_on_narrow_screens(looking: Visit, path: str) -> None:
    check_accessible(looking.open(path))
    looking.check()


def test_every_page_of_the_navigation_is_looked_at(ann: Visit) -> None:
    assert {page.root or "/" for page in PAGES if page.in_navigation} <= set(PLACES)


def test_a_page_says_that_the_server_is_gone_and_goes_on_when_it_is_back(ann: Visit, server: Running) -> None:
    other = ann.open("/models").context.new_page()
    with other.expect_response(lambda response: "/console/live/" in response.url):
        other.goto(ann.page.url)
    lost = other.get_by_text("The connection to the server is lost")
    page = ann.open("/chat")
    page.get_by_label("Message").fill("Write a very long story about a llama. Do not stop.")
    page.keyboard.press("Enter")
    answer = page.locator(".message.assistant")
    expect(answer.locator(".text")).not_to_be_empty()
    server.process.kill()
    expect(answer.get_by_role("alert")).to_contain_text("The connection to the server was lost.")
    expect(answer.locator(".text")).not_to_be_empty()
    expect(lost).to_be_visible()
    server.process.communicate()
    server.process = start(server.home, "--port", server.url.rpartition(":")[2])
    lines_until(server.process, "Ready")
    expect(lost).to_be_hidden()
    page.get_by_label("Most tokens").evaluate("field => { field.value = 8 }")
    page.get_by_role("button", name="Try again").click()
    expect(answer.get_by_role("link", name="receipt")).to_be_visible()
    ann.complaints.clear()  # That the server was gone.
