"""The keys whose signatures this installation believes: public keys in LLMOS_HOME/keys/trusted, a file each.

On this machine's disk and not in the database: whoever can write a version's row must not be able to vouch for it, too.
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
from llmos.core.suggest import nearest
from llmos.models.names import check_name

CURVES = ("secp256r1", "secp384r1", "secp521r1")

_HOW_TO_MAKE_ONE = "Make one with: openssl ecparam -genkey -name prime256v1 -noout -out key.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public key."""

    name: str
    """What the owner calls it; of a file that was named, the file's name."""
    fingerprint: str
    """sha256 of its PEM, in hexadecimal: what signatures name it by."""
    pem: bytes


class TrustedKeys:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list(self) -> Sequence[Key]:
        """By name. Raises BadRequest for a file in the folder that holds no key."""
        if not self._folder.is_dir():
            return []
        return [read_key(path, name=path.stem) for path in sorted(self._folder.glob("*.pem"))]

    def add(self, name: str, path: Path) -> Key:
        """Believe the key in a PEM file from now on; of a private key the public half is kept. Raises BadRequest for a
        file that holds none that signs, and Conflict for a name that another key has."""
        check_name(name, "a key")
        key = read_key(path, name=name)
        for known in self.list():
            if known.name == name and known.fingerprint != key.fingerprint:
                raise Conflict(f"{name} is another key. Remove it first: llmos trust rm {name}", param="name")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self._folder / f".{name}.{os.getpid()}"
        beside.write_bytes(key.pem)
        beside.replace(self._folder / f"{name}.pem")
        return key

    def remove(self, name: str) -> None:
        """Believe it no more. Raises NotFound, with the nearest names."""
        known = [key.name for key in self.list()]
        if name not in known:
            meant = nearest(name, known) or known
            hint = f"There is {', '.join(meant)}." if meant else "There is none yet: llmos trust add NAME FILE"
            raise NotFound(f"No key {name[:80]!r} is trusted. {hint}", param="name")
        (self._folder / f"{name}.pem").unlink()


def read_key(path: Path, name: str | None = None) -> Key:
    """Return the public key of a PEM file that holds it or its private key. Raises BadRequest for anything else."""
    content = _read(path)
    public = _private_key(path, content).public_key() if b"PRIVATE KEY" in content else _public_key(path, content)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Key(name=name or path.name, fingerprint=hashlib.sha256(pem).hexdigest(), pem=pem)


def check_signing_key(path: Path) -> Key:
    """Return the public half of a private key that can sign. Raises BadRequest for anything else."""
    content = _read(path)
    if b"PRIVATE KEY" not in content:
        raise BadRequest(f"{path} holds no private key. {_HOW_TO_MAKE_ONE}", param="key")
    return read_key(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadRequest(f"The key {path} can't be read: {error.strerror}. {_HOW_TO_MAKE_ONE}", param="key") from None


def _private_key(path: Path, content: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(content, None)
    except TypeError:
        raise BadRequest(
            f"{path} is locked with a password. Unlock a copy of it first: openssl ec -in {path} -out unlocked.pem",
            param="key",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadRequest(f"{path} is no key in PEM. {_HOW_TO_MAKE_ONE}", param="key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise _wrong_kind(path)
    return key


def _public_key(path: Path, content: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise BadRequest(f"{path} is no key in PEM. {_HOW_TO_MAKE_ONE}", param="key") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise _wrong_kind(path)
    return key


def _wrong_kind(path: Path) -> BadRequest:
    return BadRequest(
        f"{path} holds a key of another kind; what signs is one on the curve P-256, P-384 or P-521. {_HOW_TO_MAKE_ONE}",
        param="key",
    )
