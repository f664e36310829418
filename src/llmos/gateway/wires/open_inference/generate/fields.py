"""The request of POST /v2/models/{model}/generate."""

from typing import Any

import msgspec

from llmos.gateway.http.requests import RequestObject


class TextRequest(RequestObject, kw_only=True):
    id: str = ""
    text_input: str
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    """The same as those of infer."""
