"""The facts of answers: what was asked of what, what became of it, how long it took and what it costs."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description
from llmos.core.schemas.ledger import LedgerEntryDescription
from llmos.core.schemas.provider_costs import ProviderCall
from llmos.core.schemas.receipts import ReceiptDescription


class AnswerTimings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, by stage. A stage that there was not took 0."""

    guardrails: float = 0.0
    """The prompt was screened."""
    load: float = 0.0
    """Until the model was loaded."""
    queue: float = 0.0
    """Then until the prompt was a part of a batch."""
    prefill: float = 0.0
    """Then until the first token."""
    decode: float = 0.0
    """Then until the last token."""
    first_token: float | None = None
    """From the acceptance of the call to its first token; null where nothing was generated."""
    total: float = 0.0
    replica: float = 0.0
    """The time that is charged: that of a replica of this installation."""


class AnswerSummary(Description, frozen=True, kw_only=True):
    """One call, as lists have it."""

    id: str = ""
    request_id: str = ""
    at: datetime | None = None
    """When it was accepted."""
    project: str = ""
    key_id: str = ""
    user: str = ""
    """The project's own end user; empty where the request named none, or the person was erased."""
    asked: str = ""
    """The name that was asked for."""
    route: str = ""
    version: str = ""
    """What answered, such as smollm2@1 or remote:PROVIDER/MODEL."""
    app: str = ""
    """The application whose process called."""
    run: str = ""
    """The run of an application that gave it, or that the call was a part of."""
    operation: str = ""
    """generate, embed or rate."""
    outcome: str = ""
    """answered, blocked (by a guardrail), cached, cancelled (the caller hung up), failed or refused."""
    error: str = ""
    """The code of the error."""
    verdict: str = ""
    """The strictest verdict of its guardrails: flag, redact or block."""
    num_attempts: int = 0
    """Targets of the route that were tried."""
    input_tokens: int = 0
    cached_input_tokens: int = 0
    """Those of them that were found in the prefix cache."""
    output_tokens: int = 0
    cost: str | None = None
    """As a decimal; null where no price applied."""
    currency: str = ""
    price_version: int | None = None
    timings: AnswerTimings = AnswerTimings()
    excerpt: str = ""
    """The text around the first word that was searched for."""


class KeptText(msgspec.Struct, frozen=True, kw_only=True):
    """The conversation of a stored response."""

    input: list[Any]
    output: list[Any]
    instructions: str | None = None
    tools: list[Any] = []
    """The tools that the model could call."""


class AnswerFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """A person's opinion on the answer, without a text."""

    id: str
    kind: str
    """rating, or vote: it was the best one of several."""
    rating: str
    """up or down; empty where none was given."""
    is_corrected: bool
    actor: str
    created_at: datetime | None


class AnswerDetails(AnswerSummary, frozen=True, kw_only=True):
    """All that is known of one call."""

    charges: list[LedgerEntryDescription] = msgspec.field(default_factory=list)
    """Its entries in the ledger: what was counted and charged."""
    provider_calls: list[ProviderCall] = msgspec.field(default_factory=list)
    """What its attempts at providers cost there, for those who may see every project."""
    receipt: ReceiptDescription | None = None
    """Null where none was made, or it isn't kept any more."""
    is_receipt_valid: bool | None = None
    """Whether this installation has signed it as it is."""
    feedback: list[AnswerFeedback] = msgspec.field(default_factory=list)
    """The newest first, for callers of its project that may read feedback."""
    text: KeptText | None = None
    """Where the response is stored, for callers of its project that may read it."""


class AnswerPage(Description, frozen=True, kw_only=True):
    data: list[AnswerSummary] = msgspec.field(default_factory=list)
    """Newest first."""
    next: str | None = None
    """Send it as `after` for the next page; null on the last one."""
