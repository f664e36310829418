"""The master key: in a file of LLMOS_HOME, in the environment, or in Vault. It wraps the keys of the ring.

    LLMOS_VAULT_KEY set     the key stays in Vault's transit engine, which wraps and unwraps
    LLMOS_MASTER_KEY set    the key is that text: 32 bytes in base64
    neither                 LLMOS_HOME/keys/master, 0600, made at the first start

A key that nothing is wrapped under any more is needed no more: LLMOS_OLD_MASTER_KEY, or the file, until a rotation has
passed on to the new one.
"""

import hmac
import os
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llmos.core.disk import sync_to_disk
from llmos.core.encryption.aead import KEY_BYTES, WrongSeal, new_key, seal, unseal
from llmos.core.errors import BadRequest, StoreFailed
from llmos.core.key_file import make_key, read_key


class MasterKey(Protocol):
    id: str
    """Names the key, and says nothing about it."""

    def wrap(self, key: bytes, bound_to: bytes) -> bytes:
        """Raises StoreFailed where it can't be reached."""

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """Raises WrongSeal, and StoreFailed where it can't be reached."""


class LocalMasterKey:
    """A master key in memory."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.id = hmac.digest(key, b"llmos master key id", "sha256").hex()[:16]

    def wrap(self, key: bytes, bound_to: bytes) -> bytes:
        return seal(self._key, key, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        return unseal(self._key, wrapped, bound_to)


@dataclass(frozen=True, kw_only=True, slots=True)
class MasterSettings:
    """The settings of the master key: a file, a text, or a key in Vault."""

    path: Path
    text: str | None = None
    """LLMOS_MASTER_KEY."""
    old_text: str | None = None
    """LLMOS_OLD_MASTER_KEY."""
    vault_key: str | None = None
    """LLMOS_VAULT_KEY: MOUNT/NAME."""
    vault_address: str = ""
    vault_token: str = ""
    vault_namespace: str | None = None


class Masters:
    """The master keys that there are. Any thread may use it."""

    def __init__(self, settings: MasterSettings) -> None:
        self._settings = settings
        self._vault: MasterKey | None = None

    @property
    def is_file(self) -> bool:
        return self._settings.vault_key is None and self._settings.text is None

    @property
    def where(self) -> str:
        """The place of the master key, for messages."""
        if self._settings.vault_key is not None:
            return f"Vault's key {self._settings.vault_key} (LLMOS_VAULT_KEY)"
        return str(self._settings.path) if self._settings.text is None else "LLMOS_MASTER_KEY"

    def current(self, *, may_create: bool = False) -> MasterKey | None:
        """Return the key for new wraps; None if the file is missing and may not be created."""
        if self._settings.vault_key is not None:
            return self._in_vault()
        if self._settings.text is not None:
            return LocalMasterKey(_decoded(self._settings.text, "LLMOS_MASTER_KEY"))
        if may_create:
            make_master_file(self._settings.path)
        return _in_file(self._settings.path)

    def find(self, id: str) -> MasterKey:
        """Return the key with this id. Raises StoreFailed, saying what to do, if there is none."""
        for key in self._all():
            if key.id == id:
                return key
        current = self.current()
        problem = f"{self.where} is missing" if current is None else f"{self.where} is another key ({current.id})"
        raise StoreFailed(
            f"The master key {id} is needed to read what is kept, but {problem}. Restore the right one from its backup."
            " If it is lost for good, what is encrypted under it is, too: `llmos encryption discard` deletes that, and"
            " the server starts again."
        )

    def unseal(self, sealed: bytes, bound_to: bytes) -> bytes:
        """Open what an earlier version has sealed under the master key in the file. Raises StoreFailed."""
        key = _in_file(self._settings.path)
        if key is None:
            raise StoreFailed(f"The master key {self._settings.path} is missing. Restore it from its backup.")
        try:
            return key.unwrap(sealed, bound_to)
        except WrongSeal:
            raise StoreFailed(
                f"It was modified, or encrypted under another master key than {self._settings.path}."
            ) from None

    def next(self) -> MasterKey:
        """Return the key that a rotation passes on to: a new one in a file beside the old, or the one that is set."""
        if not self.is_file:
            current = self.current()
            assert current is not None, "it is in the environment or in Vault"
            return current
        make_master_file(self._next_path)
        found = _in_file(self._next_path)
        assert found is not None, "it was made above"
        return found

    def set_aside(self) -> None:
        """Rename a file that is no master key, so that a new one can be made."""
        for path in (self._settings.path, self._next_path):
            try:
                _in_file(path)
            except StoreFailed:
                os.replace(path, path.with_name(f"{path.name}.damaged"))

    def finish(self, active: str) -> None:
        """Put the new file in the old one's place if the ring has passed on to it, after a crash also later."""
        following = _in_file(self._next_path) if self.is_file else None
        if following is not None and following.id == active:
            os.replace(self._next_path, self._settings.path)
            sync_to_disk(self._settings.path.parent)

    @property
    def _next_path(self) -> Path:
        return self._settings.path.with_name(f"{self._settings.path.name}.next")

    def _all(self) -> list[MasterKey]:
        found: list[MasterKey | None] = [self.current(), _in_file(self._settings.path), _in_file(self._next_path)]
        if self._settings.old_text is not None:
            found.append(LocalMasterKey(_decoded(self._settings.old_text, "LLMOS_OLD_MASTER_KEY")))
        return [key for key in found if key is not None]

    def _in_vault(self) -> MasterKey:
        if self._vault is None:
            from llmos.core.encryption.vault import open_vault

            settings = self._settings
            assert settings.vault_key is not None, "the caller has looked"
            self._vault = open_vault(
                settings.vault_key, settings.vault_address, settings.vault_token, settings.vault_namespace
            )
        return self._vault


def make_master_file(path: Path) -> None:
    """Create the file with a new key, unless it exists."""
    if read_key(path) is None:
        make_key(path, b64encode(new_key()).decode())


def unwrap_key(master: MasterKey, wrapped: bytes, bound_to: bytes, what: str) -> bytes:
    """Return a key of the ring. Raises StoreFailed; `what` names the key."""
    try:
        return master.unwrap(wrapped, bound_to)
    except WrongSeal:
        raise StoreFailed(
            f"{what} in the key ring was modified and can't be used. Restore the key ring from its backup."
        ) from None


def _in_file(path: Path) -> MasterKey | None:
    text = read_key(path)
    return None if text is None else LocalMasterKey(_decoded(text, str(path)))


def _decoded(text: str, where: str) -> bytes:
    try:
        key = b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) == KEY_BYTES:
        return key
    if where.startswith("LLMOS_"):
        raise BadRequest(
            f"{where} isn't a master key: it takes 32 bytes in base64, such as the output of: openssl rand -base64 32",
            param=where,
        )
    raise StoreFailed(f"{where} is not a master key: it is damaged. Restore it from its backup.")
