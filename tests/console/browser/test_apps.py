"""Applications in Chromium, with one that the real server runs in a process of its own."""

import json
import re
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from llmos.client import Client
from llmos.console.pages.runs import STEPS_AT_ONCE
from llmos.core.ids import new_id
from llmos.core.schemas.hosted_apps import RunResult
from support.accessible import check_accessible
from support.apps import LEASE
from support.chromium import HOSTILE, Visit
from support.hosted_apps import write_echo
from support.real_server import KEY, Running

pytestmark = [pytest.mark.browser, pytest.mark.process]


@pytest.fixture(scope="module")
def client(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of the server with two versions of `echo`, of which none is deployed."""
    folder = tmp_path_factory.mktemp("echo")
    with Client(server.url, api_key=KEY) as client:
        for version in ("v1", "v2"):
            client.apps.create(write_echo(folder, version, manifest=f"description: {HOSTILE[:10]!r}\n"))
        yield client
        for each in client.apps.deployments():
            client.apps.stop(each.app)


def test_an_application_is_deployed_asked_approved_and_stopped(ann: Visit, client: Client) -> None:
    page = ann.open("/apps")
    page.get_by_role("link", name="echo", exact=True).click()
    expect(page.locator("#deployment")).to_contain_text("not deployed")
    page.get_by_role("button", name="Deploy").click()
    expect(page.get_by_role("status").first).to_contain_text("echo@2 is deployed")
    expect(page.locator("#deployment")).to_contain_text("ready")

    waiting = ann.open("/approvals")
    expect(waiting.get_by_text("Nothing waits for a decision")).to_be_visible()
    results: list[RunResult] = []
    asking = threading.Thread(target=lambda: results.append(client.apps.run("echo", f"wait {HOSTILE}")))
    asking.start()
    approve = waiting.get_by_role("button", name="Approve")
    expect(approve).to_be_visible()  # Without a reload.
    asking.join()
    approve.focus()
    waiting.keyboard.press("Enter")
    expect(waiting.get_by_role("status").first).to_contain_text("has got your decision")
    run = ann.open(f"/runs/{results[0].id}")
    expect(run.locator("#run")).to_contain_text("succeeded")
    expect(run.locator("#run")).to_contain_text("decided: True")
    expect(ann.open("/apps/echo").locator("#log")).to_contain_text("asked wait")

    page = ann.open("/apps/echo@2?to=echo@1")
    expect(page.locator(".diff")).to_contain_text("v1 heard")
    check_accessible(page)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_text("Stop echo").first.click()
    page.get_by_role("button", name="Stop echo").click()
    expect(page.locator("#deployment")).to_contain_text("stopped")


def test_steps_of_a_long_run_come_as_they_are_scrolled_to(ann: Visit, client: Client) -> None:
    run = client.runs.begin(id=new_id("run"), app="echo", lease=LEASE, input=HOSTILE)
    steps = [
        {"key": f"s{number}", "kind": "step", "name": f"look-{number}", "state": "done", "result": HOSTILE}
        for number in range(250)
    ]
    client.runs.write(run.id, lease=LEASE, steps=steps)
    page = ann.open(f"/runs/{run.id}")
    rows = page.locator("tbody tr", has_text="look-")
    expect(rows).to_have_count(STEPS_AT_ONCE)
    rows.last.scroll_into_view_if_needed()
    page.mouse.wheel(0, 2000)
    expect(page.get_by_text("look-150", exact=True)).to_be_attached()
    page.get_by_label("From step").fill("240")
    page.get_by_role("button", name="Show").click()
    expect(rows).to_have_count(10)
    expect(rows.last).to_contain_text("look-249")
    check_accessible(page)
    page.get_by_role("link", name="249", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("look-249")
    client.runs.cancel(run.id)
    client.runs.remove(run.id)


def test_a_question_is_taken_over_and_answered_in_the_conversation(ann: Visit, client: Client) -> None:
    session = client.sessions.open("echo", "u42")
    asked = client.handoffs.create(app="echo", key=new_id("key"), question=f"Repair? {HOSTILE}", session=session.id)
    page = ann.open("/handoffs")
    page.get_by_role("link", name=asked.id).click()
    page.get_by_role("button", name="Take it over").click()
    expect(page.locator("#state")).to_contain_text("user:ann")
    check_accessible(page)
    page.get_by_label("Your answer").fill(f"Yes. {HOSTILE}")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.locator("#state")).to_contain_text("answered")
    page.get_by_role("link", name=re.compile("^session-")).click()
    expect(page.get_by_text("Repair? ")).to_be_visible()
    expect(page.get_by_text("Yes. ")).to_be_visible()
    client.sessions.remove(session.id)


@pytest.mark.parametrize("path", ["/runs", "/approvals", "/handoffs", "/prompts"])
def test_pages_are_accessible(looking: Visit, path: str) -> None:
    check_accessible(looking.open(path))
    looking.check()


def test_a_release_is_planned_applied_and_rolled_back(ann: Visit, client: Client) -> None:
    page = ann.open("/releases/echo")
    for version in ("echo@1", "echo@2"):
        page.locator("#version").select_option(version)
        page.get_by_role("button", name="Plan").click()
        page.get_by_role("button", name="Release it").click()
        expect(page.get_by_role("status").first).to_contain_text(f"of {version} is active")
    expect(page.locator("#at-work")).to_contain_text("echo@2, answers all callers")
    check_accessible(page)
    page.get_by_text("Roll back", exact=True).first.click()
    page.get_by_label("Why, for the history").fill(HOSTILE)
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("status").first).to_contain_text("echo@1 answers again.")
    expect(page.get_by_role("table", name="What happened")).to_contain_text("user:ann")
    assert client.apps.run("echo", "hi").text == "v1 heard hi"


def test_an_eval_runs_while_its_page_is_open(ann: Visit) -> None:
    suite = {
        "name": "greeting",
        "cases": [{"id": HOSTILE[:40], "input": "Say hello.", "expect": {"matches": "(?s).*"}}],
    }
    page = ann.open("/evals")
    page.get_by_label("Route, model or app:NAME").fill("smollm2")
    page.get_by_label("suite, in YAML or JSON", exact=False).fill(json.dumps(suite))
    page.get_by_role("button", name="Run an eval").click()
    expect(page.locator("#eval")).to_contain_text("passed")  # Without a reload.
    page.reload()
    check_accessible(page)
    page.get_by_role("table", name="Cases").get_by_role("link").last.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE[:40])
    expect(page.get_by_role("heading", name="Answer 1")).to_be_visible()
