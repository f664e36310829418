"""The headers that tell browsers what not to do with a response.

EVERYWHERE   on every response, also on those that the HTTP server writes itself: no guessing of types, no frames, no
             referrer, no use by pages of other sites
by content   Content-Security-Policy: nothing at all for data, scripts and styles of this server alone for pages (no
             inline script); Cache-Control: no store keeps answers, unless the endpoint says otherwise
with TLS     Strict-Transport-Security
"""

from collections.abc import Iterable, Sequence

Header = tuple[bytes, bytes]

EVERYWHERE: Sequence[tuple[str, str]] = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
)

STRICT_TRANSPORT_SECURITY = ("strict-transport-security", "max-age=31536000")
"""Browsers use nothing but HTTPS for this host for a year. Other hosts of the domain aren't this server's business."""

_DATA_POLICY = b"default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    b"frame-ancestors 'none'"
)


def headers_of_content(headers: Iterable[Header]) -> list[Header]:
    """Return the headers that a response with these lacks, by the type of its content."""
    is_page = has_policy = has_cache_control = False
    for name, value in headers:
        name = name.lower()
        if name == b"content-type":
            is_page = value.startswith(b"text/html")
        elif name == b"content-security-policy":
            has_policy = True
        elif name == b"cache-control":
            has_cache_control = True
    more: list[Header] = []
    if not has_policy:
        more.append((b"content-security-policy", _PAGE_POLICY if is_page else _DATA_POLICY))
    if not has_cache_control:
        more.append((b"cache-control", b"no-store"))
    return more
