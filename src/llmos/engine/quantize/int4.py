"""4-bit weights that cost little: GPTQ on text that the model wrote itself.

What stays 8-bit, and why, in more perplexity of SmolLM2-135M (benchmarks/quality.py's text):

    the embedding and the head   every logit reads the head, and a token all that it is from its row of the embedding
    v                            +3.6 % instead of +4.4 %, for 2 % of the layers' weights: few rows, which all heads
                                 of a group share, and no softmax behind them that would forgive an error
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.calibration.decoder import last_hidden, moments
from llmos.engine.calibration.own_text import DEFAULT_CALIBRATION, Calibration, write_text
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.quantize.gptq import gptq
from llmos.engine.quantize.q8_0 import round_to_q8_0
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import BLOCK_LENGTH, RawTensor

Floats = npt.NDArray[np.float32]

_KEPT_8_BIT = ("v",)


def quantize_int4(
    spec: DecoderSpec,
    tensors: Mapping[str, RawTensor],
    *,
    calibration: Calibration = DEFAULT_CALIBRATION,
    threads: int = 1,
) -> dict[str, RawTensor]:
    """Return all tensors of the spec: the layers' matrices as Q4_1, the embedding, the head and v as Q8_0, the rest,
    and matrices whose rows are no multiple of 32, as F32.

    `tensors` are best the original ones (BF16, F16, F32). Beside them and the result, memory holds the largest matrix
    as floats a few times over, and so what one layer makes of all tokens of the text. The same input gives the same
    result on the same machine. Raises BadModelFile where a weight is no number, and UnsupportedModel for a mixture of
    experts.
    """
    if spec.num_experts:
        raise UnsupportedModel(
            "4-bit weights are made of models without a mixture of experts. Serve this one as it is: its weights "
            "become 8-bit when it is loaded."
        )
    # Once the model writes text with it, nobody can tell any more which tensor is the broken one.
    for name in spec.tensor_shapes():
        if not np.isfinite(dequantize(tensors[name])).all():
            raise BadModelFile(f"Tensor {name} holds values that are no numbers. Download the model again.")
    made = {
        name: _without_data(name, shape, tensors[name])
        for name, shape in spec.tensor_shapes().items()
        if not _is_fitted(name, shape)
    }
    tokens_SL = write_text(spec, tensors, calibration, threads=threads)

    def matrices(names: Sequence[str], x_NC: Floats) -> list[Floats]:
        """Quantize matrices when their inputs are known, so that each sees what the quantized ones before it give."""
        names = [f"{name}.weight" for name in names]
        fitted = [name for name in names if name not in made]
        if fitted:
            weights = [dequantize(tensors[name]) for name in fitted]
            # Rows don't know each other: matrices with the same inputs go as one.
            whole = gptq(np.concatenate(weights), moments(x_NC))
            ends = np.cumsum([len(rows) for rows in weights])
            for name, rows, end in zip(fitted, weights, ends, strict=True):
                made[name] = whole.take_rows(slice(end - len(rows), end))
        return [dequantize(made[name]) for name in names]

    last_hidden(spec, made, tokens_SL, matrices)
    return made


def _is_fitted(name: str, shape: tuple[int, ...]) -> bool:
    *path, part, _ = name.split(".")
    return bool(path) and len(shape) == 2 and shape[1] % BLOCK_LENGTH["Q4_1"] == 0 and part not in _KEPT_8_BIT


def _without_data(name: str, shape: tuple[int, ...], tensor: RawTensor) -> RawTensor:
    values = dequantize(tensor)
    # Learned positions are few, and added to all that follows.
    if len(shape) == 2 and shape[1] % BLOCK_LENGTH["Q8_0"] == 0 and name != "positions.weight":
        return round_to_q8_0(values)
    return RawTensor("F32", shape, values.reshape(tensor.num_rows, -1).view(np.uint8))
