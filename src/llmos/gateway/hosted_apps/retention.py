"""AppRetention: deletes what applications have kept for as long as their app.yaml says: `retention_days`.

A project's own retention holds beside it: whichever is shorter.
"""

import logging
from collections.abc import Callable
from datetime import timedelta

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import LLMOSError
from llmos.core.schemas.app_manifests import AppManifest
from llmos.data.apps import queries
from llmos.data.apps.deployments import AppDeployments

_log = logging.getLogger(__name__)


class AppRetention:
    """Any thread and any number of servers may run it."""

    def __init__(
        self, deployments: AppDeployments, manifest_of: Callable[[str, str], AppManifest], *, clock: Clock = utc_now
    ) -> None:
        """`manifest_of`: returns the manifest of a project's version, such as support@3."""
        self._deployments, self._manifest_of, self._clock = deployments, manifest_of, clock

    def run(self) -> None:
        """Delete the sessions, ended runs and handoffs that are too old for the version that was deployed last."""
        for deployment in self._deployments.list():
            try:
                days = self._manifest_of(deployment.project, deployment.ref).retention_days
            except LLMOSError as error:  # It keeps nothing of other applications.
                _log.warning("The retention of %s is unknown: %s", deployment.ref, error)
                continue
            if days is not None:
                oldest = self._clock() - timedelta(days=days)
                with self._deployments.database.transaction(frees_space=True) as session:
                    queries.remove_of_app_before(session, deployment.project, deployment.app, oldest)
