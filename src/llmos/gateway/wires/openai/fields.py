"""Request fields that OpenAI's APIs share."""

from typing import Annotated, ClassVar

from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.gateway.http.fields import SamplingFields
from llmos.gateway.http.requests import Hint, RequestObject

TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]

HINTS = {
    "metadata": Hint(({},)),
    "safety_identifier": Hint(),
    "prompt_cache_key": Hint(),
    "prompt_cache_retention": Hint(),
    "prompt_cache_options": Hint(),
    "prediction": Hint(),
    "store": Hint((False,)),
    "service_tier": Hint(("auto", "default")),
}
"""Fields about storing, caching and scheduling a request. They never change what the answer means."""


class StreamOptions(RequestObject, kw_only=True):
    include_usage: bool = False
    """Send the usage in an additional last event, which has no choices."""

    unsupported: ClassVar = {"include_obfuscation": Hint((False,))}


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
