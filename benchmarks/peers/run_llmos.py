"""LLMOS, in process: python run_llmos.py MODEL.gguf --threads 2 [--isa avx2] [--streams 8 --tokens-per-stream 1024]

Without --streams the KV cache has the engine's usual size. Prefix caching and speculation are off: the workloads are
about computing tokens, and no peer has speculation on.
"""

import argparse
import dataclasses
from importlib.metadata import version
from pathlib import Path

from protocol import Facts, Run, serve

from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.engine.sizing.workloads import runs_on


def load() -> tuple[Run, Facts]:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--isa")
    parser.add_argument("--streams", type=int)
    parser.add_argument("--tokens-per-stream", type=int)
    args = parser.parse_args()
    config = EngineConfig(threads=args.threads, isa=args.isa, prefix_cache=False, max_draft_tokens=0)
    if args.streams:
        config = dataclasses.replace(config, max_sequences=args.streams, context_length=args.tokens_per_stream)
    engine, ready = load_engine({args.model.name: args.model}, config)
    timed = runs_on(engine)

    def run(prompts: list[list[int]], num_output_tokens: int) -> tuple[float, float]:
        timing = timed(prompts, num_output_tokens)
        return timing.seconds, timing.first_token_seconds

    return run, {"version": f"llmos {version('llmos')}", "isa": ready.isa, "weight_bytes": ready.weight_bytes}


serve(load)
