"""Measure the memory of compression: the peak while quantizing and pruning a large model, against the limit.

    python benchmarks/making_memory.py [--model FILE.gguf] [--only gptq prune:wanda …] [--texts 8 --length 256] [--json]

The limit is twice the largest tensor as 32-bit floats, and the activations of the calibration: of all its tokens, what
the widest step of one layer holds at once. What Python and its libraries take before the work begins is taken off, and
so are pages of the parent's file, which the system can have back at any time. The model is that of
peers/make_large_model.py, the text a real one: the files of Python's own library. The exit status is 1 where one is
above.
"""

import argparse
import json
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

from rich.console import Console
from rich.table import Table

from llmos.cli.output import readable_size
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.spec import DecoderSpec

LARGE = Path(__file__).parent.parent / "build" / "peers" / "large" / "F16.gguf"
RECIPES: dict[str, dict[str, object]] = {
    "quantize:q8_0": {},
    "quantize:q4_1": {},
    "quantize:minmax": {"bits": 4, "group": 32},
    "quantize:absmax": {"bits": 8},
    "quantize:gptq": {},
    "quantize:awq": {},
    "prune:magnitude": {},
    "prune:wanda": {},
    "prune:structured": {"layers": 4},
}
CALIBRATED = ("quantize:gptq", "quantize:awq", "prune:wanda", "prune:structured")
WIDEST_ARRAYS = 4
"""Number of float arrays [calibration tokens, feed-forward width] that exist at once."""

WORK = """
import json, resource, sys, time
from pathlib import Path
from llmos.engine.compression.prune import prune
from llmos.engine.compression.quantize import quantize
from llmos.engine.compression.recipe import Recipe

kind, scheme, options, source, text, folder = json.loads(sys.argv[1])
recipe = Recipe.of(kind, scheme, options)
print("ready", flush=True)
sys.stdin.readline()
begin = time.perf_counter()
carry_out = {"quantize": quantize, "prune": prune}[kind]
carry_out({"model.gguf": Path(source)}, Path(folder), recipe, text=Path(text) if text else None)
print(json.dumps({"seconds": time.perf_counter() - begin}), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Row:
    recipe: str
    peak_bytes: int
    """Increase of anonymous memory, which can't be reclaimed."""
    resident_bytes: int
    """The same, with pages of files included."""
    limit_bytes: int
    seconds: float

    @property
    def holds(self) -> bool:
        return self.peak_bytes <= self.limit_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the memory of quantizing and pruning.")
    parser.add_argument("--model", type=Path, default=LARGE)
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not args.model.exists():
        how = f"python benchmarks/peers/make_large_model.py TOKENIZER.gguf {args.model}"
        sys.exit(f"There is no {args.model}. Make it: {how}")
    rows = []
    with tempfile.TemporaryDirectory(dir=args.model.parent) as folder:
        text = Path(folder) / "text"
        text.write_text("\n".join(path.read_text("utf-8") for path in library_files(40 * args.texts * args.length)))
        for name in args.only:
            rows.append(measure(name, args, text, Path(folder)))
            if args.json:
                print(json.dumps(asdict(rows[-1]) | {"holds": rows[-1].holds}), flush=True)
    if not args.json:
        Console().print(table(rows, args))
    sys.exit(0 if all(row.holds for row in rows) else 1)


def measure(name: str, args: argparse.Namespace, text: Path, folder: Path) -> Row:
    kind, scheme = name.split(":")
    options = dict(RECIPES[name])
    if name in CALIBRATED:
        options |= {"texts": args.texts, "length": args.length, "calibration": "sha256:"}
    given = [kind, scheme, options, str(args.model), str(text) if name in CALIBRATED else None, str(folder)]
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, json.dumps(given)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    watch = Watch(process.pid)
    before = watch.now()
    watch.start()
    process.stdin.write("\n")
    process.stdin.flush()
    said = process.stdout.readline()
    if process.wait() != 0:
        sys.exit(f"{name} failed.")
    watch.join()
    return Row(
        name,
        watch.private - before[0],
        watch.resident - before[1],
        limit(args.model, args.texts * args.length if name in CALIBRATED else 0),
        json.loads(said)["seconds"],
    )


class Watch(threading.Thread):
    """Samples a process's memory 200 times a second until it exits."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self.private = self.resident = 0

    def now(self) -> tuple[int, int]:
        fields = dict(line.split(":", 1) for line in self._status.read_text().splitlines() if ":" in line)
        private, resident = (int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "VmRSS"))
        return private, resident

    def run(self) -> None:
        while True:
            try:
                private, resident = self.now()
            except (OSError, KeyError):  # it has exited
                return
            self.private, self.resident = max(self.private, private), max(self.resident, resident)
            time.sleep(0.005)


def limit(model: Path, num_tokens: int) -> int:
    spec = open_checkpoint({"model.gguf": model}).spec
    assert isinstance(spec, DecoderSpec)
    largest = max(prod(shape) for shape in spec.tensor_shapes().values())
    return 2 * 4 * largest + WIDEST_ARRAYS * 4 * num_tokens * spec.intermediate_size


def library_files(num_bytes: int) -> list[Path]:
    """Return text of so many bytes from Python's standard library."""
    chosen, size = [], 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        if size < num_bytes:
            chosen.append(path)
            size += path.stat().st_size
    return chosen


def table(rows: list[Row], args: argparse.Namespace) -> Table:
    made = Table(title=f"Making versions of {args.model.name}, {readable_size(args.model.stat().st_size)}")
    for heading in ("recipe", "peak", "with pages of files", "limit", "seconds", ""):
        made.add_column(heading, justify="left" if heading in ("recipe", "") else "right")
    for row in rows:
        sizes = (readable_size(size) for size in (row.peak_bytes, row.resident_bytes, row.limit_bytes))
        made.add_row(row.recipe, *sizes, f"{row.seconds:.0f}", "ok" if row.holds else "[red]over[/red]")
    return made


if __name__ == "__main__":
    main()
