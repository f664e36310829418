"""Time a step by its number of rows, from 1 to 64.

    python benchmarks/rows.py [MODEL.gguf] [--threads 2] [--isa avx2] [--context 64] [--json]

Each row is the next token of a sequence of its own, behind `context` tokens. The fastest of many steps counts. A row
should cost no more than the one before it, except at the ends of the kernels' tiles.
"""

import argparse
import json
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from llmos.engine._native import available_isas
from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.engine.runner import BLOCK_SIZE, Batch, Runner
from model_choice import add_model, files_of

ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)
REPEATS = 30


def step(num_rows: int, context: int) -> Batch:
    """Return a step with the next token of so many sequences. The cache's contents don't matter."""
    width = context // BLOCK_SIZE + 1
    block_tables = np.arange(num_rows * width, dtype=np.int32).reshape(num_rows, width)
    return Batch.one_each(np.arange(1000, 1000 + num_rows, dtype=np.int32), context, block_tables)


def seconds(runner: Runner, batch: Batch) -> float:
    fastest = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        runner.forward(batch)
        fastest = min(fastest, time.perf_counter() - began)
    return fastest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_model(parser)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--isa", choices=available_isas())
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--json", action="store_true", help="JSON lines, one for each number of rows")
    args = parser.parse_args()
    files = files_of(args.model)
    engine, ready = load_engine(files, EngineConfig(threads=args.threads, isa=args.isa))
    runner: Runner = engine.runner

    table = Table(title=f"a step of {ready.family}, {ready.isa}, {ready.threads} threads, behind {args.context} tokens")
    for column in ("rows", "milliseconds", "a further row", "tokens/s"):
        table.add_column(column, justify="right")
    before = (0, 0.0)
    for num_rows in ROWS:
        took = seconds(runner, step(num_rows, args.context))
        further = (took - before[1]) / (num_rows - before[0])
        before = (num_rows, took)
        if args.json:
            print(json.dumps({"rows": num_rows, "seconds": took, "further_row_seconds": further}), flush=True)
        table.add_row(str(num_rows), f"{1e3 * took:.2f}", f"{1e3 * further:.2f}", f"{num_rows / took:,.0f}")
    if not args.json:
        Console().print(table)


if __name__ == "__main__":
    main()
