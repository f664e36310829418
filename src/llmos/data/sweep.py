"""Sweep: deletes what has been kept as long as its project keeps it."""

from datetime import datetime, timedelta

from llmos.core.clock import Clock, utc_now
from llmos.core.encryption import queries as key_queries
from llmos.core.webhooks import queries as webhook_queries
from llmos.data import queries
from llmos.data.apps import queries as app_queries
from llmos.data.conversations import queries as conversation_queries
from llmos.data.evals import queries as eval_queries
from llmos.data.feedback import queries as feedback_queries
from llmos.data.files import LIVE_STATUSES, Files
from llmos.data.retention import Retention, Retentions


class Sweep:
    """Any thread and any number of servers may run it."""

    def __init__(self, files: Files, *, clock: Clock = utc_now) -> None:
        self._files, self._database, self._clock = files, files.database, clock
        self._retentions = Retentions(files.database)

    def run(self) -> int:
        """Delete what has expired, and files and ended batches that are too old for their project.

        Returns how many files and batches. The input of a batch that hasn't ended stays until then.
        """
        now = self._clock()
        with self._database.transaction(frees_space=True) as session:
            queries.remove_expired_responses(session, now)
            app_queries.remove_expired(session, now)
            conversation_queries.remove_expired(session, now)
            feedback_queries.remove_expired(session, now)
            eval_queries.remove_expired(session, now)
            webhook_queries.remove_expired(session, now)
        return sum(self.run_for(project, retention, now) for project, retention in self._retentions.all().items())

    def run_for(self, project: str, retention: Retention, now: datetime) -> int:
        """The same for the files, batches and runs of evals of one project."""
        if retention.days is None and not retention.keeps_nothing:
            return 0
        oldest = now - timedelta(days=retention.days or 0)
        with self._database.transaction(frees_space=True) as session:
            num_batches = queries.remove_batches_before(session, project, oldest, LIVE_STATUSES)
            ids = queries.files_before(session, project, oldest, LIVE_STATUSES)
            queries.remove_files(session, ids)
            key_queries.remove_object_keys(session, ids)
            eval_queries.remove_before(session, project, oldest)
        for id in ids:
            self._files.path(id).unlink(missing_ok=True)
        return num_batches + len(ids)
