"""The requests of /v1/batches."""

from typing import Annotated, ClassVar

from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.gateway.http.requests import RequestObject, Unsupported

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
"""Those that can be asked in a batch, where this server has them."""


class BatchRequest(RequestObject, kw_only=True):
    input_file_id: str
    """A file with the purpose `batch`."""
    endpoint: str
    """The path that every line is for."""
    completion_window: str
    """`24h`: what has no answer by then gets none."""
    metadata: dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]] | None = None
    """Up to 16 texts of your own, which come back with the batch."""

    unsupported: ClassVar = {
        "output_expires_after": Unsupported("files stay until they are deleted. Leave it out."),
    }


class BatchQuery(RequestObject, kw_only=True):
    after: str | None = None
    """The batch behind which the list goes on."""
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


def check_batch(asked: BatchRequest, endpoints: list[str]) -> None:
    if asked.endpoint not in endpoints:
        raise BadRequest(f"`endpoint` is {asked.endpoint[:80]!r}; it takes {', '.join(endpoints)}.", param="endpoint")
    if asked.completion_window != "24h":
        raise BadRequest(
            f"`completion_window` is {asked.completion_window[:80]!r}; it takes '24h'.", param="completion_window"
        )
    if asked.metadata is not None and len(asked.metadata) > 16:
        raise BadRequest(f"`metadata` has {len(asked.metadata)} entries; it takes 16.", param="metadata")
