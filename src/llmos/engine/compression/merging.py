"""Merges a LoRA adapter into its model: writes a model whose matrices are those of the two together.

An adapter that replaces whole modules (peft's modules_to_save), such as the embedding or the head, can't be applied
request by request beside others: each would need a second copy of these matrices. Merged, it is a model like any other.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadRequest, UnsupportedModel
from llmos.core.progress import Progress, no_progress
from llmos.engine.checkpoint.adapters import LowRankUpdate, open_for_merging
from llmos.engine.checkpoint.checkpoint import Checkpoint, validate_files
from llmos.engine.checkpoint.model_files import FolderFiles, open_model_files
from llmos.engine.checkpoint.model_writer import ModelWriter
from llmos.engine.compression.quantize.rounding import to_dtype
from llmos.engine.compression.rows import row_chunks
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import Blocks
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import DType, RawTensor

Bytes = npt.NDArray[np.uint8]

_FLOATS: tuple[DType, ...] = ("F32", "F16", "BF16")


def merge_adapter(
    base: Mapping[str, Path], adapter: Mapping[str, Path], folder: Path, progress: Progress = no_progress
) -> dict[str, Path]:
    """Write the model `base` with the adapter merged in to `folder`, and return its files. Both: file name -> path.

    Matrices keep the model's float type; changed ones of other types become BF16. Raises BadRequest for a model that
    isn't a Hugging Face folder, BadModelFile where the two don't fit together, and UnsupportedModel.
    """
    opened = open_model_files(base)
    if not isinstance(opened, FolderFiles):
        raise BadRequest(
            "An adapter can be merged into a Hugging Face folder only, not into a GGUF file.", param="merge"
        )
    spec, sources = validate_files(opened)
    if not isinstance(spec, DecoderSpec):
        raise UnsupportedModel("Adapters are for models that generate text; this one doesn't.")
    tensors = Checkpoint(opened, spec, sources).tensors
    found = open_for_merging(adapter, spec, lambda: tensors)
    merged = _with_saved_head(spec, found.saved, is_tied=found.is_tied)
    encodings = {}
    for name, shape in merged.tensor_shapes().items():
        dtype = tensors[_name_in(spec, name)].dtype
        is_changed = name in found.saved or name.removesuffix(".weight") in found.updates
        encodings[name] = Blocks("F32" if len(shape) == 1 and dtype not in _FLOATS else _float(dtype, is_changed))
    names = list(encodings)
    with ModelWriter(opened, folder, merged, {}, encodings) as writer:
        for number, name in enumerate(names, 1):
            tensor = found.saved.get(name) or tensors[_name_in(spec, name)]
            update = found.updates.get(name.removesuffix(".weight"))
            for first, rows in row_chunks(tensor):
                writer.write(name, first, _merged(rows, first, update, encodings[name].kind))
            opened.release_memory()
            progress("merging", number, len(names))
    return writer.files()


def _with_saved_head(spec: DecoderSpec, saved: Mapping[str, RawTensor], *, is_tied: bool) -> DecoderSpec:
    """Return the spec of the merged model: the head stays as it was where only the embedding is replaced."""
    if not spec.tied_head or is_tied or not saved.keys() & {"embed.weight", "head.weight"}:
        return spec
    return replace(spec, tied_head=False)


def _name_in(spec: DecoderSpec, name: str) -> str:
    """Return the base model's tensor for a tensor of the merged model."""
    return "embed.weight" if name == "head.weight" and spec.tied_head else name


def _float(dtype: DType, is_changed: bool) -> DType:
    return "BF16" if is_changed and dtype not in _FLOATS else dtype


def _merged(rows: RawTensor, first: int, update: LowRankUpdate | None, dtype: DType) -> Bytes:
    """Return rows of a tensor, from row `first` on, with the update applied."""
    if update is None and rows.dtype == dtype:
        return rows.data
    values = dequantize(rows).reshape(rows.num_rows, -1)
    if update is not None:
        part = slice(first, first + rows.num_rows)
        values = values if update.gain is None else values * update.gain[part, None]
        values = values + update.up[part] @ update.down
    return to_dtype(values, dtype)
