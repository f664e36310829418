"""A master key in HashiCorp Vault or OpenBao: the transit engine wraps and unwraps, and the key never leaves it."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmos.core.encryption.aead import KEY_BYTES, WrongSeal
from llmos.core.errors import BadRequest, StoreFailed

_TIMEOUT_SECONDS = 10


def open_vault(key: str, address: str, token: str, namespace: str | None) -> "VaultMasterKey":
    """Return the key MOUNT/NAME. Raises BadRequest where hvac or a setting is missing. Connects when it is used."""
    try:
        import hvac
    except ModuleNotFoundError:
        raise BadRequest(
            "LLMOS_VAULT_KEY is set, but the Vault client isn't installed. Run: pip install 'llmos[vault]'",
            param="LLMOS_VAULT_KEY",
        ) from None
    mount, _, name = key.rpartition("/")
    if not mount or not name:
        raise BadRequest(
            f"LLMOS_VAULT_KEY is {key!r:.200}; write the mount of the transit engine and the key's name: transit/llmos",
            param="LLMOS_VAULT_KEY",
        )
    for value, variable in ((address, "VAULT_ADDR"), (token, "VAULT_TOKEN")):
        if not value:
            raise BadRequest(f"LLMOS_VAULT_KEY is set, and {variable} isn't. Set it.", param=variable)
    client = hvac.Client(url=address, token=token, namespace=namespace, timeout=_TIMEOUT_SECONDS)
    return VaultMasterKey(client, mount, name, address)


class VaultMasterKey:
    def __init__(self, client: Any, mount: str, name: str, address: str) -> None:
        self._transit, self._mount, self._name, self._address = client.secrets.transit, mount, name, address
        self.id = f"vault:{mount}/{name}"[:128]

    def wrap(self, key: bytes, bound_to: bytes) -> bytes:
        # Not every kind of transit key takes associated data, so what the key is bound to goes with it.
        plain = b64encode(key + hashlib.sha256(bound_to).digest()).decode()
        with self._errors():
            reply = self._transit.encrypt_data(name=self._name, plaintext=plain, mount_point=self._mount)
        return str(reply["data"]["ciphertext"]).encode()

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        text = wrapped.decode(errors="replace")
        with self._errors():
            reply = self._transit.decrypt_data(name=self._name, ciphertext=text, mount_point=self._mount)
        plain = b64decode(reply["data"]["plaintext"])
        if not hmac.compare_digest(plain[KEY_BYTES:], hashlib.sha256(bound_to).digest()):
            raise WrongSeal
        return plain[:KEY_BYTES]

    def rotate(self) -> None:
        """Let Vault make a new version of the key, which wraps from now on."""
        with self._errors():
            self._transit.rotate_key(name=self._name, mount_point=self._mount)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import requests
        from hvac.exceptions import VaultError

        try:
            yield
        except VaultError as error:
            raise StoreFailed(
                f"Vault at {self._address} refused to use {self._mount}/{self._name}: {str(error)[:300]}. Check"
                " VAULT_TOKEN and its policy, and that the key exists."
            ) from error
        except requests.RequestException as error:
            raise StoreFailed(
                f"Vault at {self._address} can't be reached ({type(error).__name__}), and without it no key can be"
                " opened. Start it, or correct VAULT_ADDR."
            ) from error
