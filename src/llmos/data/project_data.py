"""The data that are kept for one project: its files, batches, stored responses, sessions, runs, datasets, knowledge."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption import queries as key_queries
from llmos.core.webhooks import queries as webhook_queries
from llmos.data import queries
from llmos.data.apps import queries as app_queries
from llmos.data.conversations import queries as conversation_queries
from llmos.data.feedback import queries as feedback_queries
from llmos.data.files import LIVE_STATUSES, Files
from llmos.data.retention import Retention, Retentions
from llmos.data.sweep import Sweep


class Room(Protocol):
    """Datasets, or knowledge."""

    def remove_project(self, project: str) -> None:
        """Remove everything of a project, and the blobs that nothing else uses."""


class ProjectData:
    """Any thread may use it."""

    def __init__(self, database: Database, files: Files, rooms: Sequence[Room], *, clock: Clock = utc_now) -> None:
        self._database, self._files, self._rooms, self._clock = database, files, rooms, clock
        self._retentions = Retentions(database, clock=clock)

    def num_live_batches(self, project: str) -> int:
        """Return how many batches of the project haven't ended."""
        with self._database.session() as session:
            return queries.num_batches_of(session, project, LIVE_STATUSES)

    def retentions(self) -> Mapping[str, str]:
        """Return {project: its retention} of those that have one of their own."""
        return {project: retention.text for project, retention in self._retentions.all().items()}

    def set_retention(self, project: str, text: str, actor: str | None) -> None:
        """Set how long what is kept stays, and delete what is too old. Raises BadRequest."""
        retention = Retention.parse(text)
        self._retentions.set(project, retention, actor=actor)
        Sweep(self._files, clock=self._clock).run()

    def remove(self, project: str) -> None:
        """Delete all of it, and destroy the keys, without which it can't be read in any backup."""
        with self._database.transaction(frees_space=True) as session:
            ids = queries.remove_all_of(session, project)
            app_queries.remove_all_of(session, project)
            conversation_queries.remove_all_of(session, project)
            feedback_queries.remove_all_of(session, project)
            webhook_queries.remove_all_of(session, project)
            key_queries.remove_object_keys_of(session, project)
        self._files.encryption.ring.destroy_project(project)
        for id in ids:
            self._files.path(id).unlink(missing_ok=True)
        for room in self._rooms:
            room.remove_project(project)
