"""The data that are kept for one project: its files, batches and stored responses."""

from llmos.core.database import Database
from llmos.core.encryption import queries as key_queries
from llmos.data import queries
from llmos.data.files import LIVE_STATUSES, Files


class ProjectData:
    """Any thread may use it."""

    def __init__(self, database: Database, files: Files) -> None:
        self._database, self._files = database, files

    def num_live_batches(self, project: str) -> int:
        """Return how many batches of the project haven't ended."""
        with self._database.session() as session:
            return queries.num_batches_of(session, project, LIVE_STATUSES)

    def remove(self, project: str) -> None:
        """Delete all of it, and destroy the keys, without which it can't be read in any backup."""
        with self._database.transaction(frees_space=True) as session:
            ids = queries.remove_all_of(session, project)
            key_queries.remove_object_keys_of(session, project)
        self._files.encryption.ring.destroy_project(project)
        for id in ids:
            self._files.path(id).unlink(missing_ok=True)
