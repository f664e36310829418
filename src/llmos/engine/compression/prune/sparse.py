"""Prunes single weights of the layers' matrices: by magnitude, or by Wanda (Sun et al. 2023).

Every matrix loses the same share; the embedding and the head lose nothing, as in the paper. Kept weights are unchanged
to the bit if formats/sparse.py supports the parent's type; otherwise they become Q8_0.

Wanda scores a matrix with the inputs that the pruned matrices before it compute.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadRequest
from llmos.engine.compression.calibration import last_hidden, norms
from llmos.engine.compression.parent import Parent
from llmos.engine.compression.prune.masks import keep_share, keep_two_of_four, magnitude, wanda
from llmos.engine.compression.quantize.blocks import round_to_q8_0
from llmos.engine.compression.recipe import Recipe
from llmos.engine.compression.rows import Write, row_chunks
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import Blocks, Encoding
from llmos.engine.formats.sparse import SPARSE_DTYPES, Sparse
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

_FLOATS = ("F32", "F16", "BF16")


def encodings_of(spec: DecoderSpec, tensors: Mapping[str, RawTensor], recipe: Recipe) -> dict[str, Encoding]:
    """Return the encoding of every tensor. Raises BadRequest for a pattern that doesn't divide the rows."""
    encodings: dict[str, Encoding] = {}
    pattern, sparsity = recipe.options.get("pattern"), float(recipe.options["sparsity"])
    for name, shape in spec.tensor_shapes().items():
        dtype = tensors[name].dtype
        if not _is_pruned(name, shape):
            encodings[name] = Blocks("F32" if len(shape) == 1 and dtype not in _FLOATS else dtype)
            continue
        num_columns = shape[1]
        if pattern is not None and num_columns % 4:
            raise BadRequest(
                f"The pattern {pattern} doesn't divide the {num_columns:,} values of a row of {name}. Leave it out to"
                " prune as many weights without a pattern.",
                param="pattern",
            )
        kind = dtype if dtype in SPARSE_DTYPES else "Q8_0"
        if pattern is not None:
            encodings[name] = Sparse(kind, num_columns // 2, "2:4")
        else:
            encodings[name] = Sparse(kind, num_columns - round(sparsity * num_columns), "bits")
    return encodings


def write_sparse(
    parent: Parent[DecoderSpec],
    recipe: Recipe,
    encodings: Mapping[str, Encoding],
    tokens_SL: Ints | None,
    write: Write,
) -> None:
    """Write every tensor, pruned by Wanda with calibration tokens, by magnitude without."""
    spec, tensors = parent.spec, parent.tensors
    shapes = spec.tensor_shapes()
    total, num_done = parent.num_values(shapes), 0
    for name, shape in shapes.items():
        encoding = encodings[name]
        if isinstance(encoding, Sparse) and tokens_SL is not None:
            continue  # needs the inputs of its layer: see below
        for first, part in row_chunks(tensors[name]):
            if isinstance(encoding, Sparse):
                data, _ = _prune_rows(part, encoding, recipe, magnitude)
            else:
                assert isinstance(encoding, Blocks)
                data = part.data if part.dtype == encoding.kind else dequantize(part).view(np.uint8)
            write(name, first, data)
            parent.release_memory()
        num_done += int(np.prod(shape))
        parent.progress("pruning", num_done, total)
    if tokens_SL is None:
        return
    values_per_layer = (total - num_done) // spec.num_layers

    def weights_for(names: Sequence[str], x_NC: Floats) -> list[Floats]:
        norms_C = norms(x_NC)
        return [prune_matrix(f"{name}.weight", norms_C) for name in names]

    def prune_matrix(name: str, norms_C: Floats) -> Floats:
        """Write a pruned matrix, and return its values."""
        encoding = encodings[name]
        assert isinstance(encoding, Sparse)
        pruned_RC = np.empty(shapes[name], np.float32)
        for first, part in row_chunks(tensors[name]):
            data, pruned_RC[first : first + part.num_rows] = _prune_rows(
                part, encoding, recipe, lambda w: wanda(w, norms_C)
            )
            write(name, first, data)
        return pruned_RC

    def on_layer(i: int, before_NH: Floats, after_NH: Floats) -> None:
        parent.release_memory()
        parent.progress("pruning", num_done + values_per_layer * (i + 1), total)

    last_hidden(spec, tensors, tokens_SL, weights_for, on_layer=on_layer)


def _is_pruned(name: str, shape: tuple[int, ...]) -> bool:
    return name.startswith("layers.") and len(shape) == 2


def _prune_rows(
    rows: RawTensor, encoding: Sparse, recipe: Recipe, score: Callable[[Floats], Floats]
) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Return the encoded rows, and their values with zeros for the pruned ones."""
    values_RC = dequantize(rows)
    scores_RC = score(values_RC)
    is_pattern = encoding.mask_format == "2:4"
    kept_RC = keep_two_of_four(scores_RC) if is_pattern else keep_share(scores_RC, float(recipe.options["sparsity"]))
    if rows.dtype != encoding.kind:
        rows = round_to_q8_0(values_RC)
        values_RC = dequantize(rows)
    return encoding.encode(rows, kept_RC), np.where(kept_RC, values_RC, np.float32(0))
