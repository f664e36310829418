"""The forward pass of a DecoderSpec in plain numpy, which shows the inputs of each matrix.

All sequences have the same length and go through one layer after another, so that only one layer's weights are floats
at a time. Computes the same as the reference (runner/torch.py), without torch.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import inverse_frequencies
from llmos.engine.compression.matrix_products import product
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

# S sequences of L tokens each, N = S L tokens, H hidden, C columns of a matrix
# Q query heads, K key-value heads, G = Q / K query heads that share one of them, D head dim, P = D / 2 rotary pairs

Floats = npt.NDArray[np.float32]

WeightsFor = Callable[[Sequence[str], Floats], Sequence[Floats]]
"""weights_for(names, x_NC): return the matrices [R, C] of these names, without ".weight", that have these inputs."""

OnLayer = Callable[[int, Floats, Floats], None]
"""on_layer(index, before_NH, after_NH): called with the residual stream before and after each layer."""


def last_hidden(
    spec: DecoderSpec,
    tensors: Mapping[str, RawTensor],
    tokens_SL: npt.NDArray[np.int32],
    weights_for: WeightsFor,
    *,
    on_layer: OnLayer | None = None,
) -> Floats:
    """Return the input of the head, [N, H].

    The layers' matrices come from `weights_for`, in the order of the forward pass; all other tensors from `tensors`.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # moments() and norms() check for NaN and infinity
        return _Decoder(spec, tensors, tokens_SL.shape, weights_for).run(tokens_SL, on_layer)


def moments(x_NC: Floats) -> Floats:
    """Return the mean of x x^T over the rows x, [C, C]. Raises BadModelFile if it is not finite."""
    moments_CC = product(x_NC.T, x_NC)
    moments_CC /= np.float32(len(x_NC))
    return _check_finite(moments_CC)


def norms(x_NC: Floats) -> Floats:
    """Return each column's Euclidean norm over all rows, [C]. Raises BadModelFile if it is not finite."""
    return _check_finite(np.sqrt(np.einsum("nc,nc->c", x_NC, x_NC)))


def _check_finite(values: Floats) -> Floats:
    if not np.isfinite(values).all():
        raise BadModelFile("This model computes activations that are not finite, so it can't be calibrated.")
    return values


class _Decoder:
    def __init__(
        self, spec: DecoderSpec, tensors: Mapping[str, RawTensor], shape: tuple[int, ...], weights_for: WeightsFor
    ) -> None:
        self._spec, self._tensors, self._weights_for = spec, tensors, weights_for
        self._num_sequences, self._length = shape
        positions_L = np.arange(self._length)
        self._distance_LL = positions_L[:, None] - positions_L
        steps_L = positions_L // spec.query_growth_positions
        self._query_scale_L11 = (1 + spec.query_growth * np.log1p(steps_L)).astype(np.float32)[:, None, None]
        # Indexed by rotation. A layer has one rotation or none.
        angles = [positions_L[:, None, None] * frequencies_P for frequencies_P in inverse_frequencies(spec)]
        # Only the first rotation is scaled (see DecoderSpec.window_rope_theta).
        factors = [spec.rope_attention_factor, 1.0][: len(angles)]
        pairs = list(zip(factors, angles, strict=True))
        self._cos_L1P = [(factor * np.cos(angles_L1P)).astype(np.float32) for factor, angles_L1P in pairs]
        self._sin_L1P = [(factor * np.sin(angles_L1P)).astype(np.float32) for factor, angles_L1P in pairs]

    def run(self, tokens_SL: npt.NDArray[np.int32], on_layer: OnLayer | None) -> Floats:
        x_NH = dequantize(self._tensors["embed.weight"].take_rows(tokens_SL.reshape(-1)))
        x_NH *= np.float32(self._spec.embedding_multiplier)
        if self._spec.learned_positions:
            positions_LH = dequantize(self._tensors["positions.weight"].take_rows(slice(0, self._length)))
            x_NH += np.tile(positions_LH, (self._num_sequences, 1))
        for i in range(self._spec.num_layers):
            before_NH, x_NH = x_NH, self._layer(i, x_NH)
            if on_layer is not None:
                on_layer(i, before_NH, x_NH)
        return self._norm("final_norm", x_NH)

    def _layer(self, i: int, x_NH: Floats) -> Floats:
        layer, multiplier = f"layers.{i}", np.float32(self._spec.residual_multiplier)
        attended_NH = self._attention(i, self._pre_norm(f"{layer}.attn_norm", x_NH))
        attended_NH = self._post_norm(f"{layer}.attn_post_norm", attended_NH) * multiplier
        read_NH = x_NH if self._spec.parallel_residual else x_NH + attended_NH
        inner_NH = self._feed_forward(layer, self._pre_norm(f"{layer}.mlp_norm", read_NH))
        return x_NH + attended_NH + self._post_norm(f"{layer}.mlp_post_norm", inner_NH) * multiplier

    def _attention(self, i: int, x_NH: Floats) -> Floats:
        layer, shape = f"layers.{i}", (self._num_sequences, self._length, -1, self._spec.head_dim)
        products = self._linear(x_NH, f"{layer}.q", f"{layer}.k", f"{layer}.v")
        q_SLQD, k_SLKD, v_SLKD = (product.reshape(shape) for product in products)
        if self._spec.qk_norm is not None and not self._spec.norms_rotated_heads:
            q_SLQD, k_SLKD = self._norm_heads(f"{layer}.q_norm", q_SLQD), self._norm_heads(f"{layer}.k_norm", k_SLKD)
        rotation = self._spec.rotation_of(i)
        if rotation is not None:
            q_SLQD, k_SLKD = self._rotate(q_SLQD, rotation), self._rotate(k_SLKD, rotation)
        if self._spec.qk_norm is not None and self._spec.norms_rotated_heads:
            q_SLQD, k_SLKD = self._norm_heads(f"{layer}.q_norm", q_SLQD), self._norm_heads(f"{layer}.k_norm", k_SLKD)
        q_SLQD = q_SLQD * self._query_scale_L11
        mask_LL = self._mask(self._spec.window_of(i))
        attended_SLQD = np.empty_like(q_SLQD)
        for s in range(self._num_sequences):
            attended_SLQD[s] = self._attend(i, q_SLQD[s], k_SLKD[s], v_SLKD[s], mask_LL)
        (output_NH,) = self._linear(attended_SLQD.reshape(len(x_NH), -1), f"{layer}.o")
        return output_NH

    def _mask(self, window: int | None) -> Floats:
        hidden_LL = self._distance_LL < 0
        if window is not None:
            hidden_LL |= self._distance_LL >= window
        return np.where(hidden_LL, np.float32(-np.inf), np.float32(0))

    def _attend(self, i: int, q_LQD: Floats, k_LKD: Floats, v_LKD: Floats, mask_LL: Floats) -> Floats:
        # Each key-value head serves a group of adjacent query heads.
        length, num_kv_heads, head_dim = k_LKD.shape
        q_KGLD = q_LQD.reshape(length, num_kv_heads, -1, head_dim).transpose(1, 2, 0, 3)
        scores_KGLL = q_KGLD @ k_LKD.transpose(1, 2, 0)[:, None] * np.float32(self._spec.score_scale)
        if self._spec.attention_softcap is not None:
            cap = np.float32(self._spec.attention_softcap)
            scores_KGLL = cap * np.tanh(scores_KGLL / cap)
        scores_KGLL += mask_LL
        highest_KGL1 = scores_KGLL.max(axis=-1, keepdims=True)
        if self._spec.attention_sinks:
            sinks_KG11 = self._vector(f"layers.{i}.sinks.weight").reshape(num_kv_heads, -1, 1, 1)
            highest_KGL1 = np.maximum(highest_KGL1, sinks_KG11)
        weights_KGLL = np.exp(scores_KGLL - highest_KGL1)
        totals_KGL1 = weights_KGLL.sum(axis=-1, keepdims=True)
        if self._spec.attention_sinks:
            totals_KGL1 += np.exp(sinks_KG11 - highest_KGL1)
        weights_KGLL /= totals_KGL1
        attended_KGLD: Floats = weights_KGLL @ v_LKD.transpose(1, 0, 2)[:, None]
        return attended_KGLD.transpose(2, 0, 1, 3).reshape(q_LQD.shape)

    def _feed_forward(self, layer: str, x_NH: Floats) -> Floats:
        if self._spec.gated:
            gate_NI, up_NI = self._linear(x_NH, f"{layer}.gate", f"{layer}.up")
            inner_NI = self._activate(gate_NI) * up_NI
        else:
            inner_NI = self._activate(self._linear(x_NH, f"{layer}.up")[0])
        (output_NH,) = self._linear(inner_NI, f"{layer}.down")
        return output_NH

    def _activate(self, x: Floats) -> Floats:
        if self._spec.activation == "gelu":
            return (x * (0.5 + 0.5 * _erf(x / np.float32(2**0.5)))).astype(np.float32)
        if self._spec.activation == "relu2":
            return np.square(np.maximum(x, 0))
        # Both are x * (1 + tanh(s)) / 2; for silu since 1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2.
        is_silu = self._spec.activation == "silu"
        steep = x * 0.5 if is_silu else (x + 0.044715 * x * x * x) * np.float32((2 / np.pi) ** 0.5)
        steep = np.tanh(steep, out=steep)
        steep += 1
        steep *= x
        steep *= 0.5
        return steep

    def _linear(self, x_NC: Floats, *names: str) -> list[Floats]:
        products = [product(x_NC, weights_RC.T) for weights_RC in self._weights_for(names, x_NC)]
        for name, output_NR in zip(names, products, strict=True):
            if f"{name}.bias" in self._tensors:
                output_NR += self._vector(f"{name}.bias")
        return products

    def _pre_norm(self, name: str, x_NH: Floats) -> Floats:
        return self._norm(name, x_NH) if self._spec.pre_norm else x_NH

    def _post_norm(self, name: str, x_NH: Floats) -> Floats:
        return self._norm(name, x_NH) if self._spec.post_norm else x_NH

    def _norm_heads(self, name: str, x_SLXD: Floats) -> Floats:
        if self._spec.qk_norm == "whole":
            return self._norm(name, x_SLXD.reshape(*x_SLXD.shape[:2], -1)).reshape(x_SLXD.shape)
        if self._spec.qk_norm == "each_head":
            return np.stack([self._norm(f"{name}.{n}", x_SLXD[:, :, n]) for n in range(x_SLXD.shape[2])], axis=2)
        return self._norm(name, x_SLXD)

    def _norm(self, name: str, x: Floats) -> Floats:
        if self._spec.norm == "layernorm":
            x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + np.float32(self._spec.norm_eps))
        x *= self._vector(f"{name}.weight")
        if f"{name}.bias" in self._tensors:
            x += self._vector(f"{name}.bias")
        return x

    def _rotate(self, x_SLXD: Floats, rotation: int) -> Floats:
        """Rotate each pair (j, j + P) of a head by its position's angle; values behind the pairs are unchanged."""
        cos, sin = self._cos_L1P[rotation], self._sin_L1P[rotation]
        a, b, rest = np.split(x_SLXD, [cos.shape[-1], 2 * cos.shape[-1]], axis=-1)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin, rest], axis=-1)

    def _vector(self, name: str) -> Floats:
        return dequantize(self._tensors[name])


def _erf(x: Floats) -> Floats:
    """Approximate the error function within 1.5e-7 (Abramowitz and Stegun, 7.1.26)."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    q = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf: Floats = np.copysign(1 - q * np.exp(-x * x), x)
    return erf
