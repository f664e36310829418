"""The cookie of a session, and what a request must show besides it.

The cookie can't be read by scripts (HttpOnly), isn't sent from pages of other sites (SameSite=Strict), and under TLS
neither goes over plain HTTP (Secure) nor can be set by another host of the domain (the prefix __Host-).
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import Response
from starlette.types import Scope

from llmos.core.errors import PermissionDenied
from llmos.security.users.sessions import is_csrf_token

CSRF_HEADER = "x-csrf-token"

_NAME = "llmos_session"
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def is_secure(scope: Scope, public_url: str) -> bool:
    """Return whether the browser speaks TLS: by the setting, the connection, or the proxy in front of it.

    A client that only claims so restricts its own cookie and no other's.
    """
    if public_url:
        return public_url.startswith("https:")
    return "https" in (scope["scheme"], Headers(scope=scope).get("x-forwarded-proto", ""))


def session_token(scope: Scope, public_url: str) -> str | None:
    """Return the token in the cookie, or None."""
    cookies = Headers(scope=scope).get("cookie")
    return None if cookies is None else cookie_parser(cookies).get(_name(scope, public_url)) or None


def set_session_cookie(response: Response, request: Request, token: str, public_url: str) -> None:
    """Give the browser the token until it is closed. The server knows when the session ends."""
    response.set_cookie(
        _name(request.scope, public_url),
        token,
        httponly=True,
        secure=is_secure(request.scope, public_url),
        samesite="strict",
    )


def remove_session_cookie(response: Response, request: Request, public_url: str) -> None:
    response.delete_cookie(
        _name(request.scope, public_url),
        httponly=True,
        secure=is_secure(request.scope, public_url),
        samesite="strict",
    )


def check_csrf(method: str, presented: str | None, token: str) -> None:
    """Raise PermissionDenied for a request in a session that may change something and doesn't have its CSRF token."""
    if method in _SAFE_METHODS or (presented is not None and is_csrf_token(presented, token)):
        return
    problem = "has no CSRF token" if presented is None else "has a CSRF token that isn't this session's"
    raise PermissionDenied(
        f"The request may change something and {problem}. Send the `csrf_token` of GET /llmos/v1/session in the header"
        " X-CSRF-Token."
    )


def check_origin(request: Request, public_url: str) -> None:
    """Raise PermissionDenied for a request that a page of another server sends. Programs send no Origin."""
    origin = request.headers.get("origin")
    if origin is None:
        return
    own = {request.headers.get("host", "").lower(), urlsplit(public_url).netloc.lower()} - {""}
    if urlsplit(origin).netloc.lower() not in own:
        raise PermissionDenied(f"Pages of {origin:.200} may not sign users in here. Open this server's own page.")


def _name(scope: Scope, public_url: str) -> str:
    return f"__Host-{_NAME}" if is_secure(scope, public_url) else _NAME
