"""The requests of /v1/batches."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.gateway.http.requests import RequestObject, Unsupported, described
from llmos.gateway.wires.openai.pages import PageQuery

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/llmos/v1/likelihood")
"""The endpoints that a batch can call, if this server has them."""


class BatchRequest(RequestObject, kw_only=True):
    input_file_id: str
    """A file with the purpose `batch`."""
    endpoint: Annotated[str, described(enum=[*ENDPOINTS])]
    """The path that every request of the file calls."""
    completion_window: Annotated[str, described(enum=["24h"])]
    """Requests without an answer by then expire."""
    metadata: dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]] | None = None
    """Up to 16 strings of your own, returned with the batch."""

    unsupported: ClassVar = {
        "output_expires_after": Unsupported("files stay until they are deleted. Leave it out."),
    }

    def check(self, endpoints: Sequence[str]) -> None:
        """Raise BadRequest for a batch that this server can't run. `endpoints`: those that it can call."""
        if self.endpoint not in endpoints:
            raise BadRequest(
                f"`endpoint` is {self.endpoint[:80]!r}; it accepts {', '.join(endpoints)}.", param="endpoint"
            )
        if self.completion_window != "24h":
            raise BadRequest(
                f"`completion_window` is {self.completion_window[:80]!r}; it accepts '24h'.", param="completion_window"
            )
        if self.metadata is not None and len(self.metadata) > 16:
            raise BadRequest(f"`metadata` has {len(self.metadata)} entries; it accepts at most 16.", param="metadata")


class BatchQuery(PageQuery, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
