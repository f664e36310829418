"""Take single weights out of the layers' matrices: magnitude, and Wanda (Sun et al. 2023).

Every matrix loses the same share, the embedding and the head nothing, as in the paper. What is kept keeps its value
to the bit where formats/sparse.py has the parent's type; of other blocks it becomes 8-bit, a scale for 32.

Wanda looks at what the matrices before have become: a layer sees what the pruned ones before it give.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadRequest
from llmos.core.progress import Progress
from llmos.engine.compression.calibration import last_hidden, norms
from llmos.engine.compression.prune.masks import magnitude, share_kept, two_of_four_kept, wanda
from llmos.engine.compression.quantize.blocks import round_to_q8_0
from llmos.engine.compression.quantize.rows import Write, runs
from llmos.engine.compression.recipe import Recipe
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import Blocks, Encoding
from llmos.engine.formats.sparse import SPARSE_DTYPES, Sparse
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Forget = Callable[[], None]

_FLOATS = ("F32", "F16", "BF16")


def encodings_of(spec: DecoderSpec, tensors: Mapping[str, RawTensor], recipe: Recipe) -> dict[str, Encoding]:
    """Return the encoding of every tensor. Raises BadRequest for a pattern that doesn't divide the rows."""
    made: dict[str, Encoding] = {}
    pattern, sparsity = recipe.options.get("pattern"), float(recipe.options["sparsity"])
    for name, shape in spec.tensor_shapes().items():
        dtype = tensors[name].dtype
        if not _is_pruned(name, shape):
            made[name] = Blocks("F32" if len(shape) == 1 and dtype not in _FLOATS else dtype)
            continue
        num_columns = shape[1]
        if pattern is not None and num_columns % 4:
            raise BadRequest(
                f"The pattern {pattern} doesn't divide the {num_columns:,} values of a row of {name}. Leave it out, for"
                " as many weights without a pattern.",
                param="pattern",
            )
        kind = dtype if dtype in SPARSE_DTYPES else "Q8_0"
        if pattern is not None:
            made[name] = Sparse(kind, num_columns // 2, "2:4")
        else:
            made[name] = Sparse(kind, num_columns - round(sparsity * num_columns), "bits")
    return made


def write_sparse(
    spec: DecoderSpec,
    tensors: Mapping[str, RawTensor],
    recipe: Recipe,
    encodings: Mapping[str, Encoding],
    tokens_SL: Ints | None,
    write: Write,
    *,
    forget: Forget = lambda: None,
    progress: Progress,
) -> None:
    """Write every tensor. Without tokens a weight's magnitude says what it is worth, with them Wanda's score."""
    shapes = spec.tensor_shapes()
    total, num_done = sum(int(np.prod(shape)) for shape in shapes.values()), 0
    is_watched = tokens_SL is not None
    for name, shape in shapes.items():
        encoding = encodings[name]
        if isinstance(encoding, Sparse) and is_watched:
            continue
        for first, part in runs(tensors[name]):
            if isinstance(encoding, Sparse):
                data, _ = _pruned(part, encoding, recipe, magnitude)
            else:
                assert isinstance(encoding, Blocks)
                data = part.data if part.dtype == encoding.kind else dequantize(part).view(np.uint8)
            write(name, first, data)
            forget()
        num_done += int(np.prod(shape))
        progress("pruning", num_done, total)
    if tokens_SL is None:
        return
    each = (total - num_done) // spec.num_layers

    def matrices(names: Sequence[str], x_NC: Floats) -> list[Floats]:
        norms_C = norms(x_NC)
        return [pruned(f"{name}.weight", norms_C) for name in names]

    def pruned(name: str, norms_C: Floats) -> Floats:
        """Write a matrix, and return what is left of it."""
        encoding = encodings[name]
        assert isinstance(encoding, Sparse)
        left_RC = np.empty(shapes[name], np.float32)
        for first, part in runs(tensors[name]):
            data, left_RC[first : first + part.num_rows] = _pruned(part, encoding, recipe, lambda w: wanda(w, norms_C))
            write(name, first, data)
        return left_RC

    def tell(i: int, before_NH: Floats, after_NH: Floats) -> None:
        forget()
        progress("pruning", num_done + each * (i + 1), total)

    last_hidden(spec, tensors, tokens_SL, matrices, on_layer=tell)


def _is_pruned(name: str, shape: tuple[int, ...]) -> bool:
    return name.startswith("layers.") and len(shape) == 2


def _pruned(
    rows: RawTensor, encoding: Sparse, recipe: Recipe, score: Callable[[Floats], Floats]
) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Return rows as the encoding has them, and what is left of their values."""
    values_RC = dequantize(rows)
    scores_RC = score(values_RC)
    is_pattern = encoding.mask_format == "2:4"
    kept_RC = two_of_four_kept(scores_RC) if is_pattern else share_kept(scores_RC, float(recipe.options["sparsity"]))
    if rows.dtype != encoding.kind:
        rows = round_to_q8_0(values_RC)
        values_RC = dequantize(rows)
    return encoding.encode(rows, kept_RC), np.where(kept_RC, values_RC, np.float32(0))
