"""Files of models on their way between machines of a cluster. Only missing bytes are sent, and all are verified.

A file arrives in the store's `incoming` folder. An interrupted one is continued by the next attempt, also from another
source; its SHA-256 is compared before it becomes a blob.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from llmos.core.encryption.sealed_path import SealedPath
from llmos.core.errors import BadModelFile, Conflict, DownloadFailed, LLMOSError, NotFound
from llmos.core.store.blobs import StoredFile
from llmos.core.store.store import Store
from llmos.deployments.cluster.authority import HEAD_NAME, NODE_SUFFIX
from llmos.deployments.cluster.link import Link, limit_silence
from llmos.deployments.cluster.messages import (
    BLOB_CHUNK_BYTES,
    MAX_MESSAGE_BYTES,
    BlobChunk,
    BlobSize,
    BlobSource,
    FetchBlob,
    File,
    Refused,
    ToNode,
    refused,
)
from llmos.engine.replica.framing import FrameReader, FrameWriter

CONNECT_SECONDS = 5.0

OnBytes = Callable[[int], None]
"""Called with the bytes that have just arrived."""


async def send_blob(link: Link[Any], store: Store, asked: FetchBlob) -> None:
    """Answer FetchBlob, and close the connection. Raises LinkClosed."""
    try:
        path = await asyncio.to_thread(_find, store, asked)
    except LLMOSError as error:
        link.send(refused(error))
        link.close()
        return
    with path.open("rb") as file:
        link.send(BlobSize(path.stat().st_size))
        file.seek(asked.offset)
        while chunk := await asyncio.to_thread(file.read, BLOB_CHUNK_BYTES):
            link.send(BlobChunk(chunk))
            await link.drain()
    link.close()


def _find(store: Store, asked: FetchBlob) -> Path:
    path = store.blob_path(asked.digest)
    if isinstance(path, SealedPath):
        raise Conflict(f"{asked.digest} is encrypted, and encrypted files aren't sent to nodes.")
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise NotFound(f"{asked.digest} is not in this store.") from None
    if not 0 <= asked.offset <= size:
        raise Conflict(f"{asked.digest} has {size:,} bytes, not {asked.offset:,}.")
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobFetcher:
    """Fetches files into a node's store. Its methods block, and any thread may call them."""

    store: Store
    context: ssl.SSLContext
    head: tuple[str, int]

    def fetch(
        self,
        version: str,
        files: Sequence[File],
        sources: Mapping[str, Sequence[BlobSource]],
        on_bytes: OnBytes,
        stop: threading.Event,
    ) -> int:
        """Fetch the files that are missing, from a node that has them, else from the head. Return the bytes that came.

        Raises StoreFailed where the disk is full, before anything is sent; DownloadFailed where no source has a file;
        BadModelFile where all sources send other bytes.
        """
        wanted = [StoredFile(file.name, file.digest, file.size) for file in files]
        num_bytes = 0
        with self.store.receiving(wanted) as parts:
            missing = sum(file.size - _size(part) for file, part in parts.items())
            if missing > 0:
                self.store.check_room(missing, version)
            for file, part in parts.items():
                num_bytes += self._fetch_one(file, part, sources.get(file.digest, ()), on_bytes, stop)
        return num_bytes

    def _fetch_one(
        self,
        file: StoredFile,
        part: Path,
        sources: Sequence[BlobSource],
        on_bytes: OnBytes,
        stop: threading.Event,
    ) -> int:
        num_bytes, errors = 0, []
        ends = [(each.host, each.port, f"{each.node}{NODE_SUFFIX}", f"the node {each.node}") for each in sources]
        head = (*self.head, HEAD_NAME, "the head")
        # A partial file of an earlier attempt may be wrong. In that case it is deleted, and requested from the head
        # again.
        for host, port, name, source in [*ends, head, *([head] if _size(part) else [])]:
            before = _size(part)
            try:
                self._receive(host, port, name, file, part, on_bytes, stop)
                self.store.publish(part, file)
            except (LLMOSError, OSError, msgspec.DecodeError) as error:
                errors.append(f"{source}: {getattr(error, 'message', error)}")
                last = error
            else:
                return num_bytes + file.size - before
            finally:
                num_bytes += max(0, _size(part) - before)
            if stop.is_set():
                break
        kind = BadModelFile if isinstance(last, BadModelFile) else DownloadFailed
        raise kind(f"{file.name} can't be fetched from {'; from '.join(errors)}")

    def _receive(
        self, host: str, port: int, name: str, file: StoredFile, part: Path, on_bytes: OnBytes, stop: threading.Event
    ) -> None:
        """Append what is missing to the part."""
        with (
            socket.create_connection((host, port), CONNECT_SECONDS) as plain,
            self.context.wrap_socket(plain, server_hostname=name) as connection,
            self.store.disk_errors(),
            part.open("ab") as target,
        ):
            limit_silence(connection)
            offset = target.tell()
            connection.sendall(FrameWriter().pack(FetchBlob(file.digest, offset)))
            frames: FrameReader[ToNode] = FrameReader(ToNode, MAX_MESSAGE_BYTES)
            while target.tell() < file.size and (data := connection.recv(1 << 18)):
                for message in frames.feed(data):
                    _write(target, message, file, on_bytes)
                if stop.is_set():
                    raise DownloadFailed("it was ended")
            if target.tell() < file.size:
                raise DownloadFailed(f"the connection ended after {target.tell():,} of {file.size:,} bytes")


def _write(target: Any, message: ToNode, file: StoredFile, on_bytes: OnBytes) -> None:
    match message:
        case BlobChunk(data) if target.tell() + len(data) <= file.size:
            target.write(data)
            on_bytes(len(data))
        case BlobSize(num_bytes) if num_bytes == file.size:
            pass
        case Refused():
            raise message.error()
        case _:
            raise DownloadFailed(f"{file.name} has another length there")


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
