"""Chooses the encoding of each tensor, by scheme.

Some tensors keep more bits than the scheme's. The figures are the increase of SmolLM2-135M's perplexity on the text of
benchmarks/quality.py:

    the embedding and the head   8 bits: every logit depends on the head, and every token on its row of the embedding.
                                 The embeddings that each layer has for itself (not measured) have the scheme's: they
                                 are as large as all layers together
    v, in calibrated schemes     8 bits: +3.6 % instead of +4.4 %, for 2 % of the layers' weights. All heads of a group
                                 share its few rows, and no softmax behind it absorbs an error
    vectors, positions, routers  unchanged: they are small, and all that follows depends on them
"""

from collections.abc import Mapping
from math import gcd

from llmos.core.errors import BadRequest
from llmos.engine.compression.recipe import Recipe
from llmos.engine.encoder_spec import ModelSpec
from llmos.engine.formats.encodings import AbsMax, Affine, Blocks, Encoding, MinMax
from llmos.engine.tensors import BLOCK_LENGTH, DType, RawTensor

CALIBRATED = ("gptq", "awq")

DEFAULT_GROUP = 32
_BLOCK_TYPES: Mapping[str, DType] = {"q8_0": "Q8_0", "q4_1": "Q4_1", "q4_0": "Q4_0"}
_FLOATS: tuple[DType, ...] = ("F32", "F16", "BF16")


def plan(spec: ModelSpec, tensors: Mapping[str, RawTensor], recipe: Recipe) -> dict[str, Encoding]:
    """Return the encoding of every tensor. Ranges per tensor (minmax) are still empty; survey() fills them in.

    Raises BadRequest for a group that doesn't divide the rows.
    """
    shapes = spec.tensor_shapes()
    matrices = {name: shape[1] for name, shape in shapes.items() if is_quantized(name, shape)}
    group = _group(recipe, matrices)
    planned: dict[str, Encoding] = {}
    for name in shapes:
        narrow = _encoding(recipe, name, group) if name in matrices else None
        if narrow is not None and _fits(narrow, matrices[name]):
            planned[name] = narrow
        else:
            planned[name] = _unchanged(tensors[name], is_folded=recipe.scheme == "awq" and name not in matrices)
    return planned


def is_quantized(name: str, shape: tuple[int, ...]) -> bool:
    """Return whether the tensor is a matrix that schemes quantize."""
    *path, part, _ = name.split(".")
    if len(shape) != 2 or part == "router" or "router" in path:
        return False
    return bool(path) or part in ("embed", "head", "layer_embed", "layer_embed_projection")


def is_wide(recipe: Recipe, name: str) -> bool:
    """Return whether the matrix keeps 8 bits in every scheme."""
    *path, part, _ = name.split(".")
    return (path[:1] != ["layers"] and part != "layer_embed") or (recipe.scheme in CALIBRATED and part == "v")


def _encoding(recipe: Recipe, name: str, group: int | None) -> Encoding:
    scheme, options, wide = recipe.scheme, recipe.options, is_wide(recipe, name)
    if scheme == "minmax":
        return MinMax(8 if wide else int(options["bits"]), group)
    if scheme == "absmax":
        bits = 8 if wide else int(options["bits"])
        if group == DEFAULT_GROUP:  # exactly what these blocks are
            return Blocks("Q8_0" if bits == 8 else "Q4_0")
        return AbsMax(bits, group)
    if wide:
        return Blocks("Q8_0")
    if scheme in _BLOCK_TYPES:
        return Blocks(_BLOCK_TYPES[scheme])
    assert group is not None
    bits = int(options["bits"])
    return Blocks("Q4_1") if (bits, group) == (4, DEFAULT_GROUP) else Affine(bits, group)


def _group(recipe: Recipe, columns: Mapping[str, int]) -> int | None:
    """Return how many values share a scale; None for a whole row or tensor."""
    scheme, options = recipe.scheme, recipe.options
    given = int(options["group"]) if "group" in options else None
    if scheme in ("minmax", "absmax"):
        per = options.get("per") or ("group" if given or (options["bits"] == 4 and scheme == "absmax") else "channel")
        if per != "group":
            if given is not None:
                raise BadRequest(f"A group of {given} goes with --per group, not with --per {per}.", param="group")
            return None
        given = given or DEFAULT_GROUP
    if given is not None:
        for name, num_columns in columns.items():
            if num_columns % given:
                known = [str(size) for size in range(8, 513) if gcd(*columns.values()) % size == 0]
                raise BadRequest(
                    f"A group of {given} doesn't divide the {num_columns} values of a row of {name}."
                    f" Groups that divide all rows of this model: {', '.join(known) or 'none'}.",
                    param="group",
                )
    return given or DEFAULT_GROUP


def _fits(encoding: Encoding, num_columns: int) -> bool:
    if isinstance(encoding, Blocks):
        return num_columns % BLOCK_LENGTH[encoding.kind] == 0
    return not isinstance(encoding, Affine) or num_columns % encoding.group == 0


def _unchanged(tensor: RawTensor, *, is_folded: bool) -> Encoding:
    """Return the encoding of a tensor that isn't quantized. `is_folded`: AWQ folds scales into it, which 16 bits would
    round."""
    return Blocks("F32" if is_folded or tensor.dtype not in _FLOATS else tensor.dtype)
