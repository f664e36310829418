"""The console's chat in Chromium: 400 kept messages, and an answer of 20,000 tokens while it streams.

Its tasks, the memory of its tab, and the processor time that a token costs in each fifth of the answer. The tokens come
from a script in the page, at the speed of a fast model, so that no model is measured. On a machine that does other work
a task takes longer than its processor time, so both are read out of Chromium's trace.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page

from support.chromium import Visit

CONVERSATIONS = "/llmos/v1/conversations"
PARAGRAPH = "The **llama** is a domesticated South American camelid, widely used as a *meat* and pack animal. " * 4
STREAM = """({tokens, parts}) => {
  const words = "Llamas are social and live with others as a herd. Their **wool** is soft.\\n\\n".split(/(?<= )/);
  const fetched = window.fetch;
  window.fetch = (address, options) => {
    if (!String(address).endsWith("/v1/chat/completions")) return fetched(address, options);
    let sent = 0;
    window.marks = [];
    const encoder = new TextEncoder();
    const body = new ReadableStream({
      async pull(controller) {
        await new Promise((resume) => { setTimeout(resume, 8); });
        let text = "";
        for (let at = 0; at < 4; at += 1, sent += 1) {
          text += `data: ${JSON.stringify({choices: [{delta: {content: words[sent % words.length]}}]})}\\n\\n`;
        }
        controller.enqueue(encoder.encode(text));
        if (sent % Math.floor(tokens / parts) < 4) window.marks.push(sent);
        if (sent >= tokens) {
          controller.enqueue(encoder.encode('data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\\n\\n'));
          controller.close();
        }
      },
    });
    return Promise.resolve(new Response(body, {status: 200}));
  };
}"""
PARTS = 5


def measure_tasks(browser: Browser, visit: Visit, num_messages: int, num_tokens: int) -> "tuple[Tasks, Tasks]":
    """Return the tasks while the page opens, and while an answer streams."""
    visit.page.add_init_script(f"({STREAM})({json.dumps({'tokens': num_tokens, 'parts': PARTS})})")
    with Tasks(browser) as opening:
        open_chat(visit, num_messages)
    with Tasks(browser) as streaming:
        stream(visit.page, visit.page.context.new_cdp_session(visit.page), num_tokens)
    return opening, streaming


def measure_costs(browser: Browser, visit: Visit, num_messages: int, num_tokens: int) -> tuple[float, list[float]]:
    """Return the bytes of the tab's process after an answer, and the microseconds of the processor for one token in
    each part of it. Without a trace, which takes time and memory itself."""
    visit.page.add_init_script(f"({STREAM})({json.dumps({'tokens': num_tokens, 'parts': PARTS})})")
    open_chat(visit, num_messages)
    session = visit.page.context.new_cdp_session(visit.page)
    per_token = stream(visit.page, session, num_tokens)
    return tab_bytes(browser), per_token


def open_chat(visit: Visit, num_messages: int) -> None:
    visit.open(f"/chat/c/{keep(visit, num_messages)}")
    wait(visit.page, f"document.querySelectorAll('.message').length === {num_messages}")
    wait(visit.page, "document.querySelector('#chat-form-area').hidden === false")


class Tasks:
    """The tasks of the page's thread, as Chromium's own trace has them."""

    def __init__(self, browser: Browser) -> None:
        self._session = browser.new_browser_cdp_session()
        self._events: list[dict[str, Any]] = []
        self._is_complete = False
        self._session.on("Tracing.dataCollected", lambda part: self._events.extend(part["value"]))
        self._session.on("Tracing.tracingComplete", self._on_complete)

    def __enter__(self) -> "Tasks":
        config = {"includedCategories": ["toplevel"], "excludedCategories": ["*"]}
        self._session.send("Tracing.start", {"traceConfig": config, "transferMode": "ReportEvents"})
        return self

    def __exit__(self, *raised: object) -> None:
        self._session.send("Tracing.end")
        while not self._is_complete:
            self._session.send("Browser.getVersion")  # Events arrive while a command waits.

    def longest_ms(self, field: str = "dur") -> float:
        """Return the longest task in milliseconds: by the clock, or, of `tdur`, by the processor time that it used."""
        return max(float(each.get(field, 0)) for each in self._tasks()) / 1000

    def num_over_ms(self, milliseconds: float) -> int:
        return sum(each["dur"] > milliseconds * 1000 for each in self._tasks())

    def _tasks(self) -> list[dict[str, Any]]:
        mains = {
            (each["pid"], each["tid"])
            for each in self._events
            if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
        }
        return [
            each
            for each in self._events
            if each["name"] == "ThreadControllerImpl::RunTask" and (each["pid"], each["tid"]) in mains and "dur" in each
        ]

    def _on_complete(self, _: object) -> None:
        self._is_complete = True


def tab_bytes(browser: Browser) -> int:
    """Return the memory that the process of the largest tab has for itself. Chromium keeps an empty one besides."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    sizes = []
    for each in found:
        if each["type"] == "renderer":
            lines = Path(f"/proc/{each['id']}/smaps_rollup").read_text().splitlines()
            sizes.append(sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_")))
    return max(sizes)


def keep(visit: Visit, num_messages: int) -> str:
    """Keep a conversation of so many messages, and return its id."""
    id: str = visit.api("POST", CONVERSATIONS, {"title": "Llamas"})["id"]
    parent = None
    for start in range(0, num_messages, 100):
        roles = [("user", "assistant")[at % 2] for at in range(start, min(num_messages, start + 100))]
        messages = [{"message": {"role": role, "content": PARAGRAPH}} for role in roles]
        parent = visit.api("POST", f"{CONVERSATIONS}/{id}/messages", {"messages": messages, "parent": parent})["leaf"]
    return id


def stream(page: Page, session: CDPSession, num_tokens: int) -> list[float]:
    """Ask, and return the processor time per token in microseconds, in each part of the answer."""
    session.send("Performance.enable")
    page.get_by_label("Message", exact=True).fill("Tell me about llamas.")
    page.keyboard.press("Enter")
    times = [busy(session)]
    for part in range(1, PARTS + 1):
        wait(page, f"window.marks !== undefined && window.marks.length >= {part}")
        times.append(busy(session))
    return [(after - before) / (num_tokens / PARTS) * 1e6 for before, after in pairwise(times)]


def wait(page: Page, condition: str) -> None:
    """Wait until it holds. The page's policy forbids Playwright's own way, which evaluates texts."""
    while not page.evaluate(condition):
        page.wait_for_timeout(50)


def busy(session: CDPSession) -> float:
    """Return the processor time of the page's thread: on a busy machine its tasks take longer, and no more of this."""
    return metric(session, "ThreadTime")


def metric(session: CDPSession, name: str) -> float:
    found = session.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in found if each["name"] == name))
