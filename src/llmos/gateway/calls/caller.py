"""Who asks, and how urgently."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Who of a tenant's own users asks, and how urgently."""

    user: str = ""
    cache_salt: str = ""
    """Sets apart whose prefixes may be shared."""
    priority: int = 0
    """The higher goes first."""
