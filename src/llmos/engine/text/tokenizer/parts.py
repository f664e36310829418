"""The parts of a Tokenizer, the same for every file format."""

from collections.abc import Callable, Mapping, Sequence
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
    """Returns a token's text in the vocabulary, None for an id without a token."""
    control: Mapping[str, int]
    """Control strings and their token ids. Only a chat template may produce them."""
    written: Mapping[str, int] = field(default_factory=dict)
    """Further texts of tokens that the chat template writes. They have text in answers, but in a chat only the template
    may produce them."""
    bos_id: int | None
    eos_ids: frozenset[int]
    unknown_id: int | None
    adds_bos: bool
    """Plain text begins with BOS."""
    template: str | None = None
    """The chat template, in Jinja."""
    tool_template: str | None = None
    """The chat template for conversations with tools, if the model has one of its own."""
    template_variables: Mapping[str, str] = field(default_factory=dict)
    """bos_token, eos_token and so on: the variables by which templates write control strings."""
    warnings: Sequence[str] = ()
    """Possible faults of the tokens although the files are intact, in sentences."""
