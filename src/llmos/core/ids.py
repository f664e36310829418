"""Random ids."""

import os


def new_id(prefix: str) -> str:
    """Return `prefix-` and 24 random hexadecimal digits; a prefix that ends in an underscore gets no hyphen."""
    return f"{prefix}{'' if prefix.endswith('_') else '-'}{os.urandom(12).hex()}"
