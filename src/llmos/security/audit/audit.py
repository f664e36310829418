"""Audit: the audit log of an installation with everything around it."""

from dataclasses import dataclass
from pathlib import Path

from llmos.core.database import Database
from llmos.security.audit.checkpoints import Checkpoints
from llmos.security.audit.log import AuditLog
from llmos.security.audit.recorder import AuditRecorder
from llmos.security.signing_key import SigningKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    log: AuditLog
    recorder: AuditRecorder
    checkpoints: Checkpoints


def open_audit(database: Database, key: SigningKey, checkpoints_path: Path) -> Audit:
    """Return the audit log of a database, which records the changes of it from now on."""
    log = AuditLog(database)
    log.attach()
    return Audit(log=log, recorder=AuditRecorder(log), checkpoints=Checkpoints(log, key, checkpoints_path))
