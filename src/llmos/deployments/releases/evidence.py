"""The names under which the outcomes of calls to applications are kept as evidence."""

from hashlib import blake2b

_PREFIX = "app:"


def evidence_key(project: str, application: str) -> str:
    """Return what stands in the place of a route. `application`: app:NAME. The column holds 64 characters, which two
    names may exceed."""
    return f"{_PREFIX}{blake2b(f'{project}/{application}'.encode(), digest_size=24).hexdigest()}"


def evidence_target(ref: str) -> str:
    """Return what stands in the place of a target, for a version such as support@3."""
    return f"{_PREFIX}{ref}"
