"""TLS certificates: a self-signed one for this machine, and what is wrong with a pair of files. Knows no server."""

import os
import secrets
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import BadRequest, StoreFailed

VALID_FOR = timedelta(days=397)
"""The longest that browsers accept."""

RENEW_BEFORE = timedelta(days=30)

_WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """The statements of a certificate about itself."""

    fingerprint: str
    """SHA-256, as openssl and browsers print it."""
    expires_at: datetime
    begins_at: datetime
    names: frozenset[str]
    """The host names and IP addresses that it is for."""


def read_certificate(path: Path) -> Certificate:
    """Return the first certificate of a PEM file. Raises BadRequest for a file that is missing or has none."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise BadRequest(f"The certificate {path} can't be read: {error.strerror}.") from None
    except ValueError:
        raise BadRequest(
            f"{path} has no certificate in PEM form. It begins with -----BEGIN CERTIFICATE-----."
        ) from None
    return Certificate(
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        begins_at=certificate.not_valid_before_utc,
        expires_at=certificate.not_valid_after_utc,
        names=_names(certificate),
    )


def check_pair(certificate: Path, key: Path, *, clock: Clock = utc_now) -> Certificate:
    """Return the certificate of two PEM files that a server can use. Raises BadRequest saying what is wrong with them:
    missing, not PEM, a key with a password, not belonging together, expired, not valid yet."""
    found = read_certificate(certificate)
    try:
        key.read_bytes()
    except OSError as error:
        raise BadRequest(f"The key {key} can't be read: {error.strerror}.") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except _HasPassword:
        raise BadRequest(f"The key {key} has a password. Write one without: openssl pkey -in {key} -out NEW") from None
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            raise BadRequest(f"The key {key} doesn't belong to the certificate {certificate}.") from None
        reason = (error.reason or "no PEM").lower().replace("_", " ")
        raise BadRequest(
            f"{certificate} and {key} can't be used for TLS: {reason}. Both must be in PEM form."
        ) from None
    now = clock()
    if found.expires_at <= now:
        raise BadRequest(f"The certificate {certificate} expired on {found.expires_at:%Y-%m-%d}. Renew it.")
    if found.begins_at > now:
        raise BadRequest(
            f"The certificate {certificate} is valid from {found.begins_at:%Y-%m-%d %H:%M} UTC on. Check this"
            " machine's clock."
        )
    return found


def ensure_self_signed(certificate: Path, key: Path, host: str, *, clock: Clock = utc_now) -> Certificate:
    """Return the self-signed certificate of these files.

    Makes it anew if it is missing, damaged, not for `host`, or expires within RENEW_BEFORE.
    """
    try:
        found = check_pair(certificate, key, clock=clock)
        is_for_host = host in _WILDCARDS or host in found.names
        if is_for_host and found.expires_at - clock() > RENEW_BEFORE:
            return found
    except BadRequest:
        pass  # It is made below.
    _write_self_signed(certificate, key, _names_of_this_machine(host), clock())
    return check_pair(certificate, key, clock=clock)


def _write_self_signed(certificate: Path, key: Path, names: Sequence[str], now: datetime) -> None:
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "LLMOS, self-signed")])
    public = secret.public_key()
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # Clocks of clients may be slow.
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in names]), critical=False)
        # It signs nothing else: whoever trusts it trusts this server alone.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(secret, hashes.SHA256())
    )
    pem = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        write_private(key, pem)
        write_private(certificate, signed.public_bytes(serialization.Encoding.PEM))
    except OSError as error:
        raise StoreFailed(f"The certificate {certificate} can't be written: {error.strerror}.") from error


def write_private(path: Path, content: bytes) -> None:
    """Replace the file, which only its owner can read, at once."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _names(certificate: x509.Certificate) -> frozenset[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    addresses = names.get_values_for_type(x509.IPAddress)
    return frozenset(names.get_values_for_type(x509.DNSName)) | {str(each) for each in addresses}


def _names_of_this_machine(host: str) -> list[str]:
    """Return the names and addresses that clients may use for this machine, as far as it knows them itself."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn()]
    if host not in _WILDCARDS:
        names.append(host)
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        # Connecting a UDP socket sends nothing; it only chooses the address that packets would be sent from.
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((far, 9))
                names.append(probe.getsockname()[0])
        except OSError:
            continue
    return list(dict.fromkeys(name for name in names if name and _is_usable(name)))


def _is_usable(name: str) -> bool:
    return name.isascii() and "%" not in name and len(name) <= 253


def _general_name(name: str) -> x509.GeneralName:
    address: IPv4Address | IPv6Address
    try:
        address = ip_address(name)
    except ValueError:
        return x509.DNSName(name)
    return x509.IPAddress(address)


class _HasPassword(Exception):
    pass


def _refuse_password() -> str:
    raise _HasPassword
