"""Sealed values: what is kept of sessions and runs is JSON, encrypted under the key of its session or run."""

from typing import Any

import msgspec
from sqlalchemy.orm import Session

from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.data_key import DataKey, modified
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.tables import ObjectKeyRow
from llmos.core.errors import BadRequest

MAX_BYTES = 4 << 20
"""The largest value, such as the result of one step."""


def seal(key: DataKey, value: Any, place: str) -> bytes:
    """Return the value, sealed so that it opens at its place only. Raises BadRequest for one that is too large."""
    content = msgspec.json.encode(value)
    if len(content) > MAX_BYTES:
        raise BadRequest(f"This has {len(content):,} bytes; at most {MAX_BYTES:,} are kept. Keep a file, and its name.")
    return key.seal(content, place.encode())


def unseal(key: DataKey, sealed: bytes, place: str) -> Any:
    return msgspec.json.decode(key.open(sealed, place.encode()))


def existing_key(encryption: Encryption, session: Session, id: str) -> DataKey:
    """Return the key of a session or a run."""
    return unwrapped(encryption, key_queries.object_key(session, id), id)


def unwrapped(encryption: Encryption, row: ObjectKeyRow | None, id: str) -> DataKey:
    """Return the key of a session or a run, of its row."""
    if row is None:
        raise modified(id)
    return encryption.unwrap(row)
