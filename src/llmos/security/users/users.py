"""Users: created on the machine or by a key that may do so, never by a visitor. Their names are never given again.

create ──▶ active ◀──▶ disabled
              └────────────┴──▶ removed

What a user may do follows from the role and the project, as for a key. A change of either counts for sessions that
there are already; a change of the password, `disable` and `remove` end them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy.orm import Session

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound, Unauthenticated
from llmos.core.suggest import nearest
from llmos.security import queries as project_queries
from llmos.security.callers import Caller, user_key_id
from llmos.security.limits import NO_LIMITS, Allowance, Limits, read_limits
from llmos.security.permissions import OWNER
from llmos.security.projects import existing_project
from llmos.security.roles import DEFAULT_ROLE, check_role, permissions_of
from llmos.security.users import queries
from llmos.security.users.passwords import Passwords, check_password
from llmos.security.users.tables import UserRow

MAX_NAME = 58
"""`user:NAME` must fit where the id of a key is stored."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9._@+-]{0,56}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    name: str
    project: str
    role: str
    has_password: bool
    issuer: str | None
    """The OIDC provider that the user comes from; None for one that was created here."""
    created_at: datetime
    created_by: str | None
    disabled_at: datetime | None
    signed_in_at: datetime | None
    project_limits: Limits = NO_LIMITS

    @property
    def state(self) -> str:
        return "active" if self.disabled_at is None else "disabled"

    def caller(self) -> Caller:
        """Return who calls in a session of this user."""
        scope = f"project:{self.project}"
        limits = () if self.project_limits == NO_LIMITS else (Allowance(scope=scope, limits=self.project_limits),)
        return Caller(
            project=self.project,
            key_id=user_key_id(self.name),
            user=self.name,
            permissions=permissions_of(self.role, self.project),
            allowances=limits,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """A person as an OIDC provider vouches for, with the role and the project that the mapping of groups gives."""

    issuer: str
    subject: str
    name: str
    """The person's name at the provider, which suggests a name for the user."""
    role: str
    project: str


class Users:
    """Any thread and any process may use it."""

    def __init__(self, database: Database, passwords: Passwords | None = None, *, clock: Clock = utc_now) -> None:
        self.database, self.passwords, self._clock = database, passwords or Passwords(), clock

    def create(
        self,
        name: str,
        *,
        role: str = DEFAULT_ROLE,
        project: str = OWNER,
        password: str | None = None,
        actor: str | None = None,
    ) -> User:
        """Create a user. Without a password, the user can't sign in until there is one.

        Raises BadRequest for a name, a role or a password that can't be one, NotFound for a project that there is not,
        and Conflict for a name that is or was taken.
        """
        check_user_name(name)
        check_role(role, project)
        hashed = None if password is None else self.passwords.hash(check_password(password, name))
        with self.database.transaction() as session:
            if project != OWNER:
                existing_project(session, project, lock=True)
            if (taken := queries.user(session, name)) is not None:
                since = "" if taken.removed_at is None else f" until {taken.removed_at:%Y-%m-%d}, and histories name it"
                raise Conflict(
                    f"There {'is' if taken.removed_at is None else 'was'} a user {name}{since}. Choose another name.",
                    param="name",
                )
            row = UserRow(
                name=name,
                project=project,
                role=role,
                password_hash=hashed,
                created_at=self._clock(),
                created_by=actor,
            )
            session.add(row)
            session.flush()
            return _user(session, row)

    def list(self, project: str | None = None) -> Sequence[User]:
        """Return the users by name. Raises NotFound for a project that there is not."""
        with self.database.session() as session:
            if project is not None and project != OWNER:
                existing_project(session, project)
            return [_user(session, row) for row in queries.users(session, project)]

    def get(self, name: str) -> User:
        """Raises NotFound, with the nearest names."""
        with self.database.session() as session:
            return _user(session, _existing(session, name))

    def has(self, name: str) -> bool:
        """Return whether there is a user with this name, disabled or not."""
        with self.database.session() as session:
            row = queries.user(session, name) if _NAME.fullmatch(name) else None
            return row is not None and row.removed_at is None

    def set_password(self, name: str, password: str) -> User:
        """Replace the password, and end the user's sessions. Raises BadRequest; NotFound; Conflict for OIDC's users."""
        hashed = self.passwords.hash(check_password(password, name))
        with self.database.transaction() as session:
            row = _existing(session, name, lock=True)
            if row.issuer is not None:
                raise Conflict(f"{name} signs in through {row.issuer}, which has the password.", param="name")
            row.password_hash = hashed
            queries.remove_sessions_of(session, name)
            session.flush()
            return _user(session, row)

    def set_role(self, name: str, role: str, *, project: str | None = None) -> User:
        """Change the role, and the project unless that is None. Raises BadRequest; NotFound; Conflict for OIDC's."""
        with self.database.transaction() as session:
            row = _existing(session, name, lock=True)
            if row.issuer is not None:
                raise Conflict(f"The role of {name} follows from groups at {row.issuer}. Change those.", param="name")
            project = row.project if project is None else project
            check_role(role, project)
            if project != OWNER:
                existing_project(session, project, lock=True)
            row.role, row.project = role, project
            session.flush()
            return _user(session, row)

    def disable(self, name: str, *, actor: str | None = None) -> User:
        """Keep a user out until enable(), and end the user's sessions. Raises NotFound."""
        with self.database.transaction(frees_space=True) as session:
            row = _existing(session, name, lock=True)
            if row.disabled_at is None:
                row.disabled_at, row.disabled_by = self._clock(), actor
            queries.remove_sessions_of(session, name)
            session.flush()
            return _user(session, row)

    def enable(self, name: str) -> User:
        """Let a disabled user sign in again. Raises NotFound."""
        with self.database.transaction() as session:
            row = _existing(session, name, lock=True)
            row.disabled_at = row.disabled_by = None
            session.flush()
            return _user(session, row)

    def remove(self, name: str, *, actor: str | None = None) -> None:
        """End a user and the user's sessions for good. The name stays taken. Raises NotFound."""
        with self.database.transaction(frees_space=True) as session:
            row = _existing(session, name, lock=True)
            row.removed_at, row.removed_by, row.password_hash = self._clock(), actor, None
            queries.remove_sessions_of(session, name)

    def sign_in(self, name: str, password: str) -> User | None:
        """Return the user with this name and password, or None. Takes the same time whatever is wrong."""
        with self.database.session() as session:
            row = queries.user(session, name) if _NAME.fullmatch(name) else None
            user = None if row is None or row.removed_at is not None else _user(session, row)
        hashed = None if row is None or user is None or user.disabled_at is not None else row.password_hash
        if not self.passwords.verify(hashed, password) or user is None:
            return None
        assert hashed is not None, "no password fits None"
        fresh = self.passwords.hash(password) if self.passwords.is_outdated(hashed) else None
        with self.database.transaction() as session:
            row = queries.user(session, name, lock=True)
            if row is None or row.password_hash != hashed or row.disabled_at is not None:
                return None  # It changed while it was verified.
            if row.project != OWNER and not _project_exists(session, row.project):
                return None
            row.signed_in_at, row.password_hash = self._clock(), fresh or hashed
        return user

    def sign_in_identity(self, identity: Identity) -> User:
        """Return the user of a person whom an OIDC provider vouches for; created at the first time.

        Role and project are those of the identity. A user that was created here is never taken for the same person,
        whatever the name. Raises Unauthenticated for a user that is disabled or removed.
        """
        check_role(identity.role, identity.project)
        with self.database.transaction() as session:
            if identity.project != OWNER:
                existing_project(session, identity.project)
            row = queries.user_of_subject(session, identity.issuer, identity.subject)
            if row is None:
                row = UserRow(
                    name=_free_name(session, identity),
                    issuer=identity.issuer,
                    subject=identity.subject,
                    created_at=self._clock(),
                    created_by="oidc",
                )
                session.add(row)
            elif row.disabled_at is not None or row.removed_at is not None:
                raise Unauthenticated(f"The user {row.name} may not sign in. Ask the owner of this installation.")
            row.role, row.project, row.signed_in_at = identity.role, identity.project, self._clock()
            session.flush()
            return _user(session, row)

    def caller(self, name: str, *, project: str) -> Caller:
        """Return who calls as this user now, for work that goes on without the user.

        Raises Unauthenticated unless the user is active and belongs to the project.
        """
        with self.database.session() as session:
            row = queries.user(session, name)
            if row is None or row.removed_at is not None or row.disabled_at is not None or row.project != project:
                raise Unauthenticated(f"The user {name} is disabled, removed, or no longer of the project {project}.")
            return _user(session, row).caller()


def check_user_name(name: str) -> str:
    """Return the name. Raises BadRequest for one that can't be a user's."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name[:80]!r} can't be the name of a user: use 1 to {MAX_NAME} lower-case letters, digits, and . _ - + @"
            " between them.",
            param="name",
        )
    return name


def active_user(session: Session, name: str) -> User | None:
    """Return a user who may work; None for one that is disabled or removed, or whose project is."""
    row = queries.user(session, name)
    if row is None or row.removed_at is not None or row.disabled_at is not None:
        return None
    return _user(session, row) if row.project == OWNER or _project_exists(session, row.project) else None


def _existing(session: Session, name: str, *, lock: bool = False) -> UserRow:
    row = queries.user(session, name, lock=lock)
    if row is None or row.removed_at is not None:
        near = nearest(name, [each.name for each in queries.users(session, None)])
        hint = f"Did you mean {' or '.join(near)}?" if near else "To list them, run: llmos user list"
        raise NotFound(f"There is no user {name[:80]!r}. {hint}", param="name")
    return row


def _project_exists(session: Session, name: str) -> bool:
    row = project_queries.project(session, name)
    return row is not None and row.removed_at is None


def _free_name(session: Session, identity: Identity) -> str:
    """Return a name for a new user: the provider's, if it can be one and is free, else one with a digest behind it."""
    digest = sha256(f"{identity.issuer}\n{identity.subject}".encode()).hexdigest()
    plain = re.sub(r"[^a-z0-9._@+-]+", "-", identity.name.lower()).strip("._@+-")[:MAX_NAME].strip("._@+-")
    tagged = f"{plain[: MAX_NAME - 13].rstrip('._@+-') or 'user'}-{digest[:12]}"
    return plain if plain and queries.user(session, plain) is None else tagged


def _user(session: Session, row: UserRow) -> User:
    project = project_queries.project(session, row.project)
    return User(
        name=row.name,
        project=row.project,
        role=row.role,
        has_password=row.password_hash is not None,
        issuer=row.issuer,
        created_at=row.created_at,
        created_by=row.created_by,
        disabled_at=row.disabled_at,
        signed_in_at=row.signed_in_at,
        project_limits=NO_LIMITS if project is None else read_limits(project.limits),
    )
