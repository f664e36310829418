"""Request fields that OpenAI's APIs share."""

from typing import Annotated

from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.gateway.http.fields import SamplingFields
from llmos.gateway.http.requests import RequestObject, Unsupported

HARMLESS = frozenset(
    {
        "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options",
        "prediction",
    }
)  # fmt: skip
"""They change what is kept of the request, or where it is cached, never the answer."""

UNSUPPORTED = {
    "store": Unsupported("answers are not kept yet. Leave it out.", (False,)),
    "service_tier": Unsupported("there is one tier. Leave it out.", ("auto", "default")),
}


class StreamOptions(RequestObject, kw_only=True):
    include_usage: bool = False
    """One more event before the end, without choices, carries the usage."""

    harmless = frozenset({"include_obfuscation"})


class StreamFields(SamplingFields, kw_only=True):
    """The fields of a request that may be streamed and may ask for several choices."""

    n: Annotated[int, Meta(ge=1, le=128)] = 1
    stream: bool = False
    stream_options: StreamOptions | None = None

    @property
    def wants_usage_event(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def check_stream(self) -> None:
        """Raises BadRequest for options of a stream where none was asked for."""
        if self.stream_options is not None and not self.stream:
            raise BadRequest(
                "`stream_options` is for streams: set `stream` to true, or leave it out.", param="stream_options"
            )


TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
