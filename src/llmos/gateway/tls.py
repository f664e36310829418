"""Tls: the certificate that a server shows, and how it is read again. The files: security/tls_certificates.py."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from llmos.core.config import Settings
from llmos.core.errors import BadRequest
from llmos.security.tls_certificates import Certificate, check_pair, ensure_self_signed


@dataclass(kw_only=True, slots=True)
class Tls:
    certificate_path: Path
    is_self_signed: bool
    """True if LLMOS made the certificate itself."""
    certificate: Certificate
    context: ssl.SSLContext
    _find: Callable[[], Certificate] = field(repr=False)
    _key_path: Path = field(repr=False)

    def reload(self) -> Certificate:
        """Read the files again, for new connections. Raises BadRequest for wrong ones and keeps the old."""
        self.certificate = self._find()  # Checks the pair before the running server uses it.
        self.context.load_cert_chain(self.certificate_path, self._key_path)
        return self.certificate


def open_tls(settings: Settings, host: str) -> Tls | None:
    """Return how a server on `host` uses TLS by the settings; None for plain HTTP.

    Raises BadRequest for files that can't be used, and for settings that contradict each other.
    """
    certificate, key = settings.tls_cert, settings.tls_key
    if settings.tls_self_signed and (certificate or key):
        raise BadRequest("--tls-self-signed and --tls-cert exclude each other. Leave one out.", param="tls_self_signed")
    if (certificate is None) != (key is None):
        missing, given = ("--tls-key", "--tls-cert") if key is None else ("--tls-cert", "--tls-key")
        raise BadRequest(f"{given} needs {missing}, too: the certificate and its key.", param="tls_cert")
    if settings.tls_self_signed:
        certificate, key = settings.self_signed_certificate_path, settings.self_signed_key_path
    if certificate is None or key is None:
        return None
    pair = certificate, key

    def find() -> Certificate:
        return ensure_self_signed(*pair, host) if settings.tls_self_signed else check_pair(*pair)

    found = find()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # With TLS 1.2, forward secrecy and authenticated encryption only. TLS 1.3 has nothing else.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return Tls(
        certificate_path=certificate,
        is_self_signed=settings.tls_self_signed,
        certificate=found,
        context=context,
        _find=find,
        _key_path=key,
    )
