"""AWQ (Lin et al. 2023): what large inputs meet is rounded on a finer grid.

Each column of a matrix is multiplied by a scale before it is rounded, and what gives the column its inputs is divided
by it, so that the products stay. The scale is the column's mean input magnitude to a power, and the power, from 0 to 1,
is the one whose rounded matrix gives the nearest products. What the scales are folded into:

    q, k, v     the norm before                       gate, up    the norm before
    o           the rows of v; query heads that share a key-value head share their scales
    down        the rows of up, where the layer is gated

Where nothing takes them (no norm before, a norm that two layers share, an activation in between), a matrix is rounded
without.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.compression.calibration import moments
from llmos.engine.compression.quantize.affine import affine_of, as_kept, round_affine
from llmos.engine.compression.quantize.calibrated import CalibratedScheme
from llmos.engine.compression.quantize.rows import Write
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import Affine, Encoding
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_POWERS = [power / 20 for power in range(20)]
_ROWS_TRIED = 512
"""Of a matrix, as many rows decide on the power: evenly spread, which is all that a mean needs."""


class AwqScheme(CalibratedScheme):
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
        """`shared_norms`: those that are one with another in the file."""
        super().__init__(spec, tensors, encodings, write, pool)
        self._shared_norms = shared_norms
        self._held: dict[str, tuple[Floats, Floats]] = {}
        """Matrices whose rows are still to be divided, by what the next one's columns are multiplied with; and how much
        their columns count."""
        self._divisors: dict[str, Floats] = {}
        """What the rows of a layer's matrix, or the values of a vector, are divided by."""

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
        # A column that no input ever met has no say in how its group is rounded, but some.
        importance_C = moments_CC.diagonal() / np.square(scale_C)
        importance_C = np.maximum(importance_C, np.float32(1e-6) * importance_C.max()) + np.float32(1e-30)
        seen = []
        for part in parts:
            name, scaled_RC = f"{layer}.{part}.weight", weights.pop(part) * scale_C
            if part == "v" or (part == "up" and self.spec.gated):
                self._held[name] = (scaled_RC, importance_C)
            else:
                self.write(name, 0, self._rows(name, scaled_RC, importance_C))
            # How a row is rounded doesn't depend on what all of it is divided by.
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
                self.write(name, 0, self.rounded(name, values.reshape(1, -1)))
        self._held.clear()
        self._divisors.clear()

    def _rows(self, name: str, weights_RC: Floats, importance_C: Floats) -> Bytes:
        affine = affine_of(self.encodings[name])
        if affine is None:
            return self.rounded(name, weights_RC)
        return as_kept(round_affine(weights_RC, importance_C, affine), affine, self.encodings[name], len(importance_C))

    def _can_fold(self, layer: str, parts: Sequence[str]) -> bool:
        if parts == ["o"]:
            return True
        if parts == ["down"]:
            return self.spec.gated
        return self.spec.pre_norm and self._norm(layer, parts) not in self._shared_norms

    def _norm(self, layer: str, parts: Sequence[str]) -> str:
        return f"{layer}.{'attn' if 'q' in parts else 'mlp'}_norm.weight"

    def _magnitudes(self, parts: Sequence[str], x_NC: Floats) -> Floats:
        """Return the mean input magnitude of each column; of those that must share a scale, their mean."""
        mean_C: Floats = np.abs(x_NC).mean(axis=0)
        if parts == ["o"]:
            mean_KGD = mean_C.reshape(self.spec.num_kv_heads, -1, self.spec.head_dim)
            mean_C = np.broadcast_to(mean_KGD.mean(axis=1, keepdims=True), mean_KGD.shape).reshape(-1)
        return mean_C

    def _fold(self, layer: str, parts: Sequence[str], scale_C: Floats) -> None:
        """Keep in mind what has to be divided, now that these matrices' columns are multiplied."""
        if parts == ["o"]:
            scale_KGD = scale_C.reshape(self.spec.num_kv_heads, -1, self.spec.head_dim)
            divided, scale_C = f"{layer}.v", np.ascontiguousarray(scale_KGD[:, 0]).reshape(-1)
        elif parts == ["down"]:
            divided = f"{layer}.up"
        else:
            divided = self._norm(layer, parts).removesuffix(".weight")
        self._divisors[f"{divided}.weight"] = self._divisors[f"{divided}.bias"] = scale_C


def best_scale(weights_RC: Floats, moments_CC: Floats, magnitudes_C: Floats, encoding: Affine) -> Floats:
    """Return what columns are best multiplied with before they are rounded: magnitudes to a power, about one."""
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
