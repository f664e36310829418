"""Write a safetensors file: a header in JSON, then the tensors' bytes one after another.

https://github.com/huggingface/safetensors#format
"""

import json
from collections.abc import Mapping
from pathlib import Path

from llmos.engine.formats.safetensors import DTYPES, ENCODED_DTYPE
from llmos.engine.formats.tensor_file import ByteRange, TensorFileWriter, TensorHeader
from llmos.engine.tensors import BLOCK_BYTES, DType

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def has_type(dtype: DType) -> bool:
    """Whether safetensors has the type; what it hasn't is bytes with a descriptor."""
    return dtype in _NAMES


def open_safetensors_writer(
    path: Path, metadata: Mapping[str, str], kinds: Mapping[str, TensorHeader]
) -> TensorFileWriter:
    """Return a file with this header, to be entered and written."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    begin, places = 0, {}
    # Values of four bytes before those of two, and bytes last: each then lies on a multiple of its size.
    for name, kind in sorted(kinds.items(), key=lambda item: -BLOCK_BYTES[item[1].dtype] if item[1].dtype else 0):
        entries[name] = {
            "dtype": _NAMES[kind.dtype] if kind.dtype is not None else ENCODED_DTYPE,
            "shape": list(kind.shape) if kind.dtype is not None else [kind.num_bytes],
            "data_offsets": [begin, begin + kind.num_bytes],
        }
        places[name] = ByteRange(begin, kind.num_bytes)
        begin += kind.num_bytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    placed = {name: ByteRange(len(header) + place.offset, place.num_bytes) for name, place in places.items()}
    return TensorFileWriter(path, header, placed, size=len(header) + begin)
