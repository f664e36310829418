"""Files that are sent before a job works on them, in pieces, below the path `root`; and the result of such a job."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from llmos.client.call import Call, read_one
from llmos.core.errors import BadRequest, LLMOSError, error_of_code
from llmos.core.schemas.base import Description, read_description
from llmos.core.schemas.datasets import UploadDescription
from llmos.core.schemas.jobs import JobDescription

PIECE_BYTES = 8 << 20
"""The bytes of a file that one request sends."""

OnBytes = Callable[[str, int, int | None], object]
"""on_bytes(file, sent, size): called while files are sent, and while a job works on them."""

D = TypeVar("D", bound=Description)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine that is sent under a name."""

    name: str
    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def digest(self) -> str:
        """Return sha256:<hex> of its content."""
        with self.path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

    def piece(self, first: int) -> bytes:
        """Return the bytes from `first` on that one request sends."""
        with self.path.open("rb") as file:
            file.seek(first)
            return file.read(PIECE_BYTES)


def local_files(path: Path | str) -> list[LocalFile]:
    """Return the files at a path: itself, or those of a folder that aren't hidden. Raises BadRequest without one."""
    path = Path(path)
    if path.is_file():
        return [LocalFile(path.name, path)]
    found = [each for each in sorted(path.rglob("*")) if each.is_file()] if path.is_dir() else []
    files = [LocalFile(str(each.relative_to(path)), each) for each in found]
    files = [file for file in files if not any(part.startswith(".") for part in Path(file.name).parts)]
    if not files:
        raise BadRequest(f"There is no file {path}, and no folder with files.", param="path")
    return files


def get_upload(root: str, digest: str) -> Call[UploadDescription]:
    return Call(method="GET", path=f"{root}/{digest}", read=read_one(UploadDescription))


def put_piece(root: str, digest: str, content: bytes, first: int, size: int) -> Call[UploadDescription]:
    span = f"bytes {first}-{first + len(content) - 1}/{size}" if content else "bytes */0"
    return Call(
        method="PUT",
        path=f"{root}/{digest}",
        content=content,
        headers={"Content-Range": span, "Content-Type": "application/octet-stream"},
        read=read_one(UploadDescription),
    )


def result_of(job: JobDescription, kind: type[D]) -> D:
    """Return what a job has made. Raises the error that it ended with."""
    if job.error is not None:
        raise error_of_code(job.error.code, job.error.message, param=job.error.param)
    if job.result is None:
        raise LLMOSError(f"The job {job.id} was {job.state}.")
    return read_description(kind, job.result)
