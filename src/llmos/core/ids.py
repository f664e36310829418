"""Names that never repeat."""

import os


def new_id(prefix: str) -> str:
    """Return `prefix-` and 24 random hexadecimal digits; `prefix_` and the digits where it ends in an underscore."""
    return f"{prefix}{'' if prefix.endswith('_') else '-'}{os.urandom(12).hex()}"
