"""The server's signing key: Ed25519, in a file of its own, created with the first signature.

A signed document is a JSON object. Its field `key` names the key, and `signature` is the signature, in base64, of the
canonical JSON (RFC 8785) of all other fields.
"""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.core.canonical import canonical
from llmos.core.errors import BadRequest, StoreFailed
from llmos.core.key_file import make_key, read_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "signature"
_ID_DIGITS = 32


class PublicKey:
    """An Ed25519 public key."""

    def __init__(self, key: "Ed25519PublicKey") -> None:
        self._key = key
        self.id = f"ed25519:{hashlib.sha256(key.public_bytes_raw()).hexdigest()[:_ID_DIGITS]}"
        """The name of the key in documents: digits of the SHA-256 of its 32 bytes."""

    @property
    def pem(self) -> str:
        """SubjectPublicKeyInfo."""
        from cryptography.hazmat.primitives import serialization

        encoding, format = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_bytes(encoding, format).decode()

    def has_signed(self, document: Mapping[str, Any]) -> bool:
        """Return whether the document's signature is by this key, and for what the document says now."""
        from cryptography.exceptions import InvalidSignature

        try:
            signature = b64decode(str(document.get(SIGNATURE, "")), validate=True)
            self._key.verify(signature, _signed_part(document))
        except (InvalidSignature, ValueError, BadRequest):
            return False
        return True


class SigningKey:
    """The private key in a file. Any thread and any process may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._key: Ed25519PrivateKey | None = None
        self._public: PublicKey | None = None

    @property
    def public(self) -> PublicKey:
        """The public half. Creates the key if it is missing."""
        if self._public is None:
            self._public = PublicKey(self._private().public_key())
        return self._public

    def sign(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the document with `key` and `signature`."""
        signed = {name: value for name, value in document.items() if name != SIGNATURE} | {"key": self.public.id}
        signed[SIGNATURE] = self._signature(canonical(signed))
        return signed

    def sign_as_text(self, document: Mapping[str, Any]) -> str:
        """Return the canonical JSON of what sign() returns. Writes each member once."""
        members = {name: value for name, value in document.items() if name != SIGNATURE} | {"key": self.public.id}
        before = canonical({name: value for name, value in members.items() if name < SIGNATURE})[1:-1]
        after = canonical({name: value for name, value in members.items() if name > SIGNATURE})[1:-1]
        signature = self._signature(_object_of(before, after))
        return _object_of(before, f'"{SIGNATURE}":"{signature}"'.encode(), after).decode()

    def _signature(self, text: bytes) -> str:
        return b64encode(self._private().sign(text)).decode()

    def _private(self) -> "Ed25519PrivateKey":
        if self._key is None:
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

            text = read_key(self.path) or make_key(self.path, _new_pem())
            try:
                key = serialization.load_pem_private_key(text.encode(), None)
            except (ValueError, TypeError):
                key = None
            if not isinstance(key, Ed25519PrivateKey):
                raise StoreFailed(
                    f"{self.path} is not an Ed25519 key. Restore the right file; or delete it, and a new key is made:"
                    " keep the public half of the old one to verify what it has signed."
                )
            self._key = key
        return self._key


def read_public_key(path: Path) -> PublicKey:
    """Return the public key in a PEM file. Raises BadRequest for another file."""
    try:
        key = parse_public_key(path.read_bytes())
    except OSError as error:
        raise BadRequest(f"The key {path} can't be read: {error.strerror}.", param="key") from None
    if key is None:
        raise BadRequest(
            f"{path} is not an Ed25519 public key in PEM. Get that of the server there: llmos receipt key", param="key"
        )
    return key


def parse_public_key(pem: bytes) -> PublicKey | None:
    """Return the public key in a PEM text, or None where there is none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return PublicKey(key) if isinstance(key, Ed25519PublicKey) else None


def signer_of(document: Mapping[str, Any], keys: Sequence[PublicKey]) -> PublicKey | None:
    """Return the key that the document names, or None if it isn't one of these."""
    return next((key for key in keys if key.id == document.get("key")), None)


def _signed_part(document: Mapping[str, Any]) -> bytes:
    return canonical({name: value for name, value in document.items() if name != SIGNATURE})


def _object_of(*members: bytes) -> bytes:
    """Return a JSON object out of members that are written and in order."""
    return b"{" + b",".join(each for each in members if each) + b"}"


def _new_pem() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    encoding, format = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return Ed25519PrivateKey.generate().private_bytes(encoding, format, serialization.NoEncryption()).decode().strip()
