"""Names that never repeat."""

import secrets


def new_id(prefix: str) -> str:
    """Return `prefix-` and 24 random hexadecimal digits."""
    return f"{prefix}-{secrets.token_hex(12)}"
