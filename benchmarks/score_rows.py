"""Time what scoring a prompt's own tokens adds to its prefill: python benchmarks/score_rows.py [MODEL.gguf] [--json]

One chunk of `--tokens` tokens, computed with nothing wanted of it, with the logits of all its rows, and with the scores
of all its tokens. CPU time of all threads, of the fastest of some interleaved repeats, so that other work on the machine
hardly counts. "head and scores" is the first thread's time in these regions, from the last repeat.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from llmos.engine._native import available_isas
from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.engine.runner import BLOCK_SIZE, Batch
from llmos.engine.runner.native import NativeRunner
from model_choice import add_model, files_of

REGIONS = ("head", "score")


@dataclass(frozen=True)
class Timing:
    cpu_seconds: float
    """Of all threads together."""
    head_seconds: float
    """Of the first thread, in the head's product and in the scores."""


def batches(num_tokens: int, vocab_size: int) -> dict[str, Batch]:
    """Return the same chunk with different things wanted of it."""
    tokens_N = np.random.default_rng(1).integers(0, vocab_size, num_tokens, dtype=np.int32)
    nothing = Batch(
        tokens=tokens_N,
        starts=np.array([0, num_tokens], np.int32),
        context_lengths=np.zeros(1, np.int32),
        block_tables=np.arange(-(-num_tokens // BLOCK_SIZE), dtype=np.int32)[None],
        logit_rows=np.empty(0, np.int32),
    )
    rows_N = np.arange(num_tokens, dtype=np.int32)
    scored = replace(nothing, scored_rows=rows_N, scored_tokens=np.roll(tokens_N, -1))
    return {
        "nothing": nothing,
        "logits of all rows": replace(nothing, logit_rows=rows_N),
        "scores": scored,
        "scores, 5 likeliest": replace(scored, num_top=5),
        "scores, 20 likeliest": replace(scored, num_top=20),
    }


def measure(runner: NativeRunner, wanted: dict[str, Batch], repeats: int) -> dict[str, Timing]:
    timings = dict.fromkeys(wanted, Timing(float("inf"), 0))
    for _ in range(repeats):
        for name, batch in wanted.items():
            runner.set_profiling(True)
            began = time.process_time()
            runner.forward(batch)
            seconds = time.process_time() - began
            regions = runner.profile()
            timings[name] = Timing(min(seconds, timings[name].cpu_seconds), sum(regions[each] for each in REGIONS))
    return timings


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    add_model(parser)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--isa", choices=available_isas())
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="a JSON object: what is wanted -> seconds")
    args = parser.parse_args()
    engine, ready = load_engine(files_of(args.model), EngineConfig(threads=args.threads, isa=args.isa))
    timings = measure(engine.runner, batches(args.tokens, ready.vocab_size), args.repeats)
    if args.json:
        sys.stdout.write(json.dumps({name: asdict(each) for name, each in timings.items()}) + "\n")
        return
    table = Table("wanted", "CPU ms", "more than nothing", "head and scores, ms")
    least = timings["nothing"].cpu_seconds
    for name, each in timings.items():
        more = f"{1e3 * (each.cpu_seconds - least):.1f}"
        table.add_row(name, f"{1e3 * each.cpu_seconds:.1f}", more, f"{1e3 * each.head_seconds:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
