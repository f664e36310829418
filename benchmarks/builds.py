"""Compare two builds of the native module: the instructions of a step, or the speeds in interleaved rounds.

    python benchmarks/builds.py BEFORE.so AFTER.so --instructions [--isa avx2]     needs valgrind, which has no AVX-512
    python benchmarks/builds.py BEFORE.so AFTER.so [--rounds 5] [--threads 2] [--isa avx512]

Keep the module that `make setup` installed, llmos/engine/_native.*.so, before you build another. Instructions are the
same on a busy machine, with one thread, to a hundredth of a percent; speeds need a quiet one. The model is smollm2.
"""

import argparse
import importlib.util
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

NAME = "llmos.engine._native"
STEPS = {"decode_1": (1, 1), "decode_4": (4, 1), "decode_32": (32, 1)}
"""Sequences and new tokens of each in the steps whose instructions are counted, behind 64 tokens."""
NUM_CACHED = 64


def use(module: Path) -> None:
    """Let everything in this process that imports the native module get this one."""
    spec = importlib.util.spec_from_file_location(NAME, module)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[NAME])


def run_steps(isa: str | None) -> None:
    """Run each step once with callgrind's instrumentation, and let it write a profile of each."""
    import numpy as np

    from llmos.engine.config import EngineConfig
    from llmos.engine.loading import load_engine
    from llmos.engine.runner import BLOCK_SIZE, Batch
    from model_choice import files_of

    def control(*arguments: str) -> None:
        subprocess.run(["callgrind_control", *arguments, str(os.getpid())], check=True, stdout=subprocess.DEVNULL)

    engine, _ = load_engine(files_of(None), EngineConfig(threads=1, isa=isa, kv_bytes=1 << 28))
    rng = random.Random(0)  # the same tokens in every run
    for name, (num_sequences, num_tokens) in STEPS.items():
        width = (NUM_CACHED + num_tokens) // BLOCK_SIZE + 1
        tokens = [rng.randrange(1000, 40_000) for _ in range(num_sequences * num_tokens)]
        ends = np.arange(num_sequences + 1, dtype=np.int32) * num_tokens
        batch = Batch(
            tokens=np.array(tokens, np.int32),
            starts=ends,
            context_lengths=np.full(num_sequences, NUM_CACHED, np.int32),
            block_tables=np.arange(num_sequences * width, dtype=np.int32).reshape(num_sequences, width),
            logit_rows=ends[1:] - 1,
        )
        control("--instr=on")
        engine.runner.forward(batch)
        control("--instr=off")
        control(f"--dump={name}")
        control("--zero")


def count_instructions(module: Path, isa: str | None) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        profiler = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/profile"]
        steps = [sys.executable, __file__, str(module), "--run-steps", *(["--isa", isa] if isa else [])]
        finished = subprocess.run([*profiler, *steps], capture_output=True, text=True, check=False)
        if finished.returncode:
            sys.exit(finished.stderr[-4000:])
        return dict(_counts(Path(folder), module))


def _counts(folder: Path, module: Path) -> Iterator[tuple[str, int]]:
    """Yield the instructions of the module itself in each step; see valgrind's "Callgrind Format Specification"."""
    for profile in folder.iterdir():
        text = profile.read_text()
        trigger = re.search(r"^desc: Trigger: .*?(\w+)$", text, re.MULTILINE)
        if trigger and trigger[1] in STEPS:
            yield trigger[1], _costs_by_object(text)[str(module)]


def _costs_by_object(profile: str) -> Counter[str]:
    names: dict[str, str] = {}
    costs: Counter[str] = Counter()
    current, is_of_call = "", False
    for line in profile.splitlines():
        if found := re.match(r"ob=(\(\d+\))(?: (.*))?", line):
            current = names.setdefault(found[1], found[2] or "")
        elif found := re.match(r"cob=(\(\d+\)) (.*)", line):
            names[found[1]] = found[2]
        elif line.startswith("calls="):
            is_of_call = True
        elif re.match(r"[+\-*\d]", line):
            if not is_of_call:
                costs[current] += int(line.split()[1])
            is_of_call = False
    return costs


def time_once(module: Path, options: list[str]) -> dict[str, float]:
    """Return the speeds of benchmarks/engine.py with this module, in tokens a second."""
    program = f"import runpy; from builds import use, Path; use(Path({str(module)!r}))\n"
    program += "runpy.run_path('engine.py', run_name='__main__')"
    finished = subprocess.run(
        [sys.executable, "-c", program, "--json", "--repeats", "1", *options],
        cwd=Path(__file__).parent, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    lines = [msgspec.json.decode(line) for line in finished.stdout.splitlines()]
    return {line["workload"]: line["tokens_per_second"] for line in lines}


def compare_instructions(modules: list[Path], isa: str | None) -> Table:
    table = Table(title="millions of instructions of a step in the native module")
    for column in ("step", "before", "after", "change"):
        table.add_column(column, justify="right")
    before, after = (count_instructions(module, isa) for module in modules)
    for name in STEPS:
        change = f"{after[name] / before[name] - 1:+.3%}"
        table.add_row(name, f"{before[name] / 1e6:,.1f}", f"{after[name] / 1e6:,.1f}", change)
    return table


def compare_speeds(modules: list[Path], rounds: int, options: list[str]) -> Table:
    runs: list[list[dict[str, float]]] = [[], []]
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            runs[which].append(time_once(modules[which], options))
    table = Table(title=f"tokens a second, medians of {rounds} interleaved rounds")
    for column in ("workload", "before", "after", "after / before", "lowest", "highest"):
        table.add_column(column, justify="right")
    for name in runs[0][0]:
        before, after = ([run[name] for run in each] for each in runs)
        ratios = [b / a for a, b in zip(before, after, strict=True)]
        medians = [f"{statistics.median(each):,.0f}" for each in (before, after)]
        table.add_row(
            name, *medians, *(f"{each:.3f}" for each in (statistics.median(ratios), min(ratios), max(ratios)))
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", type=Path, nargs="+", metavar="MODULE.so")
    parser.add_argument("--instructions", action="store_true", help="count instructions instead of measuring speeds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--isa")
    parser.add_argument("--run-steps", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    modules = [module.resolve() for module in args.modules]
    if args.run_steps:
        use(modules[0])
        run_steps(args.isa)
    elif len(modules) != 2:
        parser.error("Name two modules: the one before and the one after.")
    elif args.instructions:
        Console().print(compare_instructions(modules, args.isa))
    else:
        options = ["--threads", str(args.threads), *(["--isa", args.isa] if args.isa else [])]
        Console().print(compare_speeds(modules, args.rounds, options))


if __name__ == "__main__":
    main()
