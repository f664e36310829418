"""Time LLMOS and its peers on the same work in one run: python benchmarks/peers/compare.py [--rounds 5]

Installs each peer into an environment of its own under build/peers (minutes, once), then lets the engines take turns:
in every round each one starts, warms up, runs every workload on that round's prompts and ends, so that it has the
machine to itself. Prints medians and ratios, and writes them to docs/benchmarks.md with --write.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmos.core.config import load_settings
from llmos.engine.workloads import WORKLOADS, Timing, random_prompts
from llmos.models import open_registry

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PLACE = ROOT / "build" / "peers"
LLAMA_CPP = ("llama-cpp-python", "numpy")
OPENVINO = (
    "openvino-genai", "openvino-tokenizers", "optimum-intel[openvino]", "torch==2.13.0", "gguf", "nncf", "accelerate",
)  # fmt: skip
VOCAB_SIZE = 49_152


@dataclass(frozen=True)
class Engine:
    name: str
    command: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    args = parser.parse_args()

    engines = prepare(args.threads)
    rates: dict[tuple[str, str], list[float]] = {}
    for round_ in range(args.rounds):
        for engine in engines:
            print(f"round {round_ + 1} of {args.rounds}: {engine.name}", file=sys.stderr)
            with started(engine) as ask:
                ask(random_prompts(2, 32, 0, VOCAB_SIZE), 8)
                for workload in WORKLOADS:
                    prompts = random_prompts(workload.num_prompts, workload.prompt_length, 100 + round_, VOCAB_SIZE)
                    rate = workload.tokens_per_second(ask(prompts, workload.num_output_tokens))
                    rates.setdefault((engine.name, workload.name), []).append(rate)
    page = report(engines, rates, args.rounds, args.threads)
    print(page)
    if args.write:
        (ROOT / "docs" / "benchmarks.md").write_text(page)


def prepare(threads: int) -> list[Engine]:
    """Install what is missing and make every engine's form of the model."""
    print("Installing peers takes minutes the first time.", file=sys.stderr)
    registry = open_registry(load_settings())
    blob = next(path for name, path in registry.files(registry.pull("smollm2")).items() if name.endswith(".gguf"))
    models = PLACE / "models"
    models.mkdir(parents=True, exist_ok=True)
    gguf = models / "Q4_1.gguf"
    if not gguf.exists():
        gguf.symlink_to(blob)

    llama_cpp = environment("llama_cpp", LLAMA_CPP)
    if not (models / "Q8_0.gguf").exists():
        run(llama_cpp, HERE / "prepare_llama_cpp.py", gguf, models)
    # torchvision comes along, built for another torch, and breaks transformers.
    openvino = environment("openvino", OPENVINO, without="torchvision")
    if not (models / "hf" / "config.json").exists():
        (models / "hf").mkdir(exist_ok=True)
        run(openvino, HERE / "prepare_openvino.py", gguf, models / "hf")
    for bits, options in (("int8", ()), ("int4", ("--group-size", "64"))):  # the default group doesn't divide 576
        if not (models / f"openvino_{bits}" / "openvino_model.xml").exists():
            export = ("-m", models / "hf", "--library", "transformers", "--task", "text-generation-with-past")
            command = [
                openvino.parent / "optimum-cli",
                "export",
                "openvino",
                *export,
                "--weight-format",
                bits,
                *options,
            ]
            subprocess.run([*map(str, command), str(models / f"openvino_{bits}")], check=True)

    def engine(name: str, python: Path, script: str, model: Path) -> Engine:
        return Engine(name, (str(python), str(HERE / script), str(model), str(threads)))

    return [
        engine("LLMOS Q4_1", Path(sys.executable), "run_llmos.py", gguf),
        *(
            engine(f"llama.cpp {each}", llama_cpp, "run_llama_cpp.py", models / f"{each}.gguf")
            for each in ("Q4_1", "Q4_0", "Q8_0")
        ),
        engine("LLMOS Q8_0", Path(sys.executable), "run_llmos.py", models / "Q8_0.gguf"),
        *(
            engine(f"OpenVINO {each}", openvino, "run_openvino.py", models / f"openvino_{each}")
            for each in ("int8", "int4")
        ),
    ]


def environment(name: str, packages: tuple[str, ...], without: str | None = None) -> Path:
    """Return the Python of a virtual environment that has the packages."""
    python = PLACE / name / "bin" / "python"
    if not (PLACE / name / "ready").exists():
        venv.create(PLACE / name, with_pip=True)
        run(python, "-m", "pip", "install", "--quiet", *packages)
        if without:
            run(python, "-m", "pip", "uninstall", "--quiet", "--yes", without)
        (PLACE / name / "ready").touch()
    return python


def run(python: Path, *arguments: str | Path) -> None:
    subprocess.run([str(python), *map(str, arguments)], check=True)


@contextmanager
def started(engine: Engine) -> Iterator:
    """Yield ask(prompts, num_output_tokens) -> Timing of an engine that runs while the context lasts."""
    process = subprocess.Popen(
        engine.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin
    assert process.stdout

    def answer() -> dict:
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{engine.name} ended with status {process.wait()}: {' '.join(engine.command)}")
        return json.loads(line)

    def ask(prompts: list[list[int]], num_output_tokens: int) -> Timing:
        print(json.dumps({"prompts": prompts, "num_output_tokens": num_output_tokens}), file=process.stdin, flush=True)
        return Timing(**answer())

    answer()
    try:
        yield ask
    finally:
        process.stdin.close()
        process.wait()


def report(engines: list[Engine], rates: dict[tuple[str, str], list[float]], rounds: int, threads: int) -> str:
    names = [workload.name for workload in WORKLOADS]
    lines = [
        "# Benchmarks",
        "",
        "SmolLM2-135M-Instruct, tokens a second, greedy, in process; the workloads are those of",
        "`src/llmos/engine/workloads.py`. Medians (and lowest to highest) of "
        f"{rounds} interleaved rounds on {threads} threads of {cpu()}.",
        "Printed by `make bench-peers` (`benchmarks/peers/compare.py`, which says how each engine is set up).",
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
    ]
    for engine in engines:
        cells = [cell(rates[engine.name, name]) for name in names]
        lines.append(f"| {engine.name} | " + " | ".join(cells) + " |")
    for ours in (engine.name for engine in engines if engine.name.startswith("LLMOS")):
        ratios = []
        for name in names:
            peers = [each.name for each in engines if not each.name.startswith("LLMOS")]
            best = max(peers, key=lambda peer: statistics.median(rates[peer, name]))
            ratio = statistics.median(a / b for a, b in zip(rates[ours, name], rates[best, name], strict=True))
            ratios.append(f"**{ratio:.2f}** × {best}")
        lines.append(f"| {ours} to the best peer | " + " | ".join(ratios) + " |")
    return "\n".join([*lines, "", "Ratios are medians of the rounds' own ratios.", ""])


def cell(runs: list[float]) -> str:
    return f"{statistics.median(runs):,.0f} ({min(runs):,.0f}–{max(runs):,.0f})"


def cpu() -> str:
    with open("/proc/cpuinfo") as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.processor()


if __name__ == "__main__":
    main()
