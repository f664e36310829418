"""Measure the engine's speed in this process.

    python benchmarks/engine.py [--model smollm2] [--threads 2] [--isa avx2] [--repeats 3] [--json]

The workloads are those of llmos/engine/sizing/workloads.py; `llmos bench` runs the same.
"""

import argparse

import msgspec
from rich.console import Console
from rich.table import Table

from llmos.core.config import load_settings
from llmos.engine._native import available_isas
from llmos.engine.config import EngineConfig
from llmos.engine.loading import load_engine
from llmos.engine.sizing.workloads import measure, runs_on
from llmos.models import open_registry


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the engine's speed in this process.")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--isa", choices=available_isas())
    parser.add_argument("--weights", choices=["auto", "int8", "f32"], default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="JSON lines, one for each workload, as they are done")
    args = parser.parse_args()

    registry = open_registry(load_settings())
    version = registry.resolve(args.model)
    config = EngineConfig(threads=args.threads, isa=args.isa, weights=args.weights)
    engine, ready = load_engine(registry.files(version), config)
    name = f"llmos {version.ref}"
    measurements = measure(runs_on(engine), args.repeats, vocab_size=ready.vocab_size, engine=name)
    if args.json:
        for measurement in measurements:
            print(msgspec.json.encode(measurement).decode(), flush=True)
        return
    table = Table(title=f"{name}, {ready.isa}, {ready.threads} threads, loaded in {ready.load_seconds:.2f} s")
    table.add_column("workload")
    table.add_column("tokens/s", justify="right")
    table.add_column("runs", justify="right")
    for measurement in measurements:
        runs = "  ".join(f"{run:,.0f}" for run in measurement.runs)
        table.add_row(measurement.workload, f"{measurement.tokens_per_second:,.0f}", runs)
    Console().print(table)


if __name__ == "__main__":
    main()
