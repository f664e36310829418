"""Checks that a model has an embedding for the tokens that every prompt of its tokenizer has.

A tokenizer may have more tokens than the model: then a request whose text becomes one of them is refused. But where no
request could do without them, the model can't run.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from llmos.core.errors import LLMOSError, UnsupportedModel

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer.tokenizer import Tokenizer


def check_fits(tokenizer: "Tokenizer", num_rows: int, *, is_encoder: bool) -> None:
    """Raise UnsupportedModel if every prompt has a token without an embedding. `num_rows`: of the model's embedding."""
    if tokenizer.vocab_size <= num_rows:
        return
    for where, token_ids in _unavoidable(tokenizer, is_encoder=is_encoder):
        for token_id in token_ids:
            if token_id >= num_rows:
                raise UnsupportedModel(
                    f"{where} has the token {tokenizer.token_text(token_id)!r:.60} with the id {token_id:,}, but the "
                    f"model's embedding has {num_rows:,} rows. Save the tokenizer that belongs to these weights beside "
                    "them."
                )


def _unavoidable(tokenizer: "Tokenizer", *, is_encoder: bool) -> Iterator[tuple[str, list[int]]]:
    """Yield where tokens come from, and the tokens."""
    if is_encoder:
        before, behind = tokenizer.affixes
        yield "Each text", [*before, *behind]
        return
    yield "Each prompt", tokenizer.encode("a")
    if tokenizer.has_template:
        with suppress(LLMOSError):  # a template that needs other messages is left to the requests
            yield "The chat template", tokenizer.encode_chat([{"role": "user", "content": "a"}])
