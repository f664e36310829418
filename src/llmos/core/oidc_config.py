"""OidcConfig: the settings of sign-in through an OpenID Connect provider, read by config.py.

    LLMOS_OIDC_ROLES="llmos-admins=owner, ops=operator, shop-team=developer@shop"

The first group in this list that a person has decides on role and project; a person without any is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from llmos.core.errors import BadRequest

DEFAULT_SCOPES = ("openid", "profile", "email")
DEFAULT_GROUP_CLAIM = "groups"

_VARIABLES = ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "CLIENT_SECRET_FILE", "SCOPES", "GROUP_CLAIM", "ROLES")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OWNER_PROJECT = "owner"


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupRole:
    """The role that the members of a group get."""

    group: str
    role: str
    project: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OidcConfig:
    issuer: str
    """The provider's address, exactly as it appears in its tokens."""
    client_id: str
    client_secret: str | None
    """None for a public client, which PKCE alone protects."""
    public_url: str
    """The address of this server as browsers see it. The provider redirects to a path below it."""
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    group_claim: str = DEFAULT_GROUP_CLAIM
    roles: tuple[GroupRole, ...] = ()

    def role_of(self, groups: frozenset[str]) -> GroupRole | None:
        """Return the first entry of the mapping that one of the groups has; None: nobody may sign in with these."""
        return next((each for each in self.roles if each.group in groups), None)


def read_oidc(environ: Mapping[str, str], public_url: str) -> OidcConfig | None:
    """Return the settings, or None without LLMOS_OIDC_ISSUER. Raises BadRequest, naming the variable."""
    given = {name: environ.get(f"LLMOS_OIDC_{name}", "").strip() for name in _VARIABLES}
    issuer, client_id = given["ISSUER"], given["CLIENT_ID"]
    if not issuer:
        if others := [name for name, value in given.items() if value]:
            raise _wrong(f"LLMOS_OIDC_{others[0]}", "is set without LLMOS_OIDC_ISSUER, the provider's address.")
        return None
    check_https(issuer, "LLMOS_OIDC_ISSUER")
    if not client_id:
        raise _wrong("LLMOS_OIDC_CLIENT_ID", "is missing. Register LLMOS with the provider and set the id it gives.")
    if not public_url:
        raise _wrong(
            "LLMOS_PUBLIC_URL",
            "is missing. Set the address of this server as browsers see it, such as https://llmos.example.com.",
        )
    return OidcConfig(
        issuer=issuer,
        client_id=client_id,
        client_secret=_secret(given["CLIENT_SECRET"], given["CLIENT_SECRET_FILE"]),
        public_url=public_url,
        scopes=tuple(dict.fromkeys(["openid", *given["SCOPES"].split()])) if given["SCOPES"] else DEFAULT_SCOPES,
        group_claim=given["GROUP_CLAIM"] or DEFAULT_GROUP_CLAIM,
        roles=_roles(given["ROLES"]),
    )


def check_https(url: str, variable: str) -> str:
    """Return the URL. Raises BadRequest unless it is https, or http on this machine."""
    try:
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        is_plain = bool(parts.hostname) and not (parts.query or parts.fragment or parts.username) and parts.port != 0
    except ValueError:
        is_safe = is_plain = False
    if not (is_safe and is_plain):
        raise _wrong(variable, f"is {url[:200]!r}. Write an address that begins with https://, without query or user.")
    return url


def _secret(text: str, file: str) -> str | None:
    if text and file:
        raise _wrong("LLMOS_OIDC_CLIENT_SECRET", "and LLMOS_OIDC_CLIENT_SECRET_FILE are both set. Unset one of them.")
    if not file:
        return text or None
    try:
        secret = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise _wrong("LLMOS_OIDC_CLIENT_SECRET_FILE", f"is {file!r:.200}, which can't be read: {error}.") from None
    if not secret:
        raise _wrong("LLMOS_OIDC_CLIENT_SECRET_FILE", f"is {file!r:.200}, which is empty.")
    return secret


def _roles(text: str) -> tuple[GroupRole, ...]:
    roles = []
    for entry in re.split(r"[,\n]", text):
        if not entry.strip():
            continue
        group, equals, value = entry.rpartition("=")
        role, at, project = value.strip().partition("@")
        if not equals or not group.strip() or not role or (at and not project):
            raise _wrong(
                "LLMOS_OIDC_ROLES",
                f"has {entry.strip()[:80]!r}. Write GROUP=ROLE or GROUP=ROLE@PROJECT, separated by commas.",
            )
        roles.append(GroupRole(group=group.strip(), role=role, project=project or _OWNER_PROJECT))
    return tuple(roles)


def _wrong(variable: str, what: str) -> BadRequest:
    return BadRequest(f"{variable} {what}", param=variable)
