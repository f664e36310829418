"""What a Tokenizer is made of, whichever file it came from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import tokenizers

from llmos.engine.text.tokenizer.pieces import PieceDecoder


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerParts:
    backend: tokenizers.Tokenizer
    """The vocabulary, with its control tokens added as special tokens. Never pads, never truncates."""
    piece_decoder: PieceDecoder
    vocab_size: int
    token_text: Callable[[int], str | None]
    """The token as the vocabulary spells it."""
    control: Mapping[str, int]
    """The strings that steer the model, and their tokens. Only a chat template may write them."""
    bos_id: int | None
    eos_ids: frozenset[int]
    unknown_id: int | None
    adds_bos: bool
    """Plain text begins with BOS."""
    template: str | None = None
    template_variables: Mapping[str, str] = field(default_factory=dict)
    """bos_token, eos_token and such: the names by which templates write control strings."""
