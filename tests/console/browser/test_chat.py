"""The chat in Chromium: conversations kept on the server, branches, tools, schemas, probabilities, reasoning."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from support.accessible import check_accessible
from support.chat_answers import answer_with, say, text
from support.chromium import HOSTILE, Visit
from support.real_server import Running, ask

pytestmark = [pytest.mark.browser, pytest.mark.process]

CONVERSATIONS = "/llmos/v1/conversations"


@pytest.fixture(autouse=True)
def _no_conversations_stay(ann: Visit) -> Iterator[None]:
    yield
    wait_until_saved(ann)
    for each in ann.api("GET", CONVERSATIONS)["data"]:
        ann.api("DELETE", f"{CONVERSATIONS}/{each['id']}")


def wait_until_saved(visit: Visit) -> None:
    """Wait until the page saves nothing: it would find its conversation removed, and the browser tell of the 404."""
    expect(visit.page.locator("#chat[data-saving]")).to_have_count(0)


def wait_until_kept(visit: Visit, num_messages: int) -> dict[str, Any]:
    """Return the conversation when it has so many messages."""
    visit.page.wait_for_url("**/console/chat/c/*")
    id = visit.page.url.rpartition("/")[2]
    for _ in range(300):
        kept = visit.api("GET", f"{CONVERSATIONS}/{id}")
        if kept["num_messages"] == num_messages:
            return kept
        visit.page.wait_for_timeout(100)
    raise AssertionError(f"{kept['num_messages']} messages are kept")


def test_another_browser_finds_the_conversation_and_goes_on(ann: Visit, browser: Browser, server: Running) -> None:
    page = ann.open("/chat")
    page.get_by_label("System prompt").fill("Answer in one word.")
    page.get_by_text("Sampling", exact=True).click()
    page.get_by_label("Most tokens").fill("8")
    say(page, "Name a color, llama.")
    expect(page.locator(".message.assistant .facts-line")).to_contain_text("smollm2@1")
    kept = wait_until_kept(ann, 2)
    assert kept["title"] == "Name a color, llama."
    assert kept["messages"][1]["answer"]
    assert kept["messages"][1]["facts"]["version"] == "smollm2@1"
    with Visit.begin(browser, server, "ann") as other:
        found = other.open("/chat/conversations")
        found.get_by_label("Words in titles and messages").fill("LLAMA color")
        found.keyboard.press("Enter")
        found.get_by_role("link", name="Name a color, llama.").click()
        expect(found.locator(".message")).to_have_count(2)
        expect(found.get_by_label("System prompt")).to_have_value("Answer in one word.")
        say(found, "Another one.")
        expect(found.locator(".message.assistant .facts-line").nth(1)).to_contain_text("smollm2@1")
        wait_until_kept(other, 4)
    with Visit.begin(browser, server, "bob") as bob:
        assert bob.api("GET", CONVERSATIONS)["data"] == []
        expect(bob.open(f"/chat/c/{kept['id']}").get_by_role("alert")).to_contain_text("There is no conversation")
        bob.complaints.clear()  # The browser tells of the 404.


def test_an_edited_question_and_another_try_are_branches(ann: Visit) -> None:
    answer_with(ann, text("Red."), text("Blue."), text("Warm red."))
    page = ann.open("/chat")
    say(page, "Name a color.")
    expect(page.locator(".message.assistant .text")).to_have_text("Red.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".message.assistant .text")).to_have_text("Blue.")
    expect(page.locator(".branch")).to_have_text("2/2")
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Edit").fill("Name a warm color.")
    page.keyboard.press("Enter")
    expect(page.locator(".message.assistant .text")).to_have_text("Warm red.")
    wait_until_kept(ann, 5)
    page.get_by_role("button", name="The version before").first.click()
    expect(page.locator(".message.assistant .text")).to_have_text("Blue.")
    page.get_by_role("button", name="The version before").last.click()
    expect(page.locator(".message.assistant .text")).to_have_text("Red.")
    wait_until_saved(ann)
    page.reload()
    expect(page.locator(".message.assistant .text")).to_have_text("Red.")
    expect(page.locator(".branch")).to_have_text(["1/2", "1/2"])


def test_a_tool_is_called_and_the_person_gives_its_result(ann: Visit) -> None:
    call = {"index": 0, "id": "call-1", "function": {"name": "weather", "arguments": '{"city": "<img src=x>"}'}}
    calls = [{"delta": {"tool_calls": [call]}}, {"delta": {}, "finish_reason": "tool_calls"}]
    asked = answer_with(ann, calls, text("It rains."))
    page = ann.open("/chat")
    page.get_by_text("Tools and JSON", exact=True).click()
    page.get_by_label("Tools, a JSON list").fill('[{"name": "weather", "parameters": {"type": "object"}}]')
    say(page, "Does it rain?")
    expect(page.locator(".call pre")).to_contain_text('"city": "<img src=x>"')
    say(page, "Well?")
    expect(page.get_by_label("Result of weather")).to_be_focused()
    page.get_by_label("Result of weather").fill(HOSTILE)
    page.get_by_role("button", name="Give the results").click()
    expect(page.locator(".message.assistant .text").last).to_have_text("It rains.")
    assert asked[0]["tools"] == [
        {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    ]
    assert [each["role"] for each in asked[1]["messages"]] == ["user", "assistant", "tool"]
    kept = wait_until_kept(ann, 4)
    assert kept["messages"][2]["message"] == {"role": "tool", "tool_call_id": "call-1", "content": HOSTILE}
    page.reload()
    expect(page.locator(".message.tool .text")).to_have_text(HOSTILE)


def test_a_schema_is_sent_and_a_broken_one_is_said(ann: Visit) -> None:
    asked = answer_with(ann, text('{"color": "red"}'))
    page = ann.open("/chat")
    page.get_by_text("Tools and JSON", exact=True).click()
    page.get_by_label("JSON schema").fill('{"type": "object"')
    say(page, "Name a color.")
    expect(page.locator(".message.assistant").get_by_role("alert")).to_contain_text("JSON schema can't be read")
    page.get_by_label("JSON schema").fill('{"type": "object"}')
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".message.assistant .text")).to_have_text('{"color": "red"}')
    assert asked[0]["response_format"]["json_schema"] == {"name": "answer", "schema": {"type": "object"}}


def test_probabilities_are_colors_with_numbers_that_the_keyboard_reaches(ann: Visit) -> None:
    page = ann.open("/chat")
    page.get_by_text("Sampling", exact=True).click()
    page.get_by_label("Most tokens").fill("12")
    page.get_by_label("probability of each token").check()
    say(page, "Name three colors.")
    page.get_by_role("button", name="Probabilities").click()
    expect(page.locator(".heat span")).to_have_count(12)
    page.locator(".heat").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".heat-said")).to_contain_text("%")
    expect(page.locator(".heat .at")).to_have_count(1)
    expect(page.locator(".heat-legend span")).to_have_count(5)
    check_accessible(page)
    page.get_by_role("button", name="Probabilities").click()
    expect(page.locator(".message.assistant .text")).to_be_visible()


def test_thumbs_and_corrections_are_kept_as_feedback(ann: Visit) -> None:
    answer_with(ann, text("Rd."))
    page = ann.open("/chat")
    page.get_by_label("System prompt").fill("Be brief.")
    say(page, "Name a color.")
    page.get_by_role("button", name="A good answer").click()
    expect(page.get_by_role("button", name="A good answer")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Correct").click()
    page.get_by_label("What the answer should have been").fill("Red.")
    page.get_by_role("button", name="Send the correction").click()
    expect(page.get_by_role("button", name="A bad answer")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_text("Thank you, your feedback is stored.")).to_be_visible()
    (given,) = ann.api("GET", "/llmos/v1/feedback?answer=chatcmpl-x")["data"]
    assert (given["rating"], given["actor"], given["content"]["correction"]) == ("down", "user:ann", "Red.")
    assert [each["content"] for each in given["content"]["messages"]] == ["Be brief.", "Name a color."]
    ann.api("DELETE", f"/llmos/v1/feedback/{given['id']}")


def test_passages_of_knowledge_are_cited_and_opened(ann: Visit) -> None:
    hit = {
        "text": f"Faq. {HOSTILE}",
        "citation": {"document": HOSTILE, "page": 3, "quote": "The guarantee is 2 years."},
    }
    ann.page.route("**/knowledge/*/search", lambda route: route.fulfill(json={"hits": [hit]}))
    asked = answer_with(ann, text("It is 2 years [1], not [7]."))
    page = ann.open("/chat")
    page.evaluate("""() => {
      document.getElementById("knowledge")?.remove();
      const select = Object.assign(document.createElement("select"), {id: "knowledge"});
      select.append(new Option("faq"));
      document.getElementById("settings").append(select);
    }""")
    say(page, "How long is the guarantee?")
    page.get_by_role("button", name="Source 1").click()
    expect(page.locator(".sources blockquote")).to_be_focused()
    expect(page.locator(".sources blockquote")).to_have_text("The guarantee is 2 years.")
    expect(page.locator(".message.assistant .text")).to_have_text("It is 2 years [1], not [7].")
    assert page.get_by_role("button", name="Source 7").count() == 0
    assert asked[0]["messages"][0]["role"] == "system"
    assert "[1] Faq." in asked[0]["messages"][0]["content"]


def test_reasoning_is_folded_and_kept(ann: Visit) -> None:
    thinking = [{"delta": {"reasoning_content": f"Hmm. {HOSTILE}"}}, *text("Red.")]
    answer_with(ann, thinking)
    page = ann.open("/chat")
    say(page, "Name a color.")
    expect(page.locator(".message.assistant .text")).to_have_text("Red.")
    expect(page.locator(".thoughts")).to_be_hidden()
    wait_until_kept(ann, 2)
    page.reload()
    page.get_by_text("Reasoning").click()
    expect(page.locator(".thoughts")).to_contain_text("Hmm.")
    assert page.locator(".thoughts img, .thoughts script").count() == 0


def test_a_stream_that_is_cut_leaves_a_valid_conversation(ann: Visit) -> None:
    page = ann.open("/chat")
    say(page, "Write a very long story about a llama. Do not stop.")
    expect(page.locator(".message.assistant .text")).not_to_be_empty()
    wait_until_kept(ann, 1)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator(".message")).to_have_count(2)
    expect(page.locator(".message.assistant .text")).not_to_be_empty()
    expect(page.locator(".message.assistant .facts-line")).to_contain_text("stopped")


def test_a_conversation_removed_in_another_tab_is_said_and_begun_anew(ann: Visit) -> None:
    answer_with(ann, text("Red."), text("Blue."), text("Green."))
    page = ann.open("/chat")
    say(page, "Name a color.")
    kept = wait_until_kept(ann, 2)
    ann.api("DELETE", f"{CONVERSATIONS}/{kept['id']}")
    say(page, "Another.")
    expect(page.get_by_role("alert")).to_contain_text("removed elsewhere")
    expect(page.locator(".message.assistant .text").last).to_have_text("Blue.")
    say(page, "And another.")
    expect(page.locator(".message.assistant .text").last).to_have_text("Green.")
    page.wait_for_url(lambda url: not url.endswith(kept["id"]))
    assert wait_until_kept(ann, 6)["id"] != kept["id"]
    ann.complaints.clear()  # The browser tells of the 404.


def test_conversations_are_renamed_exported_and_removed_without_scripts(browser: Browser, server: Running) -> None:
    with Visit.begin(browser, server, "ann", java_script_enabled=False) as visit:
        made = visit.api("POST", CONVERSATIONS, {"title": HOSTILE, "settings": {"system": "Be brief."}})
        messages = [{"message": {"role": "user", "content": HOSTILE}}]
        visit.api("POST", f"{CONVERSATIONS}/{made['id']}/messages", {"messages": messages})
        page = visit.open("/chat/conversations")
        expect(page.get_by_role("link", name="onerror")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("link", name="Markdown").click()
        assert f"## system\n\nBe brief.\n\n## user\n\n{HOSTILE}" in download.value.path().read_text()
        page.get_by_text("Rename or remove").click()
        page.get_by_label("Title", exact=True).fill("Colors")
        page.get_by_role("button", name="Rename").click()
        expect(page.get_by_role("status").first).to_contain_text("is called Colors now")
        page.get_by_text("Rename or remove").click()
        page.get_by_role("button", name="Remove").click()
        expect(page.get_by_text("There are no conversations yet.")).to_be_visible()


def test_a_long_answer_is_in_groups_that_change_nothing_of_its_text(ann: Visit) -> None:
    paragraphs = [f"Paragraph {number}." for number in range(400)]
    answer_with(ann, text("\n\n".join(paragraphs)))
    page = ann.open("/chat")
    say(page, "Write a lot.")
    shown = page.locator(".message.assistant .text")
    expect(shown.locator("p")).to_have_text(paragraphs)
    assert shown.locator(".group .group").count() == 24
    assert shown.locator(":scope > *").count() < 20


def test_a_long_block_of_code_is_in_parts_and_is_copied_as_it_was(ann: Visit) -> None:
    code = "\n".join("" if number % 64 in (0, 1) else f"line {number}" for number in range(1, 301))
    answer_with(ann, text(f"```\n{code}\n```\n\nThat is all."))
    page = ann.open("/chat")
    say(page, "Write a program.")
    expect(page.get_by_text("That is all.")).to_be_visible()
    assert page.locator("pre .lines").count() == 4
    page.locator("pre .lines").last.scroll_into_view_if_needed()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('pre code'))")
    assert page.evaluate("getSelection().toString()") == code


def test_a_long_list_goes_on_in_parts_with_the_numbers_that_follow(ann: Visit) -> None:
    items = "\n".join(f"{number}. Item **{number}**" for number in range(3, 203))
    answer_with(ann, text(f"{items}\n\nThat is all."))
    page = ann.open("/chat")
    say(page, "Write a list.")
    expect(page.get_by_text("That is all.")).to_be_visible()
    shown = page.locator(".message.assistant .text")
    assert shown.locator("ol").evaluate_all("lists => lists.map(list => [list.start, list.children.length])") == [
        [3, 64], [67, 64], [131, 64], [195, 8],
    ]  # fmt: skip
    expect(shown.locator("li").last).to_have_text("Item 202")
    check_accessible(page)


def test_long_lines_and_text_from_right_to_left_stay_in_their_place(ann: Visit) -> None:
    answer_with(ann, text("מילה " * 50 + "\n\n" + "x" * 200_000))
    page = ann.open("/chat")
    say(page, "שלום " + "y" * 5000)
    expect(page.locator(".message.assistant .facts-line button").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    direction = "getComputedStyle(document.querySelector('.message.user .text')).direction"
    assert page.evaluate(direction) == "rtl"


def test_a_project_that_keeps_nothing_chats_without_keeping(browser: Browser, server: Running) -> None:
    ask(server, "PUT", "/llmos/v1/projects/acme/retention", {"retention": "nothing"})
    with Visit.begin(browser, server, "bob") as bob:
        answer_with(bob, text("Red."), text("Blue."))
        page = bob.open("/chat")
        say(page, "Name a color.")
        expect(page.get_by_role("alert")).to_contain_text("isn't kept on the server")
        say(page, "Another.")
        expect(page.locator(".message.assistant .text").last).to_have_text("Blue.")
        bob.complaints.clear()  # The browser tells of the 409.
    ask(server, "PUT", "/llmos/v1/projects/acme/retention", {"retention": "default"})
