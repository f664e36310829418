"""CacheControl: what the header of a request asks of the response cache (RFC 9111, section 5.2.1)."""

from collections.abc import Mapping
from dataclasses import dataclass

_MAX_SECONDS = 2**31


@dataclass(frozen=True, slots=True)
class CacheControl:
    may_read: bool = True
    may_write: bool = True
    max_age_seconds: float | None = None
    """The oldest answer that is taken; None: any."""


DEFAULT_CONTROL = CacheControl()


def parse_cache_control(headers: Mapping[str, str]) -> CacheControl:
    """Return what `cache-control` says. Directives that aren't for this cache have no effect."""
    text = headers.get("cache-control", "")
    if not text:
        return DEFAULT_CONTROL
    directives = dict(_directive(each) for each in text.split(","))
    is_stored = "no-store" not in directives
    age = directives.get("max-age", "")
    return CacheControl(
        may_read=is_stored and "no-cache" not in directives,
        may_write=is_stored,
        max_age_seconds=min(int(age), _MAX_SECONDS) if age.isascii() and age.isdigit() else None,
    )


def _directive(text: str) -> tuple[str, str]:
    name, _, value = text.strip().partition("=")
    return name.strip().lower(), value.strip().strip('"')[:10]
