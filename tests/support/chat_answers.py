"""Answers of a model for the console's chat, as the browser gets them, without a model."""

import json
from typing import Any

from playwright.sync_api import Page, Route

from support.chromium import Visit


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def answer_with(visit: Visit, *answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answer the next requests with these streams of choices. Returns the list that the requests are added to."""
    asked: list[dict[str, Any]] = []
    left = list(answers)

    def answer(route: Route) -> None:
        asked.append(route.request.post_data_json)
        events = [{"id": "chatcmpl-x", "choices": [choice]} for choice in left.pop(0)]
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        route.fulfill(status=200, content_type="text/event-stream", body=body)

    visit.page.route("**/v1/chat/completions", answer)
    return asked


def text(content: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"delta": {"content": content}, **fields}, {"delta": {}, "finish_reason": "stop"}]
