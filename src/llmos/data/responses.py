"""Stored responses: each is an answer together with the whole conversation that led to it, encrypted."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec
from sqlalchemy.exc import DatabaseError

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption import queries as key_queries
from llmos.core.encryption.data_key import DataKey, modified
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.tables import ObjectSubjectRow
from llmos.core.errors import LLMOSError, NotFound, StoreFailed, Unavailable
from llmos.data import queries
from llmos.data.retention import Retentions
from llmos.data.tables import ResponseRow


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptResponse:
    """An answer with its whole conversation.

    Each response of a conversation has its own copy of what came before, so that removing one changes no other. The
    model's context window limits the size of a copy.
    """

    id: str
    body: str
    """The answer as it was sent, in JSON."""
    items: str
    """The conversation before the answer, from its beginning, in JSON."""
    users: Collection[str] = ()
    """The names by which the request calls the persons on whose behalf it was made. Not returned."""
    previous_id: str | None = None
    """The response whose conversation it continues. Not returned."""


class KeptResponses:
    """The stored responses of all tenants. A tenant can't see or detect those of others. Any thread may use it."""

    def __init__(self, database: Database, encryption: Encryption, *, clock: Clock = utc_now) -> None:
        self._database, self._encryption, self._clock = database, encryption, clock
        self._retentions = Retentions(database, clock=clock)

    def keeps(self, tenant: str) -> bool:
        """Return whether responses of the tenant are stored at all."""
        return not self._retentions.of(tenant).keeps_nothing

    def keep(self, tenant: str, response: KeptResponse) -> None:
        """Store a response as long as its project keeps it, and delete expired ones.

        Raises StoreFailed where it can't be written, and BadRequest for a conversation of too many persons.
        """
        now, retention = self._clock(), self._retentions.of(tenant)
        if retention.keeps_nothing:
            return
        subjects = self._subjects(tenant, response)
        row = ResponseRow(
            id=response.id,
            tenant=tenant,
            created_at=now,
            expires_at=retention.response_expires_at(now),
            body="",
            items="",
        )
        try:
            key = self._encryption.new_key(response.id)
            row.sealed = key.seal(sealed_content(response))
            key_row = self._encryption.wrap(key, tenant, subjects=subjects)
            named = [ObjectSubjectRow(object_id=row.id, subject=each, project=tenant) for each in subjects]
            with self._database.transaction() as session:
                queries.remove_expired_responses(session, now)
                session.add_all([key_row, row, *named])
        except (DatabaseError, StoreFailed, Unavailable) as error:
            reason = error.message if isinstance(error, StoreFailed | Unavailable) else f"{error.orig}."
            raise StoreFailed(
                f"The response can't be stored: {reason} Set `store` to false to get an answer without storing it."
            ) from error

    def get(self, tenant: str, id: str) -> KeptResponse:
        """Return a response. Raises NotFound for an unknown or expired one, and for another tenant's."""
        with self._database.session() as session:
            row = queries.response(session, tenant, id, self._clock())
            if row is None:
                raise _not_found(id)
            key = None if row.sealed is None else self._encryption.key_of(session, id)
        return self._opened(row, key)

    def find(self, tenant: str, ids: Sequence[str]) -> Mapping[str, KeptResponse]:
        """Return those of some responses that are stored, by their ids. One that can't be decrypted is left out."""
        with self._database.session() as session:
            rows = queries.responses(session, tenant, ids, self._clock())
        found = {}
        for row, key_row in rows:
            with suppress(LLMOSError):
                found[row.id] = self._opened(row, None if key_row is None else self._encryption.unwrap(key_row))
        return found

    def remove(self, tenant: str, id: str) -> None:
        """Delete a response. Raises NotFound as get() does."""
        with self._database.transaction(frees_space=True) as session:
            row = queries.response(session, tenant, id, self._clock())
            if row is None:
                raise _not_found(id)
            session.delete(row)
            key_queries.remove_object_keys(session, [id])

    def _opened(self, row: ResponseRow, key: DataKey | None) -> KeptResponse:
        if row.sealed is None:  # An earlier version kept it.
            return KeptResponse(id=row.id, body=row.body, items=row.items)
        if key is None:
            raise modified(row.id)
        body, items = msgspec.msgpack.decode(key.open(row.sealed), type=tuple[str, str])
        return KeptResponse(id=row.id, body=body, items=items)

    def _subjects(self, tenant: str, response: KeptResponse) -> Collection[str]:
        """Return the HMACs of the persons whose data the response has: also those of the conversation before it."""
        subjects = {self._encryption.ring.index("subject", tenant, user) for user in response.users}
        if response.previous_id is not None:
            with self._database.session() as session:
                subjects.update(key_queries.subjects_of(session, response.previous_id))
        return subjects


def sealed_content(response: KeptResponse) -> bytes:
    """Return the bytes that are encrypted."""
    return msgspec.msgpack.encode((response.body, response.items))


def _not_found(id: str) -> NotFound:
    return NotFound(
        f"There is no response {id[:80]!r}. Responses are stored for 30 days, or as long as the project keeps them,"
        " unless `store` was false, the request failed, or the client disconnected."
    )
