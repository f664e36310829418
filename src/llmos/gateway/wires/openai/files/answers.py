"""The answers of /v1/files."""

from typing import Literal

import msgspec

from llmos.data.files import File
from llmos.gateway.wires.openai.pages import ListPage


class FileObject(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: None = None
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"
    status_details: None = None


class FileObjects(ListPage, kw_only=True):
    data: list[FileObject]


class FileDeleted(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


def render_file(file: File) -> FileObject:
    """Return the file in OpenAI's format."""
    return FileObject(
        id=file.id,
        bytes=file.size,
        created_at=int(file.created_at.timestamp()),
        filename=file.filename,
        purpose=file.purpose,
    )
