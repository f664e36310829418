"""The requests of /v1/files."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from llmos.gateway.http.requests import RequestObject, Unsupported

MAX_FILE_BYTES = 200 * 2**20


class FileUpload(RequestObject, kw_only=True):
    """The fields beside `file`."""

    purpose: str
    """`batch`."""

    unsupported: ClassVar = {"expires_after": Unsupported("files stay until they are deleted. Leave it out.")}


class FileQuery(RequestObject, kw_only=True):
    purpose: str | None = None
    """`batch` or `batch_output`."""
    after: str | None = None
    """The file behind which the list goes on."""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 10_000
    order: Literal["asc", "desc"] = "desc"
    """By the time at which they were made."""
