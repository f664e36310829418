"""Signatures of Versions, and the keys that made them."""

from llmos.core.schemas.base import Description


class SignatureDescription(Description, frozen=True, kw_only=True):
    version: str = ""
    key: str = ""
    """The fingerprint of the key that the signature names: the SHA-256 of its PEM. The signature isn't verified."""
    signature: str = ""
    """A sigstore bundle, in JSON."""


class KeyDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    fingerprint: str = ""
    """The SHA-256 of the public key's PEM."""


class SignedDescription(Description, frozen=True, kw_only=True):
    """A Version whose signature was made or verified."""

    version: str = ""
    digest: str = ""
    key: KeyDescription = KeyDescription()
    covers_statement: bool = True
    """True if the signature covers the license, the sampling parameters and the maker. Older signatures don't."""
