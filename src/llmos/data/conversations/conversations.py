"""Conversations: the trees of messages of persons, encrypted. Each belongs to one key or user, and nobody else sees it.

conversation = conversations.create(person, "Colors", {"model": "smollm2"})
conversations.append(person, conversation.id, [NewMessage(message={"role": "user", "content": "Hi"})], parent=None)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.encryption.data_key import DataKey, modified
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.tables import ObjectKeyRow, ObjectSubjectRow
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.ids import new_id
from llmos.core.schemas.conversations import (
    ConversationDescription,
    ConversationDetails,
    ConversationMessage,
    ConversationPage,
)
from llmos.data.apps.sealing import seal, unseal
from llmos.data.conversations import queries
from llmos.data.conversations.tables import ConversationMessageRow, ConversationRow
from llmos.data.retention import Retentions
from llmos.data.word_search import Search

MAX_MESSAGES = 5_000
MAX_SETTINGS_BYTES = 256 << 10
MAX_TITLE_LENGTH = 200

_PARENTS = {"user": ("assistant",), "assistant": ("user", "tool"), "tool": ("assistant", "tool")}
"""The roles that a message of each role may follow, so that every branch is a conversation that a model continues."""

_SCANNED_AT_ONCE = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """The person that conversations belong to."""

    project: str
    actor: str
    """The id of a key, or `user:NAME`."""
    user: str = ""
    """The name by which an erasure finds the person; empty: nobody's data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewMessage:
    message: Mapping[str, Any]
    answer: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Opened:
    row: ConversationRow
    key: DataKey


class Conversations:
    """The conversations of all persons. Any thread may use it."""

    def __init__(self, database: Database, encryption: Encryption, *, clock: Clock = utc_now) -> None:
        self._database, self._encryption, self._clock = database, encryption, clock
        self._retentions = Retentions(database, clock=clock)

    def create(self, person: Person, title: str = "", settings: Mapping[str, Any] | None = None) -> ConversationDetails:
        """Begin a conversation. Raises Conflict if the project keeps nothing."""
        retention, now, id = self._retentions.of(person.project), self._clock(), new_id("conversation")
        if retention.keeps_nothing:
            raise Conflict(
                f"The project {person.project} stores no data, so it has no conversations. To change that, run:"
                f" llmos project retention {person.project} --default"
            )
        ring = self._encryption.ring
        subjects = [ring.index("subject", person.project, person.user)] if person.user else []
        key = self._encryption.new_key(id)
        key_row = self._encryption.wrap(key, person.project, subjects=subjects)
        row = ConversationRow(id=id, project=person.project, actor=person.actor, num_messages=0, leaf=None)
        row.created_at = row.updated_at = now
        row.expires_at = retention.response_expires_at(now)
        row.sealed = _seal_head(key, title, settings or {})
        named = [ObjectSubjectRow(object_id=id, subject=each, project=person.project) for each in subjects]
        with self._database.transaction() as session:
            session.add_all([key_row, row, *named])
            session.flush()
            return _details(_Opened(row, key), [])

    def list(self, person: Person, *, query: str = "", after: str | None = None, limit: int = 50) -> ConversationPage:
        """Return conversations, the one that was used last first, beginning behind the conversation `after`.

        `query`: only those in which all of these words occur, in the title or in any message.
        """
        search = Search(query)
        found: list[ConversationDescription] = []
        with self._database.session() as session:
            last = None if after is None else self._existing(session, person, after).row
            while len(found) < limit and search.may_go_on:
                wanted = min(_SCANNED_AT_ONCE, limit - len(found)) if search.finds_all else _SCANNED_AT_ONCE
                rows = queries.page(session, person.project, person.actor, self._clock(), behind=last, limit=wanted)
                for row, key_row in rows:
                    if len(found) == limit or not search.may_go_on:
                        break
                    last = row
                    if (excerpt := self._excerpt(session, search, row, key_row)) is not None:
                        found.append(self._described(row, key_row, excerpt))
                else:
                    if len(rows) < wanted:
                        return ConversationPage(data=found)
        return ConversationPage(data=found, next=None if last is None else last.id)

    def get(self, person: Person, id: str) -> ConversationDetails:
        """Raises NotFound for an unknown or expired one, and for another person's."""
        with self._database.session() as session:
            found = self._existing(session, person, id)
            return _details(found, queries.messages(session, id))

    def append(
        self, person: Person, id: str, messages: Sequence[NewMessage], *, parent: int | None
    ) -> ConversationDescription:
        """Add messages, each following the one before, the first following `parent`; None: it begins the conversation.

        The last one is the leaf then. Raises BadRequest for a role that can't follow, and Conflict when it is full.
        """
        now, retention = self._clock(), self._retentions.of(person.project)
        with self._database.transaction() as session:
            found = self._existing(session, person, id, lock=True)
            row = found.row
            if row.num_messages + len(messages) > MAX_MESSAGES:
                raise Conflict(f"A conversation has at most {MAX_MESSAGES:,} messages. Begin a new one.")
            role = None if parent is None else queries.role_of(session, id, parent)
            if parent is not None and role is None:
                raise BadRequest(f"There is no message {parent} in this conversation.", param="parent")
            for position, each in enumerate(messages):
                role = _check_role(each.message, role, position)
                index, row.num_messages = row.num_messages, row.num_messages + 1
                session.add(
                    ConversationMessageRow(
                        conversation_id=id,
                        index=index,
                        parent=parent,
                        role=role,
                        sealed=seal(found.key, [each.message, each.answer, each.facts], f"message {index}"),
                        created_at=now,
                    )
                )
                parent = row.leaf = index
            row.updated_at, row.expires_at = now, retention.response_expires_at(now)
            return _described(found)

    def change(
        self,
        person: Person,
        id: str,
        *,
        title: str | None = None,
        settings: Mapping[str, Any] | None = None,
        leaf: int | None = None,
    ) -> ConversationDescription:
        """Rename it, replace its settings, or go to another branch. None: it stays as it is.

        Raises NotFound as get() does, and BadRequest for a leaf that isn't there.
        """
        with self._database.transaction() as session:
            found = self._existing(session, person, id, lock=True)
            old_title, old_settings = unseal(found.key, found.row.sealed, "conversation")
            if leaf is not None:
                if queries.role_of(session, id, leaf) is None:
                    raise BadRequest(f"There is no message {leaf} in this conversation.", param="leaf")
                found.row.leaf = leaf
            found.row.sealed = _seal_head(
                found.key,
                old_title if title is None else title,
                old_settings if settings is None else settings,
            )
            return _described(found)

    def remove(self, person: Person, id: str) -> None:
        """Delete a conversation with its messages. Raises NotFound as get() does."""
        with self._database.transaction(frees_space=True) as session:
            self._existing(session, person, id, lock=True)
            queries.remove(session, [id])

    def _existing(self, session: Session, person: Person, id: str, *, lock: bool = False) -> _Opened:
        found = queries.conversation(session, person.project, person.actor, id, self._clock(), lock=lock)
        if found is None:
            raise NotFound(f"There is no conversation {id[:80]!r} of yours. It may have been removed, or have expired.")
        return self._opened(*found)

    def _opened(self, row: ConversationRow, key_row: ObjectKeyRow | None) -> _Opened:
        if key_row is None:
            raise modified(row.id)
        return _Opened(row, self._encryption.unwrap(key_row))

    def _described(self, row: ConversationRow, key_row: ObjectKeyRow | None, excerpt: str) -> ConversationDescription:
        return _described(self._opened(row, key_row), excerpt)

    def _excerpt(
        self, session: Session, search: Search, row: ConversationRow, key_row: ObjectKeyRow | None
    ) -> str | None:
        """Return the text around what is searched for, or None if the conversation doesn't have it."""
        if search.finds_all:
            return ""
        found = self._opened(row, key_row)
        title, _ = unseal(found.key, row.sealed, "conversation")
        contents = (
            unseal(found.key, each.sealed, f"message {each.index}")[0].get("content")
            for each in queries.messages(session, row.id)
        )
        return search.look(title, contents)


def _check_role(message: Mapping[str, Any], before: str | None, position: int) -> str:
    """Return the role of a message that follows one with the role `before`; None: it is a first one."""
    role, param = message.get("role"), f"messages[{position}].message.role"
    if not isinstance(role, str) or role not in _PARENTS:
        raise BadRequest(
            f"The role is {role!r:.80}; a message of a conversation is of user, assistant or tool. A system prompt"
            " is one of its settings.",
            param=param,
        )
    if before is None and role != "user":
        raise BadRequest(f"A conversation begins with a message of the role user, not {role}.", param=param)
    if before is not None and before not in _PARENTS[role]:
        raise BadRequest(
            f"A message of the role {role} can't follow one of the role {before}. To begin a branch, send the message"
            " before as `parent`.",
            param=param,
        )
    return role


def _seal_head(key: DataKey, title: str, settings: Mapping[str, Any]) -> bytes:
    if len(title) > MAX_TITLE_LENGTH:
        raise BadRequest(f"The title has {len(title):,} characters; up to {MAX_TITLE_LENGTH} are kept.", param="title")
    size = len(msgspec.json.encode(settings))
    if size > MAX_SETTINGS_BYTES:
        raise BadRequest(f"The settings have {size:,} bytes; up to {MAX_SETTINGS_BYTES:,} are kept.", param="settings")
    return seal(key, [title, settings], "conversation")


def _details(found: _Opened, rows: Sequence[ConversationMessageRow]) -> ConversationDetails:
    _, settings = unseal(found.key, found.row.sealed, "conversation")
    messages = [_message(found.key, each) for each in rows]
    return ConversationDetails(**msgspec.structs.asdict(_described(found)), settings=settings, messages=messages)


def _message(key: DataKey, row: ConversationMessageRow) -> ConversationMessage:
    message, answer, facts = unseal(key, row.sealed, f"message {row.index}")
    return ConversationMessage(
        index=row.index, parent=row.parent, message=message, answer=answer, facts=facts, created_at=row.created_at
    )


def _described(found: _Opened, excerpt: str = "") -> ConversationDescription:
    row: ConversationRow = found.row
    title, _ = unseal(found.key, row.sealed, "conversation")
    times: dict[str, datetime] = {name: getattr(row, name) for name in ("created_at", "updated_at", "expires_at")}
    return ConversationDescription(
        id=row.id, title=title, num_messages=row.num_messages, leaf=row.leaf, excerpt=excerpt, **times
    )
