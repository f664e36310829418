"""Archives whose record or files were changed on their way are refused, and leave nothing behind."""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.core.config import load_settings
from llmos.core.errors import BadModelFile, LLMOSError
from llmos.core.progress import no_progress
from llmos.models import open_registry
from llmos.models.cards.cards import Cards
from llmos.models.registry import Registry
from llmos.models.transfer.archive import RECORD, write_archive
from llmos.models.transfer.transfers import Transfers
from llmos.models.versions.recording import Origin
from llmos.models.versions.records import record_of
from llmos.models.versions.versions import Version
from support.examples import examples
from support.made_cards import CARD

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def here(tmp_path_factory, tiny_gguf) -> Iterator[Registry]:
    """A home with a version that says all that a version can say of itself."""
    home = tmp_path_factory.mktemp("here")
    registry = open_registry(load_settings({"LLMOS_HOME": str(home / "home")}))
    path = home / "model.gguf"
    path.write_bytes(tiny_gguf)
    with registry.store.publishing():
        stored = registry.recorder.add_files({"model.gguf": path}, lambda *_: None)
        origin = Origin(source="x", license="mit", sampling={"temperature": 0.5, "max_tokens": 2048})
        parent = registry.recorder.record("tiny", stored, origin)
        origin = Origin(source="x", license="mit", parent=parent, recipe={"bits": 4})
        made = registry.recorder.record("made", stored, origin)
    card = msgspec.structs.replace(CARD, digest=made.digest, version=made.ref, parent_digest=parent.digest)
    Cards(registry.database).put(made, card)
    yield registry
    registry.database.close()


@pytest.fixture(scope="module", params=["tiny", "made"])
def archive(request, here, tmp_path_factory) -> Path:
    return Transfers(here).export(request.param, tmp_path_factory.mktemp("out") / "out.llmos.tar")


@pytest.fixture(scope="module")
def there(tmp_path_factory) -> Iterator[Registry]:
    """An empty home."""
    registry = open_registry(load_settings({"LLMOS_HOME": str(tmp_path_factory.mktemp("there") / "home")}))
    yield registry
    registry.database.close()


def assert_empty(registry: Registry) -> None:
    assert registry.list() == []
    assert [*registry.store.digests()] == []
    left = [path for path in (registry.store.path / "incoming").rglob("*") if path.suffix != ".lock"]
    assert left == []


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def write(path: Path, contents: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def changed_leaves(value: Any) -> Iterator[Any]:
    """Return the value with one leaf after the other changed or removed."""
    match value:
        case dict():
            for name, inner in value.items():
                yield from ({**value, name: changed} for changed in changed_leaves(inner))
                yield {other: each for other, each in value.items() if other != name}
        case list():
            for i, inner in enumerate(value):
                yield from ([*value[:i], changed, *value[i + 1 :]] for changed in changed_leaves(inner))
        case str():
            yield value[:-1] + ("0" if value[-1:] != "0" else "1")
        case int() | float():
            yield value + 1
        case None:
            yield "something"


def without_nothing(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a record says: a field that is null says nothing, as one that is absent."""
    return {name: value for name, value in record.items() if value not in (None, [], {})}


def test_a_card_travels_with_its_version_and_replaces_none(archive, here, there):
    version = Transfers(there).import_path(archive)
    cards = Cards(there.database)
    assert cards.get(version) == Cards(here.database).get(here.resolve(version.model))
    if (card := cards.get(version)) is not None:
        cards.put(version, msgspec.structs.replace(card, size_bytes=1))
        Transfers(there).import_path(archive)
        assert cards.get(version).size_bytes == 1
    there.remove(version.model)


@pytest.mark.parametrize(
    ("card", "reason"), [({"format": 1}, "a card that can't be read"), (None, "the card of another version")]
)
def test_a_record_with_an_impossible_card_is_refused(here, there, tmp_path, card, reason):
    card = card or msgspec.to_builtins(CARD)
    tiny = here.resolve("tiny")
    write_archive(record_of(tiny, card=card), here.files(tiny), tmp_path / "odd.tar", no_progress)
    with pytest.raises(BadModelFile, match=reason):
        Transfers(there).import_path(tmp_path / "odd.tar")
    assert_empty(there)


def test_a_card_of_a_newer_llmos_is_left_out(here, there, tmp_path):
    tiny = here.resolve("tiny")
    record = record_of(tiny, card={"format": 999, "new": True})
    write_archive(record, here.files(tiny), tmp_path / "newer.tar", no_progress)
    assert Cards(there.database).get(Transfers(there).import_path(tmp_path / "newer.tar")) is None
    there.remove("tiny")


def test_an_archive_brings_all_that_the_version_says(archive, here, there):
    version = Transfers(there).import_path(archive)
    assert says(version) == says(here.resolve(version.model))
    assert (version.sampling["temperature"], version.sampling["max_tokens"]) == (0.5, 2048)
    there.remove(version.model)


def test_a_record_with_any_field_changed_is_refused(archive, there, tmp_path):
    contents = members(archive)
    record = json.loads(contents[RECORD])
    assert record["license"] == "mit"
    changed = [each for each in changed_leaves(record) if without_nothing(each) != without_nothing(record)]
    assert len(changed) > 15
    for each in changed:
        path = write(tmp_path / "changed.tar", contents | {RECORD: json.dumps(each).encode()})
        with pytest.raises(LLMOSError):
            Transfers(there).import_path(path)
        assert_empty(there)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_an_archive_with_changed_bytes_is_refused_or_the_same(archive, there, here, tmp_path, data):
    content = archive.read_bytes()
    first = data.draw(st.integers(0, len(content) - 1))
    junk = data.draw(st.binary(min_size=1, max_size=600))
    damaged = content[:first] + junk + content[first + len(junk) :]
    check_damaged(damaged, archive, there, here, tmp_path)


@pytest.mark.parametrize("cut", [0, 1, 100, 511, 512, 1024, 0.5, 0.9, 0.99])
def test_a_cut_archive_is_refused(archive, there, here, tmp_path, cut):
    content = archive.read_bytes()
    check_damaged(content[: int(cut * len(content) if isinstance(cut, float) else cut)], archive, there, here, tmp_path)


@pytest.mark.process
def test_an_archive_that_ends_inside_a_file_says_so(archive, there, tmp_path):
    with tarfile.open(archive) as whole:
        longest = max(whole.getmembers(), key=lambda member: member.size)
    path = tmp_path / "cut.tar"
    path.write_bytes(archive.read_bytes()[: longest.offset_data + longest.size // 2])
    with pytest.raises(BadModelFile, match=r"is not a complete archive \(unexpected end of data\)\. Copy it again\."):
        Transfers(there).import_path(path)


def check_damaged(damaged: bytes, archive: Path, there: Registry, here: Registry, tmp_path: Path) -> None:
    path = tmp_path / "damaged.tar"
    path.write_bytes(damaged)
    record = json.loads(members(archive)[RECORD])
    try:
        version = Transfers(there).import_path(path, record["model"])
    except LLMOSError:
        pass
    else:  # the bytes between the members, or of the tar's own dates
        assert says(version) == says(here.resolve(record["model"]))
        there.remove(record["model"])
    assert_empty(there)


def says(version: Version) -> tuple[Any, ...]:
    return (version.digest, version.license, version.sampling, version.made_by, version.parent, version.recipe)
