"""The certificate that LLMOS makes itself, and what is said of files that no server can use."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from llmos.core.errors import BadRequest
from llmos.security.tls_certificates import RENEW_BEFORE, VALID_FOR, Certificate, check_pair, ensure_self_signed
from support.certificates import write_certificate

HOST = "llm.example.org"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "keys" / "tls.pem", tmp_path / "keys" / "tls.key"


@pytest.fixture
def made(pair: tuple[Path, Path]) -> Certificate:
    return ensure_self_signed(*pair, HOST)


def test_a_self_signed_certificate_is_for_this_machine_and_the_host_it_is_made_for(made: Certificate) -> None:
    assert {"localhost", "127.0.0.1", "::1", HOST} <= made.names
    assert made.expires_at - datetime.now(UTC) > RENEW_BEFORE


def test_only_the_owner_can_read_its_files(pair: tuple[Path, Path], made: Certificate) -> None:
    assert [path.stat().st_mode & 0o777 for path in pair] == [0o600, 0o600]
    assert [path.name for path in pair[0].parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.process
def test_the_fingerprint_is_the_one_that_openssl_prints(pair: tuple[Path, Path], made: Certificate) -> None:
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(pair[0])]
    try:
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("needs openssl")
    assert printed.strip().partition("=")[2] == made.fingerprint


def test_it_stays_the_same_until_it_expires_soon(pair: tuple[Path, Path], made: Certificate) -> None:
    assert ensure_self_signed(*pair, HOST) == made
    assert ensure_self_signed(*pair, "0.0.0.0") == made
    soon = made.expires_at - RENEW_BEFORE + timedelta(seconds=1)
    renewed = ensure_self_signed(*pair, HOST, clock=lambda: soon)
    assert renewed.expires_at == (soon + VALID_FOR).replace(microsecond=0)


def test_it_is_made_anew_for_another_host_and_in_place_of_a_damaged_file(
    pair: tuple[Path, Path], made: Certificate
) -> None:
    other = ensure_self_signed(*pair, "192.0.2.7")
    assert other.fingerprint != made.fingerprint
    assert "192.0.2.7" in other.names
    pair[0].write_text("no certificate")
    assert ensure_self_signed(*pair, HOST).fingerprint != other.fingerprint


def key_with_password(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )


def test_files_that_no_server_can_use_are_refused_with_the_reason(
    pair: tuple[Path, Path], made: Certificate, tmp_path: Path
) -> None:
    certificate, key = pair
    other, with_password, text = tmp_path / "other.pem", tmp_path / "with-password.key", tmp_path / "text"
    write_certificate(other)
    key_with_password(with_password)
    text.write_text("hello")
    missing = tmp_path / "missing"
    for wrong, reason in {
        (missing, key): "can't be read: No such file",
        (certificate, missing): "can't be read: No such file",
        (text, key): "has no certificate in PEM form",
        (certificate, text): "can't be used for TLS",
        (other, key): "doesn't belong to the certificate",
        (certificate, with_password): "has a password",
    }.items():
        with pytest.raises(BadRequest, match=reason):
            check_pair(*wrong)


def test_a_certificate_outside_its_time_is_refused(pair: tuple[Path, Path], made: Certificate) -> None:
    with pytest.raises(BadRequest, match="expired on"):
        check_pair(*pair, clock=lambda: made.expires_at)
    with pytest.raises(BadRequest, match="Check this machine's clock"):
        check_pair(*pair, clock=lambda: made.begins_at - timedelta(seconds=1))
