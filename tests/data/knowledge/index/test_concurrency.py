"""Searches of one index from many threads at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmos.data.knowledge.index import graph, open_index
from support.search_indexes import build_files, chunks_of, unit_vectors

TEXTS = [f"tea number {number} of {number % 7} and 茶{number % 11}号" for number in range(2000)]


@pytest.mark.thorough
@pytest.mark.parametrize("with_graph", [False, True])
def test_threads_find_what_one_thread_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_graph: bool) -> None:
    monkeypatch.setattr(graph, "MIN_ROWS", 1000 if with_graph else 10_000)
    vectors = unit_vectors(len(TEXTS), 16)
    metadata = {row: {"half": row % 2} for row in range(len(TEXTS))}
    index = open_index(build_files(tmp_path, chunks_of(TEXTS, metadata), vectors))
    filters = {"type": "eq", "key": "half", "value": 1}
    questions = [(f"number {number} 茶{number % 11}", vectors[number]) for number in range(100)]

    def search(number: int) -> list[object]:
        text, vector = questions[number % len(questions)]
        return [index.search(text, vector), index.search(text, vector, filters=filters)]

    expected = [search(number) for number in range(len(questions))]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(search, range(4 * len(questions))))
    assert found == expected * 4
