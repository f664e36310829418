"""Caller: who makes a call. Created once, where a request enters, and passed on as an argument."""

from dataclasses import dataclass, field, replace
from typing import Self

from llmos.core.errors import PermissionDenied
from llmos.security.limits import Allowance
from llmos.security.permissions import ALL_PERMISSIONS, OWNER, Permission
from llmos.security.roles import roles_with

_USER_PREFIX = "user:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """The project and key that a call comes from, what that key may do, and how urgent the call is."""

    project: str
    """The tenant: files, batches and stored responses belong to it, and prompt prefixes are shared within it."""
    key_id: str
    """The key's id; `user:NAME` for a user's session."""
    user: str = ""
    """The project's own end user, as named in the request; else the user whose session it is; else empty. Users take
    turns under load."""
    permissions: frozenset[Permission] = frozenset()
    models: frozenset[str] = frozenset()
    """The names that the key may ask for; empty: all."""
    allowances: tuple[Allowance, ...] = ()
    """The limits of the key and of its project; empty: none."""
    priority: int = 0
    """-100 to 100. Calls of higher priority run first."""
    request_id: str = field(default="", compare=False)
    """The HTTP request that the call came in; empty for a call that came in none."""
    request_body: bytes = field(default=b"", compare=False, repr=False)
    """The body of that request, of which a receipt has the hash."""
    traceparent: str = field(default="", compare=False)
    """The span that the request is a part of, as its header says; empty without one."""
    app: str | None = None
    """The application whose process calls; None for everybody else."""
    run: str = ""
    """The run of that application that the call belongs to, as its process says; empty for any other call."""
    call_key: str = field(default="", compare=False)
    """The idempotency key of a call that is repeated after a crash, such as a line of a batch, so that its answer has
    the same id and is counted once. Empty for a call that isn't repeated."""
    is_background: bool = False
    """A call that nobody waits for (batches, shadows): it runs after all others and takes no room in the queue."""

    @property
    def actor(self) -> str:
        """The name under which a change is recorded in a history."""
        return self.key_id

    @property
    def title(self) -> str:
        """The key or the user, as messages call it."""
        name = user_of_key_id(self.key_id)
        return f"The key {self.key_id}" if name is None else f"The user {name}"

    @property
    def is_of_installation(self) -> bool:
        """True if the key belongs to the installation's own project, which oversees the others."""
        return self.project == OWNER

    @property
    def only_project(self) -> str | None:
        """The only project whose things it may see; None: all of them."""
        return None if self.is_of_installation else self.project

    @property
    def fairness_key(self) -> str:
        """The account that calls are charged to when callers take turns.

        Background calls have an account of their own, so that a project's batches don't slow its live calls down.
        """
        # A project's name has no line break, so no two projects share a key.
        account = f"{self.project}\n{self.user}"
        return f"\n{account}" if self.is_background else account

    def on_behalf_of(self, user: str, priority: int) -> Self:
        """Return this caller with the user and the priority that a request names. No user: the caller's own stays."""
        user = user or self.user
        if user == self.user and priority == self.priority:
            return self
        return replace(self, user=user, priority=priority)

    def in_background(self) -> Self:
        return replace(self, is_background=True)

    def check(self, permission: Permission) -> None:
        """Raise PermissionDenied unless the caller's key has the permission."""
        if permission not in self.permissions:
            roles = roles_with(permission, self.project)
            where = self.project if roles else OWNER
            roles = roles or roles_with(permission, OWNER)
            raise PermissionDenied(
                f"{self.title} doesn't have the permission {permission}. Keys of the project {where} have it with the"
                f" role {' or '.join(roles)}."
            )

    def may_ask_for(self, model: str) -> bool:
        return not self.models or model in self.models

    def check_model(self, model: str) -> None:
        """Raise PermissionDenied unless the key may ask for this name."""
        if not self.may_ask_for(model):
            raise PermissionDenied(
                f"{self.title} may not ask for {model[:80]!r}. It may ask for {', '.join(sorted(self.models))}.",
                param="model",
            )


def owner(*, is_background: bool = False) -> Caller:
    """Return the installation's owner, who may do everything."""
    return Caller(project=OWNER, key_id=OWNER, permissions=ALL_PERMISSIONS, is_background=is_background)


def user_key_id(name: str) -> str:
    """Return what stands for a user where a call has the id of its key. No key has such an id."""
    return f"{_USER_PREFIX}{name}"


def user_of_key_id(key_id: str) -> str | None:
    """Return the user that the id of a key stands for; None for a key."""
    return key_id.removeprefix(_USER_PREFIX) if key_id.startswith(_USER_PREFIX) else None
