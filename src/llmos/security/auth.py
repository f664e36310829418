"""The owner's key: created once, readable only by the owner, compared in constant time."""

import hmac
import re
import secrets
import shlex
from collections.abc import Mapping

from llmos.core.config import Settings
from llmos.core.errors import BadRequest, Conflict, Unauthenticated
from llmos.core.home import make_private_home
from llmos.core.key_file import make_key, read_key
from llmos.core.server_proof import prove
from llmos.security.callers import Caller, owner

_SENDABLE = re.compile(r"[!-~]+")
"""Keys that an HTTP header can carry."""

MIN_KEY_CHARACTERS = 16
"""Anybody who reaches the port may try keys, and a proof of the key lets them try at home."""


class OwnerKey:
    """The owner's key, which needs no database: it works whatever becomes of the other keys."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def is_it(self, presented: str) -> bool:
        return hmac.compare_digest(presented.encode(errors="replace"), self._key)

    def check(self, presented: str | None) -> Caller:
        """Return the caller that the key belongs to. Raises Unauthenticated unless `presented` is the owner's key."""
        if not presented:
            raise Unauthenticated(
                "The request has no API key. Send the header `Authorization: Bearer KEY` (or `x-api-key: KEY`, or "
                "`api-key: KEY`); "
                "the owner's key is in LLMOS_HOME/keys/owner on the server."
            )
        if not self.is_it(presented):
            raise Unauthenticated(
                "The API key is neither the owner's key of this server nor one that was created on it. "
                "The owner's key is in LLMOS_HOME/keys/owner on the server; set LLMOS_API_KEY to it."
            )
        return owner()

    def prove(self, challenge: str, port: int) -> str:
        """Return the proof, for a client on this machine, that this server has the key. See core.server_proof."""
        return prove(self._key.decode(), challenge, port)


def open_owner_key(settings: Settings) -> OwnerKey:
    """Return the owner's key: LLMOS_OWNER_KEY if it is set, else the one on disk, which is created if missing.

    The file always has the valid key, for the CLI and the client on this machine. Processes that start at the same time
    agree on one key. Raises BadRequest for a key that is short or that an HTTP header can't carry, and Conflict where
    LLMOS_OWNER_KEY isn't the key on disk, which is never replaced.
    """
    make_private_home(settings.home)
    path, chosen = settings.owner_key_path, settings.owner_key
    if chosen is not None:
        _check(chosen, "LLMOS_OWNER_KEY")
    key = read_key(path) or make_key(path, chosen or f"llmos-{secrets.token_urlsafe(32)}")
    if chosen is not None and key != chosen:
        raise Conflict(
            f"LLMOS_OWNER_KEY is another key than the one in {path}, which programs may be using. To keep that one,"
            f" unset LLMOS_OWNER_KEY. To replace it, run: rm {shlex.quote(str(path))}",
            param="LLMOS_OWNER_KEY",
        )
    _check(key, str(path))
    return OwnerKey(key)


def presented_key(headers: Mapping[str, str]) -> str | None:
    """Return the key in these headers, or None. Raises Unauthenticated for a scheme other than Bearer.

    OpenAI's clients send `authorization`, Anthropic's `x-api-key`, Azure's `api-key`.
    """
    authorization = headers.get("authorization")
    if authorization is None:
        return headers.get("x-api-key") or headers.get("api-key")
    scheme, _, key = authorization.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("The Authorization header must read `Bearer KEY`.")
    return key.strip()


def _check(key: str, where: str) -> None:
    if len(key) < MIN_KEY_CHARACTERS:
        raise BadRequest(
            f"The key in {where} has {len(key)} characters; use at least {MIN_KEY_CHARACTERS}, such as the output of:"
            " openssl rand -hex 32",
            param="LLMOS_OWNER_KEY",
        )
    if not _SENDABLE.fullmatch(key):
        raise BadRequest(
            f"The key in {where} can't be sent in an HTTP header: use printable ASCII characters without spaces.",
            param="LLMOS_OWNER_KEY",
        )
