"""Writes a model that was made from another one, its parent: in the parent's format, tensor by tensor, in any order.

For a GGUF file the result is a GGUF file with the parent's tensor names and row order, so that llama.cpp can read it if
all encodings are GGUF's own types. For a Hugging Face folder it is a folder with one model.safetensors whose tensors
have the canonical names of spec.py; the other files stay the same.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from llmos.engine.architectures import ROPE_TENSORS, Source
from llmos.engine.checkpoint.ignored_keys import FILE_NAME as IGNORED_NAME
from llmos.engine.checkpoint.model_files import GGUFFiles, ModelFiles
from llmos.engine.encoder_spec import ModelSpec
from llmos.engine.formats import encoded
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encoded import Descriptor, Part
from llmos.engine.formats.encodings import Blocks, Encoding
from llmos.engine.formats.gguf_header import DTYPES as GGUF_TYPES
from llmos.engine.formats.gguf_writer import open_gguf_writer
from llmos.engine.formats.safetensors import CANONICAL, DTYPES, INDEX_NAME, NAMES_KEY
from llmos.engine.formats.safetensors_writer import open_safetensors_writer
from llmos.engine.formats.tensor_file import TensorFileWriter, TensorHeader
from llmos.engine.tensors import RawTensor

Bytes = npt.NDArray[np.uint8]

GGUF_NAME, SAFETENSORS_NAME = "model.gguf", "model.safetensors"


@dataclass(frozen=True, slots=True)
class _Location:
    """The position of a tensor of the spec in the file."""

    name: str
    """The tensor of the file that contains it."""
    offset: int
    """Its first byte in that tensor."""
    order: npt.NDArray[np.intp] | None
    """The position of each row, counted from the offset. None: in order."""
    encoding: Encoding
    num_columns: int


class ModelWriter:
    """A context manager that writes the weights of a model. After an error no file is left."""

    def __init__(
        self,
        parent: ModelFiles,
        folder: Path,
        spec: ModelSpec,
        sources: Mapping[str, Source],
        encodings: Mapping[str, Encoding],
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """`spec`, `sources`: of the new model. `encodings`: of all its tensors, by canonical name. `metadata`: GGUF
        metadata to add or replace; None removes an entry."""
        self._parent, self._folder = parent, folder
        self._shapes, self._encodings = spec.tensor_shapes(), encodings
        self._locations: dict[str, _Location] = {}
        self._file = (
            self._gguf(parent, sources, metadata or {}) if isinstance(parent, GGUFFiles) else self._safetensors()
        )

    def __enter__(self) -> Self:
        with ExitStack() as entered:
            entered.enter_context(self._file)
            if isinstance(self._parent, GGUFFiles):
                for name in ROPE_TENSORS & set(self._parent.tensors):
                    self._file.write(name, 0, self._parent.tensors[name].data)
            self._entered = entered.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered.__exit__(kind, error, traceback)

    def write(self, name: str, first: int, data: Bytes) -> None:
        """Write encoded rows of a tensor, beginning with row `first`. A vector is written at once."""
        location = self._locations.get(name)
        if location is None:  # the file shares it with another tensor of the spec
            return
        if location.order is None:
            self._file.write(location.name, location.offset + first * data.shape[1], data)
            return
        data = data.reshape(-1, location.encoding.num_bytes(1, location.num_columns))
        order = location.order[first : first + len(data)]
        ascending = np.argsort(order)
        data, order = data[ascending], order[ascending]
        starts = [0, *(np.flatnonzero(np.diff(order) != 1) + 1).tolist(), len(order)]
        for start, stop in pairwise(starts):
            self._file.write(location.name, location.offset + int(order[start]) * data.shape[1], data[start:stop])

    def files(self) -> dict[str, Path]:
        """Return the files of the new model (file name -> path), including those it has in common with its parent."""
        if isinstance(self._parent, GGUFFiles):
            ignored = {name: path for name, path in self._parent.paths.items() if name == IGNORED_NAME}
            return {GGUF_NAME: self._folder / GGUF_NAME, **ignored}
        kept = {name: path for name, path in self._parent.paths.items() if "/" in name or not _is_weights(name)}
        return kept | {SAFETENSORS_NAME: self._folder / SAFETENSORS_NAME}

    # --- GGUF

    def _gguf(self, parent: GGUFFiles, sources: Mapping[str, Source], metadata: Mapping[str, Any]) -> TensorFileWriter:
        headers: dict[str, TensorHeader] = {}
        descriptors: dict[str, Descriptor] = {}
        parts: dict[str, dict[str, Source]] = defaultdict(dict)
        for canonical, source in sources.items():
            if source not in parts[source.name].values():  # the spec may use one tensor of the file twice
                parts[source.name][canonical] = source
        for name, sources_in_tensor in parts.items():
            headers[name], descriptor = self._tensor(name, sources_in_tensor)
            if descriptor is not None:
                descriptors[name] = descriptor
        for name in sorted(ROPE_TENSORS & set(parent.tensors)):
            tensor = parent.tensors[name]
            headers[name] = TensorHeader(tensor.dtype, tensor.shape, tensor.data.nbytes)
        merged = {**parent.metadata, **metadata}
        merged.pop("general.alignment", None)
        if descriptors:
            merged[encoded.KEY] = encoded.format_descriptors(descriptors)
        known = {key: value for key, value in merged.items() if value is not None}
        return open_gguf_writer(self._folder / GGUF_NAME, known, headers)

    def _tensor(self, name: str, parts: Mapping[str, Source]) -> tuple[TensorHeader, Descriptor | None]:
        """Set the locations of the tensors of the spec in one tensor of the file."""
        source = next(iter(parts.values()))
        is_stack = source.index is not None
        keeps_shape = is_stack or source.flatten
        num_rows = sum(self._shapes[canonical][0] for canonical in parts)
        if not keeps_shape and len(parts) > 1:
            parts = dict(sorted(parts.items(), key=lambda item: _rows(item[1], num_rows)[0]))
        shapes = [self._shapes[canonical] for canonical in parts]
        encodings = [self._encodings[canonical] for canonical in parts]
        num_columns = 1 if len(shapes[0]) == 1 else shapes[0][1]
        begin = 0
        for (canonical, part), encoding, part_shape in zip(parts.items(), encodings, shapes, strict=True):
            order = None if keeps_shape else _rows(part, num_rows)[1]
            self._locations[canonical] = _Location(name, begin, order, encoding, num_columns)
            begin += encoding.num_bytes(part_shape[0], num_columns)
        # The parts of a stack, and of the matrices in it, follow one another in the order of the spec's names. A pruned
        # model has fewer of them than its parent, and fewer rows of a flattened tensor.
        shape: tuple[int, ...] = (num_rows, *shapes[0][1:])
        if is_stack:
            num_stacked = len({part.index for part in parts.values()})
            shape = (num_stacked, num_rows // num_stacked, *shapes[0][1:])
        elif source.flatten:
            rest = self._parent.tensors[name].shape[1:]
            shape = (num_rows // math.prod(rest), *rest)
        types = {encoding.kind if isinstance(encoding, Blocks) else None for encoding in encodings}
        dtype = types.pop()
        if dtype is not None and not types and dtype in GGUF_TYPES.values():
            return TensorHeader(dtype, shape, begin), None
        each = tuple(Part(encoding, shape[0]) for encoding, shape in zip(encodings, shapes, strict=True))
        return TensorHeader(None, shape, begin), Descriptor(shape, each)

    # --- safetensors

    def _safetensors(self) -> TensorFileWriter:
        headers: dict[str, TensorHeader] = {}
        descriptors: dict[str, Descriptor] = {}
        for name, shape in self._shapes.items():
            encoding = self._encodings[name]
            num_rows, num_columns = shape if len(shape) > 1 else (1, shape[0])
            num_bytes = encoding.num_bytes(num_rows, num_columns)
            self._locations[name] = _Location(name, 0, None, encoding, num_columns)
            if isinstance(encoding, Blocks) and encoding.kind in DTYPES.values():
                headers[name] = TensorHeader(encoding.kind, shape, num_bytes)
            else:
                headers[name] = TensorHeader(None, shape, num_bytes)
                descriptors[name] = Descriptor(shape, (Part(encoding, num_rows),))
        metadata = {NAMES_KEY: CANONICAL, "format": "pt"}
        if descriptors:
            metadata[encoded.KEY] = encoded.format_descriptors(descriptors)
        return open_safetensors_writer(self._folder / SAFETENSORS_NAME, metadata, headers)


def _rows(source: Source, num_rows: int) -> tuple[int, npt.NDArray[np.intp] | None]:
    """Return the first row of a part of a file's tensor, and the position of each row in the part (None: in order).

    `num_rows`: of the file's tensor.
    """
    # Load a tensor whose values are its row numbers: the result shows where the source takes each row from.
    numbers = RawTensor("F32", (num_rows, 1), np.arange(num_rows, dtype=np.float32)[:, None].view(np.uint8))
    order = dequantize(source.load(numbers))[:, 0].astype(np.intp)
    first = int(order.min())
    order -= first
    assert order.max() + 1 == len(order), "the rows of a part are contiguous in the file"
    return first, None if (np.diff(order) == 1).all() else order


def gguf_compatible(encodings: Mapping[str, Encoding], sources: Mapping[str, Source]) -> dict[str, Encoding]:
    """Return encodings that a GGUF file can have: tensors of the spec that share one tensor of the file, but have
    different GGUF types, all become Q8_0."""
    sharing: dict[str, list[str]] = defaultdict(list)
    for canonical, source in sources.items():
        sharing[source.name].append(canonical)
    made = dict(encodings)
    for parts in sharing.values():
        used = {encodings[part] for part in parts}
        if len(used) > 1 and all(isinstance(encoding, Blocks) for encoding in used):
            made |= dict.fromkeys(parts, Blocks("Q8_0"))
    return made


def _is_weights(name: str) -> bool:
    return name.endswith((".safetensors", ".gguf")) or name == INDEX_NAME
