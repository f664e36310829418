"""AppDeployments: which version of which application servers keep running, by whom."""

import builtins
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import Conflict, NotFound
from llmos.core.names import check_name
from llmos.data.apps.tables import AppDeploymentRow


@dataclass(frozen=True, kw_only=True, slots=True)
class AppDeployment:
    """The desired state of one application."""

    project: str
    app: str
    version: int
    is_stopped: bool
    changed_at: datetime
    changed_by: str | None
    candidate: int | None = None
    """Another version that runs beside it, and takes over in steps."""
    candidate_percent: float = 0.0
    """The share of the callers that the candidate answers."""

    @property
    def ref(self) -> str:
        return f"{self.app}@{self.version}"

    @property
    def main(self) -> Self:
        """The deployment without its candidate."""
        return replace(self, candidate=None, candidate_percent=0.0)

    @property
    def of_candidate(self) -> Self | None:
        """The candidate as a deployment of its own; None if there is none."""
        return None if self.candidate is None else replace(self.main, version=self.candidate)


class AppDeployments:
    """The deployments of all projects. Any thread and any process may use it."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self.database, self._clock = database, clock
        self.on_change: Callable[[], None] | None = None
        """Called after each change that this process makes."""

    def deploy(self, project: str, app: str, version: int, *, actor: str | None) -> AppDeployment:
        """Let servers run a version, in place of the one before."""
        check_name(app, "an app")
        return self._change(project, app, version, actor)

    def stop(self, project: str, app: str, *, actor: str | None) -> AppDeployment:
        """Let no server run the application. Raises NotFound if it was never deployed."""
        return self._change(project, app, None, actor)

    def get(self, project: str, app: str) -> AppDeployment:
        """Raises NotFound."""
        with self.database.session() as session:
            return _deployment(_existing(session, project, app))

    def list(self, project: str | None = None) -> builtins.list[AppDeployment]:
        """Return the deployments of a project, or of all, by name."""
        statement = select(AppDeploymentRow).order_by(AppDeploymentRow.project, AppDeploymentRow.app)
        if project is not None:
            statement = statement.where(AppDeploymentRow.project == project)
        with self.database.session() as session:
            return [_deployment(row) for row in session.scalars(statement)]

    def remove(self, project: str, app: str) -> None:
        """Forget that an application was deployed. Does nothing if it wasn't."""
        with self.database.transaction(frees_space=True) as session:
            row = _row(session, project, app)
            if row is not None:
                session.delete(row)
        self.changed()

    def remove_project(self, project: str) -> None:
        """Forget the deployments of a project."""
        with self.database.transaction(frees_space=True) as session:
            rows: Sequence[AppDeploymentRow] = session.scalars(
                select(AppDeploymentRow).where(AppDeploymentRow.project == project)
            ).all()
            for row in rows:
                session.delete(row)
        self.changed()

    def set_in(self, session: Session, project: str, app: str, version: int, *, actor: str | None) -> AppDeployment:
        """Deploy a version in a transaction of the caller's, who calls changed() behind it. No candidate stays."""
        row = _row(session, project, app, lock=True)
        if row is None:
            row = AppDeploymentRow(project=project, app=app, version=version)
            session.add(row)
        row.version, row.is_stopped, row.candidate, row.candidate_percent = version, False, None, None
        row.changed_at, row.changed_by = self._clock(), actor
        session.flush()
        return _deployment(row)

    def set_candidate_in(
        self, session: Session, project: str, app: str, candidate: int | None, percent: float = 0.0
    ) -> AppDeployment:
        """Let another version run beside the deployed one, in a transaction of the caller's; None: no more.

        Raises NotFound for an application that was never deployed.
        """
        row = _existing(session, project, app, lock=True)
        row.candidate, row.candidate_percent = candidate, None if candidate is None else percent
        session.flush()
        return _deployment(row)

    def get_in(self, session: Session, project: str, app: str) -> AppDeployment | None:
        """Return the deployment, locked until the caller's transaction ends; None if there never was one."""
        row = _row(session, project, app, lock=True)
        return None if row is None else _deployment(row)

    def changed(self) -> None:
        """Let this process's server look at once."""
        if self.on_change is not None:
            self.on_change()

    def _change(self, project: str, app: str, version: int | None, actor: str | None) -> AppDeployment:
        """Deploy a version; None: stop the application."""
        with self.database.transaction(frees_space=version is None) as session:
            if version is None:
                row = _existing(session, project, app, lock=True)
                row.is_stopped, row.candidate, row.candidate_percent = True, None, None
                row.changed_at, row.changed_by = self._clock(), actor
                changed = _deployment(row)
            else:
                changed = self.set_in(session, project, app, version, actor=actor)
            describe_action(changed.ref)
        self.changed()
        return changed


def check_removed(session: Session, project: str, app: str, refs: Collection[str]) -> None:
    """Raise Conflict if one of these versions, which are being removed, is deployed. Forget it if it was stopped."""
    row = _row(session, project, app, lock=True)
    if row is None:
        return
    deployment = _deployment(row)
    if (candidate := deployment.of_candidate) is not None and candidate.ref in refs:
        raise Conflict(f"{candidate.ref} is taking over. End that first: llmos app rollback {app}")
    if (ref := deployment.ref) not in refs:
        return
    if not row.is_stopped:
        raise Conflict(f"{ref} is deployed. Stop it first: llmos app stop {app}")
    session.delete(row)


def _row(session: Session, project: str, app: str, *, lock: bool = False) -> AppDeploymentRow | None:
    statement = select(AppDeploymentRow).where(AppDeploymentRow.project == project, AppDeploymentRow.app == app)
    return session.scalars(statement.with_for_update() if lock else statement).one_or_none()


def _existing(session: Session, project: str, app: str, *, lock: bool = False) -> AppDeploymentRow:
    row = _row(session, project, app, lock=lock)
    if row is None:
        raise _not_deployed(app)
    return row


def _not_deployed(app: str) -> NotFound:
    return NotFound(f"The app {app[:64]!r} was never deployed. To deploy a version: llmos app deploy", param="name")


def _deployment(row: AppDeploymentRow) -> AppDeployment:
    return AppDeployment(
        project=row.project,
        app=row.app,
        version=row.version,
        is_stopped=row.is_stopped,
        changed_at=row.changed_at,
        changed_by=row.changed_by,
        candidate=row.candidate,
        candidate_percent=row.candidate_percent or 0.0,
    )
