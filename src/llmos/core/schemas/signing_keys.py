"""The public key for verifying a server's signatures."""

from llmos.core.schemas.base import Description


class SigningKeyDescription(Description, frozen=True, kw_only=True):
    id: str = ""
    """The name of the key in receipts and checkpoints."""
    algorithm: str = "Ed25519"
    pem: str = ""
    """The public key, as SubjectPublicKeyInfo in PEM."""
