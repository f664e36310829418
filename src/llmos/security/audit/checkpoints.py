"""Checkpoints: signed statements of what the audit log was. Kept in the database and in a file, for shipping elsewhere.

LLMOS_HOME/audit/checkpoints.jsonl has one line for each, which is appended when it is made.
"""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from llmos.core.errors import BadRequest, StoreFailed
from llmos.core.schemas.audit import AuditVerification, CheckpointDescription
from llmos.security.audit import queries
from llmos.security.audit.entries import render_time
from llmos.security.audit.log import AuditLog
from llmos.security.audit.tables import CheckpointRow
from llmos.security.audit.verification import CHECKPOINT, verify
from llmos.security.signing_key import PublicKey, SigningKey

MAX_ENTRIES = 1000
"""The server makes a checkpoint after so many entries at the latest,"""

MAX_AGE = timedelta(hours=1)
"""and after this time, if there is an entry."""


class Checkpoints:
    """Any thread and any process may use it."""

    def __init__(self, log: AuditLog, key: SigningKey, path: Path) -> None:
        """`path`: the file that lines are appended to."""
        self._log, self._key, self._path = log, key, path

    def make(self) -> CheckpointDescription | None:
        """Return the checkpoint of the newest entry, signed now unless there is one. None: the log is empty."""
        with self._log.database.session() as session:
            last, checkpoint = queries.last_entry(session), queries.last_checkpoint(session)
        if last is None:
            return None
        if checkpoint is not None and checkpoint.number == last.number:
            return _described(json.loads(checkpoint.document))
        document = self._key.sign(
            {"type": CHECKPOINT, "number": last.number, "hash": last.hash, "time": render_time(self._log.clock())}
        )
        with self._log.database.transaction() as session:
            newest = queries.last_checkpoint(session)
            if newest is not None and newest.number >= last.number:
                return _described(json.loads(newest.document))  # Another process was faster.
            session.add(CheckpointRow(number=last.number, document=json.dumps(document)))
        self._append(document)
        return _described(document)

    def make_if_due(self) -> CheckpointDescription | None:
        """Make a checkpoint if there are many entries without one, or old ones."""
        with self._log.database.session() as session:
            last, checkpoint = queries.last_entry(session), queries.last_checkpoint(session)
        if last is None or (checkpoint is not None and checkpoint.number >= last.number):
            return None
        num_new = last.number - (0 if checkpoint is None else checkpoint.number)
        since = None if checkpoint is None else json.loads(checkpoint.document)["time"]
        if since is not None and num_new < MAX_ENTRIES and self._log.clock() - _time(since) < MAX_AGE:
            return None
        return self.make()

    def stored(self) -> Sequence[Mapping[str, Any]]:
        """Return the checkpoints in the database, and those in the file of this machine."""
        with self._log.database.session() as session:
            documents = [json.loads(row.document) for row in queries.checkpoints(session)]
        known = {document.get("signature") for document in documents}
        return documents + [each for each in _lines(self._path) if each.get("signature") not in known]

    def verify(
        self, *, checkpoints: Sequence[Mapping[str, Any]] = (), keys: Sequence[PublicKey] = ()
    ) -> AuditVerification:
        """Verify the log against the stored checkpoints, and others. `keys`: those of other servers."""
        # Read first: an entry that comes meanwhile must not be missing.
        given = [*self.stored(), *checkpoints]
        with self._log.reading() as entries:
            return verify(entries, given, [self._key.public, *keys])

    def _append(self, document: Mapping[str, Any]) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(document) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreFailed(f"The checkpoint can't be written to {self._path}: {error.strerror}.") from error


def read_checkpoints(path: Path) -> Sequence[Mapping[str, Any]]:
    """Return the checkpoints in a file: one, or one in each line. Raises BadRequest for another file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn't text"
        raise BadRequest(f"The checkpoint {path} can't be read: {reason}.", param="checkpoint") from None
    try:
        found = [json.loads(text)]
    except ValueError:
        found = list(_parsed(text))
    checkpoints = [each for each in found if isinstance(each, dict) and each.get("type") == CHECKPOINT]
    if not checkpoints or len(checkpoints) < len(found):
        raise BadRequest(
            f"{path} isn't a checkpoint. `llmos audit checkpoint --output FILE` writes one.", param="checkpoint"
        )
    return checkpoints


def _parsed(text: str) -> Sequence[Any]:
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        return []


def _lines(path: Path) -> Sequence[Mapping[str, Any]]:
    """Return the checkpoints in this machine's file. A line that a crash cut off is left out."""
    documents = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict):
            documents.append(document)
    return documents


def _described(document: Mapping[str, Any]) -> CheckpointDescription:
    return msgspec.convert(document, CheckpointDescription)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
