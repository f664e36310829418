"""The speed and memory of work on datasets and knowledge, beside a peer in the same run.

    .venv/bin/python benchmarks/data.py [--only import|near-duplicates|knowledge-adding|knowledge-search]
                                        [--megabytes 200] [--documents 10000] [--pages 1000] [--parts 5]
                                        [--chunks 50000]

import            A file of conversations in ShareGPT's shape becomes a canonical version: parsed, converted to
                  messages, hashed, compressed and recorded. Hugging Face's `datasets` loads the same file and maps it
                  to messages. The table has MB of input a second of wall time and of CPU time, the peak memory of the
                  process, and the bytes that are left on the disk. LLMOS finds its database as an earlier command has
                  left it.
near-duplicates   Documents of 120 words, a tenth of them copies with one word changed, are searched for near duplicates
                  by the operator, with rows that are read from a file twice, as a recipe does it. `datasketch` makes
                  signatures of the same length from the same sequences, queries an index of the same bands, and
                  compares what it finds by the true similarity. The table has microseconds of wall time and of CPU
                  time a document, without the start of the process.
knowledge-adding  1,000 pages of PDF, DOCX, HTML and Markdown are added to knowledge: parsed, cut, embedded by minilm
                  and written. The peer is the model: the same texts are embedded alone, in the same run, part by part.
knowledge-search  Indexes of 50,000 and of 300,000 chunks with vectors of 384 dimensions are built and searched.
                  SQLite's FTS5 and `bm25s` search the same texts for the same words. The tables have milliseconds of
                  wall time and of CPU time a question, the sizes of files, and the recall of the vector part.

All but knowledge-adding run in processes of their own, interleaved; the peers in virtual environments that this script
makes once. The figures are medians of `--repeats` rounds.
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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from knowledge_searching import measure_searching

PEERS = ("datasets", "datasketch")

OUR_IMPORT = """
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

MAKE_HOME = """
import sys
from llmos.core.config import load_settings
from llmos.data.datasets import open_datasets

open_datasets(load_settings({"LLMOS_HOME": sys.argv[2]}))
"""

THEIR_IMPORT = """
import sys
from datasets import load_dataset

NAMES = {"human": "user", "gpt": "assistant"}

def to_messages(row):
    return {"messages": [{"role": NAMES[turn["from"]], "content": turn["value"]} for turn in row["conversations"]]}

rows = load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
rows = rows.map(to_messages, remove_columns=rows.column_names)
print(rows.num_rows)
"""


OUR_SEARCH = """
import sys, time
from pathlib import Path
import msgspec
from llmos.data.datasets.rows import make_row
from llmos.data.operators.kinds.near_duplicates import Options, open as open_operator
from llmos.data.operators.operator import Context, Item
from llmos.data.operators.spooled_items import SpooledItems

rows = [make_row("text", {"text": text}) for text in msgspec.json.decode(Path(sys.argv[1]).read_bytes())]
wall, cpu = time.perf_counter(), time.process_time()
dropped = []
with SpooledItems(Item(row, row.id) for row in rows) as items:
    kept = list(open_operator(Options(), Context()).apply(items, lambda item, reason: dropped.append(item)))
print(time.perf_counter() - wall, time.process_time() - cpu, len(dropped))
"""

THEIR_SEARCH = """
import json, re, sys, time
from datasketch import MinHash, MinHashLSH

texts = json.load(open(sys.argv[1]))
wall, cpu = time.perf_counter(), time.process_time()
index, sequences_of, dropped = MinHashLSH(params=(20, 5), num_perm=100), {}, []
for number, text in enumerate(texts):
    words = re.findall(r"[^\\W_]+", text.casefold())
    sequences = {" ".join(words[place : place + 5]).encode() for place in range(len(words) - 4)}
    signature = MinHash(num_perm=100)
    signature.update_batch(sequences)
    found = (sequences_of[other] for other in index.query(signature))
    if any(len(sequences & other) / len(sequences | other) >= 0.8 for other in found):
        dropped.append(number)
    else:
        index.insert(number, signature)
        sequences_of[number] = sequences
print(time.perf_counter() - wall, time.process_time() - cpu, len(dropped))
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", choices=("import", "near-duplicates", "knowledge-adding", "knowledge-search"))
    options.add_argument("--megabytes", type=int, default=200)
    options.add_argument("--documents", type=int, default=10_000)
    options.add_argument("--chunks", type=int, default=50_000)
    options.add_argument("--large-chunks", type=int, default=300_000, help="0: leave the large index out")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--peers", type=Path, default=Path(tempfile.gettempdir()) / "llmos-benchmark-datasets")
    options.add_argument("--pages", type=int, default=1000)
    options.add_argument("--parts", type=int, default=5)
    chosen = options.parse_args()
    if chosen.only in (None, "knowledge-adding"):
        from knowledge_adding import measure_adding

        measure_adding(chosen.pages, chosen.parts)
    if chosen.only in (None, "knowledge-search"):
        measure_searching(chosen.chunks, chosen.large_chunks, chosen.repeats, chosen.peers)
    if chosen.only in ("knowledge-adding", "knowledge-search"):
        return
    peer = peer_python(chosen.peers)
    with tempfile.TemporaryDirectory() as folder:
        if chosen.only != "near-duplicates":
            compare_imports(Path(folder), peer, chosen.megabytes, chosen.repeats)
        if chosen.only != "import":
            compare_searches(Path(folder), peer, chosen.documents, chosen.repeats)


def compare_imports(folder: Path, peer: Path, megabytes: int, repeats: int) -> None:
    """Measure imports, and print a table."""
    source = write_conversations(folder / "conversations.jsonl", megabytes)
    programs = {
        "llmos": lambda: measure_import(Path(sys.executable), OUR_IMPORT, source, before=MAKE_HOME),
        "datasets": lambda: measure_import(peer, THEIR_IMPORT, source),
    }
    medians = measure_all(programs, repeats)
    print(f"{source.stat().st_size / 1e6:.0f} MB of conversations, medians of {repeats}")
    for name, median in medians.items():
        print(
            f"{name:10} {median['wall']:7.1f} MB/s {median['cpu']:7.1f} MB/s of CPU {median['memory']:7.0f} MB"
            f" {median['left']:7.0f} MB on the disk"
        )
    ours, theirs = medians.values()
    print(f"{ours['wall'] / theirs['wall']:.2f} times as fast, {ours['cpu'] / theirs['cpu']:.2f} times by CPU time")


def compare_searches(folder: Path, peer: Path, num_documents: int, repeats: int) -> None:
    """Measure searches for near duplicates, and print a table."""
    source = write_documents(folder / "documents.json", num_documents)
    programs = {
        "llmos": lambda: measure_search(Path(sys.executable), OUR_SEARCH, source, num_documents),
        "datasketch": lambda: measure_search(peer, THEIR_SEARCH, source, num_documents),
    }
    medians = measure_all(programs, repeats)
    print(f"{num_documents:,} documents of 120 words, medians of {repeats}")
    for name, median in medians.items():
        print(
            f"{name:10} {median['wall']:7.1f} µs a document {median['cpu']:7.1f} µs of CPU"
            f" {median['found']:7.0f} near duplicates"
        )
    ours, theirs = medians.values()
    print(f"{theirs['wall'] / ours['wall']:.2f} times as fast, {theirs['cpu'] / ours['cpu']:.2f} times by CPU time")


def measure_all(programs: Mapping[str, Callable[[], Mapping[str, float]]], repeats: int) -> dict[str, dict[str, float]]:
    """Run the programs in turns, and return the medians of what each run of them gives."""
    measured: dict[str, list[Mapping[str, float]]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in programs.items():
            measured[name].append(program())
    return {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in measured.items()
    }


def peer_python(folder: Path) -> Path:
    """Return the Python of a virtual environment with the peers, which is made where it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)
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


def measure_import(python: Path, program: str, source: Path, before: str = "") -> dict[str, float]:
    """Run a program on the file; return its speed, peak memory and what it leaves, in MB. `before` isn't measured."""
    megabytes = source.stat().st_size / 1e6
    with tempfile.TemporaryDirectory() as home:
        command: Sequence[str] = [str(python), "-c", program, str(source), home]
        subprocess.run([python, "-c", before, source, home], check=True)
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


def write_documents(path: Path, num_documents: int) -> Path:
    """Write documents of 120 random words. Each tenth is a copy of an earlier one with another word."""
    choose = random.Random(0)
    words = ["".join(choose.choices("etaoinshrdlucmfwypvbgk", k=choose.randint(2, 9))) for _ in range(5000)]
    documents: list[list[str]] = []
    for index in range(num_documents):
        is_copy = index % 10 == 9
        documents.append([*choose.choice(documents)] if is_copy else choose.choices(words, k=120))
        if is_copy:
            documents[-1][choose.randrange(120)] = "changed"
    path.write_text(json.dumps([" ".join(document) for document in documents]))
    return path


def measure_search(python: Path, program: str, source: Path, num_documents: int) -> dict[str, float]:
    """Run a search; return microseconds a document, and how many it found."""
    printed = subprocess.run([python, "-c", program, source], check=True, stdout=subprocess.PIPE).stdout.split()
    wall, cpu, found = map(float, printed)
    return {"wall": wall * 1e6 / num_documents, "cpu": cpu * 1e6 / num_documents, "found": found}


if __name__ == "__main__":
    main()
