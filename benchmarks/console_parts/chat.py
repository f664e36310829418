"""Measure the console's chat in Chromium: 400 kept messages, and an answer of 20,000 tokens while it streams.

python benchmarks/console_parts/chat.py
python benchmarks/console_parts/chat.py --messages 100 --tokens 4000    # quickly

Tasks of more than 50 ms, memory of the tab, and processor time of the tab per token at the beginning and at the end of
the answer. The tokens come from a script in the page, at the speed of a fast model, so that no model is measured. On a
machine that does other work tasks are longer: say its load with every figure.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from playwright.sync_api import CDPSession, Page

from llmos.core.config import load_settings
from llmos.models import open_registry
from support.chromium import Visit, chromium
from support.default_model import pull_stored
from support.real_server import ask, serving

CONVERSATIONS = "/llmos/v1/conversations"
PARAGRAPH = "The **llama** is a domesticated South American camelid, widely used as a *meat* and pack animal. " * 4
STREAM = """({tokens, parts}) => {
  window.longTasks = [];
  new PerformanceObserver((list) => { for (const each of list.getEntries()) window.longTasks.push(each.duration); })
    .observe({type: "longtask"});
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
    with serving(home) as server, chromium() as browser:
        ask(server, "POST", "/llmos/v1/users", {"name": "ann", "role": "owner"})
        with Visit.begin(browser, server, "ann") as visit:
            figures = measure(visit, options.messages, options.tokens)
            visit.complaints.clear()
    return figures


def measure(visit: Visit, num_messages: int, num_tokens: int) -> dict[str, float]:
    page = visit.page
    conversation = keep(visit, num_messages)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.add_init_script(f"({STREAM})({json.dumps({'tokens': num_tokens, 'parts': 5})})")
    visit.open(f"/chat/c/{conversation}")
    wait(page, f"document.querySelectorAll('.message').length === {num_messages}")
    wait(page, "document.querySelector('#chat-form-area').hidden === false")
    opened = page.evaluate("Math.max(0, ...window.longTasks)")
    page.evaluate("window.longTasks.length = 0")
    first, last = stream(page, session, num_tokens)
    return {
        "longest task while it opens, ms": round(opened, 1),
        "longest task while it streams, ms": round(page.evaluate("Math.max(0, ...window.longTasks)"), 1),
        "tasks over 50 ms while it streams": page.evaluate("window.longTasks.length"),
        "memory of the page's scripts and nodes, MB": round(heap(session) / 1e6, 1),
        "processor time per token, first fifth, µs": round(first, 1),
        "processor time per token, last fifth, µs": round(last, 1),
    }


def keep(visit: Visit, num_messages: int) -> str:
    """Keep a conversation of so many messages, and return its id."""
    id: str = visit.api("POST", CONVERSATIONS, {"title": "Llamas"})["id"]
    parent = None
    for start in range(0, num_messages, 100):
        roles = [("user", "assistant")[at % 2] for at in range(start, min(num_messages, start + 100))]
        messages = [{"message": {"role": role, "content": PARAGRAPH}} for role in roles]
        parent = visit.api("POST", f"{CONVERSATIONS}/{id}/messages", {"messages": messages, "parent": parent})["leaf"]
    return id


def stream(page: Page, session: CDPSession, num_tokens: int) -> tuple[float, float]:
    """Ask, and return the processor time per token in microseconds at the beginning and at the end."""
    page.get_by_label("Message", exact=True).fill("Tell me about llamas.")
    page.keyboard.press("Enter")
    times = [busy(session)]
    for part in range(1, 6):
        wait(page, f"window.marks !== undefined && window.marks.length >= {part}")
        times.append(busy(session))
    per_part = num_tokens / 5
    return (times[1] - times[0]) / per_part * 1e6, (times[5] - times[4]) / per_part * 1e6


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
