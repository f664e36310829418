"""The requests of /v1/files."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from llmos.data.files import PURPOSES, UPLOADED
from llmos.gateway.http.requests import RequestObject, Unsupported, described
from llmos.gateway.wires.openai.pages import PageQuery

MAX_FILE_BYTES = 200 * 2**20


class FileUpload(RequestObject, kw_only=True):
    """The fields of an upload besides `file`."""

    purpose: Annotated[str, described(enum=list(UPLOADED))]

    unsupported: ClassVar = {"expires_after": Unsupported("files stay until they are deleted. Leave it out.")}


class FileQuery(PageQuery, kw_only=True):
    purpose: Annotated[str, described(enum=list(PURPOSES))] | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 10_000
    order: Literal["asc", "desc"] = "desc"
    """By time of creation."""
