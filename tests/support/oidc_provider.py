"""An OpenID provider on this machine, which signs whatever a test wants.

It keeps to the specification where the client is the point: it checks the client's secret, the redirect URI and the
PKCE verifier, and each code works once.
"""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

CLIENT_ID, CLIENT_SECRET = "llmos", "s3cret/with:special+signs"

KINDS = {"RS256": (RSAKey, 2048), "ES256": (ECKey, "P-256"), "EdDSA": (OKPKey, "Ed25519")}


def new_key(alg: str, kid: str | None) -> Key:
    """Return another key each time. The tests of it need that; others share the provider's first one."""
    kind, size = KINDS[alg]
    return kind.generate_key(size, {"kid": kid} if kid else None)  # type: ignore[arg-type]


@cache
def _first_key() -> Key:
    """Return the key with which every provider starts. To make one takes 50 ms."""
    return new_key("RS256", "one")


class OidcProvider:
    """A provider that a test scripts: the next person, the fault of the next token, and the requests that came."""

    def __init__(self, url: str) -> None:
        self.issuer = self.claimed_issuer = url
        self.alg = "RS256"
        self.keys = [_first_key()]
        self.claims: dict[str, Any] = {"sub": "7", "preferred_username": "ann", "groups": ["ops"]}
        self.changes: dict[str, Any] = {}
        """Claims of the ID token that are others than they should be; None: missing."""
        self.user_info: dict[str, Any] = {}
        self.auth_methods = ["client_secret_basic"]
        self.token: str | None = None
        """A token to send instead."""
        self.endpoints: dict[str, Any] = {}
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    def authorize(self, url: str) -> tuple[str, str]:
        """Do what the provider's page does when the person has agreed. Returns the state and a code."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self._codes[code] = query
        return query["state"], code

    def answer(self, path: str, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.claimed_issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "token_endpoint_auth_methods_supported": self.auth_methods,
                **self.endpoints,
            }
        if path == "/keys":
            return 200, {"keys": [key.as_dict(private=False) for key in self.keys]}
        if path == "/userinfo":
            return (200, self.user_info) if authorization == "Bearer access" else (401, {})
        if path == "/token":
            return self._exchange(form, authorization)
        return 404, {}

    def _exchange(self, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        if authorization.startswith("Basic "):
            id, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
            id, secret, method = unquote_plus(id), unquote_plus(secret), "client_secret_basic"
        else:
            id, secret, method = form["client_id"], form.get("client_secret", ""), "client_secret_post"
        if method not in self.auth_methods or (id, secret) != (CLIENT_ID, CLIENT_SECRET):
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode()
        if (
            asked is None
            or asked["redirect_uri"] != form["redirect_uri"]
            or challenge.rstrip("=") != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        token = self.sign(self._claims(asked)) if self.token is None else self.token
        return 200, {"id_token": token, "access_token": "access", "token_type": "Bearer"}

    def _claims(self, asked: dict[str, str]) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        changed = {**claims, **self.claims, **self.changes}
        return {name: value for name, value in changed.items() if value is not None}

    def sign(self, claims: dict[str, Any]) -> str:
        key, payload = self.keys[-1], json.dumps(claims)
        header: dict[str, Any] = {"alg": self.alg} | ({"kid": key.kid} if key.kid else {})
        if self.alg == "none":
            return ".".join([*map(encoded, (json.dumps(header).encode(), payload.encode())), ""])
        if self.alg == "HS256":
            # The classic confusion: the public key, which everybody knows, as the shared secret.
            signed = ".".join(map(encoded, (json.dumps(header).encode(), payload.encode())))
            return f"{signed}.{encoded(hmac.digest(key.as_pem(private=False), signed.encode(), 'sha256'))}"
        warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)
        return jws.serialize_compact(header, payload, key, [self.alg])


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@contextmanager
def oidc_provider() -> Iterator[OidcProvider]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self._answer({name: values[0] for name, values in parse_qs(body).items()})

        def _answer(self, form: dict[str, str]) -> None:
            status, value = provider.answer(urlsplit(self.path).path, form, self.headers.get("authorization", ""))
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = OidcProvider(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
