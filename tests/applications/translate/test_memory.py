"""The memory of approved pairs: what is found again, in a file and in TMX."""

import asyncio
from pathlib import Path

import pytest

from llmos.applications.translate import FileMemory, Pair, open_memory
from llmos.applications.translate.pairs import PairIndex, merged
from llmos.applications.translate.tmx import read_tmx, write_tmx
from llmos.core.errors import BadRequest


def pair(source: str, target: str, languages: str = "en-de") -> Pair:
    one, other = languages.split("-")
    return Pair(source=source, target=target, source_language=one, target_language=other)


def test_a_later_pair_replaces_the_one_of_the_same_text_and_languages() -> None:
    pairs = merged([pair("One  day", "Ein"), pair("One day", "Un", "en-fr"), pair("One day", "Eines Tages")])
    assert [each.target for each in pairs] == ["Un", "Eines Tages"]


def test_pairs_are_found_by_text_and_languages() -> None:
    index = PairIndex([pair("Cafe\u0301 open", "Offen"), pair("Café open", "Ouvert", "en-fr")], "en-GB", "de")
    found = index.exact("Café  open")
    assert found is not None
    assert found.target == "Offen"
    assert index.exact("cafe open") is None


def test_similar_pairs_come_best_first() -> None:
    index = PairIndex(
        [pair("Open the door", "a"), pair("Open the doors", "b"), pair("Something else", "c")], "en", "de"
    )
    assert [each.pair.target for each in index.similar("Open the door!", 2, 0.5)] == ["a", "b"]
    assert [each.pair.target for each in index.similar("Open the door", 2, 0.5)] == ["b"]
    assert index.similar("", 2, 0.5) == []


def test_a_file_keeps_pairs(tmp_path: Path) -> None:
    memory = open_memory(tmp_path / "new" / "memory.jsonl")
    assert asyncio.run(memory.pairs()) == ()
    asyncio.run(memory.approve([pair("One", "Eins"), pair("Two", "Zwei")]))
    asyncio.run(memory.approve([pair("One", "Ein")]))
    assert [each.target for each in asyncio.run(FileMemory(tmp_path / "new" / "memory.jsonl").pairs())] == [
        "Zwei",
        "Ein",
    ]


def test_a_file_that_was_cut_is_one_line_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "memory.jsonl"
    path.write_text('{"source": "One", "tar')
    with pytest.raises(BadRequest, match=r"memory\.jsonl, line 1: "):
        asyncio.run(FileMemory(path).pairs())
    path.write_text('{"source": "One", "target": "Eins"}')  # A line without its end.
    asyncio.run(FileMemory(path).approve([pair("Two", "Zwei")]))
    assert len(asyncio.run(FileMemory(path).pairs())) == 2


def test_a_memory_has_a_known_place() -> None:
    with pytest.raises(BadRequest, match=r"is no memory\. It is `dataset:NAME`"):
        open_memory("memory.db")


def test_tmx_is_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "memory.tmx"
    pairs = [
        Pair(
            source="A < b & {x}\n",
            target='Ä "b"',
            source_language="en",
            target_language="de",
            approved_by="ada",
            approved_at="2026-11-30T18:45:00Z",
        )
    ]
    path.write_text(write_tmx(pairs, "en"))
    assert read_tmx(path, "en", "de") == pairs
    assert read_tmx(path, "en", "fr") == []


def test_tmx_of_other_tools_has_native_codes_and_regions(tmp_path: Path) -> None:
    path = tmp_path / "other.tmx"
    path.write_bytes(
        """<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE tmx SYSTEM "tmx14.dtd"><tmx version="1.4"><header/><body>
        <tu><tuv xml:lang="EN-US"><seg>Press <bpt i="1">&lt;b&gt;</bpt>OK<ept i="1">&lt;/b&gt;</ept></seg></tuv>
        <tuv xml:lang="fr"><seg>Non</seg></tuv><tuv xml:lang="de-DE"><seg>Drücke &lt;b>OK&lt;/b></seg></tuv></tu>
        <tu><tuv xml:lang="en"><seg>Alone</seg></tuv></tu></body></tmx>""".encode("utf-16")
    )
    (found,) = read_tmx(path, "en", "de")
    assert (found.source, found.target) == ("Press <b>OK</b>", "Drücke <b>OK</b>")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('<!DOCTYPE t [<!ENTITY a "aaaa">]><tmx>&a;</tmx>', "declares an entity"),
        ('<!DOCTYPE t [<!ENTITY % a SYSTEM "file:///etc/passwd">%a;]><tmx/>', "declares an entity"),
        ("<tmx><body>", "line 1: no element found"),
        ("", "no element found"),
        ("\x00\x01", "line 1: "),
    ],
)
def test_hostile_tmx_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.tmx"
    path.write_text(content)
    with pytest.raises(BadRequest, match=message):
        read_tmx(path, "en", "de")
