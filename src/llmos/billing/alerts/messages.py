"""AlertMessages: tells webhooks of alerts, once each: those of the project, and those of the project `owner`.

alert stored with the call ──▶ one transaction: its messages in the outbox, and the alert marked ──▶ receivers
"""

import logging

import msgspec

from llmos.billing.alerts import queries
from llmos.billing.alerts.tables import AlertRow
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.schemas.alerts import AlertDescription
from llmos.core.webhooks.events import Event
from llmos.core.webhooks.outbox import Outbox

_log = logging.getLogger(__name__)

OWNER = "owner"

EVENTS = {
    "budget": "budget.threshold",
    "plan": "plan.threshold",
    "allowance": "plan.threshold",
    "credit": "credit.threshold",
}


class AlertMessages:
    """Any thread, and any number of servers, may use it."""

    def __init__(self, database: Database, encryption: Encryption, outbox: Outbox, *, clock: Clock = utc_now) -> None:
        self._database, self._encryption, self._outbox, self._clock = database, encryption, outbox, clock

    def add(self) -> int:
        """Add the messages of the alerts that wait, and return how many alerts there were."""
        with self._database.session() as session:
            rows = queries.waiting_alerts(session)
            users = queries.users_of(session, rows)
            alerts = [(row, queries.described(row, users)) for row in rows]
        told = sum(self._tell(row, alert) for row, alert in alerts)
        if told:
            self._outbox.notify()
        return told

    def _tell(self, row: AlertRow, alert: AlertDescription) -> bool:
        projects = {OWNER} if row.is_for_all else {OWNER, row.project}
        event = Event(
            type=EVENTS[row.kind], key=row.id, data=msgspec.to_builtins(alert), subjects=self._subjects(alert)
        )
        prepared = [self._outbox.prepare(project, event) for project in sorted(projects)]
        with self._database.transaction() as session:
            if not queries.mark_told(session, row.number, self._clock()):
                return False
            for each in prepared:
                self._outbox.add(session, each)
        return True

    def _subjects(self, alert: AlertDescription) -> list[str]:
        """Return the HMAC of the person whose name it has: erasing the person removes the message."""
        if not alert.user or alert.user.startswith("erased-"):
            return []
        return [self._encryption.ring.index("subject", alert.project, alert.user)]
