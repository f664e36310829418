"""The tokens that a model is calibrated on: of a text of the owner's, or of one that the model writes."""

import codecs
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadRequest, UnsupportedModel
from llmos.core.progress import Progress, no_progress
from llmos.engine.compression.calibration.own_text import Calibration, write_text
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

if TYPE_CHECKING:
    from llmos.engine.checkpoint.checkpoint import Checkpoint
    from llmos.engine.text.tokenizer import Tokenizer

Ints = npt.NDArray[np.int32]


_BYTES_PER_TOKEN = 32
"""No tokenizer has so long tokens on average. Of a text that is longer than so many for each token that is wanted only
pieces are encoded: to encode takes a hundred times a text's own memory."""
_WITHIN_A_CHARACTER = bytes(range(0x80, 0xC0))


def calibration_of(options: Mapping[str, Any]) -> Calibration:
    """Return what a recipe's options say of the text."""
    return Calibration(num_texts=options["texts"], text_length=options["length"], seed=options["seed"])


def calibration_tokens(
    checkpoint: "Checkpoint",
    calibration: Calibration,
    text: Path | None = None,
    *,
    threads: int = 1,
    progress: Progress = no_progress,
) -> Ints:
    """Return tokens_SL: of the owner's text, or without one of what the model writes itself.

    Raises UnsupportedModel for models that don't write text or are a mixture of experts, BadRequest for a text that is
    too short or no text, and BadModelFile where the model answers no numbers.
    """
    spec = calibratable(checkpoint.spec)
    if text is not None:
        return tokens_of_text(text, checkpoint.tokenizer, calibration, spec.max_positions)
    tensors: Mapping[str, RawTensor] = checkpoint.tensors
    return write_text(spec, tensors, calibration, threads=threads, progress=progress)


def calibratable(spec: object) -> DecoderSpec:
    """Return the spec. Raises UnsupportedModel for a model that can't be watched while it works."""
    if not isinstance(spec, DecoderSpec):
        raise UnsupportedModel(
            "This model makes vectors, and a calibrated scheme watches one that writes text. Quantize it with q8_0,"
            " minmax or absmax."
        )
    if spec.num_experts:
        raise UnsupportedModel(
            "Calibrated schemes take models without a mixture of experts. Quantize this one with q8_0, q4_1, minmax or"
            " absmax."
        )
    return spec


def tokens_of_text(text: Path, tokenizer: "Tokenizer", calibration: Calibration, max_positions: int) -> Ints:
    """Return windows of a text, spread evenly over it. Raises BadRequest where it is too short or no text."""
    count, length = calibration.num_texts, min(calibration.text_length, max_positions)
    try:
        if text.stat().st_size > count * length * _BYTES_PER_TOKEN:
            windows = [tokenizer.encode(piece)[:length] for piece in _pieces(text, count, length * _BYTES_PER_TOKEN)]
            if all(len(window) == length for window in windows):
                return np.array(windows, np.int32)
        tokens = tokenizer.encode(text.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadRequest(f"{text} can't be read: {error.strerror}.", param="calibration") from None
    except UnicodeDecodeError:
        raise BadRequest(f"{text} is no UTF-8 text. Give a text file.", param="calibration") from None
    if len(tokens) < count * length:
        fewer = len(tokens) // length
        raise BadRequest(
            f"{text} has {len(tokens):,} tokens; {count} texts of {length} need {count * length:,}. Give a longer text"
            + (f", or take fewer: --texts {fewer}." if fewer else "."),
            param="calibration",
        )
    starts = np.linspace(0, len(tokens) - length, count).astype(np.int64)
    return np.array([tokens[start : start + length] for start in starts.tolist()], np.int32)


def _pieces(text: Path, count: int, num_bytes: int) -> Iterator[str]:
    """Yield pieces of a file, spread evenly over it, without the characters that their ends cut."""
    with text.open("rb") as file:
        for begin in np.linspace(0, text.stat().st_size - num_bytes, count).astype(np.int64).tolist():
            file.seek(begin)
            data = file.read(num_bytes)
            whole = data.lstrip(_WITHIN_A_CHARACTER) if begin else data
            yield codecs.getincrementaldecoder("utf-8")().decode(whole)
