"""Guardrails that ask a service over HTTP: what is sent, what an answer may be, and where is connected to."""

import gc
import ipaddress
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from llmos.core.addresses import refusal
from llmos.core.errors import BadRequest, PromptBlocked
from llmos.security.guardrails.policy import open_policy
from llmos.security.guardrails.screening import Screening
from support.http_services import Answer, as_json, serving

pytestmark = pytest.mark.usefixtures("one_certificate")


@pytest.fixture(scope="module", autouse=True)
def few_objects() -> None:
    """Let the collection after each test look at the objects of these tests only: all take a hundred times as long."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Connections are closed when their guardrail goes."""
    yield
    gc.collect()


def screening(url: str, side: str = "input", **fields: Any) -> Screening:
    entry = {"guardrail": "webhook", "url": url, "allow_private": True, **fields}
    return Screening([open_policy("outside", 1, {side: [entry]})])


def find_zanzibar(body: Any) -> Answer:
    return as_json(
        {
            "hits": [
                {"rule": "zanzibar", "text": i, "begin": text.index("Zanzibar"), "end": text.index("Zanzibar") + 8}
                for i, text in enumerate(body["texts"])
                if "Zanzibar" in text
            ]
        }
    )


def test_all_texts_of_a_prompt_are_sent_at_once_and_hits_are_masked() -> None:
    with serving(find_zanzibar) as service:
        screened = screening(service.url, action="mask")
        assert screened.screen_prompt(["Hello", "Über Zanzibar!"]) == ["Hello", "Über [ZANZIBAR]!"]
        ((headers, body),) = service.requests
        assert body == {"side": "input", "texts": ["Hello", "Über Zanzibar!"], "before": ""}
        assert headers["host"] == f"127.0.0.1:{service.port}"
        with pytest.raises(PromptBlocked, match="found zanzibar"):
            screening(service.url).screen_prompt(["Zanzibar"])


def test_a_hit_without_an_end_is_the_whole_text() -> None:
    with serving(lambda _: as_json({"hits": [{"rule": "bad"}]})) as service:
        assert screening(service.url, action="mask").screen_prompt(["Hello there"]) == ["[BAD]"]


def test_hits_that_overlap_hide_everything_that_they_cover() -> None:
    hits = [{"rule": "one", "begin": 0, "end": 4}, {"rule": "two", "begin": 2, "end": 6}]
    with serving(lambda _: as_json({"hits": hits})) as service:
        assert screening(service.url, action="mask").screen_prompt(["abcdefgh"]) == ["[ONE][TWO]gh"]


def test_an_answer_is_sent_in_pieces_with_the_piece_before() -> None:
    with serving(find_zanzibar) as service:
        channel = screening(service.url, "output", characters=12).open_channel()
        assert channel.push("It is the ") == ""
        assert channel.push("end. Zanzibar") == "It is the en"
        assert channel.finish() == "d. "
        assert channel.is_blocked
        assert [body for _, body in service.requests] == [
            {"side": "output", "texts": ["It is the en"], "before": ""},
            {"side": "output", "texts": ["d. Zanzibar"], "before": "It is the en"},
        ]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((302, {"Location": "/elsewhere"}, b""), "Redirects aren't followed"),
        ((500, {}, b""), "the status 500"),
        ((200, {}, b"yes"), "is no verdict"),
        (as_json({}), "is no verdict"),
        (as_json({"hits": [{"rule": "Bad rule!"}]}), "is no verdict"),
        (as_json({"hits": [{"rule": "bad", "text": 7}]}), "outside of the texts"),
        (as_json({"hits": [{"rule": "bad", "begin": 3, "end": 2}]}), "outside of the texts"),
        (as_json({"hits": [], "more": "x" * 1024 * 1024}), "is longer than"),
    ],
)
def test_an_answer_that_is_no_verdict_blocks_unless_the_policy_is_open(
    answer: Answer, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(lambda _: answer) as service:
        with pytest.raises(PromptBlocked, match="failed, and what it can't screen is blocked"):
            screening(service.url).screen_prompt(["Hello secret"])
        assert why in caplog.text
        assert "secret" not in caplog.text
        passing = screening(service.url, fail_closed=False)
        assert passing.screen_prompt(["Hello"]) == ["Hello"]
        assert [(each.rule, each.verdict) for each in passing.findings] == [("failed", "flag")]


def test_a_service_that_is_gone_blocks_and_text_that_was_held_passes_if_the_policy_is_open() -> None:
    with serving(find_zanzibar) as service:
        url = service.url
    with pytest.raises(PromptBlocked, match="failed"):
        screening(url).screen_prompt(["Hello"])
    channel = screening(url, "output", fail_closed=False, characters=5).open_channel()
    assert channel.push("Hello there") + channel.finish() == "Hello there"


def test_a_service_that_takes_longer_than_its_budget_blocks() -> None:
    done = threading.Event()

    def answer(_: Any) -> Answer:
        done.wait(30)
        return as_json({"hits": []})

    with serving(answer) as service:
        try:
            with pytest.raises(PromptBlocked, match="in its time"):
                screening(service.url, budget_ms=50).screen_prompt(["Hello"])
        finally:
            done.set()


def test_the_token_comes_from_a_variable_that_is_meant_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_WEBHOOK_TOKEN", "abc123")
    with serving(find_zanzibar) as service:
        screening(service.url, token_env="LLMOS_WEBHOOK_TOKEN").screen_prompt(["Hello"])
        assert service.requests[0][0]["authorization"] == "Bearer abc123"
    with pytest.raises(BadRequest, match="begins with LLMOS_WEBHOOK_"):
        screening(service.url, token_env="LLMOS_OWNER_KEY")
    with pytest.raises(BadRequest, match="LLMOS_WEBHOOK_OTHER of the server has no token"):
        screening(service.url, token_env="LLMOS_WEBHOOK_OTHER")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com/", "such as https://"),
        ("https:///x", "such as https://"),
        ("http://example.com/", "unencrypted"),
        ("https://me:pass@example.com/", "has a password"),
        ("https://[::", "can't be read"),
    ],
)
def test_a_url_that_no_prompt_should_be_sent_to_is_refused(url: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        screening(url, allow_private=False)


@pytest.mark.parametrize(
    ("address", "is_allowed", "is_allowed_if_private"),
    [
        ("93.184.216.34", True, True),
        ("2606:2800:220:1::1", True, True),
        ("127.0.0.1", False, True),
        ("10.1.2.3", False, True),
        ("::1", False, True),
        ("fd12::1", False, True),
        ("::ffff:10.1.2.3", False, True),
        ("100.64.0.1", False, False),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("2002:a9fe:a9fe::1", False, False),
        ("fd00:ec2::254", False, False),
        ("100.100.100.200", False, False),
        ("fe80::1", False, False),
        ("0.0.0.0", False, False),
        ("224.0.0.1", False, False),
    ],
)
def test_private_and_metadata_addresses_are_refused(
    address: str, is_allowed: bool, is_allowed_if_private: bool
) -> None:
    parsed = ipaddress.ip_address(address)
    assert (refusal(parsed, allow_private=False) is None) == is_allowed
    assert (refusal(parsed, allow_private=True) is None) == is_allowed_if_private


def test_a_name_that_leads_inside_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(find_zanzibar) as service:
        give_addresses(monkeypatch, "93.184.216.34", "127.0.0.1")
        with pytest.raises(PromptBlocked):
            screening(f"https://guard.test:{service.port}/", allow_private=False).screen_prompt(["Hello"])
        assert "guard.test has the address 127.0.0.1, which is private" in caplog.text
        assert service.requests == []


def test_the_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = write_certificate(tmp_path, "guard.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with serving(find_zanzibar, certificate=certificate) as service:
        looked_up = give_addresses(monkeypatch, "127.0.0.1")
        screened = screening(f"https://guard.test:{service.port}/")
        assert screened.screen_prompt(["Hello"]) == ["Hello"]
        assert looked_up.count("guard.test") == 1, "the name is looked up once, so that it can't lead elsewhere"
        assert service.server_names == ["guard.test"]
        assert service.requests[0][0]["host"] == f"guard.test:{service.port}"
        # The next request looks the name up again. It leads to the metadata of the cloud now.
        give_addresses(monkeypatch, "169.254.169.254")
        with pytest.raises(PromptBlocked):
            screened.screen_prompt(["Hello"])
        assert "link-local or one of a cloud's metadata" in caplog.text
        assert len(service.requests) == 1


def test_a_certificate_of_another_name_is_not_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path, "other.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with serving(find_zanzibar, certificate=certificate) as service:
        give_addresses(monkeypatch, "127.0.0.1")
        with pytest.raises(PromptBlocked):
            screening(f"https://guard.test:{service.port}/").screen_prompt(["Hello"])
        assert service.requests == []


def give_addresses(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Make guard.test lead to these addresses. Return the list of what is looked up."""
    looked_up: list[str] = []
    real = _GETADDRINFO

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        looked_up.append(host if isinstance(host, str) else host.decode())
        if looked_up[-1] != "guard.test":
            return real(host, port, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return looked_up


_GETADDRINFO = socket.getaddrinfo


def write_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "service.pem", folder / "service.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
