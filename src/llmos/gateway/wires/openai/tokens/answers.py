"""The answers of POST /v1/tokenize and /v1/detokenize."""

import msgspec


class TokenizeAnswer(msgspec.Struct):
    count: int
    max_model_len: int
    """The tokens that the model accepts, prompt and answer together."""
    tokens: list[int]
    token_strs: list[str] | None = None
    """The text of each token, if the request asks for it. A part of a character is U+FFFD."""


class DetokenizeAnswer(msgspec.Struct):
    prompt: str
    """The text of the tokens, control tokens included."""
