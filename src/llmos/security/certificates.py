"""Certificates of erasures: signed by the key that also signs receipts and the checkpoints of the audit log."""

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.schemas.base import read_description
from llmos.core.schemas.erasures import ErasureCertificate
from llmos.security.signing_key import SigningKey, parse_public_key


def sign_certificate(key: SigningKey, certificate: ErasureCertificate) -> ErasureCertificate:
    """Return the certificate with the public key and the signature."""
    document = msgspec.to_builtins(msgspec.structs.replace(certificate, public_key=key.public.pem))
    return read_description(ErasureCertificate, key.sign(document))


def check_signature(certificate: ErasureCertificate) -> None:
    """Raise BadRequest unless the certificate is signed by the key that it names."""
    key = parse_public_key(certificate.public_key.encode())
    if key is None or key.id != certificate.key or not key.has_signed(certificate.raw):
        raise BadRequest("The certificate was changed after it was signed, or isn't a certificate.")
