"""Facts about answers: the request, the model that answered, the outcome, the duration and the cost."""

from datetime import datetime
from typing import Any

import msgspec

from llmos.core.schemas.base import Description
from llmos.core.schemas.ledger import LedgerEntryDescription
from llmos.core.schemas.provider_costs import ProviderCall
from llmos.core.schemas.receipts import ReceiptDescription


class AnswerTimings(msgspec.Struct, frozen=True, kw_only=True):
    """The duration of each stage of a call, in seconds. A stage that the call didn't have is 0."""

    guardrails: float = 0.0
    """Screening of the prompt by guardrails."""
    load: float = 0.0
    """The wait until the model was loaded."""
    queue: float = 0.0
    """From then until the prompt entered a batch."""
    prefill: float = 0.0
    """From then until the first token."""
    decode: float = 0.0
    """From then until the last token."""
    first_token: float | None = None
    """From the acceptance of the call to its first token; null where nothing was generated."""
    total: float = 0.0
    replica: float = 0.0
    """The time on a replica of this installation, which prices per second apply to."""


class AnswerSummary(Description, frozen=True, kw_only=True):
    """One call, with the fields that lists of calls contain."""

    id: str = ""
    request_id: str = ""
    at: datetime | None = None
    """The time at which the call was accepted."""
    project: str = ""
    key_id: str = ""
    user: str = ""
    """The end user that the request named; empty if it named none, or if the person's data were erased."""
    asked: str = ""
    """The model name in the request: a route or a model."""
    route: str = ""
    version: str = ""
    """The version that answered, such as smollm2@1 or remote:PROVIDER/MODEL."""
    app: str = ""
    """The application whose process made the call."""
    run: str = ""
    """The run of an application that the call was a part of, or that gave the answer."""
    operation: str = ""
    """generate, embed or rate."""
    outcome: str = ""
    """answered, blocked (by a guardrail), cached, cancelled (the caller hung up), failed or refused."""
    error: str = ""
    """The code of the error."""
    verdict: str = ""
    """The strictest verdict of the guardrails: flag, redact or block; empty if they found nothing."""
    num_attempts: int = 0
    """The number of targets of the route that were tried."""
    input_tokens: int = 0
    cached_input_tokens: int = 0
    """The part of `input_tokens` that was found in the prefix cache."""
    output_tokens: int = 0
    cost: str | None = None
    """As a decimal; null where no price applied."""
    currency: str = ""
    price_version: int | None = None
    timings: AnswerTimings = AnswerTimings()
    excerpt: str = ""
    """In results of a search: the text around the first word that was found."""


class KeptText(msgspec.Struct, frozen=True, kw_only=True):
    """The conversation of a stored response."""

    input: list[Any]
    output: list[Any]
    instructions: str | None = None
    tools: list[Any] = []
    """The tools that the model could call."""


class AnswerFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """A person's opinion of the answer, without its texts."""

    id: str
    kind: str
    """rating, or vote (the answer was chosen as the best of several)."""
    rating: str
    """up or down; empty for a vote without a rating."""
    is_corrected: bool
    actor: str
    created_at: datetime | None


class AnswerDetails(AnswerSummary, frozen=True, kw_only=True):
    """All that is known of one call."""

    charges: list[LedgerEntryDescription] = msgspec.field(default_factory=list)
    """The entries of the ledger for this call: the counted usage and its cost."""
    provider_calls: list[ProviderCall] = msgspec.field(default_factory=list)
    """The attempts at providers and their costs, for callers who may see every project."""
    receipt: ReceiptDescription | None = None
    """Null if no receipt was made, or if it isn't stored any more."""
    is_receipt_valid: bool | None = None
    """True if the receipt has a valid signature of this installation; null without a receipt."""
    feedback: list[AnswerFeedback] = msgspec.field(default_factory=list)
    """Newest first, for callers of the same project who may read feedback."""
    text: KeptText | None = None
    """Null unless the response is stored and the caller, of the same project, may read it."""


class AnswerPage(Description, frozen=True, kw_only=True):
    data: list[AnswerSummary] = msgspec.field(default_factory=list)
    """Newest first."""
    next: str | None = None
    """Send it as `after` for the next page; null on the last one."""
