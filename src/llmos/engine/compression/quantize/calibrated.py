"""What calibrated schemes share: a layer's matrices are quantized when their inputs are known, in the order of the
math, so that each sees what the quantized ones before it give."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.compression.calibration import last_hidden, moments
from llmos.engine.compression.quantize.affine import affine_of, as_kept
from llmos.engine.compression.quantize.gptq import gptq
from llmos.engine.compression.quantize.rounding import rounded
from llmos.engine.compression.quantize.rows import Write
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import Encoding
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


class CalibratedScheme(ABC):
    """Writes every tensor of the layers that `owns` names."""

    def __init__(
        self,
        spec: DecoderSpec,
        tensors: Mapping[str, RawTensor],
        encodings: Mapping[str, Encoding],
        write: Write,
        pool: _native.Pool,
    ) -> None:
        self.spec, self.tensors, self.encodings, self.write, self.pool = spec, tensors, encodings, write, pool

    @staticmethod
    def owns(name: str, shape: tuple[int, ...]) -> bool:
        return name.startswith("layers.") and len(shape) == 2

    @abstractmethod
    def matrices(self, names: Sequence[str], x_NC: Floats) -> list[Floats]:
        """Quantize these matrices, called as without ".weight", and return what the next layers shall see of them."""

    def layer_done(self, i: int) -> None:  # noqa: B027  (not every scheme has something left)
        """Write what is left of a layer."""

    def run(self, tokens_SL: Ints, on_layer: Callable[[int], None]) -> None:
        def layer_done(i: int, before_NH: Floats, after_NH: Floats) -> None:
            self.layer_done(i)
            on_layer(i)

        last_hidden(self.spec, self.tensors, tokens_SL, self.matrices, on_layer=layer_done)

    def put(self, name: str, rows: Bytes, num_columns: int) -> Floats:
        """Write a whole matrix as its encoding has it, and return its values."""
        self.write(name, 0, rows)
        return dequantize(self.encodings[name].take(rows, (len(rows), num_columns), slice(None)))

    def rounded(self, name: str, weights_RC: Floats) -> Bytes:
        return rounded(weights_RC, self.encodings[name], "", self.pool)


class GptqScheme(CalibratedScheme):
    def matrices(self, names: Sequence[str], x_NC: Floats) -> list[Floats]:
        names, num_columns = [f"{name}.weight" for name in names], x_NC.shape[1]
        weights = {name: dequantize(self.tensors[name]) for name in names}
        made: dict[str, Floats] = {}
        affine = next(filter(None, (affine_of(self.encodings[name]) for name in names)), None)
        if affine is not None:
            # Rows don't know each other: matrices with the same inputs go as one.
            fitted = [name for name in names if affine_of(self.encodings[name]) == affine]
            rows = gptq(np.concatenate([weights[name] for name in fitted]), moments(x_NC), affine)
            for name in fitted:
                count = len(weights.pop(name))
                made[name] = self.put(
                    name, as_kept(rows[:count], affine, self.encodings[name], num_columns), num_columns
                )
                rows = rows[count:]
        for name, weights_RC in weights.items():
            made[name] = self.put(name, self.rounded(name, weights_RC), num_columns)
        return [made[name] for name in names]
