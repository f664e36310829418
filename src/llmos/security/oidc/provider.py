"""Provider: the OpenID provider's own endpoints, found by discovery: metadata, keys, tokens, user info.

The metadata are read again once an hour, the keys also when a token is signed by one that isn't known: providers
change them whenever they like.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from llmos.core.errors import BadRequest, ProviderFailed, Unauthenticated
from llmos.core.oidc_config import OidcConfig, check_https

TIMEOUT_SECONDS = 10.0
MAX_BYTES = 1024 * 1024
REREAD_SECONDS = 3600.0
MIN_REREAD_SECONDS = 10.0
"""Keys are fetched at most so often, whatever tokens come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    """The provider's description of itself, from its discovery document."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    takes_basic: bool
    """True if the client authenticates in a header, and not in the form."""


class Provider:
    """Any thread may use it. Its calls wait for the network."""

    def __init__(
        self,
        config: OidcConfig,
        *,
        transport: httpx.BaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._transport, self._monotonic = config, transport, monotonic
        self._lock = threading.Lock()
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, Sequence[Mapping[str, Any]]] | None = None

    def metadata(self) -> Metadata:
        """Raises ProviderFailed."""
        with self._lock:
            if self._metadata is None or self._monotonic() - self._metadata[0] >= REREAD_SECONDS:
                self._metadata = self._monotonic(), self._discover()
            return self._metadata[1]

    def keys(self, *, refresh: bool = False) -> Sequence[Mapping[str, Any]]:
        """Return the provider's JSON Web Keys. `refresh`: those of now, unless they were read a moment ago.

        Raises ProviderFailed.
        """
        uri = self.metadata().jwks_uri
        with self._lock:
            age = float("inf") if self._keys is None else self._monotonic() - self._keys[0]
            if self._keys is None or age >= (MIN_REREAD_SECONDS if refresh else REREAD_SECONDS):
                keys = self._get(uri).get("keys")
                if not isinstance(keys, list):
                    raise self._failed("has no keys at its jwks_uri")
                self._keys = self._monotonic(), [key for key in keys if isinstance(key, dict)]
            return self._keys[1]

    def exchange(self, code: str, verifier: str, redirect_uri: str) -> tuple[str, str]:
        """Return the ID token and the access token for an authorization code.

        Raises Unauthenticated if the provider refuses the code, and ProviderFailed if it can't be asked.
        """
        metadata, config = self.metadata(), self._config
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": redirect_uri,
            "client_id": config.client_id,
        }
        auth = None
        if config.client_secret is not None and metadata.takes_basic:
            # RFC 6749, 2.3.1: both are encoded like a form first.
            encoded = [str(httpx.QueryParams({"": each}))[1:] for each in (config.client_id, config.client_secret)]
            auth = httpx.BasicAuth(*encoded)
        elif config.client_secret is not None:
            form["client_secret"] = config.client_secret
        response, body = self._send("POST", metadata.token_endpoint, data=form, auth=auth)
        if 400 <= response.status_code < 500 and response.status_code not in (408, 429):
            raise Unauthenticated(f"The provider refused the sign-in: {body.get('error', response.status_code)!s:.80}.")
        self._check_status(response)
        tokens = body.get("id_token"), body.get("access_token", "")
        if not isinstance(tokens[0], str) or not isinstance(tokens[1], str):
            raise self._failed("sent no ID token. Is the scope `openid` allowed for this application?")
        return tokens[0], tokens[1]

    def user_info(self, access_token: str, subject: str) -> Mapping[str, Any]:
        """Return the further claims of a person; none if the provider has no such endpoint. Raises ProviderFailed."""
        endpoint = self.metadata().userinfo_endpoint
        if endpoint is None or not access_token or not access_token.isascii() or not access_token.isprintable():
            return {}
        claims = self._get(endpoint, {"Authorization": f"Bearer {access_token}"})
        # OpenID Connect Core 1.0, 5.3.4: otherwise the claims may be another person's.
        return claims if claims.get("sub") == subject else {}

    def _discover(self) -> Metadata:
        found = self._get(f"{self._config.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self._config.issuer:
            raise self._failed(
                f"calls itself {found.get('issuer')!r:.200}. Set LLMOS_OIDC_ISSUER to that if it is right"
            )
        methods = found.get("token_endpoint_auth_methods_supported")
        has_user_info = found.get("userinfo_endpoint") is not None
        return Metadata(
            authorization_endpoint=self._endpoint(found, "authorization_endpoint"),
            token_endpoint=self._endpoint(found, "token_endpoint"),
            jwks_uri=self._endpoint(found, "jwks_uri"),
            userinfo_endpoint=self._endpoint(found, "userinfo_endpoint") if has_user_info else None,
            takes_basic=not isinstance(methods, list)
            or "client_secret_basic" in methods
            or "client_secret_post" not in methods,
        )

    def _endpoint(self, found: Mapping[str, Any], name: str) -> str:
        url = found.get(name)
        if not isinstance(url, str):
            raise self._failed(f"has no {name}")
        try:
            return check_https(url.partition("?")[0], name) and url
        except BadRequest:
            raise self._failed(f"has the {name} {url:.200}, which isn't https") from None

    def _get(self, url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        response, body = self._send("GET", url, headers=headers)
        self._check_status(response)
        return body

    def _send(self, method: str, url: str, **options: Any) -> tuple[httpx.Response, Mapping[str, Any]]:
        """Return the response with its JSON object; {} where it has none."""
        try:
            with (
                httpx.Client(timeout=TIMEOUT_SECONDS, transport=self._transport) as client,
                client.stream(method, url, **options) as response,
            ):
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MAX_BYTES:
                        raise self._failed(f"sent more than {MAX_BYTES:,} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._failed(f"can't be reached: {error}") from None
        try:
            return response, msgspec.json.decode(content, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return response, {}

    def _check_status(self, response: httpx.Response) -> None:
        if response.status_code != 200:
            raise self._failed(f"answered with status {response.status_code}")

    def _failed(self, what: str) -> ProviderFailed:
        return ProviderFailed(f"The OpenID provider {self._config.issuer} {what}.")
