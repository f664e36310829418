"""Users and roles, and the sessions of browsers in which users are signed in."""

from datetime import datetime

import msgspec

from llmos.core.schemas.base import Description


class UserDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    project: str = ""
    role: str = ""
    """viewer, developer, operator or owner."""
    state: str = ""
    """active or disabled."""
    has_password: bool = False
    issuer: str | None = None
    """The OIDC provider that the user comes from; null for one that was created here."""
    num_sessions: int = 0
    """The number of browsers in which the user is signed in."""
    created_at: datetime | None = None
    created_by: str | None = None
    disabled_at: datetime | None = None
    signed_in_at: datetime | None = None


class RoleDescription(Description, frozen=True, kw_only=True):
    """The permissions of a role."""

    name: str = ""
    permissions: list[str] = msgspec.field(default_factory=list)
    """The permissions of a member of the project `owner`."""
    project_permissions: list[str] = msgspec.field(default_factory=list)
    """The permissions of a member of any other project, which exclude those over things that all projects share."""


class SignedOutDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    num_sessions: int = 0
    """The number of sessions that were ended."""


class SignInLinkDescription(Description, frozen=True, kw_only=True):
    """A link that signs a user in, once."""

    user: str = ""
    path: str = ""
    """The path on the server, with a secret. The first person who opens it is signed in as the user."""
    expires_at: datetime | None = None


class SessionDescription(Description, frozen=True, kw_only=True):
    """The session of the browser that asks."""

    user: str = ""
    project: str = ""
    role: str = ""
    permissions: list[str] = msgspec.field(default_factory=list)
    method: str = ""
    """password, oidc or link."""
    csrf_token: str = ""
    """The value for the header X-CSRF-Token of every request that isn't a GET."""
    created_at: datetime | None = None
    idle_ends_at: datetime | None = None
    """The time at which the session ends unless it is used."""
    ends_at: datetime | None = None
    """The time at which the session ends in any case."""
