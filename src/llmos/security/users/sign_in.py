"""SignIn: from a name and a password, or from the word of an OIDC provider, to a session.

Every try and every end is reported to `on_event`, whatever its outcome: that is where a log or an audit trail listens.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from llmos.core.actions import Action, acting
from llmos.core.errors import BadRequest, LLMOSError, Unauthenticated
from llmos.security.callers import user_key_id
from llmos.security.users.sessions import Sessions
from llmos.security.users.throttle import Throttle
from llmos.security.users.users import Identity, User, Users

MAX_NAME_CHARACTERS = 256
"""The most characters of a name in a sign-in attempt. Longer names, which no user has, are cut."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SignInEvent:
    """A sign-in, a failed try or a sign-out."""

    kind: str
    """signed_in, refused or signed_out."""
    method: str
    """password, oidc, link or session."""
    user: str | None
    """None for a name that no user has: people type passwords where names belong."""
    project: str | None = None
    address: str | None = None
    reason: str = ""
    """The code of the error, for one that was refused."""
    request_id: str = ""


OnEvent = Callable[[SignInEvent], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Visitor:
    """The origin of an attempt to sign in."""

    address: str | None = None
    request_id: str = ""


class SignIn:
    """Any thread may use it. Its calls block; run them in `threads`."""

    def __init__(
        self, users: Users, sessions: Sessions, throttle: Throttle, on_event: OnEvent = lambda event: None
    ) -> None:
        self._users, self._sessions, self._throttle, self._on_event = users, sessions, throttle, on_event
        # Two at a time: each hash takes 64 MiB, and whoever tries many must not keep other requests from the threads.
        self.threads = ThreadPoolExecutor(2, thread_name_prefix="sign-in")

    def with_password(self, name: str, password: str, visitor: Visitor) -> tuple[User, str]:
        """Return the user and the token of a new session.

        Raises RateLimited; and Unauthenticated, with the same words whatever is wrong.
        """
        name = name[:MAX_NAME_CHARACTERS]
        try:
            self._throttle.take(name, visitor.address)
            user = self._users.sign_in(name, password)
            if user is None:
                raise Unauthenticated("The user name or the password is wrong.")
        except LLMOSError as error:
            known = name if self._users.has(name) else None
            self._report("refused", "password", visitor, user=known, reason=error.code)
            raise
        self._throttle.give_back(name, visitor.address)
        return self._begin(user, "password", visitor)

    def begin_identity(self, visitor: Visitor) -> None:
        """Count a try through an OIDC provider, which asks that one: nobody may make the server ask without end.

        Raises RateLimited. with_identity() gives the try back.
        """
        self._throttle.take(None, visitor.address)

    def with_identity(self, identity: Identity, visitor: Visitor) -> tuple[User, str]:
        """Return the user and the token of a new session. Raises Unauthenticated for a disabled user, and NotFound for
        a project that there is not."""
        try:
            user = self._users.sign_in_identity(identity)
        except LLMOSError as error:
            self._report("refused", "oidc", visitor, user=identity.name, reason=error.code)
            raise
        self._throttle.give_back(None, visitor.address)
        return self._begin(user, "oidc", visitor)

    def with_link(self, token: str, visitor: Visitor) -> str:
        """Return the token of a new session. Raises RateLimited; and Unauthenticated for a link that doesn't work."""
        self._throttle.take(None, visitor.address)
        opened = self._sessions.open_link(token)
        if opened is None:
            error = Unauthenticated("The link was opened before, or is too old. For another one, run: llmos console")
            self._report("refused", "link", visitor, reason=error.code)
            raise error
        self._throttle.give_back(None, visitor.address)
        user, session = opened
        self._report("signed_in", "link", visitor, user=user.name, project=user.project)
        return session

    def change_password(self, user: User, current: str, new: str, visitor: Visitor) -> str:
        """Replace a user's own password, end the user's sessions, and return the token of a new one.

        Raises RateLimited; BadRequest for a password that is wrong or too easy.
        """
        self._throttle.take(user.name, visitor.address)
        if self._users.sign_in(user.name, current) is None:
            error = BadRequest("`current_password` is wrong.", param="current_password")
            self._report("refused", "password", visitor, user=user.name, project=user.project, reason=error.code)
            raise error
        self._throttle.give_back(user.name, visitor.address)
        action = Action(
            "user.set_password",
            project=user.project,
            key=user_key_id(user.name),
            object=user.name,
            address=visitor.address or "",
            request_id=visitor.request_id,
        )
        with acting(action):
            changed = self._users.set_password(user.name, new)
        return self._sessions.begin(changed, "password")

    def refuse(self, method: str, error: LLMOSError, visitor: Visitor) -> None:
        """Report a sign-in that failed before anybody was named."""
        self._report("refused", method, visitor, reason=error.code)

    def sign_out(self, token: str, visitor: Visitor, *, everywhere: bool = False) -> None:
        """End the session with this token, if there is one; `everywhere`: all sessions of its user."""
        found = self._sessions.find(token)
        self._sessions.end(token)
        if everywhere and found is not None:
            self._sessions.end_all(found.user.name)
        if found is not None:
            self._report("signed_out", "session", visitor, user=found.user.name, project=found.user.project)

    def _begin(self, user: User, method: str, visitor: Visitor) -> tuple[User, str]:
        token = self._sessions.begin(user, method)
        self._report("signed_in", method, visitor, user=user.name, project=user.project)
        return user, token

    def _report(
        self,
        kind: str,
        method: str,
        visitor: Visitor,
        *,
        user: str | None = None,
        project: str | None = None,
        reason: str = "",
    ) -> None:
        self._on_event(
            SignInEvent(
                kind=kind,
                method=method,
                user=user,
                project=project,
                address=visitor.address,
                reason=reason,
                request_id=visitor.request_id,
            )
        )
