"""The limits of a key or a project. A limit that isn't set is null."""

from llmos.core.schemas.base import Description


class LimitsDescription(Description, frozen=True, kw_only=True):
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """The tokens of prompts and answers together."""
    concurrent_requests: int | None = None
    prompt_tokens: int | None = None
    """The longest prompt that a call may send to a model that generates text, in tokens."""
    output_tokens: int | None = None
    """The longest answer that a call may request, in tokens."""
