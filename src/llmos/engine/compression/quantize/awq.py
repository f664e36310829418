"""AWQ (Lin et al. 2023): columns with large inputs are rounded on a finer grid.

Each column of a matrix is multiplied by a scale before it is rounded, and whatever computes the column's inputs is
divided by it, so that the products stay the same (section 3.2, eq. 2). The scale is the column's mean input magnitude
to a power (eq. 5). Of the powers from 0 to 1, the one is chosen whose rounded matrix gives the nearest products. The
divisors are folded into:

    q, k, v     the norm before                       gate, up    the norm before
    o           the rows of v; query heads that share a key-value head share their scales
    down        the rows of up, if the layer is gated

If nothing can take them (no norm before, a norm that two layers share, an activation in between), the matrix is rounded
without scales.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.compression.calibration import moments
from llmos.engine.compression.quantize.affine import affine_of, round_affine, to_encoding
from llmos.engine.compression.quantize.calibrated import CalibratedScheme
from llmos.engine.compression.rows import Write
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import Affine, Encoding
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_POWERS = [power / 20 for power in range(20)]
_ROWS_TRIED = 512
"""Rows of a matrix that the power is chosen by, evenly spread: enough for a mean."""


class AwqScheme(CalibratedScheme):
    """Quantizes all tensors of the layers by AWQ; the vectors too, since scales are folded into them."""

    def __init__(
        self,
        spec: DecoderSpec,
        tensors: Mapping[str, RawTensor],
        encodings: Mapping[str, Encoding],
        write: Write,
        pool: _native.Pool,
        *,
        shared_norms: frozenset[str] = frozenset(),
    ) -> None:
        """`shared_norms`: norms that are stored as one tensor with another one."""
        super().__init__(spec, tensors, encodings, write, pool)
        self._shared_norms = shared_norms
        self._held: dict[str, tuple[Floats, Floats]] = {}
        """Name -> (matrix, column importance) of matrices whose rows will be divided by the scales of a later one."""
        self._divisors: dict[str, Floats] = {}
        """Name -> divisors of a matrix's rows, or of a vector's values."""

    @staticmethod
    def owns(name: str, shape: tuple[int, ...]) -> bool:
        return name.startswith("layers.")

    def matrices(self, names: Sequence[str], x_NC: Floats) -> list[Floats]:
        layer = names[0].rpartition(".")[0]
        parts = [name.rpartition(".")[2] for name in names]
        moments_CC = moments(x_NC)
        weights = {part: dequantize(self.tensors[f"{layer}.{part}.weight"]) for part in parts}
        affines = {part: affine_of(self.encodings[f"{layer}.{part}.weight"]) for part in parts}
        affine = next(filter(None, affines.values()), None)
        scale_C = np.ones(x_NC.shape[1], np.float32)
        if affine is not None and self._can_fold(layer, parts):
            tried = np.concatenate([weights[part] for part in parts if affines[part] is not None])
            scale_C = best_scale(tried, moments_CC, self._magnitudes(parts, x_NC), affine)
            self._fold(layer, parts, scale_C)
        # A column whose inputs were all zero keeps a small importance, so that it is still rounded sensibly.
        importance_C = moments_CC.diagonal() / np.square(scale_C)
        importance_C = np.maximum(importance_C, np.float32(1e-6) * importance_C.max()) + np.float32(1e-30)
        seen = []
        for part in parts:
            name, scaled_RC = f"{layer}.{part}.weight", weights.pop(part) * scale_C
            if part == "v" or (part == "up" and self.spec.gated):
                self._held[name] = (scaled_RC, importance_C)
            else:
                self.write(name, 0, self._rows(name, scaled_RC, importance_C))
            # Dividing a whole row by a number doesn't change how it is rounded.
            rows = self._rows(name, scaled_RC, importance_C)
            seen.append(dequantize(self.encodings[name].take(rows, (len(rows), len(scale_C)), slice(None))) / scale_C)
        return seen

    def layer_done(self, i: int) -> None:
        prefix = f"layers.{i}."
        for name, (scaled_RC, importance_C) in self._held.items():
            divisor_R = self._divisors.get(name, np.ones(len(scaled_RC), np.float32))
            self.write(name, 0, self._rows(name, scaled_RC / divisor_R[:, None], importance_C))
        for name, shape in self.spec.tensor_shapes().items():
            if name.startswith(prefix) and len(shape) == 1:
                values = dequantize(self.tensors[name]) / self._divisors.get(name, np.float32(1))
                self.write(name, 0, self.round(name, values.reshape(1, -1)))
        self._held.clear()
        self._divisors.clear()

    def _rows(self, name: str, weights_RC: Floats, importance_C: Floats) -> Bytes:
        affine = affine_of(self.encodings[name])
        if affine is None:
            return self.round(name, weights_RC)
        return to_encoding(
            round_affine(weights_RC, importance_C, affine), affine, self.encodings[name], len(importance_C)
        )

    def _can_fold(self, layer: str, parts: Sequence[str]) -> bool:
        if parts == ["o"]:
            return True
        if parts == ["down"]:
            return self.spec.gated
        return self.spec.pre_norm and self._norm(layer, parts) not in self._shared_norms

    def _norm(self, layer: str, parts: Sequence[str]) -> str:
        return f"{layer}.{'attn' if 'q' in parts else 'mlp'}_norm.weight"

    def _magnitudes(self, parts: Sequence[str], x_NC: Floats) -> Floats:
        """Return the mean input magnitude of each column; columns that must share a scale get their common mean."""
        mean_C: Floats = np.abs(x_NC).mean(axis=0)
        if parts == ["o"]:
            mean_KGD = mean_C.reshape(self.spec.num_kv_heads, -1, self.spec.head_dim)
            mean_C = np.broadcast_to(mean_KGD.mean(axis=1, keepdims=True), mean_KGD.shape).reshape(-1)
        return mean_C

    def _fold(self, layer: str, parts: Sequence[str], scale_C: Floats) -> None:
        """Remember what must be divided by the scales that these matrices' columns are multiplied with."""
        if parts == ["o"]:
            scale_KGD = scale_C.reshape(self.spec.num_kv_heads, -1, self.spec.head_dim)
            divided, scale_C = f"{layer}.v", np.ascontiguousarray(scale_KGD[:, 0]).reshape(-1)
        elif parts == ["down"]:
            divided = f"{layer}.up"
        else:
            divided = self._norm(layer, parts).removesuffix(".weight")
        self._divisors[f"{divided}.weight"] = self._divisors[f"{divided}.bias"] = scale_C


def best_scale(weights_RC: Floats, moments_CC: Floats, magnitudes_C: Floats, encoding: Affine) -> Floats:
    """Return the scale of each column, [C], centred around one: magnitudes to the power with the least product error.

    `moments_CC`: the mean of x x^T over inputs x. `magnitudes_C`: the mean of |x|.
    """
    tried_RC = weights_RC[:: -(-len(weights_RC) // _ROWS_TRIED)]
    best_C, least = np.ones_like(magnitudes_C), np.inf
    if not magnitudes_C.max() > 0:
        return best_C
    magnitudes_C = np.maximum(magnitudes_C / magnitudes_C.max(), np.float32(1e-4))
    for power in _POWERS:
        scale_C = magnitudes_C ** np.float32(power)
        scale_C /= np.sqrt(scale_C.max() * scale_C.min())
        rows = round_affine(
            tried_RC * scale_C, moments_CC.diagonal() / np.square(scale_C) + np.float32(1e-30), encoding
        )
        error_RC = dequantize(encoding.decode(rows, len(scale_C))) / scale_C - tried_RC
        loss = float(np.einsum("rc,rc->", error_RC @ moments_CC, error_RC, dtype=np.float64))
        if loss < least:
            best_C, least = scale_C, loss
    return best_C
