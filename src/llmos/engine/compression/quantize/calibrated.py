"""The base of the calibrated schemes, and GPTQ.

A matrix is quantized when its inputs are known, in the order of the forward pass, so that its inputs are what the
quantized matrices before it compute.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from llmos.engine import _native
from llmos.engine.compression.calibration import last_hidden, moments
from llmos.engine.compression.quantize.affine import affine_of, to_encoding
from llmos.engine.compression.quantize.gptq import gptq
from llmos.engine.compression.quantize.rounding import round_rows
from llmos.engine.compression.rows import Write
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.formats.encodings import Encoding
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


class CalibratedScheme(ABC):
    """Runs the model on the calibration tokens, and writes every tensor that owns() returns True for."""

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
        """Return whether this scheme writes the tensor."""
        return name.startswith("layers.") and len(shape) == 2

    @abstractmethod
    def matrices(self, names: Sequence[str], x_NC: Floats) -> list[Floats]:
        """Quantize these matrices, named without ".weight", and return the values that the forward pass continues with.

        `x_NC`: the inputs of all of them, a row for each token.
        """

    def layer_done(self, i: int) -> None:  # noqa: B027  (optional)
        """Write the remaining tensors of a layer."""

    def run(self, tokens_SL: Ints, on_layer: Callable[[int], None]) -> None:
        """Quantize all layers, and call `on_layer` with the index of each when it is done."""

        def layer_done(i: int, before_NH: Floats, after_NH: Floats) -> None:
            self.layer_done(i)
            on_layer(i)

        last_hidden(self.spec, self.tensors, tokens_SL, self.matrices, on_layer=layer_done)

    def put(self, name: str, rows: Bytes, num_columns: int) -> Floats:
        """Write a whole encoded matrix, and return its values."""
        self.write(name, 0, rows)
        return dequantize(self.encodings[name].take(rows, (len(rows), num_columns), slice(None)))

    def round(self, name: str, weights_RC: Floats) -> Bytes:
        return round_rows(weights_RC, self.encodings[name], "", self.pool)


class GptqScheme(CalibratedScheme):
    """Quantizes the layers' matrices by gptq()."""

    def matrices(self, names: Sequence[str], x_NC: Floats) -> list[Floats]:
        names, num_columns = [f"{name}.weight" for name in names], x_NC.shape[1]
        weights = {name: dequantize(self.tensors[name]) for name in names}
        quantized: dict[str, Floats] = {}
        affine = next(filter(None, (affine_of(self.encodings[name]) for name in names)), None)
        if affine is not None:
            # Rows are independent of each other, so matrices with the same inputs are quantized as one.
            fitted = [name for name in names if affine_of(self.encodings[name]) == affine]
            rows = gptq(np.concatenate([weights[name] for name in fitted]), moments(x_NC), affine)
            for name in fitted:
                count = len(weights.pop(name))
                quantized[name] = self.put(
                    name, to_encoding(rows[:count], affine, self.encodings[name], num_columns), num_columns
                )
                rows = rows[count:]
        for name, weights_RC in weights.items():
            quantized[name] = self.put(name, self.round(name, weights_RC), num_columns)
        return [quantized[name] for name in names]
