"""Measure the server's overhead: output tokens per second over HTTP against the engine in process, in one run.

    python benchmarks/over_http.py [MODEL.gguf] [--clients 32] [--rounds 3] [--threads 2] [--json]

In turns: the engine in this process; then `llmos serve` with as many clients, streamed and in one piece. Each client
sends 3 requests one after another; in process as many random prompts are answered in 3 batches. The clients' own work
counts against the server: they run on the same cores.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import serving
from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.engine.sizing.workloads import random_prompts, runs_on
from model_choice import add_model, files_of
from served import KEY, served

MODEL = "benchmark"
PROMPT_TOKENS, OUTPUT_TOKENS, REQUESTS, VOCAB_SIZE = 32, 128, 3, 40_000


@dataclass
class Rates:
    """Output tokens per second, one figure for each round."""

    clients: int
    in_process: list[float] = field(default_factory=list)
    streamed: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)


def in_process(model: Path, threads: int | None, clients: int) -> float:
    engine, _ = load_engine({"model.gguf": model}, EngineConfig(threads=threads))
    run = runs_on(engine)
    run(random_prompts(2, PROMPT_TOKENS, 0, VOCAB_SIZE), 8)
    prompts = [random_prompts(REQUESTS, PROMPT_TOKENS, 100 + client, VOCAB_SIZE) for client in range(clients)]
    seconds = sum(run([each[i] for each in prompts], OUTPUT_TOKENS).seconds for i in range(REQUESTS))
    return clients * REQUESTS * OUTPUT_TOKENS / seconds


def over_http(url: str, clients: int, is_plain: bool) -> float:
    # Different prompts for each, so that the prefix cache helps none of them.
    options = argparse.Namespace(
        endpoint=url, model=MODEL, name="llmos", requests=REQUESTS, prompt_tokens=PROMPT_TOKENS,
        tokens=OUTPUT_TOKENS, vocab_size=VOCAB_SIZE, plain=is_plain,
        seed=10_000 if is_plain else 100,
    )  # fmt: skip
    warm_up = argparse.Namespace(**{**vars(options), "requests": 1, "tokens": 8, "seed": 0})
    asyncio.run(serving.measure(warm_up, 2))
    return asyncio.run(serving.measure(options, clients)).tokens_per_second


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_model(parser)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    model = args.model or next(path for name, path in files_of(None).items() if name.endswith(".gguf"))
    os.environ["LLMOS_API_KEY"] = KEY
    settings = {"LLMOS_THREADS": str(args.threads)} if args.threads else {}
    rates = Rates(args.clients)
    for _ in range(args.rounds):
        rates.in_process.append(in_process(model, args.threads, args.clients))
        with served(model, MODEL, settings=settings) as server:
            rates.streamed.append(over_http(server.url, args.clients, is_plain=False))
            rates.plain.append(over_http(server.url, args.clients, is_plain=True))
    if args.json:
        sys.stdout.write(json.dumps(asdict(rates)) + "\n")
        return
    print(f"in process   {statistics.median(rates.in_process):8,.0f} tokens/s")
    for way, each in (("streamed", rates.streamed), ("plain", rates.plain)):
        ratio = statistics.median(a / b for a, b in zip(each, rates.in_process, strict=True))
        print(f"{way:13}{statistics.median(each):8,.0f} tokens/s, {ratio:.2f} of it")


if __name__ == "__main__":
    main()
