"""GGUF files written by the engine's own writer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmos.engine.formats.gguf_writer import open_gguf_writer
from llmos.engine.formats.tensor_file import TensorHeader
from llmos.engine.tensors import RawTensor


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> None:
    """Write a GGUF file. Raises ValueError for a metadata value that no GGUF type holds."""
    headers = {name: TensorHeader(tensor.dtype, tensor.shape, tensor.data.nbytes) for name, tensor in tensors.items()}
    with open_gguf_writer(path, metadata, headers) as file:
        for name, tensor in tensors.items():
            file.write(name, 0, tensor.data)
