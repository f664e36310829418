"""The public keys whose signatures this installation trusts: one file each in LLMOS_HOME/keys/trusted.

They are not in the database, so write access to the database is not enough to make a version trusted.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.names import check_name
from llmos.core.suggest import nearest

CURVES = ("secp256r1", "secp384r1", "secp521r1")

HOW_TO_MAKE_ONE = "Make one with: openssl ecparam -genkey -name prime256v1 -noout -out key.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public key."""

    name: str
    """The name it was added under; for other key files, the file name."""
    fingerprint: str
    """The sha256 of the PEM in hexadecimal, which signatures contain."""
    pem: bytes
    """SubjectPublicKeyInfo."""


class TrustedKeys:
    """The trusted keys in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list(self) -> Sequence[Key]:
        """Return the keys, sorted by name. Raises BadRequest for a file in the folder that is not a key."""
        if not self._folder.is_dir():
            return []
        return [read_key(path, name=path.stem) for path in sorted(self._folder.glob("*.pem"))]

    def add(self, name: str, path: Path) -> Key:
        """Trust the key in a PEM file and return it; of a private key, only the public half is stored.

        Raises BadRequest for an unsuitable file, and Conflict for a name that another key has.
        """
        check_name(name, "a key")
        key = read_key(path, name=name)
        for known in self.list():
            if known.name == name and known.fingerprint != key.fingerprint:
                raise Conflict(f"Another key has the name {name}. Remove it first: llmos trust rm {name}", param="name")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._folder / f".{name}.{os.getpid()}"
        temporary.write_bytes(key.pem)
        temporary.replace(self._folder / f"{name}.pem")
        return key

    def remove(self, name: str) -> None:
        """Stop trusting a key. Raises NotFound with similar names."""
        known = [key.name for key in self.list()]
        if name not in known:
            similar = nearest(name, known) or known
            hint = f"Trusted keys: {', '.join(similar)}." if similar else "Add one with: llmos trust add NAME FILE"
            raise NotFound(f"There is no trusted key {name[:80]!r}. {hint}", param="name")
        (self._folder / f"{name}.pem").unlink()


def read_key(path: Path, name: str | None = None) -> Key:
    """Return the public key in a PEM file, which may also be the private key. Raises BadRequest for other files."""
    content = _read(path)
    public = _private_key(path, content).public_key() if b"PRIVATE KEY" in content else _public_key(path, content)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Key(name=name or path.name, fingerprint=hashlib.sha256(pem).hexdigest(), pem=pem)


def check_signing_key(path: Path) -> Key:
    """Return the public half of the private key in a PEM file. Raises BadRequest for other files."""
    content = _read(path)
    if b"PRIVATE KEY" not in content:
        raise BadRequest(f"{path} is not a private key. {HOW_TO_MAKE_ONE}", param="key")
    return read_key(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadRequest(f"The key {path} can't be read: {error.strerror}. {HOW_TO_MAKE_ONE}", param="key") from None


def _private_key(path: Path, content: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(content, None)
    except TypeError:
        raise BadRequest(
            f"{path} is encrypted with a password. Decrypt a copy of it first: openssl ec -in {path} -out unlocked.pem",
            param="key",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadRequest(f"{path} is not a key in PEM format. {HOW_TO_MAKE_ONE}", param="key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise _wrong_kind(path)
    return key


def _public_key(path: Path, content: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise BadRequest(f"{path} is not a key in PEM format. {HOW_TO_MAKE_ONE}", param="key") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise _wrong_kind(path)
    return key


def _wrong_kind(path: Path) -> BadRequest:
    return BadRequest(
        f"{path} is a key of another type. Signing needs one on the curve P-256, P-384 or P-521. {HOW_TO_MAKE_ONE}",
        param="key",
    )
