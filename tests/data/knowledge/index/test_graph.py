"""The graph of a large index, here of few rows: nearly exact, deterministic, filtered, and refused if damaged."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llmos.core.errors import BadModelFile, BadRequest
from llmos.data.knowledge.index import IndexedChunk, graph, open_index
from llmos.data.knowledge.index.vectors import Floats, nearest_rows, query_vector
from support.search_indexes import build_files, unit_vectors

NUM_ROWS = 3000
VECTORS = unit_vectors(NUM_ROWS, 32)
QUERIES = unit_vectors(20, 32, seed=1)
CHUNKS = [
    IndexedChunk(document=f"d{row}", chunk=0, text="tea", metadata={"year": 2000 + row % 25, "rare": row % 100 == 0})
    for row in range(NUM_ROWS)
]


@pytest.fixture(autouse=True)
def _few_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MIN_ROWS", 1000)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "MIN_ROWS", 1000)
        yield build_files(tmp_path_factory.mktemp("graph"), CHUNKS, VECTORS)


def exact_rows(query: Floats, limit: int, allowed: np.ndarray | None = None) -> set[int]:
    return {row for row, _ in nearest_rows(VECTORS, query_vector(query, 32), limit, allowed)}


def test_a_small_index_has_no_graph(tmp_path: Path) -> None:
    assert "graph.usearch" not in build_files(tmp_path, CHUNKS[:1000], VECTORS[:1000])


def test_nearly_all_of_the_nearest_rows_are_found_with_exact_cosines(files: dict[str, Path]) -> None:
    index, num_found = open_index(files), 0
    for query in QUERIES:
        found = index.search(None, query, limit=10)
        cosines = [
            float(VECTORS[int(each.document[1:])].astype(np.float64) @ query_vector(query, 32)) for each in found
        ]
        assert [each.cosine for each in found] == pytest.approx(cosines)
        assert cosines == sorted(cosines, reverse=True)
        num_found += len(exact_rows(query, 10) & {int(each.document[1:]) for each in found})
    assert num_found >= 198  # of 200


@pytest.mark.parametrize(
    ("filters", "allowed"),
    [
        ({"type": "gte", "key": "year", "value": 2005}, np.arange(NUM_ROWS) % 25 >= 5),
        ({"type": "eq", "key": "rare", "value": True}, np.arange(NUM_ROWS) % 100 == 0),
        ({"type": "eq", "key": "year", "value": 1}, np.zeros(NUM_ROWS, bool)),
    ],
    ids=["most rows", "few rows", "no row"],
)
def test_filters_hold_before_ranking(files: dict[str, Path], filters: dict[str, object], allowed: np.ndarray) -> None:
    index, num_found, num_expected = open_index(files), 0, 0
    for query in QUERIES:
        found = {int(each.document[1:]) for each in index.search(None, query, limit=50, filters=filters)}
        assert all(allowed[row] for row in found)
        expected = exact_rows(query, 50, allowed)
        assert len(found) == len(expected)
        num_found, num_expected = num_found + len(found & expected), num_expected + len(expected)
    assert num_found >= 0.99 * num_expected


def test_more_rows_may_be_wanted_than_there_are(files: dict[str, Path]) -> None:
    assert len(open_index(files).search(None, QUERIES[0], limit=10_000)) == NUM_ROWS


def test_the_same_vectors_give_the_same_graph(files: dict[str, Path], tmp_path: Path) -> None:
    again = build_files(tmp_path, CHUNKS, VECTORS)
    assert again["graph.usearch"].read_bytes() == files["graph.usearch"].read_bytes()


def test_bytes_are_searched_as_files_are(files: dict[str, Path]) -> None:
    read = open_index({name: file.read_bytes() for name, file in files.items()})
    assert read.search("tea", QUERIES[0]) == open_index(files).search("tea", QUERIES[0])


def test_a_damaged_graph_is_refused(files: dict[str, Path]) -> None:
    content = bytearray(files["graph.usearch"].read_bytes())
    content[len(content) // 2] ^= 1
    with pytest.raises(BadModelFile, match=r"graph\.usearch of a search index is damaged"):
        open_index({**files, "graph.usearch": bytes(content)})


@pytest.mark.parametrize("content", [b"", b"usearch", b"x" * 1000])
def test_what_is_no_graph_is_refused(content: bytes) -> None:
    with pytest.raises(BadModelFile, match="graph of a search index"):
        graph.Graph(content, VECTORS)


def test_a_graph_of_other_vectors_is_refused(files: dict[str, Path]) -> None:
    with pytest.raises(BadModelFile, match="other vectors"):
        graph.Graph(files["graph.usearch"].read_bytes(), VECTORS[:-1])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "usearch", None)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(BadRequest, match=r"pip install 'llmos\[data\]'"):
        build_files(tmp_path, CHUNKS, VECTORS)
