"""The paths that need no key: health checks, and the page that says what this is."""

OPEN_PATHS = ("/health/", "/v2/health/")


def is_open(path: str) -> bool:
    return path == "/" or path.startswith(OPEN_PATHS)
