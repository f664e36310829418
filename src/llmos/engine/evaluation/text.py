"""The text that models are measured on: the help of Python itself, which is on every machine.

No recipe is calibrated with it. The text differs a little between Python versions, so figures are comparable only if
they come from one run, or name the same version.
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
"""More than any tokenizer's average, so text beyond it need not be encoded."""


def held_out_text() -> str:
    """Return the whole text."""
    topics: dict[str, str] = pydoc_data.topics.topics
    return "\n".join(topics[name] for name in sorted(topics))


def cut_windows(tokenizer: "Tokenizer", num_windows: int, window: int) -> Ints:
    """Return the first tokens of the text, [W, L], with fewer windows if the text ends.

    If the tokenizer adds BOS, every window begins with it. Raises UnsupportedModel if the text is too short for one
    window.
    """
    begin = bos_of(tokenizer)
    new = window - len(begin)
    text = held_out_text()[: num_windows * new * _CHARACTERS_PER_TOKEN]
    tokens = np.array(tokenizer.encode(text, add_bos=False), np.int32)
    num_windows = min(num_windows, len(tokens) // new)
    if not num_windows:
        raise UnsupportedModel(f"The text has {len(tokens)} tokens for this model; {new} are needed.")
    tokens_WL = tokens[: num_windows * new].reshape(num_windows, new)
    return np.concatenate([np.tile(np.array(begin, np.int32), (num_windows, 1)), tokens_WL], axis=1)


def bos_of(tokenizer: "Tokenizer") -> list[int]:
    """Return the tokens that the tokenizer puts before a text: BOS or none."""
    with_bos, without = tokenizer.encode("a"), tokenizer.encode("a", add_bos=False)
    return with_bos[: len(with_bos) - len(without)]
