"""Writes safetensors files: a JSON header, then the bytes of the tensors one after another.

https://github.com/huggingface/safetensors#format
"""

import json
from collections.abc import Mapping
from pathlib import Path

from llmos.engine.formats.safetensors import DTYPES, ENCODED_DTYPE
from llmos.engine.formats.tensor_file import ByteRange, TensorFileWriter, TensorHeader
from llmos.engine.tensors import BLOCK_BYTES

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def open_safetensors_writer(
    path: Path, metadata: Mapping[str, str], headers: Mapping[str, TensorHeader]
) -> TensorFileWriter:
    """Return a writer for a file with these metadata and tensors."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    begin, ranges = 0, {}
    # Types of four bytes first, then two, then one, so that all are aligned to their size.
    for name, tensor in sorted(headers.items(), key=lambda item: -BLOCK_BYTES[item[1].dtype] if item[1].dtype else 0):
        entries[name] = {
            "dtype": _NAMES[tensor.dtype] if tensor.dtype is not None else ENCODED_DTYPE,
            "shape": list(tensor.shape) if tensor.dtype is not None else [tensor.num_bytes],
            "data_offsets": [begin, begin + tensor.num_bytes],
        }
        ranges[name] = ByteRange(begin, tensor.num_bytes)
        begin += tensor.num_bytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    positions = {name: ByteRange(len(header) + range_.offset, range_.num_bytes) for name, range_ in ranges.items()}
    return TensorFileWriter(path, header, positions, size=len(header) + begin)
