"""Measure the effect of the prefix cache: python benchmarks/shared_prefix.py [MODEL.gguf] [--threads 2] [--json]

Requests share a prefix of 1,000 tokens and differ in the 20 tokens after it. Prints the time to the first token with
the prefix in the cache, where an earlier request put it, and without a cache.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.loading import load_engine
from llmos.engine.messages import Delta, Failed, Generate, SamplingParams
from llmos.engine.sizing.workloads import random_prompts
from model_choice import add_model, files_of

PREFIX_TOKENS, TAIL_TOKENS, REQUESTS = 1000, 20, 8


def first_token_seconds(engine: Engine, prompt: list[int], number: int) -> tuple[float, int]:
    """Return the seconds to the first token, and how many tokens of the prompt were in the cache."""
    request = Generate(
        id=f"shared-{number}",
        tokens=prompt,
        sampling=SamplingParams(temperature=0.0, max_tokens=1, ignore_eos=True),
    )
    began = time.perf_counter()
    engine.submit(request)
    num_cached = 0
    while engine.has_work:
        for event in engine.step():
            if isinstance(event, Failed):
                raise event.error()
            if isinstance(event, Delta):
                num_cached = max(num_cached, event.num_cached_tokens)
    return time.perf_counter() - began, num_cached


def measure(files: dict[str, Path], threads: int | None, has_cache: bool) -> tuple[list[float], list[int]]:
    engine, ready = load_engine(files, EngineConfig(threads=threads, prefix_cache=has_cache))
    (prefix,) = random_prompts(1, PREFIX_TOKENS, 500, ready.vocab_size)
    tails = random_prompts(REQUESTS + 1, TAIL_TOKENS, 501, ready.vocab_size)
    (warm_up,) = random_prompts(1, PREFIX_TOKENS + TAIL_TOKENS, 502, ready.vocab_size)
    first_token_seconds(engine, warm_up, -1)
    timed = [first_token_seconds(engine, prefix + tail, number) for number, tail in enumerate(tails)]
    return [seconds for seconds, _ in timed[1:]], [cached for _, cached in timed[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    add_model(parser)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    files = files_of(args.model)
    without, nothing = measure(files, args.threads, has_cache=False)
    with_, cached = measure(files, args.threads, has_cache=True)
    assert not any(nothing), "an engine without a cache reported cached tokens"
    if args.json:
        result = {
            "prefix_tokens": PREFIX_TOKENS,
            "tail_tokens": TAIL_TOKENS,
            "without_cache": without,
            "with_cache": with_,
        }
        sys.stdout.write(json.dumps(result) + "\n")
        return
    print(f"first token without a cache   {statistics.median(without) * 1000:8.1f} ms")
    num_cached = round(statistics.median(cached))
    print(f"with {num_cached:,} tokens in the cache {statistics.median(with_) * 1000:8.1f} ms")
    print(f"{statistics.median(without) / statistics.median(with_):.1f} times as fast")


if __name__ == "__main__":
    main()
