"""Time a running server with many clients at once: the decode workload (random prompts, greedy) over HTTP.

    llmos serve                                  # in another terminal
    python benchmarks/serving.py [--model dialogue] [--clients 1,8,32] [--plain] [--json]

Each client sends one /v1/completions after another on a connection of its own, streamed, or in one piece with --plain
(then the whole answer is one event). For each number of clients:

    tokens/s                all output tokens over the whole time
    TTFT                    from sending the request to its first event
    time per output token   from the first event to the last, over the tokens after the first
    gap in steps            between two pieces of a stream, over the median time per output token: 1 is even, large is
                            in bursts. With speculation a step has several tokens: start the server with
                            LLMOS_DRAFT_TOKENS=0 to see how evenly they come

Any server with OpenAI's completions that takes prompts as token ids can be timed: --endpoint, LLMOS_API_KEY.
The reader is written for this and reads no more of an event than its length: on one machine, every cycle that the
clients take is one that the server doesn't get.
"""

import argparse
import asyncio
import json
import math
import statistics
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from urllib.parse import SplitResult, urlsplit

from llmos.client.endpoint import resolve_endpoint
from llmos.client.server_errors import parse_error
from llmos.core.errors import LLMOSError
from llmos.engine.sizing.workloads import random_prompts


@dataclass(frozen=True)
class Timing:
    """The times of one request, in seconds."""

    first_token: float
    total: float
    num_tokens: int
    gaps: list[float]
    """Between two events."""

    @property
    def per_output_token(self) -> float:
        return (self.total - self.first_token) / max(1, self.num_tokens - 1)


@dataclass(frozen=True)
class Percentiles:
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Result:
    engine: str
    workload: str
    clients: int
    requests: int
    tokens_per_second: float
    ttft_ms: Percentiles
    time_per_output_token_ms: Percentiles
    gap_in_steps: Percentiles


class Connection:
    """One HTTP/1.1 connection, which sends one completion request after another."""

    def __init__(self, url: SplitResult, api_key: str | None) -> None:
        self._url = url
        self._headers = f"Host: {url.netloc}\r\nContent-Type: application/json\r\n"
        if api_key:
            self._headers += f"Authorization: Bearer {api_key}\r\n"

    async def __aenter__(self) -> "Connection":
        is_secure = self._url.scheme == "https"
        port = self._url.port or (443 if is_secure else 80)
        self._reader, self._writer = await asyncio.open_connection(self._url.hostname, port, ssl=is_secure)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def complete(self, body: dict[str, object]) -> Timing:
        """Send one request and read its answer to the end. Raises the server's error."""
        began = time.perf_counter()
        times: list[float] = []
        usage = b""
        async for line in self._lines(json.dumps(body).encode()):
            if not line.startswith(b"data: {"):
                continue
            if line.startswith(b'data: {"error"'):
                raise parse_error(500, json.loads(line[6:]))
            times.append(time.perf_counter())
            if b'"completion_tokens"' in line:
                usage = line
        num_tokens = json.loads(usage[6:])["usage"]["completion_tokens"]
        gaps = [later - earlier for earlier, later in pairwise(times[:-1])]  # the last event has the usage only
        return Timing(times[0] - began, times[-1] - began, num_tokens, gaps)

    async def _lines(self, body: bytes) -> AsyncIterator[bytes]:
        path = f"{self._url.path.rstrip('/')}/v1/completions"
        head = f"POST {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        status = int((await self._reader.readline()).split()[1])
        headers = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if status != 200:
            body_read = await self._reader.readexactly(content_length(headers))
            raise parse_error(status, json.loads(body_read))
        if b"content-type: application/json" in headers:
            yield b"data: " + await self._reader.readexactly(content_length(headers))
            return
        if b"transfer-encoding: chunked" not in headers:
            raise LLMOSError("The server streams without chunks; this reader knows no other way.")
        rest = b""
        while size := int(await self._reader.readline(), 16):
            *lines, rest = (rest + (await self._reader.readexactly(size + 2))[:-2]).split(b"\n")
            for line in lines:
                yield line
        await self._reader.readline()


def content_length(headers: bytes) -> int:
    return int(headers.split(b"content-length:")[1].split(b"\r\n")[0])


async def measure(options: argparse.Namespace, num_clients: int) -> Result:
    server = resolve_endpoint(options.endpoint)
    url = urlsplit(server.url)

    async def one_client(number: int) -> list[Timing]:
        prompts = random_prompts(options.requests, options.prompt_tokens, options.seed + number, options.vocab_size)
        async with Connection(url, server.api_key) as connection:
            return [await connection.complete(request(prompt)) for prompt in prompts]

    def request(prompt: list[int]) -> dict[str, object]:
        body = {
            "model": options.model, "prompt": prompt, "max_tokens": options.tokens, "temperature": 0,
            "ignore_eos": True,
        }  # fmt: skip
        return body if options.plain else body | {"stream": True, "stream_options": {"include_usage": True}}

    began = time.perf_counter()
    timings = [timing for each in await asyncio.gather(*map(one_client, range(num_clients))) for timing in each]
    seconds = time.perf_counter() - began
    per_output_token = [timing.per_output_token for timing in timings]
    step = statistics.median(per_output_token)
    return Result(
        engine=options.name,
        workload=f"serve_{num_clients}",
        clients=num_clients,
        requests=len(timings),
        tokens_per_second=round(sum(timing.num_tokens for timing in timings) / seconds, 1),
        ttft_ms=percentiles([timing.first_token * 1000 for timing in timings]),
        time_per_output_token_ms=percentiles([each * 1000 for each in per_output_token]),
        gap_in_steps=percentiles([gap / step for timing in timings for gap in timing.gaps] or [0.0]),
    )


def percentiles(values: list[float]) -> Percentiles:
    """Return percentiles by the nearest rank, so that each is a value that was measured."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[math.ceil(share * len(ordered)) - 1], 2)

    return Percentiles(at(0.5), at(0.9), at(0.99))


def print_row(result: Result) -> None:
    cells = [result.workload, result.requests, result.tokens_per_second]
    cells += [*asdict(result.ttft_ms).values(), *asdict(result.time_per_output_token_ms).values()]
    cells += asdict(result.gap_in_steps).values()
    print("".join(f"{cell:>10}" for cell in cells), flush=True)


def counts(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--endpoint", help="address of the server (default: LLMOS_ENDPOINT, or this machine)")
    parser.add_argument("--model", default="dialogue")
    parser.add_argument("--name", default="llmos", help="name of the engine in the results")
    parser.add_argument(
        "--clients", type=counts, default=[1, 8, 32], help="numbers of concurrent clients, such as 1,8,32"
    )
    parser.add_argument("--requests", type=int, default=3, help="requests of each client, one after another")
    parser.add_argument("--prompt-tokens", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128, help="output tokens of each request")
    parser.add_argument("--plain", action="store_true", help="complete answers instead of streams")
    parser.add_argument("--vocab-size", type=int, default=40_000, help="prompts consist of token ids below this")
    parser.add_argument(
        "--seed", type=int, default=100, help="seed of the prompts; another seed avoids prefix cache hits"
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    options = parser.parse_args()

    warm_up = argparse.Namespace(**{**vars(options), "requests": 1, "tokens": 8, "seed": 0})
    await measure(warm_up, 2)
    if not options.json:
        print(f"{'':30}{'TTFT in ms':>30}{'ms per output token':>30}{'gap in steps':>30}")
        print("".join(f"{head:>10}" for head in ["workload", "requests", "tokens/s", *["p50", "p90", "p99"] * 3]))
    for num_clients in options.clients:
        result = await measure(options, num_clients)
        if options.json:
            print(json.dumps(asdict(result)), flush=True)
        else:
            print_row(result)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except LLMOSError as error:
        sys.exit(f"Error: {error.message}")
    except OSError as error:
        sys.exit(f"Error: no server answers ({error}). Start one with `llmos serve`.")
