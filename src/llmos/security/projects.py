"""Projects: the tenants of an installation. Keys, files, batches, stored responses and jobs belong to one.

The project `owner` is the installation's own: it has no row, can't be removed, and the owner's key belongs to it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.suggest import nearest
from llmos.security import queries
from llmos.security.limits import NO_LIMITS, Limits, check_limits, read_limits
from llmos.security.permissions import OWNER
from llmos.security.tables import ProjectRow
from llmos.security.users import queries as user_queries

MAX_DESCRIPTION = 1000

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    name: str
    description: str = ""
    num_keys: int = 0
    """Keys that work; the owner's key isn't one of them."""
    created_at: datetime | None = None
    """None for the project `owner`."""
    limits: Limits = NO_LIMITS
    """The limits that all keys of the project share."""
    created_by: str | None = None
    retention: str = "default"
    """The time for which the project's data are stored: default, forever, nothing, or a number of days such as 30d."""


class ProjectData(Protocol):
    """The data that are stored for projects."""

    def num_live_batches(self, project: str) -> int: ...
    def retentions(self) -> Mapping[str, str]:
        """Return {project: how long what is kept for it stays} of those that have a retention of their own."""

    def set_retention(self, project: str, text: str, actor: str | None) -> None:
        """Raises BadRequest."""

    def remove(self, project: str) -> None:
        """Delete the files, batches and stored responses of a project."""


class Projects:
    """Any thread and any process may use it."""

    def __init__(self, database: Database, data: ProjectData, *, clock: Clock = utc_now) -> None:
        self._database, self._data, self._clock = database, data, clock

    def create(
        self, name: str, *, description: str = "", limits: Limits = NO_LIMITS, actor: str | None = None
    ) -> Project:
        """Raises BadRequest for a name or a limit that can't be one, and Conflict for a name that is or was taken."""
        check_project_name(name)
        check_limits(limits)
        check_description(description)
        with self._database.transaction() as session:
            taken = queries.project(session, name)
            if name == OWNER or (taken is not None and taken.removed_at is None):
                raise Conflict(f"There is a project {name} already. Choose another name.", param="name")
            if taken is not None:
                raise Conflict(
                    f"There was a project {name} until {taken.removed_at:%Y-%m-%d}, and histories and logs name it."
                    " Choose another name.",
                    param="name",
                )
            row = ProjectRow(name=name, description=description, created_at=self._clock(), created_by=actor)
            row.limits = limits.stored()
            describe_action(name, **limits.stored())
            session.add(row)
            session.flush()
            return _project(row, 0)

    def list(self) -> Sequence[Project]:
        """Return the projects by name, after the installation's own."""
        with self._database.session() as session:
            counts = queries.num_keys(session, self._clock())
            others = [_project(row, counts.get(row.name, 0)) for row in queries.projects(session)]
            projects = [_own_project(counts.get(OWNER, 0)), *others]
        retentions = self._data.retentions()
        return [replace(each, retention=retentions.get(each.name, "default")) for each in projects]

    def get(self, name: str) -> Project:
        """Raises NotFound, with the nearest names."""
        with self._database.session() as session:
            num_keys = queries.num_keys(session, self._clock()).get(name, 0)
            found = _own_project(num_keys) if name == OWNER else _project(existing_project(session, name), num_keys)
        return replace(found, retention=self._data.retentions().get(name, "default"))

    def set_limits(self, name: str, limits: Limits) -> Project:
        """Replace the limits of a project, of which nothing counts as used then.

        Raises BadRequest, NotFound; and Conflict for the project `owner`.
        """
        if name == OWNER:
            raise Conflict(
                "The project `owner` has no limits, so that the owner's key always works. Limit its keys instead:"
                " llmos key limit ID",
                param="name",
            )
        with self._database.transaction() as session:
            existing_project(session, name, lock=True).limits = check_limits(limits).stored()
            describe_action(**limits.stored())
            queries.remove_buckets(session, f"project:{name}")
        return self.get(name)

    def set_retention(self, name: str, retention: str, *, actor: str | None = None) -> Project:
        """Set how long what is kept for a project stays, and delete what is too old. Raises BadRequest, NotFound."""
        self.get(name)
        self._data.set_retention(name, retention, actor)
        return self.get(name)

    def remove(self, name: str, *, actor: str | None = None) -> None:
        """Revoke the project's keys, remove its users, and delete what is kept for it. Its name is never given again.

        Raises NotFound; and Conflict for the project `owner`, and while a batch runs.
        """
        if name == OWNER:
            raise Conflict("The project `owner` is the installation's own and can't be removed.", param="name")
        self.get(name)
        if num_live := self._data.num_live_batches(name):
            raise Conflict(
                f"{num_live} batch{'es' * (num_live > 1)} of {name} {'have' if num_live > 1 else 'has'}n't ended."
                " Cancel them with a key of the project, or wait until they have ended.",
                param="name",
            )
        with self._database.transaction(frees_space=True) as session:
            row = existing_project(session, name, lock=True)
            row.removed_at, row.removed_by = self._clock(), actor
            queries.revoke_keys(session, name, self._clock(), actor)
            user_queries.remove_users(session, name, self._clock(), actor)
        self._data.remove(name)


def check_project_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name[:80]!r} can't be the name of a project: use 1 to 63 lower-case letters, digits, and . _ - between"
            " them.",
            param="name",
        )


def check_description(text: str) -> None:
    """Raise BadRequest for a text that is too long, or that PostgreSQL refuses."""
    if len(text) > MAX_DESCRIPTION or "\0" in text:
        raise BadRequest(
            f"`description` has {len(text):,} characters; it takes {MAX_DESCRIPTION:,}, without NUL.",
            param="description",
        )


def existing_project(session: Session, name: str, *, lock: bool = False) -> ProjectRow:
    """Return the row of a project that isn't removed. Raises NotFound, with the nearest names."""
    row = queries.project(session, name, lock=lock)
    if row is None or row.removed_at is not None:
        near = nearest(name, [OWNER, *(each.name for each in queries.projects(session))])
        hint = f"Did you mean {' or '.join(near)}?" if near else "To list them, run: llmos project list"
        raise NotFound(f"There is no project {name[:80]!r}. {hint}", param="project")
    return row


def _own_project(num_keys: int) -> Project:
    return Project(name=OWNER, description="The installation's own project.", num_keys=num_keys)


def _project(row: ProjectRow, num_keys: int) -> Project:
    return Project(
        name=row.name,
        description=row.description,
        num_keys=num_keys,
        created_at=row.created_at,
        created_by=row.created_by,
        limits=read_limits(row.limits),
    )
