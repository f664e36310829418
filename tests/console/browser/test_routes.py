"""Routes, rollouts and providers in Chromium: what sends calls where, and who takes over."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from support.chromium import HOSTILE, Visit
from support.real_server import KEY, Running, ask

pytestmark = [pytest.mark.browser, pytest.mark.process]

SCRIPT = "<script>alert(2)</script>"


@pytest.fixture
def provider(server: Running) -> Iterator[str]:
    """A provider at which this server is its own model, until the test ends."""
    ask(server, "PUT", "/llmos/v1/providers/mirror", {"kind": "openai", "base_url": f"{server.url}/v1", "key": KEY})
    yield "mirror"
    ask(server, "DELETE", "/llmos/v1/providers/mirror")


@pytest.fixture
def split(server: Running, provider: str) -> Iterator[str]:
    """A Route with two targets, until the test ends."""
    targets = [{"target": "smollm2@1", "percent": 70}, {"target": f"remote:{provider}/smollm2", "percent": 30}]
    ask(server, "PUT", "/llmos/v1/routes/split", {"targets": targets})
    yield "split"
    ask(server, "DELETE", "/llmos/v1/routes/split")


def test_a_route_is_created_and_removed(ann: Visit) -> None:
    page = ann.open("/deployments/routes")
    page.get_by_label("name", exact=True).fill("team/chat")
    page.get_by_label("target", exact=True).fill("smollm2")
    page.get_by_label("Why").fill(HOSTILE)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("team/chat is created")
    expect(page.get_by_role("table", name="History")).to_contain_text(SCRIPT)
    page = ann.open("/deployments/routes")
    page.get_by_label("name", exact=True).fill("team/chat")
    page.get_by_label("target", exact=True).fill("smollm2@1")
    page.get_by_role("button", name="Create a Route").click()
    expect(page.get_by_role("alert")).to_contain_text("There is a Route team/chat already")
    page.get_by_role("link", name="team/chat").click()
    page.locator(".confirm summary").click()
    page.get_by_role("button", name="Remove team/chat").click()
    expect(page.get_by_role("status").first).to_contain_text("team/chat is removed")


def test_sliders_share_a_hundred_and_a_target_comes_and_goes(ann: Visit, split: str) -> None:
    page = ann.open(f"/deployments/routes/{split}")
    slider = page.get_by_role("slider", name="smollm2@1")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("spinbutton", name="smollm2@1")).to_have_value("72")
    expect(page.get_by_role("spinbutton", name="remote:mirror/smollm2")).to_have_value("28")
    page.get_by_label("Another target (optional)", exact=True).fill("smollm2")
    added = page.get_by_role("spinbutton", name="Another target")
    added.fill("50")
    added.press("Tab")
    expect(page.get_by_role("spinbutton", name="smollm2@1")).to_have_value("36")
    page.locator("#reason").fill("canary")
    page.get_by_role("button", name="Set the shares").click()
    history = page.get_by_role("table", name="History")
    expect(history).to_contain_text("smollm2@1 36 %, remote:mirror/smollm2 14 %, smollm2 50 %")
    page.get_by_role("spinbutton", name="smollm2@1").fill("100")
    page.keyboard.press("Tab")
    page.locator("#reason").fill("done")
    page.get_by_role("button", name="Set the shares").click()
    expect(page.get_by_role("slider")).to_have_count(1)


def test_a_route_that_another_tab_changed_is_not_overwritten(ann: Visit, server: Running, split: str) -> None:
    page = ann.open(f"/deployments/routes/{split}")
    ask(server, "PUT", "/llmos/v1/routes/split", {"target": "smollm2"})
    page.locator("#reason").fill("late")
    page.get_by_role("button", name="Set the shares").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody else has changed split in the meantime")
    ask(server, "DELETE", "/llmos/v1/routes/split")
    page.locator("#reason").fill("later")
    page.get_by_role("button", name="Set the shares").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("This didn't work")
    expect(page.get_by_role("link", name="Go back to the list")).to_be_visible()
    ask(server, "PUT", "/llmos/v1/routes/split", {"target": "smollm2"})
    ann.complaints.clear()  # The page that was not found.


def test_fallbacks_shadow_and_the_other_settings_change(ann: Visit, server: Running, split: str) -> None:
    page = ann.open(f"/deployments/routes/{split}")
    page.get_by_label("Fallbacks").fill("\nsmollm2\n")
    page.get_by_label("Shadow: also").fill("smollm2")
    page.get_by_label("Shadow, %").fill("12.5")
    page.get_by_label("sticky by").select_option("caller")
    page.get_by_label("time limit").fill("2.5")
    page.get_by_role("button", name="Change the settings").click()
    expect(page.get_by_role("status").first).to_contain_text("The settings of split are changed")
    route = ask(server, "GET", "/llmos/v1/routes/split")
    assert route["fallbacks"] == ["smollm2"]
    assert (route["shadow"]["percent"], route["sticky"], route["timeout_seconds"]) == (12.5, "caller", 2.5)
    assert [each["percent"] for each in route["targets"]] == [70, 30]


def test_a_provider_is_added_tested_and_removed_and_its_key_is_never_shown(ann: Visit, server: Running) -> None:
    page = ann.open("/deployments/providers")
    page.get_by_label("name", exact=True).fill("elsewhere")
    page.get_by_label("address").fill(f"{server.url}/v1")
    page.get_by_label("Key (optional)").fill("not-the-key")
    page.get_by_role("button", name="Add a provider").click()
    expect(page.get_by_role("status").first).to_contain_text("elsewhere is added")
    page.get_by_role("button", name="Test it").click()
    expect(page.get_by_role("alert")).to_contain_text("elsewhere")
    page.get_by_label("Key (optional)").fill(KEY)
    page.get_by_role("button", name="Change the provider").click()
    page.get_by_role("button", name="Test it").click()
    expect(page.get_by_role("status").first).to_contain_text("accepts the key")
    expect(page.get_by_text("remote:elsewhere/smollm2", exact=True)).to_be_visible()
    assert KEY not in page.content()
    page.locator(".confirm summary").click()
    page.get_by_role("button", name="Remove elsewhere").click()
    expect(page.get_by_role("status").first).to_contain_text("elsewhere and its key are removed")


def test_a_rollout_takes_over_by_its_gate_and_is_rolled_back(ann: Visit, server: Running, provider: str) -> None:
    ask(server, "PUT", "/llmos/v1/routes/canary", {"target": f"remote:{provider}/smollm2"})
    page = ann.open("/deployments/rollouts")
    page.get_by_label("Route", exact=True).select_option("canary")
    page.get_by_label("Steps, percents").fill("99, 100")
    page.get_by_label("Gate:").fill("error_rate <= 10% and score >= 50%")
    page.get_by_label("Calls per step").fill("2")
    page.get_by_label("Cases").fill('{"prompt": "Say hello.", "matches": ".", "max_tokens": 4}\nnot a case')
    page.get_by_role("button", name="Begin a rollout").click()
    expect(page.get_by_role("alert")).to_contain_text("not a JSON object: not a case")
    page.get_by_label("Route", exact=True).select_option("canary")
    page.get_by_label("Steps, percents").fill("99, 100")
    page.get_by_label("Gate:").fill("error_rate <= 10% and score >= 50%")
    page.get_by_label("Calls per step").fill("2")
    page.get_by_label("Cases").fill('{"prompt": "Say hello.", "matches": ".", "max_tokens": 4}')
    page.get_by_role("button", name="Begin a rollout").click()
    expect(page.get_by_role("status").first).to_contain_text("smollm2@1 takes over canary")
    gate = page.get_by_role("table", name="The gate's numbers")
    expect(page.locator("[aria-current=step]")).to_contain_text("99 %")
    expect(gate.get_by_role("row", name="score")).to_contain_text("1.000")
    body = {"model": "canary", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    while page.locator("#state .state").inner_text() != "finished":
        ask(server, "POST", "/v1/chat/completions", body)
    expect(page.locator(".steps")).to_contain_text("✓ 100 %")
    page.reload()
    page.locator(".confirm summary").click()
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("status").first).to_contain_text("canary has its shares from before")
    expect(page.get_by_role("table", name="What happened")).to_contain_text("rolled_back")
    assert ask(server, "GET", "/llmos/v1/routes/canary")["target"] == "remote:mirror/smollm2"
    ask(server, "DELETE", "/llmos/v1/routes/canary")
    ask(server, "DELETE", "/llmos/v1/deployments/smollm2@1")
