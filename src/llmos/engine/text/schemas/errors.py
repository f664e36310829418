"""Why a schema, or a part of it, can't be enforced."""

_MAX_PATH = 120


class SchemaError(Exception):
    """A part of a schema is invalid or can't be enforced."""

    def __init__(self, reason: str, path: str = "") -> None:
        """`path`: a JSON pointer to the part."""
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return f"{short_path(self.path)} {self.reason}" if self.path else self.reason


def short_path(path: str) -> str:
    """Return a path as it stands in messages."""
    return f"#{path}" if len(path) <= _MAX_PATH else f"#{path[: _MAX_PATH // 2]}…{path[-_MAX_PATH // 2 :]}"
