"""Tags and descriptions of models and versions: what people say of them, which may change, and who said what when.

    llmos tag smollm2@1 approved team=search        of a version
    llmos describe smollm2 "Answers our customers"  of the model, whatever version

A change is a row, the last one of each tag holds. No digest depends on any of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from llmos.core.clock import Clock
from llmos.core.database import Database
from llmos.core.errors import BadRequest, NotFound
from llmos.core.suggest import nearest
from llmos.core.who import this_user
from llmos.models import queries
from llmos.models.names import check_name, parse_reference
from llmos.models.tables import LabelChangeRow
from llmos.models.versions.finding import Finder
from llmos.models.versions.versions import Labels

MAX_TEXT = 10_000
"""Characters of a description."""

MAX_VALUE = 256
"""Characters of a tag's value."""

DESCRIPTION = ""
"""The key of what is no tag."""

Subject = tuple[str, int]
"""A model and the number of its version; 0 is the model itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelChange:
    subject: str
    """NAME or NAME@NUMBER."""
    what: str
    """"description", or "tag KEY"."""
    was: str | None
    now: str | None
    """None: there is none."""
    at: datetime
    actor: str | None


class LabelBook:
    """Any thread and any process may call any of this. `ref`: NAME is the model, everything else a version."""

    def __init__(self, database: Database, finder: Finder, clock: Clock) -> None:
        self._database, self._finder, self._clock = database, finder, clock

    def tag(
        self, ref: str, add: Mapping[str, str] | None = None, remove: Sequence[str] = (), *, actor: str | None = None
    ) -> Labels:
        """Set and remove tags, all or none, and return what holds now. Raises ModelNotFound, BadRequest for a tag that
        can't be, NotFound for one to remove that isn't there."""
        add = add or {}
        for key, value in add.items():
            check_name(key, "a tag")
            if len(value) > MAX_VALUE or not value.isprintable():
                raise BadRequest(f"The value of the tag {key} takes up to {MAX_VALUE} printable characters.", param=key)
        if both := sorted(set(add) & set(remove)):
            raise BadRequest(f"The tag {both[0]} is to be set and removed. Leave out one of the two.", param=both[0])
        with self._database.transaction() as session:
            subject = self._subject(session, ref)
            queries.lock_model(session, subject[0])
            known = _labels(queries.labels(session, subject)).tags
            for key in remove:
                if key not in known:
                    meant = nearest(key, known) or sorted(known)
                    hint = f"It has {', '.join(meant)}." if meant else "It has none."
                    raise NotFound(f"{ref} has no tag {key[:80]!r}. {hint}", param="tag")
            wanted: dict[str, str | None] = {**add, **dict.fromkeys(remove)}
            for key, change in wanted.items():
                self._change(session, subject, key, change, actor)
            return _labels(queries.labels(session, subject))

    def describe(self, ref: str, text: str | None, *, actor: str | None = None) -> Labels:
        """Say what it is, or nothing any more (None or empty), and return what holds now."""
        text = (text or "").strip() or None
        if text is not None and len(text) > MAX_TEXT:
            raise BadRequest(f"A description takes {MAX_TEXT:,} characters; this one has {len(text):,}. Shorten it.")
        with self._database.transaction() as session:
            subject = self._subject(session, ref)
            queries.lock_model(session, subject[0])
            self._change(session, subject, DESCRIPTION, text, actor)
            return _labels(queries.labels(session, subject))

    def get(self, ref: str) -> Labels:
        with self._database.session() as session:
            return _labels(queries.labels(session, self._subject(session, ref)))

    def all(self) -> Mapping[Subject, Labels]:
        """Of every model and version that has any."""
        with self._database.session() as session:
            found: dict[Subject, list[LabelChangeRow]] = {}
            for row in queries.labels(session):
                found.setdefault((row.model, row.number), []).append(row)
        return {subject: _labels(rows) for subject, rows in found.items()}

    def history(self, ref: str) -> Sequence[LabelChange]:
        """Every change, oldest first; of a model its versions' besides."""
        with self._database.session() as session:
            model, number = self._subject(session, ref)
            rows = queries.label_changes(session, model, number or None)
        changes: list[LabelChange] = []
        last: dict[tuple[int, str], str | None] = {}
        for row in rows:
            changes.append(
                LabelChange(
                    subject=_name((row.model, row.number)),
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
        reference = parse_reference(ref)
        row = self._finder.version(session, reference)
        is_model = reference.alias is None and reference.number is None and reference.digest is None
        return (row.model, 0 if is_model else row.number)

    def _change(self, session: Session, subject: Subject, key: str, value: str | None, actor: str | None) -> None:
        model, number = subject
        current = {row.key: row for row in queries.labels(session, subject)}.get(key)
        if (current.value if current else None) == value:
            return
        at = max(self._clock(), current.changed_at) if current else self._clock()
        session.add(
            LabelChangeRow(
                model=model, number=number, key=key, value=value, changed_at=at, changed_by=actor or this_user()
            )
        )
        session.flush()


def parse_tag(text: str) -> tuple[str, str]:
    """KEY or KEY=VALUE as the two."""
    key, _, value = text.partition("=")
    return key, value


def has_tag(labels: Sequence[Labels | None], wanted: str) -> bool:
    """Whether any of them has the tag: KEY with any value, or KEY=VALUE."""
    key, value = parse_tag(wanted)
    found = [each.tags[key] for each in labels if each is not None and key in each.tags]
    return value in found if "=" in wanted else bool(found)


def _labels(rows: Sequence[LabelChangeRow]) -> Labels:
    values = {row.key: row.value for row in rows if row.value is not None}
    return Labels(description=values.pop(DESCRIPTION, None), tags=dict(sorted(values.items())))


def _name(subject: Subject) -> str:
    model, number = subject
    return f"{model}@{number}" if number else model
