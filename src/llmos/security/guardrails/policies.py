"""GuardrailPolicies: the policies of an installation, their versions, and where each applies."""

import asyncio
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.actions import describe_action
from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, LLMOSError, NotFound, Unavailable
from llmos.core.suggest import did_you_mean
from llmos.security import queries as security_queries
from llmos.security.guardrails import queries
from llmos.security.guardrails.policy import Policy, digest_of, open_policy
from llmos.security.guardrails.tables import AppliedPolicyRow, GuardrailPolicyRow
from llmos.security.permissions import OWNER

SCOPES = ("installation", "project", "route")
"""In the order in which their policies screen a call."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPolicy:
    """A version of a policy as it is kept."""

    name: str
    version: int
    digest: str
    document: Mapping[str, Any]
    applied_to: Sequence[str]
    """"installation", "project:acme", "route:chat"."""
    created_at: datetime
    created_by: str | None


class GuardrailPolicies:
    """Any thread and any process may use it."""

    def __init__(
        self, database: Database, *, routes: Callable[[], Collection[str]] = tuple, clock: Clock = utc_now
    ) -> None:
        """`routes`: returns the names of the routes that policies can apply to."""
        self._database, self._routes, self._clock = database, routes, clock
        self._opened: dict[tuple[str, int, str], Policy | LLMOSError] = {}
        self._applied: dict[tuple[str, str], list[Policy | LLMOSError]] = {}
        self._state: int | None = None

    def set(self, name: str, document: Mapping[str, Any], *, actor: str | None = None) -> StoredPolicy:
        """Store a new version of a policy, unless the last one is the same. It screens the calls that begin from now.

        Raises BadRequest, naming what is wrong in the document.
        """
        if not _NAME.fullmatch(name):
            raise BadRequest(
                f"{name[:80]!r} can't be the name of a policy: use 1 to 63 lower-case letters, digits, and . _ -"
                " between them.",
                param="name",
            )
        open_policy(name, 0, document)
        digest = digest_of(document)
        with self._database.transaction() as session:
            last = queries.latest(session, name)
            if last is not None and last.removed_at is not None:
                raise Conflict(
                    f"The name {name} belonged to an earlier policy, which records refer to. Choose another name.",
                    param="name",
                )
            if last is None or last.digest != digest:
                last = GuardrailPolicyRow(
                    name=name,
                    version=1 if last is None else last.version + 1,
                    digest=digest,
                    document=dict(document),
                    created_at=self._clock(),
                    created_by=actor,
                )
                session.add(last)
                session.flush()
            describe_action(version=last.version, digest=digest)
            return _stored(last, queries.applied(session, name))

    def list(self) -> Sequence[StoredPolicy]:
        """Return the last version of each policy, by name."""
        with self._database.session() as session:
            applied = queries.applied(session)
            last = {row.name: row for row in queries.versions(session)}
            return [_stored(row, applied) for row in last.values()]

    def get(self, name: str, version: int | None = None) -> StoredPolicy:
        """Return a version of a policy, by default the last. Raises NotFound."""
        with self._database.session() as session:
            rows = [_existing(session, name), *queries.versions(session, name)]
            found = next((row for row in rows if version in (None, row.version)), None)
            if found is None:
                raise NotFound(f"{name} has no version {version}. Its last one is {rows[0].version}.", param="version")
            return _stored(found, queries.applied(session, name))

    def history(self, name: str) -> Sequence[StoredPolicy]:
        """Return the versions of a policy, oldest first. Raises NotFound."""
        with self._database.session() as session:
            _existing(session, name)
            applied = queries.applied(session, name)
            return [_stored(row, applied) for row in queries.versions(session, name)]

    def remove(self, name: str, *, actor: str | None = None) -> None:
        """Remove a policy. Its name is never given again. Raises NotFound; Conflict while it applies somewhere."""
        with self._database.transaction() as session:
            _existing(session, name)
            if applied := queries.applied(session, name):
                raise Conflict(
                    f"{name} applies to {', '.join(map(_place, applied))}. First: llmos guardrail unapply {name} …",
                    param="name",
                )
            for row in queries.versions(session, name):
                row.removed_at, row.removed_by = self._clock(), actor

    def apply(self, name: str, scope: str, target: str = "", *, actor: str | None = None) -> StoredPolicy:
        """Make a policy, in its last version at any time, screen the calls of a route or a project, or all calls.

        Raises NotFound for a policy, a route or a project that there isn't.
        """
        _check_scope(scope, target)
        if scope == "route" and target not in (routes := self._routes()):
            hint = did_you_mean(target, sorted(routes))
            raise NotFound(f"There is no route {target[:80]!r}. {hint}", param="target")
        with self._database.transaction() as session:
            row = _existing(session, name)
            describe_action(scope=scope, target=target)
            if scope == "project":
                _check_project(session, target)
            if queries.applied_to(session, name, scope, target) is None:
                session.add(
                    AppliedPolicyRow(
                        scope=scope, target=target, policy=name, created_at=self._clock(), created_by=actor
                    )
                )
                session.flush()
            return _stored(row, queries.applied(session, name))

    def unapply(self, name: str, scope: str, target: str = "") -> StoredPolicy:
        """Undo apply(). Raises NotFound if the policy doesn't apply there."""
        _check_scope(scope, target)
        with self._database.transaction() as session:
            row = _existing(session, name)
            applied = queries.applied_to(session, name, scope, target) if target.isprintable() else None
            if applied is None:
                places = ", ".join(map(_place, queries.applied(session, name))) or "nothing"
                raise NotFound(f"{name} doesn't apply there, but to {places}.", param="target")
            describe_action(scope=scope, target=target)
            queries.remove_applied(session, applied.number)
            return _stored(row, queries.applied(session, name))

    async def of_call(self, *, project: str, route: str | None) -> Sequence[Policy]:
        """Return the policies that screen a call. Raises Unavailable if one of them can't be used."""
        if not self._is_current():
            await asyncio.to_thread(self._load)
        return self._found(project, route)

    def of_kept_call(self, *, project: str, route: str | None) -> Sequence[Policy]:
        """Return the same in a thread that may block. Raises Unavailable."""
        if not self._is_current():
            self._load()
        return self._found(project, route)

    def _found(self, project: str, route: str | None) -> Sequence[Policy]:
        applied = self._applied
        if not applied:
            return ()
        places = [("installation", ""), ("project", project), *([] if route is None else [("route", route)])]
        found: dict[str, Policy] = {}
        for place in places:
            for policy in applied.get(place, ()):
                if isinstance(policy, LLMOSError):
                    raise Unavailable(policy.message)
                found.setdefault(policy.name, policy)
        return list(found.values())

    def _load(self) -> None:
        """Read what applies from the database."""
        self._database.watch()
        state = self._database.state()
        with self._database.session() as session:
            rows = {row.name: row for row in queries.versions(session)}
            places = [(row.scope, row.target, rows[row.policy]) for row in queries.applied(session)]
            applied: dict[tuple[str, str], list[Policy | LLMOSError]] = {}
            opened: dict[tuple[str, int, str], Policy | LLMOSError] = {}
            for scope, target, row in places:
                key = row.name, row.version, row.digest
                opened[key] = opened.get(key) or self._opened.get(key) or _open(row)
                applied.setdefault((scope, target), []).append(opened[key])
        self._opened, self._applied, self._state = opened, applied, state

    def _is_current(self) -> bool:
        state = self._database.state()
        return state is not None and state == self._state


def _open(row: GuardrailPolicyRow) -> Policy | LLMOSError:
    """Return the policy, or why no call can be screened with it."""
    try:
        return open_policy(row.name, row.version, row.document)
    except (LLMOSError, ImportError) as error:
        return Unavailable(
            f"The guardrail policy {row.name}@{row.version} can't be used on this server, so that the calls"
            f" that it screens are refused: {error}"
        )


def _existing(session: Session, name: str) -> GuardrailPolicyRow:
    row = queries.latest(session, name)
    if row is None or row.removed_at is not None:
        known = sorted({each.name for each in queries.versions(session)})
        raise NotFound(f"There is no guardrail policy {name[:80]!r}. {did_you_mean(name, known)}", param="name")
    return row


def _check_scope(scope: str, target: str) -> None:
    if scope not in SCOPES:
        raise BadRequest(f"`scope` is {scope[:80]!r}; it takes {', '.join(SCOPES)}.", param="scope")
    if (scope == "installation") != (not target):
        what = "takes no" if scope == "installation" else "needs a"
        raise BadRequest(f"The scope {scope} {what} `target`.", param="target")


def _check_project(session: Session, name: str) -> None:
    if name != OWNER and ((row := security_queries.project(session, name)) is None or row.removed_at is not None):
        raise NotFound(f"There is no project {name[:80]!r}. To list them: llmos project list", param="target")


def _place(row: AppliedPolicyRow) -> str:
    return f"{row.scope}:{row.target}" if row.target else row.scope


def _stored(row: GuardrailPolicyRow, applied: Sequence[AppliedPolicyRow]) -> StoredPolicy:
    return StoredPolicy(
        name=row.name,
        version=row.version,
        digest=row.digest,
        document=row.document,
        applied_to=[_place(each) for each in applied if each.policy == row.name],
        created_at=row.created_at,
        created_by=row.created_by,
    )
