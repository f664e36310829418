"""Detects pickled checkpoints, which are rejected: unpickling a file runs any code that its author put into it.

A safetensors file begins with the length of its header in 8 bytes, and some lengths (640, 896, 1,152, 1,408 and those
plus multiples of 65,536) begin with the same two bytes as a pickle. So the first bytes alone don't decide: a file whose
header is that of a safetensors file is none.
"""

import json
from collections.abc import Iterable
from typing import Any

MAX_HEADER_BYTES = 1 << 25
"""The longest header of a safetensors file that is read."""

SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")

# A zip archive (torch.save since 1.6), and the first bytes of a pickle of protocol 2 to 5.
_OPENINGS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

REASON = (
    "Loading a pickle can run any code that is hidden in it, so LLMOS never loads one. "
    "Use the model's safetensors or GGUF files, or convert it where you trust it: "
    'AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder + "-safe").'
)


def pickle_names(names: Iterable[str]) -> list[str]:
    """Return the file names that look like pickled weights."""
    return sorted(name for name in names if name.lower().endswith(SUFFIXES))


def looks_like_pickle(data: Any) -> bool:
    """Return whether a file was written by torch.save or pickle.dump. `data`: its bytes, or a memory map of it."""
    return bytes(data[:8]).startswith(_OPENINGS) and not _has_safetensors_header(data)


def _has_safetensors_header(data: Any) -> bool:
    num_bytes = int.from_bytes(data[:8], "little")
    if num_bytes > min(MAX_HEADER_BYTES, len(data) - 8) or data[8:9] != b"{":
        return False
    try:
        return isinstance(json.loads(bytes(data[8 : 8 + num_bytes])), dict)
    except (ValueError, RecursionError):
        return False
