"""The audit log and receipts in this machine's database."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from llmos.core.errors import NotFound
from llmos.core.schemas.audit import AuditEntryDescription, AuditVerification, CheckpointDescription
from llmos.core.schemas.receipts import ReceiptDescription
from llmos.core.schemas.signing_keys import SigningKeyDescription

if TYPE_CHECKING:
    from llmos.cli.control.local import LocalControl
    from llmos.security.signing_key import PublicKey


class LocalAudit:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def list(
        self,
        *,
        since: datetime | None = None,
        actor: str | None = None,
        action: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntryDescription]:
        return self._control.audit_room.log.list(since=since, actor=actor, action=action, before=before, limit=limit)

    def verify(
        self, *, checkpoints: Sequence[Mapping[str, Any]] = (), keys: "Sequence[PublicKey]" = ()
    ) -> AuditVerification:
        return self._control.audit_room.checkpoints.verify(checkpoints=checkpoints, keys=keys)

    def checkpoint(self) -> CheckpointDescription:
        checkpoint = self._control.audit_room.checkpoints.make()
        if checkpoint is None:
            raise NotFound("The audit log is empty, so there is nothing to sign yet.")
        return checkpoint

    def export(self) -> Iterator[bytes]:
        yield from self._control.audit_room.log.export()


class LocalReceipts:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    def get(self, id: str) -> ReceiptDescription:
        from llmos.security.receipts.receipts import Receipts
        from llmos.security.signing_key import SigningKey

        settings = self._control.settings
        receipts = Receipts(
            self._control.registry.database, SigningKey(settings.signing_key_path), days=settings.receipt_days
        )
        return receipts.get(id)

    def signing_key(self) -> SigningKeyDescription:
        from llmos.security.descriptions import describe_signing_key
        from llmos.security.signing_key import SigningKey

        return describe_signing_key(SigningKey(self._control.settings.signing_key_path).public)
