"""Labels: tags and descriptions of names and their versions, with their history.

    llmos tag smollm2@1 approved team=search        # tags of a version
    llmos describe smollm2 "Answers our customers"  # description of the model, for all of its versions

Every change is a row; the last row of each tag is its current value. Labels are not part of any digest.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from llmos.core.clock import Clock
from llmos.core.database import Database
from llmos.core.errors import BadRequest, NotFound
from llmos.core.names import check_name, parse_reference
from llmos.core.suggest import nearest
from llmos.core.versioning import queries
from llmos.core.versioning.columns import LabelChangeColumns
from llmos.core.versioning.noun import Versions
from llmos.core.who import this_user

MAX_TEXT = 10_000
"""The most characters of a description."""

MAX_VALUE = 256
"""The most characters of a tag's value."""

DESCRIPTION = ""
"""The key under which a description is stored."""

Subject = tuple[str, int]
"""(key of the name, version number); number 0 stands for the name itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The tags and the description of a name or a version."""

    tags: Mapping[str, str] = field(default_factory=dict)
    """{key: value}; the value of a tag without one is empty."""
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelChange:
    """One change of a tag or a description."""

    subject: str
    """NAME or NAME@NUMBER."""
    what: str
    """"description", or "tag KEY"."""
    was: str | None
    """The value before; None where there was none."""
    now: str | None
    """The value after; None where it was removed."""
    at: datetime
    actor: str | None


class LabelStore:
    """The labels of all names of a noun and their versions. Any thread and any process may use it.

    A `ref` that is only a NAME is the name itself; every other reference is a version.
    """

    def __init__(self, database: Database, versions: Versions, clock: Clock) -> None:
        self._database, self._versions, self._clock = database, versions, clock
        self._noun = versions.noun

    def tag(
        self, ref: str, add: Mapping[str, str] | None = None, remove: Sequence[str] = (), *, actor: str | None = None
    ) -> Labels:
        """Set and remove tags in one transaction, and return the labels after it.

        `actor`: who changes them; None is the user of this process. Raises NotFound, also for a tag to remove
        that doesn't exist, and BadRequest for an invalid tag.
        """
        add = add or {}
        for key, value in add.items():
            check_name(key, "a tag")
            if len(value) > MAX_VALUE or not value.isprintable():
                raise BadRequest(
                    f"The value of the tag {key} may have at most {MAX_VALUE} printable characters.", param=key
                )
        if both := sorted(set(add) & set(remove)):
            raise BadRequest(f"The tag {both[0]} can't be set and removed at once.", param=both[0])
        with self._database.transaction() as session:
            subject = self._subject(session, ref)
            queries.lock_name(session, self._noun, subject[0])
            known = _labels(queries.labels(session, self._noun, subject)).tags
            for key in remove:
                if key not in known:
                    similar = nearest(key, known) or sorted(known)
                    hint = f"It has {', '.join(similar)}." if similar else "It has no tags."
                    raise NotFound(f"{ref} has no tag {key[:80]!r}. {hint}", param="tag")
            changes: dict[str, str | None] = {**add, **dict.fromkeys(remove)}
            for key, change in changes.items():
                self._change(session, subject, key, change, actor)
            return _labels(queries.labels(session, self._noun, subject))

    def describe(self, ref: str, text: str | None, *, actor: str | None = None) -> Labels:
        """Set the description, or remove it (None or empty), and return the labels after it. Raises NotFound, and
        BadRequest for a text that is too long."""
        text = (text or "").strip() or None
        if text is not None and len(text) > MAX_TEXT:
            raise BadRequest(f"A description may have {MAX_TEXT:,} characters; this one has {len(text):,}. Shorten it.")
        with self._database.transaction() as session:
            subject = self._subject(session, ref)
            queries.lock_name(session, self._noun, subject[0])
            self._change(session, subject, DESCRIPTION, text, actor)
            return _labels(queries.labels(session, self._noun, subject))

    def change(
        self,
        ref: str,
        tags: Mapping[str, str],
        remove_tags: Sequence[str],
        description: str | None,
        *,
        actor: str | None = None,
    ) -> Labels:
        """Do what tag() and describe() do, as far as something is given, and return the labels after it."""
        if tags or remove_tags:
            self.tag(ref, tags, remove_tags, actor=actor)
        if description is not None:
            self.describe(ref, description, actor=actor)
        return self.get(ref)

    def get(self, ref: str) -> Labels:
        """Return the labels of a name or a version. Raises NotFound."""
        with self._database.session() as session:
            return _labels(queries.labels(session, self._noun, self._subject(session, ref)))

    def all(self, keys: Collection[str] | None = None) -> Mapping[Subject, Labels]:
        """Return the labels of every name and version that has any. `keys`: of the names with these keys only."""
        with self._database.session() as session:
            found: dict[Subject, list[LabelChangeColumns]] = {}
            for row in queries.labels(session, self._noun, keys=keys):
                found.setdefault((row.owner, row.number), []).append(row)
        return {subject: _labels(rows) for subject, rows in found.items()}

    def history(self, ref: str) -> Sequence[LabelChange]:
        """Return all changes, oldest first; for a name, those of its versions too. Raises NotFound."""
        with self._database.session() as session:
            key, number = self._subject(session, ref)
            rows = queries.label_changes(session, self._noun, key, number or None)
        name = parse_reference(ref, self._noun.name).name
        changes: list[LabelChange] = []
        last: dict[tuple[int, str], str | None] = {}
        for row in rows:
            changes.append(
                LabelChange(
                    subject=f"{name}@{row.number}" if row.number else name,
                    what=f"tag {row.key}" if row.key != DESCRIPTION else "description",
                    was=last.get((row.number, row.key)),
                    now=row.value,
                    at=row.changed_at,
                    actor=row.changed_by,
                )
            )
            last[row.number, row.key] = row.value
        return changes

    def _subject(self, session: Session, ref: str) -> Subject:
        reference = parse_reference(ref, self._noun.name)
        number = self._versions.version(session, reference).number
        return (self._versions.key(reference.name), 0 if reference.is_whole else number)

    def _change(self, session: Session, subject: Subject, key: str, value: str | None, actor: str | None) -> None:
        owner, number = subject
        current = {row.key: row for row in queries.labels(session, self._noun, subject)}.get(key)
        if (current.value if current else None) == value:
            return
        at = max(self._clock(), current.changed_at) if current else self._clock()
        session.add(
            self._noun.label_changes(
                owner=owner, number=number, key=key, value=value, changed_at=at, changed_by=actor or this_user()
            )
        )
        session.flush()


def parse_tag(text: str) -> tuple[str, str]:
    """Split KEY or KEY=VALUE into key and value; the value is empty where there is none."""
    key, _, value = text.partition("=")
    return key, value


def has_tag(labels: Sequence[Labels | None], tag: str) -> bool:
    """Return whether any of the labels has the tag: KEY with any value, or KEY=VALUE."""
    key, value = parse_tag(tag)
    values = [each.tags[key] for each in labels if each is not None and key in each.tags]
    return value in values if "=" in tag else bool(values)


def has_tags(labels: Mapping[Subject, Labels], subject: Subject, tags: Sequence[str]) -> bool:
    """Return whether a version has all of these tags (KEY or KEY=VALUE), itself or by its name."""
    return all(has_tag([labels.get(subject), labels.get((subject[0], 0))], tag) for tag in tags)


def _labels(rows: Sequence[LabelChangeColumns]) -> Labels:
    values = {row.key: row.value for row in rows if row.value is not None}
    return Labels(description=values.pop(DESCRIPTION, None), tags=dict(sorted(values.items())))
