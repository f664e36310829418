"""The places of the master key: a file, the environment, and Vault over HTTP."""

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llmos.core.database import Database
from llmos.core.encryption.aead import new_key, seal, unseal
from llmos.core.encryption.encryption import Encryption
from llmos.core.encryption.masters import Masters, MasterSettings
from llmos.core.encryption.ring import KeyRing
from llmos.core.errors import BadRequest, StoreFailed

TOKEN = "hvs.the-token"


class Vault(BaseHTTPRequestHandler):
    """The transit engine, as Vault's HTTP API describes it: versions of one key, `llmos`."""

    versions: list[bytes]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        if self.headers.get("X-Vault-Token") != TOKEN:
            self.reply(403, {"errors": ["permission denied"]})
        elif self.path == "/v1/transit/encrypt/llmos":
            sealed = b64encode(seal(self.versions[-1], b64decode(body["plaintext"]), b"")).decode()
            self.reply(200, {"data": {"ciphertext": f"vault:v{len(self.versions)}:{sealed}"}})
        elif self.path == "/v1/transit/decrypt/llmos":
            _, version, sealed = body["ciphertext"].split(":")
            plain = unseal(self.versions[int(version[1:]) - 1], b64decode(sealed), b"")
            self.reply(200, {"data": {"plaintext": b64encode(plain).decode()}})
        elif self.path == "/v1/transit/keys/llmos/rotate":
            self.versions.append(new_key())
            self.reply(200, {"data": {}})
        else:
            self.reply(400, {"errors": ["encryption key not found"]})

    do_PUT = do_POST

    def reply(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def vault() -> Iterator[str]:
    handler = type("OneVault", (Vault,), {"versions": [new_key()]})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'llmos.db'}")
    database.upgrade()
    yield database
    database.close()


def reopen(database: Database, tmp_path: Path, **settings: str) -> Encryption:
    ring = Database(f"sqlite:///{tmp_path / 'keys' / 'ring.db'}")
    masters = Masters(MasterSettings(path=tmp_path / "keys" / "master", **settings))
    encryption = Encryption(database, KeyRing(ring, masters))
    encryption.start()
    return encryption


def keep(encryption: Encryption, id: str, project: str = "acme") -> bytes:
    key = encryption.new_key(id)
    row = encryption.wrap(key, project)
    with encryption._database.transaction() as session:
        session.add(row)
    return key.seal(b"content")


def content(encryption: Encryption, id: str, sealed: bytes) -> bytes:
    key = encryption.find_key(id)
    assert key is not None
    return key.open(sealed)


def test_a_key_in_vault_never_leaves_it(database: Database, tmp_path: Path, vault: str) -> None:
    settings = {"vault_key": "transit/llmos", "vault_address": vault, "vault_token": TOKEN}
    encryption = reopen(database, tmp_path, **settings)
    sealed = keep(encryption, "a")
    assert content(reopen(database, tmp_path, **settings), "a", sealed) == b"content"
    assert not (tmp_path / "keys" / "master").exists()
    encryption.ring.rotate_master()
    assert content(reopen(database, tmp_path, **settings), "a", sealed) == b"content"


def test_a_rotation_moves_from_the_file_to_vault(database: Database, tmp_path: Path, vault: str) -> None:
    sealed = keep(reopen(database, tmp_path), "a")
    settings = {"vault_key": "transit/llmos", "vault_address": vault, "vault_token": TOKEN}
    moving = reopen(database, tmp_path, **settings)
    assert content(moving, "a", sealed) == b"content", "until the rotation, the file is used"
    moving.ring.rotate_master()
    (tmp_path / "keys" / "master").unlink()
    assert content(reopen(database, tmp_path, **settings), "a", sealed) == b"content"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"vault_token": "wrong"}, r"refused to use transit/llmos.*permission denied.*VAULT_TOKEN"),
        ({"vault_key": "transit/other"}, r"refused to use transit/other.*key not found"),
        ({"vault_address": "http://127.0.0.1:9"}, "can't be reached .* VAULT_ADDR"),
    ],
)
def test_what_vault_refuses_is_said(
    database: Database, tmp_path: Path, vault: str, changed: dict[str, str], message: str
) -> None:
    settings = {"vault_key": "transit/llmos", "vault_address": vault, "vault_token": TOKEN} | changed
    with pytest.raises(StoreFailed, match=message):
        reopen(database, tmp_path, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vault_key": "llmos"}, "mount of the transit engine"),
        ({"vault_key": "transit/llmos"}, "VAULT_ADDR isn't"),
        ({"vault_key": "transit/llmos", "vault_address": "http://127.0.0.1:9"}, "VAULT_TOKEN isn't"),
        ({"text": "short"}, "LLMOS_MASTER_KEY isn't a master key: it takes 32 bytes in base64"),
    ],
)
def test_wrong_settings_are_named(database: Database, tmp_path: Path, settings: dict[str, str], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        reopen(database, tmp_path, **settings)


def test_a_key_in_the_environment_is_replaced_with_the_old_one_beside_it(database: Database, tmp_path: Path) -> None:
    one, other = (b64encode(new_key()).decode() for _ in range(2))
    sealed = keep(reopen(database, tmp_path, text=one), "a")
    with pytest.raises(StoreFailed, match=r"LLMOS_MASTER_KEY is another key"):
        reopen(database, tmp_path, text=other)
    both = reopen(database, tmp_path, text=other, old_text=one)
    assert content(both, "a", sealed) == b"content"
    both.ring.rotate_master()
    assert content(reopen(database, tmp_path, text=other), "a", sealed) == b"content"
    assert not (tmp_path / "keys" / "master").exists()


def test_a_damaged_file_is_named(database: Database, tmp_path: Path) -> None:
    keep(reopen(database, tmp_path), "a")
    (tmp_path / "keys" / "master").write_text("nonsense")
    with pytest.raises(StoreFailed, match=r"master is not a master key: it is damaged\. Restore it"):
        reopen(database, tmp_path)
