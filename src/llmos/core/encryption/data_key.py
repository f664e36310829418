"""DataKey: the key of one object, and what it seals in one piece."""

from dataclasses import dataclass, field

from llmos.core.encryption.aead import WrongSeal, seal, unseal
from llmos.core.errors import StoreFailed


@dataclass(frozen=True, slots=True)
class DataKey:
    object_id: str
    key: bytes = field(repr=False)

    def seal(self, content: bytes, bound_to: bytes = b"") -> bytes:
        return seal(self.key, content, self._bound_to(bound_to))

    def open(self, sealed: bytes, bound_to: bytes = b"") -> bytes:
        """Raises StoreFailed for bytes that were modified, moved here from another object, or cut off."""
        try:
            return unseal(self.key, sealed, self._bound_to(bound_to))
        except WrongSeal:
            raise modified(self.object_id) from None

    def _bound_to(self, more: bytes) -> bytes:
        return f"object\n{self.object_id}\n".encode() + more


def modified(object_id: str) -> StoreFailed:
    return StoreFailed(
        f"{object_id} was modified on the disk or in the database and can't be read. Restore it from a backup, or"
        " delete it."
    )
