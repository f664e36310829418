"""The paths that need no key: health checks, the page that says what this is, and signing in and out."""

OPEN_PATHS = ("/health/", "/v2/health/")

LINK_PATH = "/llmos/v1/sign-in/link"
"""The path of links that sign a user in."""

SIGN_IN_PATHS = (
    "/llmos/v1/session",
    "/llmos/v1/session/password",
    "/llmos/v1/sign-in",
    LINK_PATH,
    "/llmos/v1/sign-in/ways",
    "/llmos/v1/sign-in/oidc",
    "/llmos/v1/sign-in/oidc/callback",
    "/llmos/v1/sign-out",
)
"""They look for a session, or make one, themselves."""


def is_open(path: str) -> bool:
    return path == "/" or path in SIGN_IN_PATHS or path.startswith(OPEN_PATHS)
