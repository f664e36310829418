"""One file of a model as one layer of an image: an uncompressed tar archive with the file below /models.

A layer depends only on the file's name and content, so the same file is the same layer in every image.
"""

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmos.core.byte_progress import OnBytes

LAYER = "application/vnd.oci.image.layer.v1.tar"
FOLDER = "models"
"""The folder in the image that KServe's modelcars read."""

NAME, DIGEST = "llmos.file.name", "llmos.file.digest"
"""Annotations of a layer: the file's name in the model's folder, and the digest of its content."""

_TITLE = "org.opencontainers.image.title"
_CHUNK_BYTES = 1 << 20


@dataclass(slots=True)
class Layer:
    """A layer of one file. Creating it reads the file once, for the digest."""

    name: str
    path: Path
    file_digest: str
    """sha256:<hex> of the file, not of the layer."""
    on_bytes: OnBytes
    size: int = field(init=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        hashing, self.size = hashlib.sha256(), 0
        for chunk in self.chunks():
            hashing.update(chunk)
            self.size += len(chunk)
        self.digest = f"sha256:{hashing.hexdigest()}"

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of the layer."""
        info = tarfile.TarInfo(f"{FOLDER}/{self.name}")
        info.size, info.mode, info.mtime = self.path.stat().st_size, 0o444, 0
        yield info.tobuf(tarfile.PAX_FORMAT)
        num_done = 0
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
                num_done += len(chunk)
                self.on_bytes(num_done)
        # Pad the file to a whole block; two empty blocks end the archive.
        yield bytes(-num_done % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)

    def descriptor(self) -> dict[str, Any]:
        """Return the layer's descriptor for the image's manifest (OCI image specification 1.1)."""
        return {
            "mediaType": LAYER,
            "digest": self.digest,
            "size": self.size,
            "annotations": {_TITLE: self.name, NAME: self.name, DIGEST: self.file_digest},
        }
