"""Responses that are kept: what was answered, and the whole conversation that it answers."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.exc import DatabaseError

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import NotFound, StoreFailed
from llmos.data import queries
from llmos.data.tables import ResponseRow

KEPT_FOR = timedelta(days=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptResponse:
    """One answer and all that led to it. Responses that went on from each other each have the whole, so that
    removing one changes no other; a conversation fits into a context window, which bounds what that costs."""

    id: str
    body: str
    """The answer as it was sent, as JSON."""
    items: str
    """What it is an answer to, from the conversation's beginning, as JSON."""


class KeptResponses:
    """Any thread may ask. Nobody is shown, or told of, what is another tenant's."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def keep(self, tenant: str, response: KeptResponse) -> None:
        """Keep it for 30 days, and forget those whose days are over. Raises StoreFailed where it can't be written."""
        now = self._clock()
        row = ResponseRow(
            id=response.id,
            tenant=tenant,
            created_at=now,
            expires_at=now + KEPT_FOR,
            body=response.body,
            items=response.items,
        )
        try:
            with self._database.transaction() as session:
                queries.remove_expired_responses(session, now)
                session.add(row)
        except DatabaseError as error:
            raise StoreFailed(
                f"The response can't be kept: {error.orig}. Send `store` false to be answered without."
            ) from error

    def get(self, tenant: str, id: str) -> KeptResponse:
        """Raises NotFound for one that there is not, or not any more, or not for this tenant."""
        with self._database.session() as session:
            row = queries.response(session, tenant, id, self._clock())
        if row is None:
            raise _not_found(id)
        return KeptResponse(id=row.id, body=row.body, items=row.items)

    def remove(self, tenant: str, id: str) -> None:
        """Raises NotFound as `get` does."""
        with self._database.transaction() as session:
            row = queries.response(session, tenant, id, self._clock())
            if row is None:
                raise _not_found(id)
            session.delete(row)


def _not_found(id: str) -> NotFound:
    return NotFound(
        f"There is no response {id[:80]!r}. Responses are kept for 30 days, unless they were asked for with `store`"
        " false, failed, or were hung up on."
    )
