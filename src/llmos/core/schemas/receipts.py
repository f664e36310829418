"""The receipt of an answer: what was asked of what, and what came of it, without its content. Signed."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class ReceiptDescription(Description, frozen=True, kw_only=True):
    """A receipt. Verify `raw`, which has every field that the server signed."""

    type: str = ""
    id: str = ""
    """That of the answer."""
    request_id: str = ""
    project: str = ""
    key_id: str = ""
    """The id of the API key."""
    began_at: datetime | None = None
    ended_at: datetime | None = None
    operation: str = ""
    """generate, embed or rate."""
    outcome: str = ""
    """answered, refused, failed or cancelled (the caller hung up)."""
    error: str | None = None
    """The code of the error."""
    model: str = ""
    """The name that was asked for."""
    route: str | None = None
    version: str | None = None
    """What answered: smollm2@1, or remote:PROVIDER/MODEL."""
    digest: str | None = None
    """That of the version. None for a model at a provider."""
    quantization: str | None = None
    runner: str | None = None
    """native, or provider."""
    guardrails: dict[str, Any] = msgspec.field(default_factory=dict)
    """`policies`: name, version and digest of each; `findings`: policy, guardrail, rule, side and verdict of each."""
    price_version: int | None = None
    """The version of the prices. None if none applied, or the ledger could not be written at that time."""
    cost: str | None = None
    """As a decimal."""
    currency: str | None = None
    stopped_by: str | None = None
    """The budget that ended the answer early: budget:NAME."""
    usage: dict[str, int] = msgspec.field(default_factory=dict)
    """prompt_tokens, cached_tokens and completion_tokens, of all targets that were tried."""
    metered: dict[str, int] = msgspec.field(default_factory=dict)
    """What the ledger counts for it: num_calls, input_tokens and so on. Empty for what costs nothing."""
    is_recovered: bool = False
    """The server was killed before it made the receipt. This one is made from the ledger: what only the server knew is
    missing, such as the hashes."""
    sampling: dict[str, Any] | None = None
    """The settings that were used, the version's recommendations included. None where nothing was generated."""
    input: dict[str, Any] = msgspec.field(default_factory=dict)
    """`sha256`, and what it is `of`: json or bytes of the request's body."""
    output: dict[str, Any] = msgspec.field(default_factory=dict)
    """`sha256`, what it is `of` (choices, vectors, scores, logprobs), and `finish_reasons`."""
    key: str = ""
    """The id of the key that signed it."""
    signature: str = ""
    """Ed25519, in base64, of the canonical JSON (RFC 8785) of all other fields."""
