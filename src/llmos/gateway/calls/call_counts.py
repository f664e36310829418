"""CallCounts: how many calls were admitted for each version, and how they ended.

accepted = answered + failed + cancelled + running, at any moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from llmos.core.errors import Overloaded
from llmos.gateway.calls.record import Attempt, Record, Sink


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls for one version."""

    accepted: int = 0
    answered: int = 0
    failed: int = 0
    cancelled: int = 0
    """The caller went away first."""
    running: int = 0
    """Accepted and not ended; queued ones included."""
    rejected: int = 0
    """Not accepted, because there was no room."""


class CallCounts(Sink):
    """Counts in the event loop's thread; any thread may read."""

    def __init__(self) -> None:
        self._calls: dict[str, Calls] = {}

    def of(self, version: str) -> Calls:
        return self._calls.get(version, Calls())

    def by_version(self) -> Mapping[str, Calls]:
        return dict(self._calls)

    def on_admitted(self, record: Record, attempt: Attempt) -> None:
        self._add(attempt.replica_ref, accepted=1, running=1)

    def on_attempt_closed(self, record: Record, attempt: Attempt) -> None:
        if attempt.is_admitted:
            ended = "failed" if attempt.outcome == "refused" else attempt.outcome
            self._add(attempt.replica_ref, running=-1, **{str(ended): 1})
        elif attempt.error_code == Overloaded.code:
            self._add(attempt.replica_ref, rejected=1)

    def _add(self, version: str, **changes: int) -> None:
        calls = self.of(version)
        # Replaced as a whole, so that readers in other threads see one moment.
        self._calls[version] = Calls(
            calls.accepted + changes.get("accepted", 0),
            calls.answered + changes.get("answered", 0),
            calls.failed + changes.get("failed", 0),
            calls.cancelled + changes.get("cancelled", 0),
            calls.running + changes.get("running", 0),
            calls.rejected + changes.get("rejected", 0),
        )
