"""PlainData: what an earlier version kept unencrypted, and its encryption.

A crash at any point loses nothing: a response changes in one transaction; of a file, the key is kept first, and then
the encrypted copy takes the plain one's place.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy import text

from llmos.core.disk import sync_to_disk
from llmos.core.encryption.data_key import DataKey
from llmos.core.encryption.sealed_file import ChunkBuffer, SealedWriter, is_sealed
from llmos.data import queries
from llmos.data.datasets.datasets import Datasets
from llmos.data.datasets.encrypting import encrypt_segments, num_plain_segments
from llmos.data.files import Files, disk_errors
from llmos.data.responses import KeptResponse, sealed_content

_AT_ONCE = 100
_READ_BYTES = 1 << 20


class PlainData:
    """Any thread may use it."""

    def __init__(self, files: Files, datasets: Datasets) -> None:
        self._database, self._files, self._encryption = files.database, files, files.encryption
        self._datasets = datasets

    def count(self) -> int:
        """Return how many responses, files and segments of datasets aren't encrypted. Opens every file."""
        with self._database.session() as session:
            num_responses = queries.num_plain_responses(session)
        return num_responses + len(self._plain_files()) + num_plain_segments(self._datasets)

    def encrypt(self) -> int:
        """Encrypt them, and return how many they were. Raises StoreFailed."""
        num_encrypted = 0
        while num_responses := self._encrypt_responses():
            num_encrypted += num_responses
        for id, project in self._plain_files():
            num_encrypted += self._encrypt_file(id, project)
        return num_encrypted + encrypt_segments(self._datasets)

    def _encrypt_responses(self) -> int:
        with self._database.session() as session:
            rows = queries.plain_responses(session, _AT_ONCE)
        for row in rows:
            key = self._encryption.new_key(row.id)
            key_row = self._encryption.wrap(key, row.tenant)
            with self._database.transaction() as session:
                if self._database.is_sqlite:
                    session.execute(text("PRAGMA secure_delete = ON"))
                found = queries.plain_response(session, row.id)
                if found is not None:  # It may have been deleted or encrypted meanwhile.
                    found.sealed = key.seal(sealed_content(KeptResponse(id=row.id, body=row.body, items=row.items)))
                    found.body = found.items = ""
                    session.add(key_row)
        return len(rows)

    def _plain_files(self) -> Sequence[tuple[str, str]]:
        """Return the ids and projects of files that aren't encrypted."""
        with self._database.session() as session:
            ids = queries.files_with_tenants(session)
        found = []
        for id, project in ids:
            with suppress(FileNotFoundError):  # It was deleted meanwhile.
                if not is_sealed(self._files.path(id)):
                    found.append((id, project))
        return found

    def _encrypt_file(self, id: str, project: str) -> int:
        path = self._files.path(id)
        # The name isn't that of a file: sweeps leave it, and another attempt begins it anew.
        scratch = path.with_name(f".{id}.sealing")
        key = self._encryption.find_key(id)
        is_known, key = key is not None, key or self._encryption.new_key(id)
        with disk_errors(scratch):
            _write_sealed(path, scratch, key)
        if not is_known:
            key_row = self._encryption.wrap(key, project)
            with self._database.transaction() as session:
                session.add(key_row)
        with disk_errors(path):
            os.replace(scratch, path)
            sync_to_disk(path.parent)
        return 1


def _write_sealed(source: Path, target: Path, key: DataKey) -> None:
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        chunks = ChunkBuffer(SealedWriter(handle, key))
        with source.open("rb") as file:
            while piece := file.read(_READ_BYTES):
                chunks.write(piece)
        chunks.finish()
        os.fsync(handle)
    finally:
        os.close(handle)
