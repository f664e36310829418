"""However a header is damaged, only BadModelFile or UnsupportedModel is raised, and little memory is used."""

import os
import struct
import tracemalloc
from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.gguf import GGUFFile
from support.examples import examples

NASTY = [0, 1, 2**7, 2**8 - 1, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]


@pytest.fixture(scope="module")
def sound(sound_gguf: Path) -> tuple[bytes, int]:
    """The bytes of a valid file, and the length of its header."""
    return sound_gguf.read_bytes(), min(tensor.data_offset for tensor in gguf.GGUFReader(sound_gguf).tensors)


def read_everything(path: Path) -> None:
    try:
        file = GGUFFile(path)
    except BadModelFile:
        return
    for name in file.tensors:
        try:
            tensor = file.tensors[name]
        except UnsupportedModel:
            continue
        assert dequantize(tensor).shape == tensor.shape


changes = st.one_of(
    st.tuples(st.just("byte"), st.integers(0, 2**16), st.integers(0, 255)),
    st.tuples(st.just("u32"), st.integers(0, 2**16), st.sampled_from([value for value in NASTY if value < 2**32])),
    st.tuples(st.just("u64"), st.integers(0, 2**16), st.sampled_from(NASTY)),
    st.tuples(st.just("cut"), st.integers(0, 2**16), st.just(0)),
    st.tuples(st.just("drop"), st.integers(0, 2**16), st.integers(1, 64)),
    st.tuples(st.just("repeat"), st.integers(0, 2**16), st.integers(1, 64)),
)


def damage(data: bytes, header_end: int, change: tuple[str, int, int]) -> bytes:
    kind, where, value = change
    where %= header_end
    if kind == "cut":
        return data[:where]
    if kind == "drop":
        return data[:where] + data[where + value :]
    if kind == "repeat":
        return data[:where] + data[where : where + value] * 2 + data[where + value :]
    new = {
        "byte": struct.pack("<B", value & 255),
        "u32": struct.pack("<I", value & 0xFFFFFFFF),
        "u64": struct.pack("<Q", value),
    }[kind]
    return data[:where] + new + data[where + len(new) :]


def test_a_damaged_header_is_a_clear_error(sound: tuple[bytes, int], tmp_path: Path):
    data, header_end = sound

    @settings(deadline=None, max_examples=examples(600), suppress_health_check=list(HealthCheck))
    @given(st.lists(changes, min_size=1, max_size=4))
    def check(steps: list[tuple[str, int, int]]) -> None:
        broken = data
        for step in steps:
            broken = damage(broken, header_end, step)
        path = tmp_path / "broken.gguf"
        path.write_bytes(broken)
        tracemalloc.start()
        try:
            read_everything(path)
            assert tracemalloc.get_traced_memory()[1] < 50 * len(data)
        finally:
            tracemalloc.stop()

    check()


@pytest.mark.thorough
def test_every_word_of_the_header_may_have_any_value(sound: tuple[bytes, int], tmp_path: Path):
    """Replaces 8 bytes at every position, so that every count, length and offset is covered."""
    data, header_end = sound
    path = tmp_path / "broken.gguf"
    path.write_bytes(data)
    # In place: a file system may write a file that is replaced to the disk.
    with path.open("r+b", buffering=0) as file:
        for where in range(4, header_end - 8):
            for value in (0, 2**31, 2**63, 2**64 - 1):
                os.pwrite(file.fileno(), struct.pack("<Q", value), where)
                read_everything(path)
            os.pwrite(file.fileno(), data[where : where + 8], where)


def test_random_bytes_are_a_clear_error(tmp_path: Path):
    @settings(deadline=None, max_examples=examples(300), suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=400), st.booleans())
    def check(noise: bytes, has_head: bool) -> None:
        path = tmp_path / "noise.gguf"
        path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 3, 3) + noise if has_head else noise)
        with pytest.raises(BadModelFile):
            GGUFFile(path)

    check()
