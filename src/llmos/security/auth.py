"""The owner's key: made once, kept where only the owner can read it, compared in constant time."""

import hmac
import os
import re
import secrets
from pathlib import Path

from llmos.core.config import Settings
from llmos.core.errors import BadRequest, Unauthenticated

_SENDABLE = re.compile(r"[!-~]+")
"""What an HTTP header can carry as one word."""


OWNER = "owner"
"""The one tenant that there is."""


class OwnerKey:
    """The one credential that opens this installation."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def check(self, presented: str | None) -> str:
        """Return the tenant whose key this is. Raises Unauthenticated unless `presented` is the owner's key."""
        if not presented:
            raise Unauthenticated(
                "No API key came with the request. Send the header `Authorization: Bearer KEY` (or `x-api-key: KEY`); "
                "the owner's key is in LLMOS_HOME/keys/owner on the machine that serves."
            )
        if not hmac.compare_digest(presented.encode(errors="replace"), self._key):
            raise Unauthenticated(
                "The API key is not the owner's key of this server. "
                "It is in LLMOS_HOME/keys/owner on the machine that serves; set LLMOS_API_KEY to it."
            )
        return OWNER


def open_owner_key(settings: Settings) -> OwnerKey:
    """Return the owner's key: LLMOS_OWNER_KEY where it is set, else the one on disk, made now if there is none.

    The file always holds the key that counts, so that the CLI and the Client on this machine find it.
    Raises BadRequest for a key that no header can carry. Two programs that start at once agree on one key.
    """
    path = settings.owner_key_path
    if settings.owner_key is not None:
        _check_sendable(settings.owner_key, "LLMOS_OWNER_KEY")
        if _read(path) != settings.owner_key:
            os.replace(_write_beside(path, settings.owner_key), path)
        return OwnerKey(settings.owner_key)
    key = _read(path) or _make(path)
    _check_sendable(key, str(path))
    return OwnerKey(key)


def presented_key(authorization: str | None, x_api_key: str | None) -> str | None:
    """Return the key that these two headers carry. Raises Unauthenticated for a scheme other than Bearer."""
    if authorization is None:
        return x_api_key
    scheme, _, key = authorization.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("The Authorization header must read `Bearer KEY`.")
    return key.strip()


def _check_sendable(key: str, where: str) -> None:
    if not _SENDABLE.fullmatch(key):
        raise BadRequest(
            f"The key in {where} can't be sent in an HTTP header: use printable ASCII characters without spaces.",
            param="LLMOS_OWNER_KEY",
        )


def _read(path: Path) -> str | None:
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)  # Another program loosened it: nobody else may read the key.
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except FileNotFoundError:
        return None


def _make(path: Path) -> str:
    written = _write_beside(path, f"llmos-{secrets.token_urlsafe(32)}")
    try:
        # A link, unlike a rename, fails where another program was quicker.
        os.link(written, path)
    except FileExistsError:
        if not _read(path):
            os.replace(written, path)  # An empty file is left of somebody's accident.
    finally:
        written.unlink(missing_ok=True)
    key = _read(path)
    assert key, "the key was written a moment ago"
    return key


def _write_beside(path: Path, key: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    return beside
