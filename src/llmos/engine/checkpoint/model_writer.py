"""Write a model that was made from another one: in the other's format, tensor by tensor, in any order.

A GGUF file gives a GGUF file, whose tensors have the other's names and order of rows, so that llama.cpp reads it where
all encodings are GGUF's own types. A Hugging Face folder gives a folder with one model.safetensors, whose tensors are
called as in spec.py; the rest of its files stay as they are.
"""

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
class _Home:
    """Where a tensor of the spec lies: in which of the file's, from which byte on, which of its rows is which."""

    name: str
    begin: int
    order: npt.NDArray[np.intp] | None
    """Where each row lies, counted from the begin; None: in order."""
    encoding: Encoding
    num_columns: int


class ModelWriter:
    """Until the block ends without an error there is no file."""

    def __init__(
        self,
        parent: ModelFiles,
        files: Mapping[str, Path],
        folder: Path,
        spec: ModelSpec,
        sources: Mapping[str, Source],
        encodings: Mapping[str, Encoding],
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """`spec` and `sources`: of the model that is written, `encodings`: of all its tensors, by canonical name.
        `metadata`: what a GGUF file says beside or instead of what the parent's says; None takes an entry away."""
        self._parent, self._files, self._folder = parent, files, folder
        self._shapes, self._encodings = spec.tensor_shapes(), encodings
        self._homes: dict[str, _Home] = {}
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
        """Write rows of a tensor, from row `first` on, as its encoding has them; of a vector, all of it at once."""
        home = self._homes.get(name)
        if home is None:  # the file has it under another name
            return
        if home.order is None:
            self._file.write(home.name, home.begin + first * data.shape[1], data)
            return
        data = data.reshape(-1, home.encoding.num_bytes(1, home.num_columns))
        order = home.order[first : first + len(data)]
        rising = np.argsort(order)
        data, order = data[rising], order[rising]
        starts = [0, *(np.flatnonzero(np.diff(order) != 1) + 1).tolist(), len(order)]
        for start, stop in pairwise(starts):
            self._file.write(home.name, home.begin + int(order[start]) * data.shape[1], data[start:stop])

    def files(self) -> dict[str, Path]:
        """Return the files of the written model, those among them that stay the parent's."""
        if isinstance(self._parent, GGUFFiles):
            return {GGUF_NAME: self._folder / GGUF_NAME}
        kept = {name: path for name, path in self._files.items() if "/" in name or not _is_weights(name)}
        return kept | {SAFETENSORS_NAME: self._folder / SAFETENSORS_NAME}

    # --- GGUF

    def _gguf(self, parent: GGUFFiles, sources: Mapping[str, Source], metadata: Mapping[str, Any]) -> TensorFileWriter:
        kinds: dict[str, TensorHeader] = {}
        descriptors: dict[str, Descriptor] = {}
        parts: dict[str, dict[str, Source]] = defaultdict(dict)
        for canonical, source in sources.items():
            if source not in parts[source.name].values():  # two norms may be one in the file
                parts[source.name][canonical] = source
        for name, of_file in parts.items():
            kinds[name], descriptor = self._tensor(name, of_file)
            if descriptor is not None:
                descriptors[name] = descriptor
        for name in sorted(ROPE_TENSORS & set(parent.tensors)):
            tensor = parent.tensors[name]
            kinds[name] = TensorHeader(tensor.dtype, tensor.shape, tensor.data.nbytes)
        said = {**parent.metadata, **metadata}
        said.pop("general.alignment", None)
        if descriptors:
            said[encoded.KEY] = encoded.format_descriptors(descriptors)
        known = {key: value for key, value in said.items() if value is not None}
        return open_gguf_writer(self._folder / GGUF_NAME, known, kinds)

    def _tensor(self, name: str, parts: Mapping[str, Source]) -> tuple[TensorHeader, Descriptor | None]:
        """Give the tensors of the spec that a tensor of the file holds their places in it."""
        is_stack = next(iter(parts.values())).index is not None
        num_rows = sum(self._shapes[canonical][0] for canonical in parts)
        if not is_stack and len(parts) > 1:
            parts = dict(sorted(parts.items(), key=lambda item: _rows(item[1], num_rows)[0]))
        shapes = [self._shapes[canonical] for canonical in parts]
        encodings = [self._encodings[canonical] for canonical in parts]
        num_columns = 1 if len(shapes[0]) == 1 else shapes[0][1]
        begin = 0
        for (canonical, source), encoding, part_shape in zip(parts.items(), encodings, shapes, strict=True):
            order = None if is_stack else _rows(source, num_rows)[1]
            self._homes[canonical] = _Home(name, begin, order, encoding, num_columns)
            begin += encoding.num_bytes(part_shape[0], num_columns)
        shape = (len(shapes), *shapes[0]) if is_stack else (num_rows, *shapes[0][1:])
        types = {encoding.kind if isinstance(encoding, Blocks) else None for encoding in encodings}
        dtype = types.pop()
        if dtype is not None and not types and dtype in GGUF_TYPES.values():
            return TensorHeader(dtype, shape, begin), None
        each = tuple(Part(encoding, shape[0]) for encoding, shape in zip(encodings, shapes, strict=True))
        return TensorHeader(None, shape, begin), Descriptor(shape, each)

    # --- safetensors

    def _safetensors(self) -> TensorFileWriter:
        kinds: dict[str, TensorHeader] = {}
        descriptors: dict[str, Descriptor] = {}
        for name, shape in self._shapes.items():
            encoding = self._encodings[name]
            num_rows, num_columns = shape if len(shape) > 1 else (1, shape[0])
            num_bytes = encoding.num_bytes(num_rows, num_columns)
            self._homes[name] = _Home(name, 0, None, encoding, num_columns)
            if isinstance(encoding, Blocks) and encoding.kind in DTYPES.values():
                kinds[name] = TensorHeader(encoding.kind, shape, num_bytes)
            else:
                kinds[name] = TensorHeader(None, shape, num_bytes)
                descriptors[name] = Descriptor(shape, (Part(encoding, num_rows),))
        metadata = {NAMES_KEY: CANONICAL, "format": "pt"}
        if descriptors:
            metadata[encoded.KEY] = encoded.format_descriptors(descriptors)
        return open_safetensors_writer(self._folder / SAFETENSORS_NAME, metadata, kinds)


def _rows(source: Source, num_rows: int) -> tuple[int, npt.NDArray[np.intp] | None]:
    """Return which row of a file's tensor, of so many, is the first of this part of it, and where in the part each row
    lies; None: in order."""
    # A source tells by what it makes of the rows' numbers.
    numbers = RawTensor("F32", (num_rows, 1), np.arange(num_rows, dtype=np.float32)[:, None].view(np.uint8))
    order = dequantize(source.load(numbers))[:, 0].astype(np.intp)
    first = int(order.min())
    order -= first
    assert order.max() + 1 == len(order), "a part of a file's tensor lies in one piece"
    return first, None if (np.diff(order) == 1).all() else order


def gguf_compatible(encodings: Mapping[str, Encoding], sources: Mapping[str, Source]) -> dict[str, Encoding]:
    """Return encodings that a GGUF file can have: where a tensor of it holds several of the spec's, of several of its
    types, all are Q8_0."""
    of_file: dict[str, list[str]] = defaultdict(list)
    for canonical, source in sources.items():
        of_file[source.name].append(canonical)
    made = dict(encodings)
    for parts in of_file.values():
        kinds = {encodings[part] for part in parts}
        if len(kinds) > 1 and all(isinstance(kind, Blocks) for kind in kinds):
            made |= dict.fromkeys(parts, Blocks("Q8_0"))
    return made


def _is_weights(name: str) -> bool:
    return name.endswith((".safetensors", ".gguf")) or name == INDEX_NAME
