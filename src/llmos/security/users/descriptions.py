"""The descriptions of users and their sessions."""

from typing import TYPE_CHECKING

from llmos.core.schemas.users import SessionDescription, UserDescription
from llmos.security.roles import permissions_of

if TYPE_CHECKING:
    from llmos.security.users.sessions import SignedIn
    from llmos.security.users.users import User


def describe_user(user: "User", num_sessions: int = 0) -> UserDescription:
    return UserDescription(
        name=user.name,
        project=user.project,
        role=user.role,
        state=user.state,
        has_password=user.has_password,
        issuer=user.issuer,
        num_sessions=num_sessions,
        created_at=user.created_at,
        created_by=user.created_by,
        disabled_at=user.disabled_at,
        signed_in_at=user.signed_in_at,
    )


def describe_session(found: "SignedIn", csrf_token: str) -> SessionDescription:
    user = found.user
    return SessionDescription(
        user=user.name,
        project=user.project,
        role=user.role,
        permissions=sorted(permissions_of(user.role, user.project)),
        method=found.method,
        csrf_token=csrf_token,
        created_at=found.created_at,
        idle_ends_at=found.idle_ends_at,
        ends_at=found.ends_at,
    )
