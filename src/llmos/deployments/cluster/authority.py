"""The certificate authority of a cluster, and the certificates that it signs. Knows no network.

    LLMOS_HOME/cluster/     at the head                 LLMOS_HOME/node/        on a node
      authority.key         0600                          node.key              0600, made on the node; never sent
      authority.pem                                       node.pem
      head.key, head.pem                                  authority.pem

Names in certificates are not addresses: the head and the nodes are told apart by them, wherever they are.
"""

import hashlib
import re
import ssl
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from llmos.core.clock import Clock, utc_now
from llmos.core.errors import BadRequest, Conflict, StoreFailed
from llmos.security.tls_certificates import write_private

AUTHORITY_VALID_FOR = timedelta(days=3650)

VALID_FOR = timedelta(days=365)
"""Validity of the head's and the nodes' certificates, which they renew; see renewal.py. Membership ends when a node
leaves, not by a date; see nodes.py."""

EARLIER = timedelta(days=1)
"""Certificates are valid this long before they are made: clocks differ."""

NODE_SUFFIX = ".node.llmos.internal"
HEAD_NAME = "head.llmos.internal"

IpAddress: TypeAlias = IPv4Address | IPv6Address

_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?")


class Authority:
    """The key that signs the certificates of a cluster."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key, self.certificate = key, certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate)

    def sign_node(self, request: str, name: str, *, clock: Clock = utc_now) -> str:
        """Return the certificate, PEM, for a node's signing request. Raises BadRequest for one that is none."""
        public_key = read_request(request).public_key()
        assert isinstance(public_key, ec.EllipticCurvePublicKey), "checked by read_request()"
        return self._sign(public_key, f"{name}{NODE_SUFFIX}", clock())

    def make_head(self, folder: Path, *, clock: Clock = utc_now) -> None:
        """Write a key and a certificate for the head into the folder."""
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(folder / "head.key", key_pem(key))
        write_private(folder / "head.pem", self._sign(key.public_key(), HEAD_NAME, clock()).encode())

    def renew_head(self, folder: Path, *, clock: Clock = utc_now) -> None:
        """Write another certificate for the head's key."""
        key = serialization.load_pem_private_key((folder / "head.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey), "make_head() makes no other"
        write_private(folder / "head.pem", self._sign(key.public_key(), HEAD_NAME, clock()).encode())

    def make_certificate(self, address: IpAddress, *, clock: Clock = utc_now) -> tuple[bytes, bytes]:
        """Return a new key and a certificate for an IP address, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        return key_pem(key), self._sign(key.public_key(), address, clock()).encode()

    def _sign(self, public_key: ec.EllipticCurvePublicKey, name: str | IpAddress, now: datetime) -> str:
        general_name = x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            _builder(public_key, now)
            .subject_name(_name(str(name)))
            .issuer_name(self.certificate.subject)
            .add_extension(x509.SubjectAlternativeName([general_name]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def make_authority(folder: Path, *, clock: Clock = utc_now) -> Authority:
    """Make the authority of a new cluster in the folder, and the head's certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("LLMOS cluster")
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    certificate = (
        _builder(key.public_key(), clock(), AUTHORITY_VALID_FOR)
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority = Authority(key, certificate)
    authority.make_head(folder, clock=clock)
    write_private(folder / "authority.pem", authority.pem.encode())
    write_private(folder / "authority.key", key_pem(key))  # Last: with it, the cluster exists.
    return authority


def open_authority(folder: Path) -> Authority:
    """Raises Conflict, with the next command, where there is no cluster, and StoreFailed for a damaged one."""
    try:
        key = serialization.load_pem_private_key((folder / "authority.key").read_bytes(), None)
        certificate = x509.load_pem_x509_certificate((folder / "authority.pem").read_bytes())
    except FileNotFoundError:
        raise Conflict("This installation has no cluster. Make one: llmos cluster init") from None
    except (OSError, ValueError) as error:
        raise StoreFailed(f"The authority of the cluster in {folder} can't be read: {error}") from None
    assert isinstance(key, ec.EllipticCurvePrivateKey), "make_authority() makes no other"
    return Authority(key, certificate)


def has_authority(folder: Path) -> bool:
    return (folder / "authority.key").exists()


def check_node_name(name: str) -> str:
    """Return the name of a node. Raises BadRequest for one that can't be."""
    if not _NODE_NAME.fullmatch(name) or name in ("nodes", "ray"):
        raise BadRequest(
            f"{name[:80]!r} can't be the name of a node: it takes 1 to 48 lower-case letters, digits and hyphens, and"
            " neither begins nor ends with a hyphen; `nodes` means all of them, and `ray` those of Ray. Choose another:"
            " --name NAME",
            param="name",
        )
    return name


def make_request(key_path: Path, name: str) -> str:
    """Return a certificate signing request, PEM. The key is made at the first call, and stays."""
    try:
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    except (FileNotFoundError, ValueError):
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(key_path, key_pem(key))
    assert isinstance(key, ec.EllipticCurvePrivateKey), "made above"
    request = x509.CertificateSigningRequestBuilder().subject_name(_name(name)).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def read_request(pem: str) -> x509.CertificateSigningRequest:
    """Raises BadRequest for what is no signing request, or has no key of the kind that nodes have."""
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        is_signed = request.is_signature_valid
    except (ValueError, TypeError) as error:
        raise BadRequest(f"The node's signing request can't be read: {error}") from None
    public_key = request.public_key()
    if not is_signed or not isinstance(public_key, ec.EllipticCurvePublicKey) or public_key.key_size != 256:
        raise BadRequest("The node's signing request is not signed by a key on the curve P-256.")
    return request


def key_digest_of_request(pem: str) -> str:
    return _key_digest(read_request(pem).public_key())


def key_digest_of_certificate(der: bytes) -> str:
    return _key_digest(x509.load_der_x509_certificate(der).public_key())


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate, hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def is_issued_by(leaf_der: bytes, authority: x509.Certificate, name: str) -> bool:
    """Return whether a certificate is signed by the authority, for this name."""
    leaf = x509.load_der_x509_certificate(leaf_der)
    try:
        leaf.verify_directly_issued_by(authority)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return name in names.get_values_for_type(x509.DNSName)


def server_context(folder: Path, name: str, *, requires_certificate: bool) -> ssl.SSLContext:
    """Return the context of a port. `folder` has NAME.pem, NAME.key and authority.pem.

    A certificate of another authority ends the handshake. `requires_certificate`: none does, too.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED if requires_certificate else ssl.CERT_OPTIONAL
    return _finished(context, folder, name)


def client_context(folder: Path, name: str) -> ssl.SSLContext:
    """Return the context of connections to a port of the cluster; give the name of its owner as `server_hostname`."""
    return _finished(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), folder, name)


def unverified_context() -> ssl.SSLContext:
    """Return the context of the first connection to a head. joining.py compares its authority with the token."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _finished(context: ssl.SSLContext, folder: Path, name: str) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        context.load_verify_locations(folder / "authority.pem")
    except (OSError, ssl.SSLError) as error:
        raise StoreFailed(f"The certificates in {folder} can't be used: {error}") from None
    return context


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(
    public_key: ec.EllipticCurvePublicKey, now: datetime, valid_for: timedelta = VALID_FOR
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + valid_for)
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_digest(public_key: object) -> str:
    assert isinstance(public_key, ec.EllipticCurvePublicKey), "the authority signs no others"
    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()
