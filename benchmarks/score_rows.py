"""Time what scoring a prompt's own tokens adds to its prefill: python benchmarks/score_rows.py [MODEL.gguf] [--json]

A chunk of `--tokens` tokens is computed with nothing wanted of it, with the logits of all its rows, and with the scores
of all its tokens, in turns. The CPU time of all threads counts, of the fastest of some repeats: other work on the
machine changes it little. The head's own product takes a little less than the logits of all rows, which are written to
memory.
"""

import argparse
import json
import sys
import time
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.table import Table

from llmos.engine._native import available_isas
from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.engine.runner import BLOCK_SIZE, Batch, Runner
from model_choice import add_model, files_of


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


def cpu_seconds(runner: Runner, wanted: dict[str, Batch], repeats: int) -> dict[str, float]:
    """Return the least CPU time of a step in which this is wanted."""
    least = dict.fromkeys(wanted, float("inf"))
    for _ in range(repeats):
        for name, batch in wanted.items():
            began = time.process_time()
            runner.forward(batch)
            least[name] = min(least[name], time.process_time() - began)
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    add_model(parser)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--isa", choices=available_isas())
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="a JSON object: what is wanted -> CPU seconds")
    args = parser.parse_args()
    engine, ready = load_engine(files_of(args.model), EngineConfig(threads=args.threads, isa=args.isa))
    seconds = cpu_seconds(engine.runner, batches(args.tokens, ready.vocab_size), args.repeats)
    if args.json:
        sys.stdout.write(json.dumps(seconds) + "\n")
        return
    table = Table("wanted", "CPU ms", "more than nothing", title=f"{args.tokens} tokens, {ready.isa}")
    for name, each in seconds.items():
        more = each - seconds["nothing"]
        table.add_row(name, f"{1e3 * each:.1f}", f"{1e3 * more:.1f} ms, {more / seconds['nothing']:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
