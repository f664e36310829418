"""The speed, size and recall of the index of knowledge. A part of data.py.

Texts are sentences of Python's documentation with rare names among them, questions are words of a text in a row.
Vectors are clusters with noise. Each program runs in a process of its own, and all of them take turns.
"""

import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import numpy.typing as npt

from llmos.data.knowledge.index import IndexedChunk, build_index

Floats = npt.NDArray[np.float32]

NUM_DIMS = 384
NUM_QUESTIONS = 200

OUR_SEARCH = """
import json, sys, time
from pathlib import Path
import numpy as np
from llmos.data.knowledge.index import open_index

folder, parts = Path(sys.argv[1]), {}
began = time.perf_counter()
index = open_index({path.name: path for path in (folder / "index").iterdir()})
opened = time.perf_counter() - began
texts, vectors = json.loads((folder / "questions.json").read_text()), np.load(folder / "questions.npy")
for mode in ("hybrid", "text", "vector"):
    times = []
    for text, vector in zip(texts, vectors):
        wall, cpu = time.perf_counter(), time.process_time()
        index.search(text, vector, limit=10, mode=mode)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    parts[mode] = times
print(json.dumps({"opened": opened, "times": parts}))
"""

FTS5_SEARCH = """
import json, re, sqlite3, sys, time
from pathlib import Path

folder = Path(sys.argv[1])
database = sqlite3.connect(folder / "fts5.sqlite")
if not database.execute("SELECT 1 FROM sqlite_master").fetchone():
    database.execute("CREATE VIRTUAL TABLE texts USING fts5(text, content='', tokenize='porter unicode61')")
    lines = (folder / "texts.jsonl").open()
    database.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", enumerate(map(json.loads, lines)))
    database.execute("INSERT INTO texts (texts) VALUES ('optimize')")
    database.commit()
times = []
for text in json.loads((folder / "questions.json").read_text()):
    wall, cpu = time.perf_counter(), time.process_time()
    query = " OR ".join(f'"{word}"' for word in dict.fromkeys(re.findall(r"\\w+", text.lower())))
    database.execute("SELECT rowid, rank FROM texts WHERE texts MATCH ? ORDER BY rank LIMIT 10", (query,)).fetchall()
    times.append((time.perf_counter() - wall, time.process_time() - cpu))
print(json.dumps({"times": {"text": times}}))
"""

BM25S_SEARCH = """
import json, sys, time
from pathlib import Path
import bm25s

folder = Path(sys.argv[1])
if not (folder / "bm25s").exists():
    texts = [json.loads(line) for line in (folder / "texts.jsonl").open()]
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    index.index(bm25s.tokenize(texts, stopwords=None, show_progress=False), show_progress=False)
    index.save(folder / "bm25s")
index, times = bm25s.BM25.load(folder / "bm25s", mmap=True), []
for text in json.loads((folder / "questions.json").read_text()):
    wall, cpu = time.perf_counter(), time.process_time()
    words = bm25s.tokenize(text, stopwords=None, show_progress=False, return_ids=False)
    index.retrieve(words, k=10, show_progress=False, n_threads=1)
    times.append((time.perf_counter() - wall, time.process_time() - cpu))
print(json.dumps({"times": {"text": times}}))
"""


def measure_searching(num_chunks: int, num_large: int, repeats: int, peers: Path) -> None:
    """Measure an index of `num_chunks` beside its peers, and one of `num_large`, which has a graph, alone."""
    programs = {"llmos": (Path(sys.executable), OUR_SEARCH), "FTS5": (Path(sys.executable), FTS5_SEARCH)}
    programs["bm25s"] = (bm25s_python(peers), BM25S_SEARCH)
    with tempfile.TemporaryDirectory() as folder:
        measure_index(Path(folder), num_chunks, programs, repeats)
    if num_large:
        with tempfile.TemporaryDirectory() as folder:
            measure_index(Path(folder), num_large, {"llmos": programs["llmos"]}, repeats)


def measure_index(folder: Path, num_chunks: int, programs: Mapping[str, tuple[Path, str]], repeats: int) -> None:
    """Build an index, search it, and print tables."""
    vectors = write_inputs(folder, num_chunks)
    (folder / "index").mkdir()
    wall, cpu = time.perf_counter(), time.process_time()
    paths = build_index(folder / "index", read_chunks(folder / "texts.jsonl"), vectors)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in paths)
    print(f"\n{num_chunks:,} chunks x {NUM_DIMS}: built in {wall:.1f} s, {cpu:.1f} s of CPU; {sizes}")
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, (python, program) in programs.items():
            rounds[name].append(run(python, program, folder))
    print(f"opened in {1000 * statistics.median(each['opened'] for each in rounds['llmos']):.0f} ms")
    print(f"{'ms':22} {'p50':>8} {'p95':>8} {'CPU p50':>8} {'CPU p95':>8}")
    for name, results in rounds.items():
        for part in results[0]["times"]:
            print(f"{name + ', ' + part:22} " + " ".join(f"{each:8.2f}" for each in percentiles(results, part)))
    print(f"recall@10 of the vector part against brute force: {recall(folder, vectors):.4f}")


def percentiles(results: Sequence[Mapping[str, Any]], part: str) -> list[float]:
    """Return the medians over rounds of p50 and p95, in milliseconds of wall time and of CPU time."""
    rounds = [1000 * np.percentile(np.array(each["times"][part]), [50, 95], axis=0).T.reshape(-1) for each in results]
    return [float(each) for each in np.median(rounds, axis=0)]


def recall(folder: Path, vectors: Floats) -> float:
    """Return the share of the ten nearest chunks of all questions that the vector part finds."""
    from llmos.data.knowledge.index import open_index

    index = open_index({path.name: path for path in (folder / "index").iterdir()})
    num_found = 0
    questions = np.load(folder / "questions.npy")
    for question in questions:
        nearest = np.argsort(-(vectors @ question), kind="stable")[:10].tolist()
        found = {each.chunk for each in index.search(None, question, limit=100)[:10]}
        num_found += len(found.intersection(nearest))
    return num_found / (10 * len(questions))


def write_inputs(folder: Path, num_chunks: int) -> Floats:
    """Write texts, questions and their vectors; return the vectors of the texts."""
    choose = random.Random(0)
    questions = []
    with (folder / "texts.jsonl").open("w") as file:
        for number, words in enumerate(make_texts(choose, num_chunks)):
            file.write(json.dumps(" ".join(words)) + "\n")
            if number % (num_chunks // NUM_QUESTIONS) == 0 and len(questions) < NUM_QUESTIONS:
                start = choose.randrange(len(words) - 8)
                questions.append("how does " + " ".join(words[start : start + 8]))
    (folder / "questions.json").write_text(json.dumps(questions))
    chance = np.random.default_rng(0)
    centers = chance.standard_normal((max(1, num_chunks // 150), 64), np.float32)
    directions = chance.standard_normal((64, NUM_DIMS), np.float32)
    np.save(folder / "questions.npy", make_vectors(chance, NUM_QUESTIONS, centers, directions))
    return make_vectors(chance, num_chunks, centers, directions)


def make_texts(choose: random.Random, count: int) -> Any:
    """Yield lists of 60 to 240 words: pieces of a page of the documentation, and names."""
    pages = [words for page in topics.values() if len(words := re.findall(r"\w+", page)) > 20]
    names = ["".join(choose.choices("etaoinshrdlucmfwypvbgk", k=choose.randint(4, 10))) for _ in range(60_000)]
    for _ in range(count):
        page, length, words = choose.choice(pages), choose.randint(60, 240), list[str]()
        while len(words) < length:
            start = choose.randrange(len(page) - 12)
            words += page[start : start + 12]
            if choose.random() < 0.5:
                words.append(names[int(len(names) * choose.random() ** 3)])
        yield words


def make_vectors(chance: np.random.Generator, count: int, centers: Floats, directions: Floats) -> Floats:
    """Return vectors of length 1 around some of the centers, in 64 directions and a little in all others."""
    vectors = np.empty((count, NUM_DIMS), np.float32)
    for start in range(0, count, 10_000):
        rows = vectors[start : start + 10_000]
        places = centers[chance.integers(0, len(centers), len(rows))]
        places += 0.7 * chance.standard_normal(places.shape, np.float32)
        rows[:] = places @ directions + 2.4 * chance.standard_normal(rows.shape, np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return vectors


def read_chunks(path: Path) -> Any:
    with path.open() as file:
        for number, line in enumerate(file):
            yield IndexedChunk(document=f"page{number // 10}", chunk=number, text=json.loads(line))


def run(python: Path, program: str, folder: Path) -> dict[str, Any]:
    found = subprocess.run([python, "-c", program, str(folder)], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    result: dict[str, Any] = json.loads(found.stdout)
    return result


def bm25s_python(folder: Path) -> Path:
    """Return the Python of a virtual environment with bm25s, which is made where it is missing."""
    folder = folder.with_name(folder.name + "-bm25s")
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "bm25s"], check=True)
    return python
