"""The distance of exporters from the end of the ledger, for metrics."""

from collections.abc import Mapping
from dataclasses import dataclass

from llmos.billing.exporters import queries
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class ExporterLag:
    seconds: float
    """The age of the oldest entry that isn't delivered; 0 if there is none."""
    num_pending: int
    num_refused: int
    num_delivered: int


class ExporterLags:
    """Any thread may use it."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def read(self) -> Mapping[str, ExporterLag]:
        """Return the lag of each exporter, by its name."""
        now = self._clock().timestamp()
        with self._database.session() as session:
            rows = queries.exporters(session)
            refused = queries.num_refused(session) if rows else {}
            lags = {}
            for row in rows:
                oldest = queries.first_at_behind(session, row.sent_through)
                lags[row.name] = ExporterLag(
                    seconds=0.0 if oldest is None else max(0.0, now - oldest),
                    num_pending=queries.num_behind(session, row.sent_through),
                    num_refused=refused.get(row.id, 0),
                    num_delivered=row.num_delivered,
                )
        return lags
