"""Measure the console's chat in Chromium: 400 kept messages, and an answer of 20,000 tokens while it streams.

python benchmarks/console_parts/chat.py
python benchmarks/console_parts/chat.py --messages 100 --tokens 4000    # quickly

The longest tasks of the page, memory of the tab, and processor time of the tab per token in each fifth of the answer.
The tokens come from a script in the page, at the speed of a fast model, so that no model is measured. On a machine that
does other work, a task takes longer than its processor time: say the load with every figure.
"""

import argparse
import json
import os
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from playwright.sync_api import Browser, CDPSession, Page

from llmos.core.config import load_settings
from llmos.models import open_registry
from support.chromium import Visit, chromium
from support.default_model import pull_stored
from support.real_server import ask, serving

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=400)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmos-chat-") as folder:
        keep_model(Path(folder))
        figures = measure_in(Path(folder), options)
    figures["load"] = round(os.getloadavg()[0], 1)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:<45} {value}")


def keep_model(home: Path) -> None:
    """Keep the default model, which `make setup` has put into LLMOS_HOME: the page offers nothing without one."""
    stored = open_registry(load_settings())
    files = stored.files(stored.resolve("smollm2"))
    stored.database.close()
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    pull_stored(registry, next(path for name, path in files.items() if name.endswith(".gguf")))
    registry.database.close()


def measure_in(home: Path, options: argparse.Namespace) -> dict[str, float]:
    """Stream one answer for costs and memory, and another for tasks: a trace takes processor time and memory itself."""
    figures: dict[str, float] = {}
    with serving(home) as server, chromium() as browser:
        ask(server, "POST", "/llmos/v1/users", {"name": "ann", "role": "owner"})
        for measure in (measure_tasks, measure_costs):
            with Visit.begin(browser, server, "ann") as visit:
                figures |= measure(browser, visit, options.messages, options.tokens)
                visit.complaints.clear()
    return figures


def measure_tasks(browser: Browser, visit: Visit, num_messages: int, num_tokens: int) -> dict[str, float]:
    visit.page.add_init_script(f"({STREAM})({json.dumps({'tokens': num_tokens, 'parts': PARTS})})")
    with Tasks(browser) as opening:
        open_chat(visit, num_messages)
    with Tasks(browser) as streaming:
        stream(visit.page, visit.page.context.new_cdp_session(visit.page), num_tokens)
    return {**opening.figures("opens"), **streaming.figures("streams")}


def measure_costs(browser: Browser, visit: Visit, num_messages: int, num_tokens: int) -> dict[str, float]:
    visit.page.add_init_script(f"({STREAM})({json.dumps({'tokens': num_tokens, 'parts': PARTS})})")
    open_chat(visit, num_messages)
    session = visit.page.context.new_cdp_session(visit.page)
    per_token = stream(visit.page, session, num_tokens)
    return {
        "private memory of the tab's process, MB": round(tab_bytes(browser) / 1e6, 1),
        "objects of its scripts, MB": round(heap(session) / 1e6, 1),
        **{f"processor time per token, fifth {part}, µs": round(each) for part, each in enumerate(per_token, 1)},
    }


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

    def figures(self, what: str) -> dict[str, float]:
        """Return the longest tasks, by the clock and by the processor time that they used, in milliseconds."""
        mains = {
            (each["pid"], each["tid"])
            for each in self._events
            if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
        }
        tasks = [
            each
            for each in self._events
            if each["name"] == "ThreadControllerImpl::RunTask" and (each["pid"], each["tid"]) in mains and "dur" in each
        ]
        return {
            f"longest task while it {what}, ms": round(max(each["dur"] for each in tasks) / 1000, 1),
            f"tasks over 50 ms while it {what}": sum(each["dur"] > 50_000 for each in tasks),
            f"longest task while it {what}, ms of processor time": round(
                max(each.get("tdur", 0) for each in tasks) / 1000, 1
            ),
        }

    def _on_complete(self, _: object) -> None:
        self._is_complete = True


def tab_bytes(browser: Browser) -> int:
    """Return the memory that the processes of tabs have for themselves: there is one tab."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    total = 0
    for each in found:
        if each["type"] == "renderer":
            lines = Path(f"/proc/{each['id']}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
    return total


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


def heap(session: CDPSession) -> float:
    session.send("HeapProfiler.collectGarbage")
    return metric(session, "JSHeapUsedSize")


def metric(session: CDPSession, name: str) -> float:
    found = session.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in found if each["name"] == name))


if __name__ == "__main__":
    main()
