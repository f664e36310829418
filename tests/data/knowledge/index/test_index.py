"""Searches of an index: its two parts, how they are joined, filters, and files that are damaged."""

from pathlib import Path

import numpy as np
import pytest

from llmos.core.encryption.sealed_path import SealedFolder
from llmos.core.errors import BadModelFile, BadRequest
from llmos.data.knowledge.index import IndexedChunk, open_index
from support.search_indexes import build_files, chunks_of, found_documents, make_index, unit_vectors

TEXTS = ["green tea steeps for two minutes", "black tea steeps for four minutes", "coffee is ground", "water boils"]


def test_the_text_part_ranks_by_words(tmp_path: Path) -> None:
    with make_index(tmp_path, TEXTS) as index:
        assert found_documents(index, "How long does BLACK tea steep?") == ["d1", "d0"]


def test_the_vector_part_ranks_by_cosine(tmp_path: Path) -> None:
    vectors = unit_vectors(4)
    with make_index(tmp_path, TEXTS, vectors) as index:
        found = index.search(None, 3.0 * vectors[2], limit=4)
    cosines = vectors.astype(np.float64) @ vectors[2].astype(np.float64)
    assert [each.document for each in found] == [f"d{row}" for row in np.argsort(-cosines)]
    assert [each.cosine for each in found] == pytest.approx(sorted(cosines, reverse=True))
    assert [each.score for each in found] == [each.cosine for each in found]
    assert [each.vector_rank for each in found] == [1, 2, 3, 4]
    assert {each.text_rank for each in found} == {each.bm25 for each in found} == {None}


def test_both_parts_are_joined_by_reciprocal_ranks(tmp_path: Path) -> None:
    vectors = np.eye(4, dtype=np.float32)
    with make_index(tmp_path, TEXTS, vectors) as index:
        found = index.search("coffee", [0.1, 0.9, 0.3, 0.0], limit=3)
    assert [(each.document, each.text_rank, each.vector_rank) for each in found] == [
        ("d2", 1, 2),
        ("d1", None, 1),
        ("d0", None, 3),
    ]
    assert [each.score for each in found] == [1 / 61 + 1 / 62, 1 / 61, 1 / 63]
    assert found[0].bm25 is not None
    assert found[0].bm25 > 0
    assert all(each.cosine is not None for each in found)


def test_a_mode_leaves_one_part_out(tmp_path: Path) -> None:
    vectors = np.eye(4, dtype=np.float32)
    with make_index(tmp_path, TEXTS, vectors) as index:
        by_text = index.search("coffee", vectors[0], mode="text")
        by_vector = index.search("coffee", vectors[0], mode="vector", limit=1)
    assert [(each.document, each.cosine) for each in by_text] == [("d2", None)]
    assert [(each.document, each.bm25) for each in by_vector] == [("d0", None)]


def test_vectors_of_texts_that_their_model_cannot_read_change_no_order(tmp_path: Path) -> None:
    vectors = np.eye(4, dtype=np.float32)
    with make_index(tmp_path, TEXTS, vectors) as index:
        [found] = index.search("coffee", vectors[0], unknown_share=0.34)
        assert (found.document, found.score, found.cosine) == ("d2", 1 / 61, 0)
        for text, mode, share in ("coffee", "hybrid", 1 / 3), ("nowhere", "hybrid", 1), ("coffee", "vector", 1):
            assert len(index.search(text, vectors[0], mode=mode, unknown_share=share)) == 4


def test_chunks_that_score_alike_keep_their_order(tmp_path: Path) -> None:
    vectors = np.tile(unit_vectors(1, 384), (300, 1))
    with make_index(tmp_path, ["the same words"] * 300, vectors) as index:
        expected = [f"d{row}" for row in range(20)]
        assert found_documents(index, "same", 20) == expected
        assert [each.document for each in index.search(None, vectors[0], limit=20)] == expected
        assert [each.document for each in index.search("same", vectors[0], limit=20)] == expected


def test_filters_and_documents_hold_before_ranking(tmp_path: Path) -> None:
    chunks = [
        IndexedChunk(document=f"{name}.md", chunk=number, text="tea", metadata={"year": year})
        for name, year in (("old", 2020), ("new", 2026))
        for number in range(200)
    ]
    vectors = unit_vectors(400)
    with open_index(build_files(tmp_path, chunks, vectors)) as index:
        for text, vector in (("tea", None), (None, vectors[0]), ("tea", vectors[0])):
            found = index.search(text, vector, limit=300, filters={"type": "gt", "key": "year", "value": 2020})
            assert sorted(each.chunk for each in found) == list(range(200))
            assert {each.document for each in found} == {"new.md"}
            assert {each.document for each in index.search(text, vector, documents=["old.md"])} == {"old.md"}
            assert index.search(text, vector, documents=["other.md"]) == []


def test_an_index_of_nothing_finds_nothing(tmp_path: Path) -> None:
    with make_index(tmp_path, []) as index:
        assert len(index) == 0
        assert index.search("tea", unit_vectors(1)[0]) == []


def test_files_may_be_bytes(tmp_path: Path) -> None:
    files = build_files(tmp_path, chunks_of(TEXTS))
    with open_index(files) as mapped, open_index({name: file.read_bytes() for name, file in files.items()}) as read:
        vector = unit_vectors(1, seed=1)[0]
        assert mapped.search("green tea", vector) == read.search("green tea", vector)


def test_files_may_be_encrypted(tmp_path: Path) -> None:
    files, sealed = build_files(tmp_path / "plain", chunks_of(TEXTS)), SealedFolder.of(tmp_path)
    for name, file in files.items():
        (sealed / name).write_bytes(file.read_bytes())
        assert file.read_bytes() not in (tmp_path / name).read_bytes()
    with open_index(files) as plain, open_index({name: sealed / name for name in files}) as encrypted:
        vector = unit_vectors(1, seed=1)[0]
        assert encrypted.search("green tea", vector) == plain.search("green tea", vector) != []


def test_the_same_chunks_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (build_files(tmp_path / name, chunks_of(TEXTS * 50)) for name in ("first", "second"))
    assert {name: file.read_bytes() for name, file in first.items()} == {
        name: file.read_bytes() for name, file in second.items()
    }


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([1.0, 0.0], r"The vector has the shape \[2\]; this index takes \[8\]"),
        ([0.0] * 8, "not all of them 0"),
        ([float("nan")] * 8, "finite"),
    ],
)
def test_a_vector_that_does_not_fit_is_refused(tmp_path: Path, vector: list[float], message: str) -> None:
    with make_index(tmp_path, TEXTS) as index, pytest.raises(BadRequest, match=message):
        index.search(None, vector)


def test_a_limit_below_one_is_refused(tmp_path: Path) -> None:
    with make_index(tmp_path, TEXTS) as index, pytest.raises(BadRequest, match="The limit is 0"):
        index.search("tea", None, limit=0)


@pytest.mark.parametrize("name", ["catalog.msgpack", "text.postings", "vectors.f32"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "changed"])
def test_damaged_files_are_refused(tmp_path: Path, name: str, damage: str) -> None:
    files = build_files(tmp_path, chunks_of(TEXTS))
    content = bytearray(files[name].read_bytes())
    content[len(content) // 2] ^= 4
    damaged = {"empty": b"", "truncated": bytes(content[:-1]), "changed": bytes(content)}
    replaced: dict[str, Path | bytes] = {each: file for each, file in files.items() if each != name}
    if damage != "missing":
        replaced[name] = damaged[damage]
    with pytest.raises(BadModelFile, match="search index"):
        open_index(replaced)
