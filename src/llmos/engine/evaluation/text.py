"""The text that models are measured on: the help of Python itself, which lies on every machine.

No recipe is calibrated with it. A Python of another version has other words here and there, so figures are compared
only where they come from one run, or name the same version.
"""

import platform
import pydoc_data.topics
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from llmos.core.errors import UnsupportedModel

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer

# W windows, L tokens of a window

Ints = npt.NDArray[np.int32]

NAME = f"the help of Python {platform.python_version()} (pydoc_data.topics)"

_CHARACTERS_PER_TOKEN = 32
"""No tokenizer has so long tokens on average; what lies behind so many characters need not be encoded."""


def held_out_text() -> str:
    topics: dict[str, str] = pydoc_data.topics.topics
    return "\n".join(topics[name] for name in sorted(topics))


def cut_windows(tokenizer: "Tokenizer", num_windows: int, window: int) -> Ints:
    """Return the first tokens of the text, [W, L]; fewer windows where it has no more. A tokenizer that puts BOS before
    a text has it before every window. Raises UnsupportedModel where not one window can be had."""
    begin = bos_of(tokenizer)
    new = window - len(begin)
    text = held_out_text()[: num_windows * new * _CHARACTERS_PER_TOKEN]
    tokens = np.array(tokenizer.encode(text, add_bos=False), np.int32)
    num_windows = min(num_windows, len(tokens) // new)
    if not num_windows:
        raise UnsupportedModel(f"The text has {len(tokens)} of this model's tokens; {new} are needed.")
    tokens_WL = tokens[: num_windows * new].reshape(num_windows, new)
    return np.concatenate([np.tile(np.array(begin, np.int32), (num_windows, 1)), tokens_WL], axis=1)


def bos_of(tokenizer: "Tokenizer") -> list[int]:
    """Return what the tokenizer puts before a text: BOS or nothing."""
    with_bos, without = tokenizer.encode("a"), tokenizer.encode("a", add_bos=False)
    return with_bos[: len(with_bos) - len(without)]
