"""AES-256-GCM with random nonces: nonce, ciphertext and tag in one piece of bytes."""

import os

KEY_BYTES = 32
NONCE_BYTES = 12
OVERHEAD_BYTES = NONCE_BYTES + 16
"""Bytes of the nonce and the tag, by which a sealed text is longer than the plain one."""


class WrongSeal(Exception):
    """The bytes were modified, belong elsewhere, or were sealed under another key."""


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def seal(key: bytes, plain: bytes, bound_to: bytes) -> bytes:
    """Return the encrypted bytes, different ones each time. Only the same `bound_to` opens them."""
    # cryptography takes long to import, and most commands need none of it.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to)


def unseal(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """Return the plain bytes. Raises WrongSeal."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(sealed) < OVERHEAD_BYTES:
        raise WrongSeal
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
    except InvalidTag:
        raise WrongSeal from None
