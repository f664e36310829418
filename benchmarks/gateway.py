"""Measure the gateway: requests a second, latency, processor time and memory, beside LiteLLM's proxy.

    python benchmarks/gateway.py [--rounds 3] [--seconds 4] [--only llmos] [--json]

The whole pipeline is on: a key with limits, a budget, the guardrails `default` (benchmarks/guardrails.py), prices, the
ledger, the log, metrics and receipts. The engine behind it answers with 16 tokens, in steps that take no time
(gateway_servers/instant_engine.py). LiteLLM, and LLMOS again, forward to an API that answers at once with the same
(gateway_servers/upstream.py). An echo on uvicorn is the yardstick of the machine. All are measured in turns, by wrk on
the same cores:

    apt-get install wrk

LiteLLM is installed into build/peers/litellm at the first run. It has no database unless --litellm-database names one
(PostgreSQL), which needs the programs that Prisma downloads.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from guardrails import GUARDRAILS
from llmos.billing.budgets import BudgetSettings
from llmos.core.config import load_settings
from llmos.gateway.opening import open_services
from llmos.models.transfer.transfers import Transfers
from llmos.security.keys import NewKey
from llmos.security.limits import Limits
from peers.environments import environment
from support.tiny_gguf import write_gguf

HERE = Path(__file__).parent

MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant. Answer in one short paragraph."},
    {"role": "user", "content": "What is an operating system, and what does it do for the programs that run on it?"},
]
PRICES = {"currency": "EUR", "prices": {"default": {"per_million_tokens": {"input": "0.10", "output": "0.40"}}}}
BUDGET = BudgetSettings(unit="money", currency="EUR", limit="1000000")
LIMITS = Limits(requests_per_minute=10**9, tokens_per_minute=10**9, concurrent_requests=10**6)
WARM_UP_SECONDS = 1
LITELLM = "litellm[proxy]==1.108.7"

_REPORT = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("REPORT %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Target:
    """A server under load."""

    name: str
    url: str
    pid: int
    """The process whose time and memory count."""
    key: str = ""
    model: str = "instant"


@dataclass
class Row:
    """One way of asking one server; a figure for each round."""

    server: str
    asked: str
    """plain, streamed or echo."""
    concurrency: int
    per_second: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    """Time of the processor that the server takes for each request, in microseconds."""
    resident_mb: list[float] = field(default_factory=list)
    num_failed: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--only", choices=("llmos", "litellm"), help="measure this one and the echo")
    parser.add_argument("--litellm-database", metavar="URL", help="PostgreSQL for LiteLLM")
    parser.add_argument("--stages", action="store_true", help="print the processor time of LLMOS by stage of a call")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed. Run: apt-get install wrk")
    if options.stages:
        print(stages(options.seconds))
        return
    rows: dict[tuple[str, str, int], Row] = {}
    with tempfile.TemporaryDirectory(prefix="llmos-gateway-") as folder, ExitStack() as stack:
        targets = list(_start(stack, Path(folder), options))
        for target in targets:
            for asked, concurrency in _ways(target):
                load(target, asked, concurrency, Path(folder), WARM_UP_SECONDS)
        for _ in range(options.rounds):
            for target in targets:
                for asked, concurrency in _ways(target):
                    row = rows.setdefault((target.name, asked, concurrency), Row(target.name, asked, concurrency))
                    measure(row, target, Path(folder), options.seconds)
    print(json.dumps([asdict(row) for row in rows.values()]) if options.json else table([*rows.values()]))


def _start(stack: ExitStack, folder: Path, options: argparse.Namespace) -> Iterator[Target]:
    upstream = stack.enter_context(upstream_server(folder))
    yield upstream
    if options.only != "litellm":
        yield from stack.enter_context(llmos_server(folder, upstream))
    if options.only != "llmos":
        yield stack.enter_context(litellm_server(folder, upstream, options.litellm_database))


def stages(seconds: int) -> str:
    """Return a Markdown table of the microseconds of each stage, at 10 calls at once."""
    with tempfile.TemporaryDirectory(prefix="llmos-gateway-") as name, ExitStack() as stack:
        folder = Path(name)
        upstream, file = stack.enter_context(upstream_server(folder)), folder / "stages.json"
        target = stack.enter_context(llmos_server(folder, upstream, str(file)))[0]
        micros: dict[str, dict[str, float]] = {}
        for asked in ("plain", "streamed"):
            load(target, asked, 10, folder, WARM_UP_SECONDS)
            _samples(target, file)
            row = Row(target.name, asked, 10)
            measure(row, target, folder, seconds)
            samples = _samples(target, file)
            for each, number in samples.items():
                share = number / sum(samples.values())
                micros.setdefault(each, {})[asked] = share * row.cpu_us[0]
    lines = ["| CPU µs of one call | plain | streamed |", "|---|---:|---:|"]
    ordered = sorted(micros.items(), key=lambda item: -item[1].get("plain", 0))
    lines += [f"| {each} | {of.get('plain', 0):,.0f} | {of.get('streamed', 0):,.0f} |" for each, of in ordered]
    total = {asked: sum(of.get(asked, 0) for of in micros.values()) for asked in ("plain", "streamed")}
    return "\n".join([*lines, f"| all | {total['plain']:,.0f} | {total['streamed']:,.0f} |"])


def _samples(target: Target, file: Path) -> dict[str, int]:
    """Return the samples since the last time."""
    file.unlink(missing_ok=True)
    os.kill(target.pid, signal.SIGUSR2)
    while not file.exists() or not (text := file.read_text()):
        time.sleep(0.05)
        answers(f"{target.url}/health/live")  # Signals are handled when Python runs.
    return dict(json.loads(text))


def _ways(target: Target) -> list[tuple[str, int]]:
    if target.name == "echo":
        return [("echo", 10)]
    return [(asked, concurrency) for concurrency in (10, 100) for asked in ("plain", "streamed")]


def measure(row: Row, target: Target, folder: Path, seconds: int) -> None:
    """Put the target under load, and add what was measured to the row."""
    before = cpu_seconds(target.pid)
    num, micros, p50, p99, num_failed = load(target, row.asked, row.concurrency, folder, seconds)
    cpu = cpu_seconds(target.pid) - before
    row.per_second.append(num / micros * 1e6)
    row.p50_ms.append(p50 / 1000)
    row.p99_ms.append(p99 / 1000)
    row.cpu_us.append(cpu / max(1, num) * 1e6)
    row.resident_mb.append(resident_bytes(target.pid) / 1e6)
    row.num_failed += num_failed


def load(target: Target, asked: str, concurrency: int, folder: Path, seconds: int) -> list[int]:
    """Put the target under load. Return the requests, the microseconds, those of p50 and p99, and the failures."""
    script = folder / f"{target.pid}-{target.model.replace('/', '-')}-{asked}.lua"
    script.write_text(_script(target, asked))
    path = "/echo" if asked == "echo" else "/v1/chat/completions"
    command = ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", "--timeout", "20s", "-s", str(script)]
    done = subprocess.run([*command, target.url + path], capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("REPORT"))
    return [*map(int, line.split()[1:])]


def _script(target: Target, asked: str) -> str:
    body = json.dumps({"model": target.model, "messages": MESSAGES, "max_tokens": 64, "stream": asked == "streamed"})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {target.key}"}
    lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()]
    return "\n".join(['wrk.method = "POST"', f"wrk.body = {json.dumps(body)}", *lines, _REPORT])


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def upstream_server(folder: Path) -> Iterator[Target]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "gateway_servers.upstream:app", "--port", str(port)]
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    url = f"http://127.0.0.1:{port}"
    with running([*command, *options], folder / "upstream.log", lambda: answers(url + "/echo")) as pid:
        yield Target("echo", url, pid)


@contextmanager
def llmos_server(folder: Path, upstream: Target, *arguments: str) -> Iterator[list[Target]]:
    """Yield one server as two targets: with the instant engine, and forwarding to the upstream."""
    port, home = free_port(), folder / "home"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMOS_")}
    environ |= {"LLMOS_HOME": str(home), "LLMOS_PORT": str(port)}
    key = prepare(home, folder, upstream)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, str(HERE / "gateway_servers" / "gateway.py"), *arguments]
    log = folder / "llmos.log"
    with running(command, log, lambda: answers(f"{url}/health/ready"), environ) as pid:
        yield [
            Target("LLMOS", url, pid, key),
            Target("LLMOS, forwarding", url, pid, key, "forwarded"),
        ]


def prepare(home: Path, folder: Path, upstream: Target) -> str:
    """Make a home with a model, a provider, prices, guardrails and a budget for all calls, and a key with limits.

    Return the key.
    """
    services = open_services(load_settings({"LLMOS_HOME": str(home)}))
    Transfers(services.registry).import_path(write_gguf(folder / "instant.gguf"), "instant")
    services.providers.add("upstream", kind="openai", base_url=f"{upstream.url}/v1", key=None)
    services.billing.price_books.set(PRICES)
    entries = GUARDRAILS["default"]
    services.guardrails.set("default", {"input": entries, "output": entries})
    services.guardrails.apply("default", "installation")
    services.routes.set("forwarded", "remote:upstream/instant", actor="benchmark")
    services.billing.budgets.set("benchmark", BUDGET)
    _, key = services.keys.create(NewKey(limits=LIMITS))
    services.registry.database.close()
    return key


@contextmanager
def litellm_server(folder: Path, upstream: Target, database: str | None) -> Iterator[Target]:
    python = environment("litellm", LITELLM)
    port, key, config = free_port(), "sk-benchmark", folder / "litellm.json"
    model = {"model": "openai/instant", "api_base": f"{upstream.url}/v1", "api_key": "none"}
    general = {"master_key": key} | ({"database_url": database} if database else {})
    config.write_text(
        json.dumps({"model_list": [{"model_name": "instant", "litellm_params": model}], "general_settings": general})
    )
    command = [str(python.with_name("litellm")), "--config", str(config), "--port", str(port), "--num_workers", "1"]
    url = f"http://127.0.0.1:{port}"
    environ = os.environ | {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with running(command, folder / "litellm.log", lambda: answers(f"{url}/health/liveliness"), environ) as pid:
        yield Target("LiteLLM", url, pid, key)


@contextmanager
def running(
    command: list[str], log: Path, is_ready: Callable[[], bool], environ: dict[str, str] | None = None
) -> Iterator[int]:
    """Run a server for as long as the body; yield its process id when it is ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environ, cwd=HERE)
    try:
        until = time.monotonic() + 120
        while not is_ready():
            if process.poll() is not None or time.monotonic() > until:
                sys.exit(f"{command[0]} did not become ready:\n{log.read_text()}")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def table(rows: list[Row]) -> str:
    """Return the medians of the rounds as a Markdown table."""
    echo = statistics.median(rows[0].cpu_us)
    lines = [
        "| | | at once | requests/s | p50 ms | p99 ms | CPU µs per request | of the echo's | resident MB | failed |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        per_second, p50, p99, cpu = map(statistics.median, (row.per_second, row.p50_ms, row.p99_ms, row.cpu_us))
        lines.append(
            f"| {row.server} | {row.asked} | {row.concurrency} | {per_second:,.0f} | {p50:.2f} | {p99:.2f} |"
            f" {cpu:,.0f} | {cpu / echo:.1f} × | {max(row.resident_mb):,.0f} | {row.num_failed} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
