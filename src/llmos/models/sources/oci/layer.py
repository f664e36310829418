"""One file of a model as one layer of an image: a tar archive, not compressed, with the file below /models.

Nothing in it depends on when or where it was made, so that a file is the same layer every time and in every image.
"""

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos.models.store import OnBytes

LAYER = "application/vnd.oci.image.layer.v1.tar"
FOLDER = "models"
"""Where KServe's modelcars, and we, look."""

NAME, DIGEST = "llmos.file.name", "llmos.file.digest"
_TITLE = "org.opencontainers.image.title"
_CHUNK_BYTES = 1 << 20


@dataclass(slots=True)
class Layer:
    """Counts its digest when it is made: that reads the file once."""

    name: str
    path: Path
    file_digest: str
    on_bytes: OnBytes
    size: int = field(init=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        seen, self.size = hashlib.sha256(), 0
        for chunk in self.chunks():
            seen.update(chunk)
            self.size += len(chunk)
        self.digest = f"sha256:{seen.hexdigest()}"

    def chunks(self) -> Iterator[bytes]:
        info = tarfile.TarInfo(f"{FOLDER}/{self.name}")
        info.size, info.mode, info.mtime = self.path.stat().st_size, 0o444, 0
        yield info.tobuf(tarfile.PAX_FORMAT)
        num_done = 0
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
                num_done += len(chunk)
                self.on_bytes(num_done)
        # Padded to whole blocks, then two empty ones end the archive.
        yield bytes(-num_done % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)

    def descriptor(self) -> dict[str, Any]:
        return {
            "mediaType": LAYER,
            "digest": self.digest,
            "size": self.size,
            "annotations": {_TITLE: self.name, NAME: self.name, DIGEST: self.file_digest},
        }
