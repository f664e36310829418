"""Measure the time that a receipt adds to a request, by part. A thread makes it when the answer has ended.

python benchmarks/receipts.py
"""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from llmos.core.database import Database
from llmos.engine.messages import Delta
from llmos.gateway.calls.output import Output
from llmos.security.receipts.hashes import Choice, hash_of_body, hash_of_choices
from llmos.security.receipts.receipts import Receipts
from llmos.security.signing_key import SigningKey

DOCUMENT: dict[str, Any] = {
    "id": "chatcmpl-0123456789abcdef01234567",
    "request_id": "req-0123456789abcdef01234567",
    "project": "owner",
    "key_id": "key-0123456789abcdef01234567",
    "began_at": "2026-11-29T21:25:10.123456Z",
    "ended_at": "2026-11-29T21:25:11.123456Z",
    "operation": "generate",
    "outcome": "answered",
    "error": None,
    "model": "dialogue",
    "route": "dialogue",
    "version": "smollm2@1",
    "digest": "sha256:" + "0" * 64,
    "quantization": "Q4_1",
    "runner": "native",
    "guardrails": {"policies": [], "findings": []},
    "price_version": None,
    "usage": {"prompt_tokens": 100, "cached_tokens": 0, "completion_tokens": 100},
    "sampling": {
        "max_tokens": 100, "min_tokens": 0, "temperature": 0.7, "top_k": 0, "top_p": 1.0, "min_p": 0.0,
        "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "seed": None, "n": 1,
        "ignore_eos": False,
    },
    "input": {"of": "json", "sha256": "0" * 64},
    "output": {"of": "choices", "sha256": "0" * 64, "finish_reasons": ["stop"]},
}  # fmt: skip


def microseconds(work: Any, repeats: int) -> float:
    times = []
    for _ in range(15):
        began = time.perf_counter()
        for _ in range(repeats):
            work()
        times.append((time.perf_counter() - began) / repeats)
    return min(times) * 1e6


def observe() -> float:
    """Return what the collection of the output adds to a delta, in microseconds: the only work while an answer runs."""

    async def deltas() -> AsyncIterator[Delta]:
        for _ in range(10_000):
            yield delta

    async def read(stream: AsyncIterator[Delta]) -> float:
        began = time.perf_counter()
        async for _ in stream:
            pass
        return time.perf_counter() - began

    delta = Delta(id="answer-1", text="word ")
    plain = min(asyncio.run(read(deltas())) for _ in range(9))
    observed = min(asyncio.run(read(Output(1).observe(deltas()))) for _ in range(9))
    return (observed - plain) / 10_000 * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        database, key = Database(f"sqlite:///{home / 'llmos.db'}"), SigningKey(home / "signing")
        database.upgrade()
        receipts = Receipts(database, key, days=30)
        small = json.dumps({"model": "dialogue", "messages": [{"role": "user", "content": "Hello " * 20}]}).encode()
        large = json.dumps({"model": "dialogue", "messages": [{"role": "user", "content": "Hello " * 20_000}]}).encode()
        print(f"hash of a request of {len(small):,} bytes: {microseconds(lambda: hash_of_body(small), 500):.0f} µs")
        print(f"hash of a request of {len(large):,} bytes: {microseconds(lambda: hash_of_body(large), 20):.0f} µs")
        print(f"observing a delta of a stream: {observe():.2f} µs")
        choice = [Choice(text="word " * 100)]
        print(f"hash of an answer of 500 characters: {microseconds(lambda: hash_of_choices(choice), 500):.0f} µs")
        print(f"canonical JSON and signature: {microseconds(lambda: key.sign(DOCUMENT), 300):.0f} µs")
        for num in (1, 16, 64):
            each = microseconds(lambda num=num: receipts.add([DOCUMENT] * num), max(1, 64 // num)) / num
            print(f"signed and stored, {num} at once: {each:.0f} µs each")
        database.close()
        size = sum(path.stat().st_size for path in home.glob("llmos.db*"))
        num = 15 * (64 + 4 * 16 + 64)
        print(f"disk: {size / num:,.0f} bytes each, with the empty database")


if __name__ == "__main__":
    main()
