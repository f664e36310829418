"""Small GGUF files: valid ones by the gguf package, invalid ones by hand."""

import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest

Write = Callable[..., Path]


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def pair(key: str | bytes, type_number: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", type_number) + value


def array(type_number: int, length: int, values: bytes) -> bytes:
    return struct.pack("<IQ", type_number, length) + values


def info(name: str | bytes, sizes: tuple[int, ...], type_number: int = 0, offset: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, type_number, offset)


def gguf_bytes(
    pairs: list[bytes] | None = None, infos: list[bytes] | None = None, *, data: bytes = b"", version: int = 3,
    num_pairs: int | None = None, num_tensors: int | None = None,
) -> bytes:  # fmt: skip
    """Return the bytes of a GGUF file, whose counts may be wrong."""
    pairs, infos = pairs or [], infos or []
    num_tensors = len(infos) if num_tensors is None else num_tensors
    num_pairs = len(pairs) if num_pairs is None else num_pairs
    header = b"GGUF" + struct.pack("<IQQ", version, num_tensors, num_pairs) + b"".join(pairs) + b"".join(infos)
    return header + b"\0" * (-len(header) % 32) + data


@pytest.fixture(scope="session")
def build() -> SimpleNamespace:
    """The functions that build the parts of a GGUF file."""
    return SimpleNamespace(string=string, pair=pair, array=array, info=info, gguf_bytes=gguf_bytes)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write bytes, or a GGUF file built from parts, and return its path."""

    def write(*args: Any, **kwargs: Any) -> Path:
        path = tmp_path / "model.gguf"
        path.write_bytes(args[0] if args and isinstance(args[0], bytes) else gguf_bytes(*args, **kwargs))
        return path

    return write


@pytest.fixture(scope="session")
def sound_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with every type of metadata and of tensor, written by the gguf package."""
    path = tmp_path_factory.mktemp("gguf") / "sound.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -100)
    writer.add_uint16("u16", 60000)
    writer.add_int16("i16", -30000)
    writer.add_uint32("u32", 4_000_000_000)
    writer.add_int32("i32", -2_000_000_000)
    writer.add_float32("f32", 0.5)
    writer.add_uint64("u64", 2**63)
    writer.add_int64("i64", -(2**62))
    writer.add_float64("f64", 0.1)
    writer.add_bool("bool", True)
    writer.add_string("string", "人生 😀")
    writer.add_array("strings", ["a", "", "人"])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_array("floats", [0.25, -1.0])
    writer.add_array("bools", [True, False])
    rng = np.random.default_rng(0)
    writer.add_tensor("f32.weight", rng.standard_normal((3, 5), dtype=np.float32))
    writer.add_tensor("f16.weight", rng.standard_normal((2, 3, 4)).astype(np.float16))
    writer.add_tensor("vector", np.arange(7, dtype=np.float32))
    for name in ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "BF16"):
        kind = gguf.GGMLQuantizationType[name]
        values = rng.standard_normal((4, 64), dtype=np.float32)
        writer.add_tensor(f"{name}.weight", gguf.quantize(values, kind), raw_dtype=kind)
    for name in ("Q8_K", "Q4_K", "Q5_K", "Q6_K", "Q3_K", "IQ4_XS", "IQ2_S"):
        kind = gguf.GGMLQuantizationType[name]
        blocks = rng.integers(0, 256, (2, 2 * gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
        writer.add_tensor(f"{name}.weight", blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
