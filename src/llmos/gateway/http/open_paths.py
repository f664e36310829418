"""The paths that need no key: health checks."""

OPEN_PATHS = ("/health/", "/v2/health/")


def is_open(path: str) -> bool:
    return path.startswith(OPEN_PATHS)
