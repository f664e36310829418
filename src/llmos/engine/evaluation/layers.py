"""Compares two models layer by layer: their weights, and the layers' outputs for the same tokens.

Both run in float32 with the values of their files, without the rounding of activations that serving adds. If layers
were pruned, the corresponding layers of the reference are found by their norms.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmos.engine.compression.calibration import last_hidden
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

# S sequences of L tokens, N = S L; H hidden

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Tensors = Mapping[str, RawTensor]

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """A model's spec and tensors."""

    spec: DecoderSpec
    tensors: Tensors


@dataclass(frozen=True, slots=True)
class LayerDifference:
    layer: int
    reference_layer: int
    weights: float | None
    """Frobenius norm of the difference of all matrices over the reference's norm; None for different shapes."""
    hidden: float | None
    """The same for the residual stream after the layer, averaged over the tokens; None for different widths, and for
    layers that calibration doesn't know."""


def layer_differences(
    model: ModelWeights, reference: ModelWeights, tokens_SL: Ints, *, advance: Callable[[], None] = lambda: None
) -> list[LayerDifference]:
    """Compare each layer of `model` with the layer of the reference that it comes from.

    `advance` is called after each computed layer: for all of the reference, then for all of the model. Raises
    ValueError if the model's layers don't come from the reference's.
    """
    pairs = corresponding_layers(model, reference)
    is_comparable = model.spec.hidden_size == reference.spec.hidden_size
    can_run = not any(
        spec.num_experts or spec.is_recurrent or spec.attention_gate or spec.has_unlike_layers
        for spec in (model.spec, reference.spec)
    )
    hidden: dict[int, float] = {}
    if is_comparable and can_run:
        kept: dict[int, Floats] = {}
        needed = set(pairs)

        def keep(layer: int, _: Floats, after_NH: Floats) -> None:
            if layer in needed:
                kept[layer] = after_NH.copy()
            advance()

        def compare(layer: int, _: Floats, after_NH: Floats) -> None:
            hidden[layer] = _distance(after_NH, kept.pop(pairs[layer]))
            advance()

        _run(reference, tokens_SL, keep)
        _run(model, tokens_SL, compare)
    return [
        LayerDifference(i, j, weight_difference(model, reference, i, j), hidden.get(i)) for i, j in enumerate(pairs)
    ]


def corresponding_layers(model: ModelWeights, reference: ModelWeights) -> list[int]:
    """Return the reference's index of each layer of the model: ascending, with the least total distance of the norms.

    Raises ValueError if the model's layers don't come from the reference's.
    """
    count, total = model.spec.num_layers, reference.spec.num_layers
    if count == total:
        return list(range(count))
    mine, theirs = _layer_vectors(model), _layer_vectors(reference)
    if count > total or len({len(vector) for vector in mine + theirs}) != 1:
        raise ValueError(f"its {count} layers don't come from the reference's {total}")
    # costs[i, j]: least distance of the model's first i layers to layers among the reference's first j.
    costs = np.full((count + 1, total + 1), np.inf)
    costs[0] = 0
    apart = np.array([[float(np.linalg.norm(a - b)) for b in theirs] for a in mine])
    for i in range(1, count + 1):
        for j in range(i, total + 1):
            costs[i, j] = min(costs[i, j - 1], costs[i - 1, j - 1] + apart[i - 1, j - 1])
    pairs, j = [], total
    for i in range(count, 0, -1):
        while costs[i, j] == costs[i, j - 1]:
            j -= 1
        j -= 1
        pairs.append(j)
    return pairs[::-1]


def weight_difference(model: ModelWeights, reference: ModelWeights, layer: int, reference_layer: int) -> float | None:
    """Return the relative difference of a layer's matrices; None if their shapes differ."""
    mine, theirs = _matrices(model.spec, layer), _matrices(reference.spec, reference_layer)
    if mine != theirs:
        return None
    pairs = [(f"layers.{layer}.{name}", f"layers.{reference_layer}.{name}") for name in mine]
    return _relative(model.tensors, reference.tensors, pairs)


def embedding_difference(model: ModelWeights, reference: ModelWeights) -> float | None:
    """Return the relative difference of the embedding; None if the shapes differ."""
    name = "embed.weight"
    if model.spec.tensor_shapes()[name] != reference.spec.tensor_shapes()[name]:
        return None
    return _relative(model.tensors, reference.tensors, [(name, name)])


def _relative(mine: Tensors, theirs: Tensors, pairs: Sequence[tuple[str, str]]) -> float:
    difference = norm = 0.0
    for my_name, their_name in pairs:
        my_tensor, their_tensor = mine[my_name], theirs[their_name]
        for begin in range(0, my_tensor.num_rows, _ROWS_AT_ONCE):
            rows = slice(begin, begin + _ROWS_AT_ONCE)
            values = dequantize(their_tensor.take_rows(rows)).ravel()
            norm += float(np.dot(values, values))
            values -= dequantize(my_tensor.take_rows(rows)).ravel()
            difference += float(np.dot(values, values))
    return float((difference / norm) ** 0.5) if norm else 0.0 if not difference else float("inf")


def _distance(mine_NH: Floats, theirs_NH: Floats) -> float:
    norms_N = np.maximum(np.linalg.norm(theirs_NH, axis=1), np.finfo(np.float32).tiny)
    return float((np.linalg.norm(mine_NH - theirs_NH, axis=1) / norms_N).mean())


def _run(part: ModelWeights, tokens_SL: Ints, on_layer: Callable[[int, Floats, Floats], None]) -> None:
    def matrices(names: Sequence[str], _: Floats) -> list[Floats]:
        return [dequantize(part.tensors[f"{name}.weight"]) for name in names]

    last_hidden(part.spec, part.tensors, tokens_SL, matrices, on_layer=on_layer)


def _matrices(spec: DecoderSpec, layer: int) -> dict[str, tuple[int, ...]]:
    prefix = f"layers.{layer}."
    shapes = spec.tensor_shapes().items()
    return {name.removeprefix(prefix): shape for name, shape in shapes if name.startswith(prefix) and len(shape) == 2}


def _layer_vectors(part: ModelWeights) -> list[Floats]:
    """Return each layer's norm weights, concatenated: no scheme rounds them, so they identify a layer."""
    width = (part.spec.hidden_size,)
    names: list[list[str]] = [[] for _ in range(part.spec.num_layers)]
    for name, shape in part.spec.tensor_shapes().items():
        if name.startswith("layers.") and shape == width and name.endswith("_norm.weight"):
            names[int(name.split(".")[1])].append(name)
    return [
        np.concatenate([dequantize(part.tensors[name]).ravel() for name in each] or [np.empty(0, np.float32)])
        for each in names
    ]
