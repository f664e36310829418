"""OidcFlow: the two steps of a sign-in through the provider, with what binds them to one browser.

    begin()   a redirect to the provider, with state, nonce and a PKCE challenge (S256)
    finish()  the provider's code and state, and what begin() left in the browser's cookie, become an Identity

The browser keeps what begin() made, so that it costs the server nothing however many begin. A state works once: those
that were used are in the database until they are too old, for all servers on it.
"""

import hmac
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import msgspec
from sqlalchemy.exc import IntegrityError

from llmos.core.clock import Clock, utc_now
from llmos.core.database import Database
from llmos.core.errors import BadRequest, PermissionDenied, Unauthenticated
from llmos.core.oidc_config import OidcConfig
from llmos.security.oidc import queries
from llmos.security.oidc.id_token import UnknownKey, check_claims, groups_of, name_of, verify_signature
from llmos.security.oidc.provider import Provider
from llmos.security.roles import check_role
from llmos.security.users.users import Identity

CALLBACK_PATH = "/llmos/v1/sign-in/oidc/callback"

MAX_AGE = timedelta(minutes=10)
"""From begin() to finish()."""

_BYTES = 32


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in that has begun, as the browser's cookie keeps it."""

    state: str
    nonce: str
    verifier: str
    """PKCE's secret, whose hash the provider has."""
    next: str
    """The path that the browser goes to afterwards."""
    begun_at: float
    """Seconds since 1970."""

    def encoded(self) -> str:
        return urlsafe_b64encode(msgspec.json.encode(self)).decode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The parameters with which the provider sends the browser back."""

    state: str = ""
    code: str = ""
    error: str = ""
    issuer: str | None = None
    """RFC 9207's `iss`: who answers."""


class OidcFlow:
    """Any thread may use it. Its calls block; run them in `threads`."""

    def __init__(
        self,
        config: OidcConfig,
        database: Database,
        provider: Provider | None = None,
        *,
        clock: Clock = utc_now,
        time: Callable[[], float] = time.time,
    ) -> None:
        """Raises BadRequest for a mapping of groups to a role that there is not."""
        for each in config.roles:
            try:
                check_role(each.role, each.project)
            except BadRequest as error:
                raise BadRequest(f"LLMOS_OIDC_ROLES is wrong: {error.message}", param="LLMOS_OIDC_ROLES") from None
        self._config, self._database, self._clock, self._time = config, database, clock, time
        self._provider = provider or Provider(config)
        self.threads = ThreadPoolExecutor(4, thread_name_prefix="oidc")

    @property
    def redirect_uri(self) -> str:
        """The address to register with the provider."""
        return f"{self._config.public_url}{CALLBACK_PATH}"

    def begin(self, next: str) -> tuple[str, Pending]:
        """Return the address that the browser goes to, and what its cookie keeps. Raises ProviderFailed."""
        state, nonce, verifier = (secrets.token_urlsafe(_BYTES) for _ in range(3))
        endpoint = self._provider.metadata().authorization_endpoint
        query = {
            "response_type": "code",
            "client_id": self._config.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(self._config.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        url = f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"
        return url, Pending(state=state, nonce=nonce, verifier=verifier, next=next, begun_at=self._time())

    def finish(self, pending: Pending | None, reply: Reply) -> Identity:
        """Return the person whom the provider vouches for.

        Raises Unauthenticated for a reply that doesn't belong to this browser's sign-in, that was used, or whose token
        is wrong; PermissionDenied for a person without a role here; ProviderFailed.
        """
        if pending is None or not hmac.compare_digest(reply.state.encode(errors="replace"), pending.state.encode()):
            raise Unauthenticated("This sign-in wasn't begun in this browser, or it has ended. Begin again.")
        if not -60 <= self._time() - pending.begun_at < MAX_AGE.total_seconds():
            raise Unauthenticated("This sign-in took too long. Begin again.")
        if reply.issuer is not None and reply.issuer != self._config.issuer:
            raise Unauthenticated("Another provider than the one that was asked has answered. Begin again.")
        if reply.error or not reply.code:
            raise Unauthenticated(f"The provider refused the sign-in: {reply.error or 'it sent no code':.80}.")
        token, access_token = self._provider.exchange(reply.code, pending.verifier, self.redirect_uri)
        self._use_up(pending.state)
        try:
            claims = self._claims_of(token)
        except UnknownKey as error:
            raise Unauthenticated(str(error)) from None
        subject = check_claims(
            claims,
            issuer=self._config.issuer,
            client_id=self._config.client_id,
            nonce=pending.nonce,
            now=self._time(),
        )
        groups = groups_of(claims, self._config.group_claim)
        if not groups:
            claims = {**self._provider.user_info(access_token, subject), **claims}
            groups = groups_of(claims, self._config.group_claim)
        name, role = name_of(claims, subject), self._config.role_of(groups)
        if role is None:
            raise PermissionDenied(
                f"{name:.80} is in no group that may use this server. The server's operator lists the"
                " groups in LLMOS_OIDC_ROLES."
            )
        return Identity(issuer=self._config.issuer, subject=subject, name=name, role=role.role, project=role.project)

    def _claims_of(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that the provider signed. Raises Unauthenticated, and UnknownKey."""
        try:
            return verify_signature(token, self._provider.keys())
        except UnknownKey:
            return verify_signature(token, self._provider.keys(refresh=True))

    def _use_up(self, state: str) -> None:
        """Store that a state was used. Raises Unauthenticated if it was before."""
        now = self._clock()
        try:
            with self._database.transaction() as session:
                queries.remove_old_states(session, now)
                queries.add_state(session, sha256(state.encode()).hexdigest(), now + MAX_AGE * 2)
        except IntegrityError:
            raise Unauthenticated("This sign-in was finished before. Begin again.") from None


def read_pending(text: str | None) -> Pending | None:
    """Return what a cookie keeps; None if it is missing or damaged."""
    try:
        return None if not text else msgspec.json.decode(urlsafe_b64decode(text.encode("ascii")), type=Pending)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
