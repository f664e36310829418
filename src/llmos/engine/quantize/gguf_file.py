"""A GGUF file of whole weights -> one of fewer bits, which llama.cpp reads too."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from llmos.engine.architectures import ROPE_TENSORS, Source
from llmos.engine.calibration.own_text import DEFAULT_CALIBRATION, Calibration
from llmos.engine.checkpoint import Checkpoint, checked
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.gguf import GGUFFile
from llmos.engine.formats.gguf_writer import write_gguf
from llmos.engine.model_files import open_files
from llmos.engine.quantize.int4 import quantize_int4
from llmos.engine.quantize.q8_0 import round_to_q8_0
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

_KIND = {
    "general.file_type": 3,  # llama.cpp's number for "mostly Q4_1"
    "general.quantization_version": 2,
}


def quantize_gguf(
    source: Path, target: Path, *, calibration: Calibration = DEFAULT_CALIBRATION, threads: int = 1
) -> None:
    """Write `target`: the same model and tokenizer with the weights of quantize_int4. An older file is replaced.

    Raises what open_checkpoint and quantize_int4 raise, and OSError.
    """
    files = open_files({"model.gguf": source})
    spec, sources = checked(files)
    assert isinstance(spec, DecoderSpec), "no family of encoders reads GGUF"
    model = Checkpoint(files, spec, sources)
    tensors = in_file(sources, quantize_int4(spec, model.tensors, calibration=calibration, threads=threads))
    tensors |= {name: files.tensors[name] for name in ROPE_TENSORS & set(files.tensors)}
    metadata = GGUFFile(source).metadata | _KIND
    metadata.pop("general.alignment", None)
    write_gguf(target, metadata, tensors)


def in_file(sources: Mapping[str, Source], tensors: Mapping[str, RawTensor]) -> dict[str, RawTensor]:
    """Return the file's tensors, by its names and with its order of rows: what `sources` make of them is `tensors`.

    Where a tensor of the file has parts of several types, it is Q8_0.
    """
    parts: dict[str, list[tuple[Source, RawTensor]]] = defaultdict(list)
    for canonical, source in sources.items():
        if all(source != other for other, _ in parts[source.name]):  # two norms may be one in the file
            parts[source.name].append((source, tensors[canonical]))
    return {name: _joined(parts_of) for name, parts_of in parts.items()}


def _joined(parts: list[tuple[Source, RawTensor]]) -> RawTensor:
    if len({part.dtype for _, part in parts}) > 1:
        parts = [(source, round_to_q8_0(dequantize(part))) for source, part in parts]
    source, first = parts[0]
    if source.index is not None:  # a stack
        data = np.concatenate([part.data.reshape(part.num_rows, -1) for _, part in parts])
        return RawTensor(first.dtype, (len(parts), *first.shape), data)
    num_rows = sum(part.shape[0] for _, part in parts)
    # A source tells by what it makes of the rows' numbers where each row of its part lies.
    numbers = RawTensor("F32", (num_rows, 1), np.arange(num_rows, dtype=np.float32)[:, None].view(np.uint8))
    data = np.empty((num_rows, first.data.size // first.shape[0]), np.uint8)
    for source, part in parts:
        data[dequantize(source.load(numbers))[:, 0].astype(np.intp)] = part.data.reshape(part.shape[0], -1)
    shape = (num_rows, *first.shape[1:])
    return RawTensor(first.dtype, shape, data if len(shape) > 1 else data.reshape(1, -1))
