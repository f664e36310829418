"""ID tokens: what a provider says of a person, accepted only if everything about it is right.

The checks are those of OpenID Connect Core 1.0, 3.1.3.7: signature, issuer, audience, authorized party, times, nonce.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmos.core.errors import Unauthenticated

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Signatures with a private key. `none` and those with a shared secret (HS256) are never accepted."""

LEEWAY_SECONDS = 60
"""The difference between the clocks that is let pass."""

MAX_SUBJECT = 255
MAX_TOKEN_CHARACTERS = 64 * 1024


class UnknownKey(Exception):
    """No key of the provider that is known here has signed the token. It may have new ones."""


def verify_signature(token: str, keys: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the claims of a token that one of the keys has signed. Raises Unauthenticated; UnknownKey if none has.

    `keys`: JSON Web Keys. Those with another id than the token's header names are left out.
    """
    from joserfc import jws
    from joserfc.errors import JoseError, SecurityWarning
    from joserfc.jwk import JWKRegistry

    # RFC 9864 calls the same signature Ed25519. Providers still say EdDSA.
    warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)
    if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
        raise _refused("is not a signed token")
    # Providers add header fields of their own. Critical ones that aren't known are refused all the same.
    registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    try:
        header = jws.extract_compact(token.encode(), registry=registry).headers()
    except (JoseError, ValueError):
        raise _refused("is not a signed token") from None
    if header.get("alg") not in ALGORITHMS:
        raise _refused(f"is signed with {header.get('alg')!r:.40}, which proves nothing here")
    for key in _candidates(keys, header):
        try:
            signed = jws.deserialize_compact(token, JWKRegistry.import_key(dict(key)), registry=registry)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        return _claims(signed.payload)
    raise UnknownKey("The provider's ID token is signed by none of the provider's keys.")


def check_claims(claims: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str, now: float) -> str:
    """Return the subject. Raises Unauthenticated, saying what is wrong.

    `now`: seconds since 1970.
    """
    if claims.get("iss") != issuer:
        raise _refused(f"comes from {claims.get('iss')!r:.200} instead of {issuer}")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    if client_id not in audiences:
        raise _refused("is for another application")
    party = claims.get("azp")
    if (len(audiences) > 1 and party is None) or (party is not None and party != client_id):
        raise _refused("was issued to another application")
    if not _is_time(claims.get("exp")) or claims["exp"] + LEEWAY_SECONDS <= now:
        raise _refused("has expired")
    if not _is_time(claims.get("iat")) or claims["iat"] - LEEWAY_SECONDS > now:
        raise _refused("was issued in the future. Do the clocks agree?")
    if "nbf" in claims and (not _is_time(claims["nbf"]) or claims["nbf"] - LEEWAY_SECONDS > now):
        raise _refused("isn't valid yet. Do the clocks agree?")
    if not nonce or claims.get("nonce") != nonce:
        raise _refused("belongs to another sign-in")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise _refused("names nobody")
    return subject


def groups_of(claims: Mapping[str, Any], claim: str) -> frozenset[str]:
    """Return the groups in a claim: a list, or one text. `claim`: a name, or a path such as realm_access.roles."""
    value: Any = claims
    if claim in claims:
        value = claims[claim]
    else:
        for part in claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(each for each in values if isinstance(each, str))


def name_of(claims: Mapping[str, Any], subject: str) -> str:
    """Return what to call the person."""
    for claim in ("preferred_username", "email", "name"):
        if isinstance(name := claims.get(claim), str) and name.strip():
            return name
    return subject


def _candidates(keys: Sequence[Mapping[str, Any]], header: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    kid = header.get("kid")
    fitting = [key for key in keys if key.get("use") in (None, "sig") and key.get("alg") in (None, header["alg"])]
    return fitting if kid is None else [key for key in fitting if key.get("kid") in (None, kid)]


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise _refused("has no claims") from None


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e12


def _refused(what: str) -> Unauthenticated:
    return Unauthenticated(f"The provider's ID token {what}.")
