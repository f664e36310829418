"""Request fields that OpenAI's APIs share."""

from typing import Annotated

from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.gateway.http.fields import SamplingFields
from llmos.gateway.http.requests import RequestObject, Unsupported

TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]

HARMLESS = frozenset(
    {
        "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options",
        "prediction",
    }
)  # fmt: skip
"""Ignored fields: they concern storage and caching of the request, and never change the answer."""

UNSUPPORTED = {
    "store": Unsupported("this server does not store chat completions. Leave it out.", (False,)),
    "service_tier": Unsupported("there is one tier. Leave it out.", ("auto", "default")),
}


class StreamOptions(RequestObject, kw_only=True):
    include_usage: bool = False
    """Send the usage in an additional last event, which has no choices."""

    harmless = frozenset({"include_obfuscation"})


class StreamFields(SamplingFields, kw_only=True):
    """The fields of a request that can be streamed and can return several choices."""

    n: Annotated[int, Meta(ge=1, le=128)] = 1
    stream: bool = False
    stream_options: StreamOptions | None = None

    @property
    def wants_usage_event(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def check_stream(self) -> None:
        """Raise BadRequest for `stream_options` without `stream`."""
        if self.stream_options is not None and not self.stream:
            raise BadRequest(
                "`stream_options` requires `stream` to be true. Set it, or leave `stream_options` out.",
                param="stream_options",
            )
