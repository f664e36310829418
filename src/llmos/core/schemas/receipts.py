"""The signed receipt of an answer: the request, the model and the outcome, without any content."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description


class ReceiptDescription(Description, frozen=True, kw_only=True):
    """A receipt. Verify `raw`, which has every field that the server signed."""

    type: str = ""
    id: str = ""
    """The id of the answer."""
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
    """The model name in the request: a route or a model."""
    route: str | None = None
    version: str | None = None
    """The version that answered: smollm2@1, or remote:PROVIDER/MODEL."""
    digest: str | None = None
    """The digest of the version; null for a model at a provider."""
    quantization: str | None = None
    runner: str | None = None
    """native, or provider."""
    guardrails: dict[str, Any] = msgspec.field(default_factory=dict)
    """`policies`: name, version and digest of each; `findings`: policy, guardrail, rule, side and verdict of each."""
    price_version: int | None = None
    """The version of the prices; null if none applied, or if the ledger couldn't be written at that time."""
    cost: str | None = None
    """The cost, as a decimal text."""
    currency: str | None = None
    stopped_by: str | None = None
    """The budget that ended the answer early: budget:NAME."""
    usage: dict[str, int] = msgspec.field(default_factory=dict)
    """prompt_tokens, cached_tokens and completion_tokens, summed over all targets that were tried."""
    metered: dict[str, int] = msgspec.field(default_factory=dict)
    """The counts in the ledger for this call: num_calls, input_tokens and so on. Empty for calls that aren't
    charged."""
    is_recovered: bool = False
    """The server was killed before it made the receipt, so that it was made later from the ledger. Facts that the
    ledger lacks are missing, such as the hashes."""
    sampling: dict[str, Any] | None = None
    """The sampling settings that were used, including the version's defaults; null if nothing was generated."""
    input: dict[str, Any] = msgspec.field(default_factory=dict)
    """`sha256`, the hash of the request's body, and `of`: json (its canonical JSON) or bytes."""
    output: dict[str, Any] = msgspec.field(default_factory=dict)
    """`sha256`, the hash of the output; `of`, the kind of output: choices, vectors, scores or logprobs; and
    `finish_reasons`."""
    key: str = ""
    """The id of the key that signed it."""
    signature: str = ""
    """Ed25519, in base64, of the canonical JSON (RFC 8785) of all other fields."""
