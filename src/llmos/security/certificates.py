"""CertificateKey: the Ed25519 key that signs certificates of erasures, in a file of LLMOS_HOME/keys."""

from base64 import b64decode, b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from llmos.core.errors import BadRequest, StoreFailed
from llmos.core.key_file import make_key, read_key
from llmos.core.schemas.erasures import ErasureCertificate

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class CertificateKey:
    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def public_key(self) -> str:
        """The public key in base64. Makes the key if it is missing."""
        return b64encode(self._private_key().public_key().public_bytes_raw()).decode()

    def sign(self, certificate: ErasureCertificate) -> ErasureCertificate:
        """Return the certificate with the public key and the signature."""
        named = msgspec.structs.replace(certificate, public_key=self.public_key, signature="")
        signature = self._private_key().sign(signed_bytes(named))
        return msgspec.structs.replace(named, signature=b64encode(signature).decode())

    def _private_key(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        text = read_key(self._path)
        if text is None:
            fresh = Ed25519PrivateKey.generate().private_bytes_raw()
            text = make_key(self._path, b64encode(fresh).decode())
        try:
            return Ed25519PrivateKey.from_private_bytes(b64decode(text, validate=True))
        except ValueError:
            raise StoreFailed(
                f"{self._path} is no key that signs certificates. Restore it from its backup; or delete it, after which"
                " a new one is made, and older certificates name another key."
            ) from None


def check_signature(certificate: ErasureCertificate) -> None:
    """Raise BadRequest unless the certificate is signed by the key that it names."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(b64decode(certificate.public_key, validate=True))
        key.verify(b64decode(certificate.signature, validate=True), signed_bytes(certificate))
    except (InvalidSignature, ValueError):
        raise BadRequest("The certificate was changed after it was signed, or is none.") from None


def signed_bytes(certificate: ErasureCertificate) -> bytes:
    """Return what the signature is over."""
    fields = {name: value for name, value in certificate.raw.items() if name != "signature"}
    return msgspec.json.encode(msgspec.to_builtins(fields), order="sorted")
