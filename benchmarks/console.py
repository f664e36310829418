"""Measure the console in Chromium, before a real server with the real model, against its goals.

python benchmarks/console.py
python benchmarks/console.py --only pages consoles --json
python benchmarks/console.py --answers 20000 --steps 3000 --repeats 5    # quickly

Scripts and styles in bytes; each page's server time and first paint; the list of a million answers; a run of 30,000
steps; fifty open consoles of one tenant and of fifty; a token's way from a provider into the page; a chat of 400
messages in which an answer of 20,000 tokens streams. Needs Chromium. On a busy machine, processor times say more than
the clock.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import httpx
from playwright.sync_api import Browser, Page

from answers import parts as answers_in_parts
from console_parts.chat import measure_costs, measure_tasks
from llmos import Client
from llmos.console.pages import PAGES as ALL_PAGES
from llmos.console.static_files import static_files
from llmos.core.config import load_settings
from llmos.core.database import Database
from llmos.core.errors import ModelNotFound
from llmos.core.ids import new_id
from llmos.data.answers import Answers
from llmos.models import open_registry
from llmos.models.registry import Registry
from llmos.models.transfer.transfers import Transfers
from support.chromium import Visit, chromium
from support.default_model import pull_stored
from support.real_server import KEY, Running, ask, serving
from token_clock import TokenClock

PAGES = (
    "/models/smollm2@1",
    "/models/smollm2@1/fit",
    "/models/smollm2@1/jobs",
    *(
        f"{page.root or '/'}{path}"
        for page in ALL_PAGES
        for method, path, _ in page.handlers
        if method == "GET" and path in ("", "/") and page.name != "account"
    ),
)
_TICKS = os.sysconf("SC_CLK_TCK")
_STEPS_AT_ONCE = 200
_PATIENCE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Figure:
    what: str
    value: float
    unit: str
    goal: float | None = None
    """At most."""

    @property
    def verdict(self) -> str:
        return "" if self.goal is None else "ok" if self.value <= self.goal else "MISSED"


@dataclass(frozen=True, slots=True)
class Bench:
    server: Running
    browser: Browser
    options: argparse.Namespace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=30_000)
    parser.add_argument("--consoles", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30, help="how long the open consoles are watched")
    parser.add_argument("--tokens", type=int, default=300, help="tokens of the provider with a clock")
    parser.add_argument("--chat-messages", type=int, default=400)
    parser.add_argument("--chat-tokens", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args()
    with bench(options) as opened:
        figures = [figure for name in options.only for figure in PARTS[name](opened)]
    if options.as_json:
        print(json.dumps([asdict(each) for each in figures], indent=1))
        return
    width = max(len(each.what) for each in figures)
    for each in figures:
        goal = "" if each.goal is None else f"goal {each.goal:g}"
        print(f"{each.what:<{width}}  {each.value:>10,.1f} {each.unit:<6} {goal:<12} {each.verdict}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


@contextmanager
def bench(options: argparse.Namespace) -> Iterator[Bench]:
    with ExitStack() as opened:
        home = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="llmos-console-")))
        settings = load_settings({"LLMOS_HOME": str(home)})
        registry = open_registry(settings)
        _store_model(registry)
        if "answers" in options.only:
            _fill_answers(registry.database, options.answers)
        registry.database.close()
        server = opened.enter_context(serving(home, LLMOS_ANSWER_DAYS="3650"))
        ask(server, "POST", "/llmos/v1/users", {"name": "ann", "role": "owner"})
        hello = {"model": "smollm2", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
        ask(server, "POST", "/v1/chat/completions", hello)
        yield Bench(server, opened.enter_context(chromium()), options)


def _store_model(registry: Registry) -> None:
    """Store the default model: the one in LLMOS_HOME, which `make setup` puts there, or else download it."""
    own = open_registry(load_settings())
    try:
        files = own.files(own.resolve("smollm2"))
    except ModelNotFound:
        Transfers(registry).pull_from_catalog("smollm2")
        return
    finally:
        own.database.close()
    pull_stored(registry, next(path for name, path in files.items() if name.endswith(".gguf")))


def _fill_answers(database: Database, num_answers: int) -> None:
    answers = Answers(database, days=36_500, max_kept=2 * num_answers)
    for part in answers_in_parts(num_answers):
        with database.plain_counting() as transaction:
            answers.add(transaction, part)


def _write_run(server: Running, num_steps: int) -> str:
    """Write a run with so many steps, as an application does, and return its id."""
    lease = token_hex(16)
    with Client(endpoint=server.url, api_key=KEY) as client:
        run = client.runs.begin(id=new_id("run"), app="long", lease=lease, input="count")
        for first in range(0, num_steps, _STEPS_AT_ONCE):
            steps = [
                {"key": f"s{number}", "kind": "step", "name": f"count-{number}", "state": "done", "result": number}
                for number in range(first, min(first + _STEPS_AT_ONCE, num_steps))
            ]
            client.runs.write(run.id, lease=lease, steps=steps)
    return run.id


def measure_bytes(bench: Bench) -> Iterator[Figure]:
    files = static_files().values()
    yield Figure("scripts and styles", sum(len(file.bodies[""]) for file in files) / 1000, "kB", 200)
    yield Figure("scripts and styles, compressed", sum(len(file.bodies["br"]) for file in files) / 1000, "kB", 70)


def measure_pages(bench: Bench) -> Iterator[Figure]:
    worst_server, worst_paint, worst_work = ("", 0.0), ("", 0.0), ("", 0.0)
    pid = bench.server.process.pid
    with _visit(bench) as visit:
        for path in PAGES:
            before = _cpu_seconds(pid)
            times = _server_times(bench, visit, path)
            work = (_cpu_seconds(pid) - before) / (len(times) + 1) * 1000
            served = _p95(times)
            painted = _p95([_first_paint(visit.open(path)) for _ in range(max(5, bench.options.repeats // 3))])
            yield Figure(f"{path}: server time p95", served, "ms", 60)
            yield Figure(f"{path}: first paint p95", painted, "ms", 250)
            worst_work = max(worst_work, (path, work), key=lambda each: each[1])
            worst_server = max(worst_server, (path, served), key=lambda each: each[1])
            worst_paint = max(worst_paint, (path, painted), key=lambda each: each[1])
    yield Figure(f"slowest page, server time p95 ({worst_server[0]})", worst_server[1], "ms", 60)
    yield Figure(f"slowest page, of the server's processor ({worst_work[0]})", worst_work[1], "ms", 60)
    yield Figure(f"slowest page, first paint p95 ({worst_paint[0]})", worst_paint[1], "ms", 250)


def measure_answers(bench: Bench) -> Iterator[Figure]:
    with _visit(bench) as visit:
        for what, path in (
            ("newest", "/answers"),
            ("of a user", "/answers?user=user-77"),
            ("failed", "/answers?outcome=failed"),
        ):
            yield Figure(
                f"{bench.options.answers:,} answers, {what}: server time p95",
                _p95(_server_times(bench, visit, path)),
                "ms",
                300,
            )


def measure_run(bench: Bench) -> Iterator[Figure]:
    with _visit(bench) as visit:
        run, times = _write_run(bench.server, bench.options.steps), []
        for _ in range(max(5, bench.options.repeats // 3)):
            page = visit.open(f"/runs/{run}")
            times.append(page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))
        yield Figure(f"a run of {bench.options.steps:,} steps opens, p95", _p95(times), "ms", 500)


def measure_chat(bench: Bench) -> Iterator[Figure]:
    size = bench.options.chat_messages, bench.options.chat_tokens
    with _visit(bench) as visit:
        opening, streaming = measure_tasks(bench.browser, visit, *size)
    yield Figure("the chat opens: longest task", opening.longest_ms(), "ms", 50)
    yield Figure("the chat streams: longest task", streaming.longest_ms(), "ms", 50)
    yield Figure("the chat streams: longest task, of the processor", streaming.longest_ms("tdur"), "ms", 50)
    yield Figure("the chat streams: tasks over 50 ms", streaming.num_over_ms(50), "", 0)
    with _visit(bench) as visit:
        memory, per_token = measure_costs(bench.browser, visit, *size)
    yield Figure("the chat: memory of the tab", memory / 1e6, "MB", 150)
    for part, each in enumerate(per_token, 1):
        yield Figure(f"the chat: of the processor per token, fifth {part}", each, "µs")


def measure_consoles(bench: Bench) -> Iterator[Figure]:
    number = bench.options.consoles
    yield from _watch(bench, f"{number} open consoles of one tenant", ["ann"] * number)
    users = []
    for each in range(number):
        ask(bench.server, "POST", "/llmos/v1/projects", {"name": f"tenant-{each}"})
        user = {"name": f"user-{each}", "role": "developer", "project": f"tenant-{each}"}
        ask(bench.server, "POST", "/llmos/v1/users", user)
        users.append(user["name"])
    yield from _watch(bench, f"{number} open consoles of {number} tenants", users)


def _watch(bench: Bench, what: str, users: Sequence[str]) -> Iterator[Figure]:
    """Hold one live connection of the first page open for each user, and measure what they cost the server."""
    pid, seconds = bench.server.process.pid, bench.options.seconds
    alone = _cpu_share(pid, seconds)
    memory = _resident_bytes(pid)
    with ExitStack() as opened:
        for user in users:
            client = opened.enter_context(httpx.Client(base_url=bench.server.url, timeout=60))
            client.get(_sign_in_link(bench.server, user), follow_redirects=True)
            live = _live_path(client.get("/console/").text)
            stream = opened.enter_context(client.stream("GET", live))
            threading.Thread(target=_drain, args=(stream,), daemon=True).start()
        time.sleep(3)
        share = _cpu_share(pid, seconds)
        grown = _resident_bytes(pid) - memory
    yield Figure(f"{what}: of a core", max(0.0, share - alone) * 100, "%", 3)
    yield Figure(f"{what}: memory", grown / 1e6, "MB", 40)


def measure_tokens(bench: Bench) -> Iterator[Figure]:
    """A provider writes the time into each token; the page compares it with the time at which the text is there."""
    with TokenClock(bench.options.tokens) as provider, _visit(bench) as visit:
        body = {"kind": "openai", "base_url": provider.base_url}
        ask(bench.server, "PUT", "/llmos/v1/providers/clock", body)
        ask(bench.server, "PUT", "/llmos/v1/routes/clock", {"target": "remote:clock/clock"})
        page = visit.open("/chat?model=clock")
        page.evaluate(_OBSERVE)
        page.get_by_label("Message").fill("What time is it?")
        page.keyboard.press("Enter")
        _wait_for(page, "window.delays.length > 0 && window.isOver")
        delays = page.evaluate("window.delays")
    yield Figure("a token in the page after it left the provider, p50", median(delays), "ms")
    yield Figure("a token in the page after it left the provider, p95", _p95(delays), "ms", 50)


_OBSERVE = """() => {
  window.delays = []; window.isOver = false;
  const seen = new Set();
  new MutationObserver(() => {
    const now = performance.timeOrigin + performance.now();
    for (const node of document.querySelectorAll(".message.assistant .text")) {
      for (const [, time] of node.textContent.slice(-400).matchAll(/at(\\d{13})/g)) {
        if (!seen.has(time)) { seen.add(time); window.delays.push(now - Number(time)); }
      }
      if (node.textContent.includes("over")) window.isOver = true;
    }
  }).observe(document.querySelector("main"), { childList: true, subtree: true, characterData: true });
}"""

PARTS: Mapping[str, Callable[[Bench], Iterator[Figure]]] = {
    "bytes": measure_bytes,
    "pages": measure_pages,
    "answers": measure_answers,
    "run": measure_run,
    "consoles": measure_consoles,
    "tokens": measure_tokens,
    "chat": measure_chat,
}


@contextmanager
def _visit(bench: Bench) -> Iterator[Visit]:
    with Visit.begin(bench.browser, bench.server, "ann") as visit:
        yield visit


def _server_times(bench: Bench, visit: Visit, path: str) -> list[float]:
    """Return the milliseconds from a request to the whole page, without a browser."""
    cookies = {each["name"]: each["value"] for each in visit.page.context.cookies()}
    times = []
    with httpx.Client(base_url=bench.server.url, cookies=cookies, timeout=60) as client:
        for attempt in range(bench.options.repeats + 1):
            began = time.perf_counter()
            reply = client.get(f"/console{path}")
            assert reply.status_code == 200, (path, reply.status_code, reply.url)
            if attempt:  # The first one compiles the template.
                times.append((time.perf_counter() - began) * 1000)
    return times


def _first_paint(page: Page) -> float:
    _wait_for(page, "performance.getEntriesByName('first-contentful-paint').length > 0")
    painted: float = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return painted


def _wait_for(page: Page, condition: str) -> None:
    """Ask until a condition holds: Playwright's own waiting needs `eval`, which the console's policy forbids."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not page.evaluate(condition):
        if time.monotonic() > deadline:
            raise TimeoutError(f"After {_PATIENCE_SECONDS} s, this doesn't hold on {page.url}: {condition}")
        page.wait_for_timeout(50)


def _sign_in_link(server: Running, user: str) -> str:
    path: str = ask(server, "POST", f"/llmos/v1/users/{user}/sign-in-link", {})["path"]
    return path


def _live_path(html: str) -> str:
    return html.partition('hx-sse:connect="')[2].partition('"')[0].replace("&amp;", "&")


def _drain(stream: httpx.Response) -> None:
    try:
        for _ in stream.iter_raw():
            pass
    except (httpx.HTTPError, httpx.StreamError, RuntimeError):
        pass  # The measurement is over.


def _cpu_share(pid: int, seconds: float) -> float:
    """Return the share of a core that a process uses while this waits."""
    before = _cpu_seconds(pid)
    time.sleep(seconds)
    return (_cpu_seconds(pid) - before) / seconds


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[max(0, -(-95 * len(values) // 100) - 1)]


if __name__ == "__main__":
    if shutil.which("chromium") is None:
        sys.exit("There is no Chromium here. To install it: apt-get install chromium")
    main()
