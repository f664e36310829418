"""Remarks about weights that the engine doesn't run at the size that they have in the file."""

from collections import Counter
from collections.abc import Mapping

from llmos.engine.formats.encoded import EncodedTensor
from llmos.engine.tensors import BLOCK_BYTES, BLOCK_LENGTH, RawTensor

_WORTH_SAYING = 1.05


def memory_warnings(tensors: Mapping[str, RawTensor]) -> tuple[str, ...]:
    """Return a sentence for each encoding whose matrices take more memory than they take in the file."""
    stored: Counter[tuple[str, str]] = Counter()
    run: Counter[tuple[str, str]] = Counter()
    for name in tensors:
        tensor = tensors[name]
        if isinstance(tensor, EncodedTensor):
            # Floats become 8-bit blocks when they are packed; see runner/packing.py.
            kind = "Q8_0" if tensor.dtype in ("F32", "F16", "BF16") else tensor.dtype
            key = (tensor.storage_type, kind)
            stored[key] += tensor.num_stored_bytes
            run[key] += tensor.num_rows * tensor.num_columns // BLOCK_LENGTH[kind] * BLOCK_BYTES[kind]
    return tuple(
        f"Its {storage} weights are {size / 1e6:,.1f} MB in the file and {run[storage, kind] / 1e6:,.1f} MB in memory,"
        f" where they run as {kind}: only disk space is saved."
        for (storage, kind), size in stored.items()
        if run[storage, kind] > _WORTH_SAYING * size
    )
