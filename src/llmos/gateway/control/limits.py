"""The limits of a key or a project, as requests set them."""

from typing import Annotated

import msgspec
from msgspec import Meta

from llmos.gateway.http.requests import RequestObject
from llmos.security.limits import MAX_LIMIT, Limits

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT)]


class LimitsRequest(RequestObject, kw_only=True):
    """A limit that is left out is none."""

    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    """The tokens of prompts and answers together."""
    concurrent_requests: Limit | None = None
    prompt_tokens: Limit | None = None
    output_tokens: Limit | None = None

    def limits(self) -> Limits:
        return Limits(**msgspec.structs.asdict(self))
