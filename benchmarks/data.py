"""The speed and memory of importing a dataset, beside Hugging Face's `datasets` in the same run.

    .venv/bin/python benchmarks/data.py [--megabytes 200] [--repeats 3]

A file of conversations in ShareGPT's shape becomes a canonical version: parsed, converted to messages, hashed,
compressed and recorded. The peer loads the same file and maps it to messages. Both run in processes of their own,
interleaved; the peer in a virtual environment that this script makes once. The table has medians: MB of input a second
of wall time and of CPU time, the peak memory of the process, and the bytes that are left on the disk.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

PEER = "datasets"

OURS = """
import sys
from pathlib import Path
from llmos.core.config import load_settings
from llmos.data.datasets import open_datasets
from llmos.data.datasets.folder import find_layout
from llmos.data.datasets.importing import import_files
from llmos.data.datasets.records import ImportOptions

datasets = open_datasets(load_settings({"LLMOS_HOME": sys.argv[2]})).of()
version = import_files(datasets, "data", find_layout(Path(sys.argv[1])), ImportOptions(), source="benchmark")
print(version.num_rows)
"""

THEIRS = """
import sys
from datasets import load_dataset

NAMES = {"human": "user", "gpt": "assistant"}

def to_messages(row):
    return {"messages": [{"role": NAMES[turn["from"]], "content": turn["value"]} for turn in row["conversations"]]}

rows = load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
rows = rows.map(to_messages, remove_columns=rows.column_names)
print(rows.num_rows)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--megabytes", type=int, default=200)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--peer", type=Path, default=Path(tempfile.gettempdir()) / "llmos-benchmark-datasets")
    chosen = options.parse_args()
    peer = peer_python(chosen.peer)
    with tempfile.TemporaryDirectory() as folder:
        source = write_conversations(Path(folder) / "conversations.jsonl", chosen.megabytes)
        programs = {"llmos": (Path(sys.executable), OURS), PEER: (peer, THEIRS)}
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
        for _ in range(chosen.repeats):
            for name, (python, program) in programs.items():
                measured[name].append(measure(python, program, source))
        print(f"{source.stat().st_size / 1e6:.0f} MB of conversations, medians of {chosen.repeats}")
        for name, runs in measured.items():
            median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            print(
                f"{name:10} {median['wall']:7.1f} MB/s {median['cpu']:7.1f} MB/s of CPU {median['memory']:7.0f} MB"
                f" {median['left']:7.0f} MB on the disk"
            )


def peer_python(folder: Path) -> Path:
    """Return the Python of a virtual environment with the peer, which is made where it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
    return python


def write_conversations(path: Path, megabytes: int) -> Path:
    """Write conversations of words that compress about as well as English."""
    choose = random.Random(0)
    words = ["".join(choose.choices("etaoinshrdlucmfwypvbgk", k=choose.randint(2, 9))) for _ in range(5000)]
    with path.open("w") as file:
        while file.tell() < megabytes * 1_000_000:
            turns = [
                {"from": "human" if turn % 2 == 0 else "gpt", "value": " ".join(choose.choices(words, k=60))}
                for turn in range(4)
            ]
            file.write(json.dumps({"id": str(file.tell()), "conversations": turns}) + "\n")
    return path


def measure(python: Path, program: str, source: Path) -> dict[str, float]:
    """Run a program on the file; return its speed, peak memory and what it leaves, in MB."""
    megabytes = source.stat().st_size / 1e6
    with tempfile.TemporaryDirectory() as home:
        command: Sequence[str] = [str(python), "-c", program, str(source), home]
        environment = os.environ | {"HF_DATASETS_OFFLINE": "1", "HF_HOME": home}
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        assert status == 0, errors.decode()
        cpu = usage.ru_utime + usage.ru_stime
        left = sum(path.stat().st_size for path in Path(home).rglob("*") if path.is_file())
    return {"wall": megabytes / wall, "cpu": megabytes / cpu, "memory": usage.ru_maxrss / 1024, "left": left / 1e6}


if __name__ == "__main__":
    main()
