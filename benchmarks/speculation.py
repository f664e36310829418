"""Measure the gain of speculation for answers that repeat their prompt, and its cost for those that don't.

    python benchmarks/speculation.py [--model smollm2] [--threads 2] [--rounds 5] [--json]

copying      a text, and the beginning of its repetition: the rest of it is what a model says next, so every answer
             copies out of its prompt. A chat model of this size is asked in vain to do so, whatever the engine does
summaries    "Summarise this text", through the chat template, greedy and drawn
random       random tokens, and the answer drawn at temperature 1, or it would soon repeat itself: there is nothing to
             find, so what is left is what speculation costs

The texts are sections of pydoc_data.topics of the standard library. Both engines answer the same prompts, round by
round, and must say the same tokens. A ratio is the median over the rounds of the time without to the time with.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pydoc_data.topics import topics

from rich.console import Console
from rich.table import Table

from llmos.core.config import load_settings
from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.loading import load_engine
from llmos.engine.messages import Delta, Failed, Generate, SamplingParams
from llmos.engine.sizing.workloads import random_prompts
from llmos.models import open_registry

NUM_OUTPUT_TOKENS = 128
TOPICS = ("assignment", "with", "exceptions", "import", "try", "yield", "global", "lambda", "del", "assert")
Tokens = dict[tuple[str, int], list[int]]


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    num_streams: int
    requests: Callable[[int], list[Generate]]
    """Ratio of one round."""


@dataclass(frozen=True, slots=True)
class Run:
    tokens: Tokens
    seconds: float
    """Decoding speed, from the time at which every stream had a first token."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the gain and the cost of speculation.")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="JSON lines, one for each workload, as they are done")
    args = parser.parse_args()

    registry = open_registry(load_settings())
    files = registry.files(registry.resolve(args.model))
    # Both engines must compute every prompt, so no prefix of the previous round may be cached.
    options = {"threads": args.threads, "kv_bytes": 512 << 20}
    off, ready = load_engine(files, EngineConfig.from_options(options | {"max_draft_tokens": 0}))
    on, _ = load_engine(files, EngineConfig.from_options(options))
    answer(off, random_requests(ready.vocab_size, 2)(99))
    answer(on, random_requests(ready.vocab_size, 2)(99))
    table = Table(title=f"{args.model}, {ready.isa}, {ready.threads} threads: with speculation against without")
    for heading in ("workload", "times as fast", "rounds", "drafted right", "tokens a step"):
        table.add_column(heading, justify="left" if heading == "workload" else "right")
    for workload in workloads(ready.vocab_size):
        result = compare(workload, off, on, args.rounds)
        if args.json:
            print(json.dumps(result), flush=True)
        rounds = "  ".join(f"{ratio:.2f}" for ratio in result["ratios"])
        table.add_row(
            result["workload"],
            f"{result['ratio']:.3f}",
            rounds,
            f"{result['num_accepted_tokens']:,} of {result['num_draft_tokens']:,}",
            f"{result['tokens_per_step']:.2f}",
        )
    if not args.json:
        Console().print(table)


def workloads(vocab_size: int) -> list[Workload]:
    return [
        *(Workload(f"copying_{n}", n, copying(n)) for n in (1, 8)),
        *(Workload(f"summaries_{n}", n, summaries(n, temperature=0.0)) for n in (1, 8)),
        Workload("summaries_drawn_1", 1, summaries(1, temperature=0.8)),
        *(Workload(f"random_{n}", n, random_requests(vocab_size, n)) for n in (1, 8, 32)),
    ]


def compare(workload: Workload, off: Engine, on: Engine, num_rounds: int) -> dict[str, object]:
    before = on.load()
    ratios = []
    for number in range(num_rounds):
        requests = workload.requests(number)
        # The first one finds colder CPU caches, so they alternate.
        engines = (off, on) if number % 2 else (on, off)
        runs = {engine is on: answer(engine, requests) for engine in engines}
        if runs[True].tokens != runs[False].tokens:
            raise SystemExit(f"{workload.name}: the answers with speculation are not those without. That is a bug.")
        ratios.append(runs[False].seconds / runs[True].seconds)
    after = on.load()
    num_steps = after.num_steps - before.num_steps
    return {
        "workload": workload.name,
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "num_draft_tokens": after.num_draft_tokens - before.num_draft_tokens,
        "num_accepted_tokens": after.num_accepted_tokens - before.num_accepted_tokens,
        "tokens_per_step": round((after.num_output_tokens - before.num_output_tokens) / num_steps, 2),
    }


def answer(engine: Engine, requests: list[Generate]) -> Run:
    tokens: Tokens = {}
    for request in requests:
        engine.submit(request)
    began = time.perf_counter()
    while engine.has_work:
        for event in engine.step():
            if isinstance(event, Failed):
                raise event.error()
            if isinstance(event, Delta):
                tokens.setdefault((event.id, event.index), []).extend(event.token_ids)
        if len(tokens) < len(requests):
            began = time.perf_counter()
    return Run(tokens, time.perf_counter() - began)


def copying(num_streams: int) -> Callable[[int], list[Generate]]:
    def requests(number: int) -> list[Generate]:
        return [
            generate(i, text=f"{text}\n\n{' '.join(text.split(' ')[:30])}")
            for i, text in enumerate(passages(number, num_streams))
        ]

    return requests


def summaries(num_streams: int, temperature: float) -> Callable[[int], list[Generate]]:
    def requests(number: int) -> list[Generate]:
        return [
            generate(i, user_text=f"Summarise this text.\n\n{text}", temperature=temperature)
            for i, text in enumerate(passages(number, num_streams))
        ]

    return requests


def random_requests(vocab_size: int, num_streams: int) -> Callable[[int], list[Generate]]:
    def requests(number: int) -> list[Generate]:
        prompts = random_prompts(num_streams, 32, number, vocab_size)
        return [generate(i, tokens=prompt, temperature=1.0) for i, prompt in enumerate(prompts)]

    return requests


def generate(number: int, *, temperature: float = 0.0, **prompt: object) -> Generate:
    sampling = SamplingParams(temperature=temperature, seed=number, max_tokens=NUM_OUTPUT_TOKENS, ignore_eos=True)
    return Generate(id=f"r{number}", sampling=sampling, **prompt)  # type: ignore[arg-type]


def passages(number: int, count: int) -> list[str]:
    """Return texts of about 250 words each, different in every round."""
    found = []
    for i in range(number * count, (number + 1) * count):
        words = " ".join(topics[TOPICS[i % len(TOPICS)]].split()).split(" ")
        start = i // len(TOPICS) * 40 % max(1, len(words) - 250)
        found.append(" ".join(words[start : start + 250]))
    return found


if __name__ == "__main__":
    main()
