"""Detects pickled checkpoints, which are rejected: unpickling a file runs any code that its author put into it."""

from collections.abc import Iterable

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


def looks_like_pickle(head: bytes) -> bool:
    """Return whether a file that begins with `head` was written by torch.save or pickle.dump."""
    return head.startswith(_OPENINGS)
