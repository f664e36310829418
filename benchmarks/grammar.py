"""Measure the cost of a grammar: decode_8 with a JSON schema on all streams, against the same streams without one.

    python benchmarks/grammar.py MODEL.gguf [--rounds N] [--streams N] [--threads N]

The schema is an array without end, so that every stream says all its tokens. Three engines take turns, round by round,
and the ratios are of medians and of the best rounds:

plain     no grammar, no speculation: the engine as decode_8 is timed
grammar   the schema, no speculation: what the masks cost
forced    the schema, with what it leaves no choice about drafted: what it costs and brings as it is served

On a busy machine, `cpu_cost` with `--threads 1` is the one to read: of the processor's time, where no thread waits by
spinning. It counts the masks as if nothing ran beside them.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.loading import load_engine
from llmos.engine.messages import Failed, Generate, Grammar, SamplingParams
from llmos.engine.sizing.workloads import random_prompts

PEOPLE = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "city": {"enum": ["Berlin", "Paris", "Rome", "Madrid"]},
            "tags": {"type": "array", "items": {"enum": ["red", "green", "blue", "yellow"]}, "maxItems": 3},
        },
        "required": ["name", "age", "city", "tags"],
        "additionalProperties": False,
    },
    "minItems": 1000,
}
PROMPT_LENGTH, NUM_TOKENS = 32, 128


def main() -> None:
    parser = argparse.ArgumentParser(description="Time decode_8 with a JSON schema on all streams, and without.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    files = {"model.gguf": options.model}
    undrafted, _ = load_engine(files, EngineConfig(max_draft_tokens=0, threads=options.threads))
    drafting, _ = load_engine(files, EngineConfig(threads=options.threads))
    grammar = Grammar("json_schema", json.dumps(PEOPLE))
    kinds: dict[str, tuple[Engine, Grammar | None]] = {
        "plain": (undrafted, None),
        "grammar": (undrafted, grammar),
        "forced": (drafting, grammar),
    }
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(options.rounds + 1):
        for name, (engine, asked) in kinds.items():
            began = time.process_time()
            rate = _tokens_per_second(engine, asked, options.streams, number)
            if number:  # the first round warms up
                rates[name].append(rate)
                cpu_seconds[name].append(time.process_time() - began)
    for name, runs in rates.items():
        record = {
            "kind": name,
            "streams": options.streams,
            "tokens_per_second": round(statistics.median(runs), 1),
            "cost": round(1 - statistics.median(runs) / statistics.median(rates["plain"]), 3),
            "cost_of_best": round(1 - max(runs) / max(rates["plain"]), 3),
            "cpu_cost": round(statistics.median(cpu_seconds[name]) / statistics.median(cpu_seconds["plain"]) - 1, 3),
            "runs": [round(rate, 1) for rate in sorted(runs)],
        }
        print(json.dumps(record), flush=True)


def _tokens_per_second(engine: Engine, grammar: Grammar | None, num_streams: int, seed: int) -> float:
    sampling = SamplingParams(temperature=0.0, max_tokens=NUM_TOKENS, ignore_eos=grammar is None)
    # Compiling is not included: another thread does it, once for each request.
    prepared = [
        engine.prepare(Generate(id=f"stream-{i}", tokens=prompt, grammar=grammar, sampling=sampling))
        for i, prompt in enumerate(random_prompts(num_streams, PROMPT_LENGTH, 100 + seed, 40_000))
    ]
    num_tokens = 0
    began = time.perf_counter()
    for each in prepared:
        engine.admit(each)
    while engine.has_work:
        for event in engine.step():
            if isinstance(event, Failed):
                raise event.error()
            num_tokens += len(getattr(event, "token_ids", ()))
    seconds = time.perf_counter() - began
    assert num_tokens == num_streams * NUM_TOKENS, "a stream ended before its time"
    return num_tokens / seconds


if __name__ == "__main__":
    main()
