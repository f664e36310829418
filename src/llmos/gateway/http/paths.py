"""Paths: one spelling for each, and the methods that each accepts."""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote

from starlette.routing import BaseRoute, Route, compile_path
from starlette.types import Scope

_PARAMETER = re.compile(r"\{\w+(:\w+)?\}")


def normalize(scope: Scope, mounted: Sequence[str] = ()) -> Scope:
    """Return `scope` with a path that has no doubled and no trailing slashes, which a base URL with a slash leaves.

    Escaped slashes are data and stay. `mounted`: the paths of applications that decide about slashes themselves.
    """
    path: str = scope["path"]
    if "//" not in path and not (path.endswith("/") and path != "/"):
        return scope
    raw = re.sub(b"//+", b"/", scope.get("raw_path") or path.encode())
    if not path.startswith(tuple(f"{each}/" for each in mounted)):
        raw = raw.rstrip(b"/") or b"/"
    return {**scope, "path": unquote(raw.decode("latin-1")), "raw_path": raw}


class PathMethods:
    """The methods of each path, also of those that match several patterns: the most specific one counts."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        patterns: dict[str, set[str]] = {}
        for route in routes:
            if isinstance(route, Route):
                methods = route.methods or set()
                patterns.setdefault(_PARAMETER.sub(r"{_\1}", route.path), set()).update(methods)
        methods_of = {path: _sorted(methods) for path, methods in patterns.items()}
        self._fixed = {path: methods for path, methods in methods_of.items() if "{" not in path}
        self._patterns = [
            (compile_path(_numbered(path))[0], methods)
            for path, methods in sorted(methods_of.items(), key=lambda item: _specificity(item[0]))
            if "{" in path
        ]

    def of(self, path: str) -> tuple[str, ...]:
        """Return the methods that `path` accepts; none if there is no endpoint."""
        if (fixed := self._fixed.get(path)) is not None:
            return fixed
        return next((methods for pattern, methods in self._patterns if pattern.match(path)), ())


def _sorted(methods: set[str]) -> tuple[str, ...]:
    return tuple(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def _specificity(path: str) -> tuple[bool, bool, int]:
    """Order patterns as the router does; among those that match the same path, the one with more fixed text first."""
    return path.endswith(":path}"), ":path}" in path, -len(_PARAMETER.sub("", path))


def _numbered(path: str) -> str:
    """Return the pattern with names for its parameters, which starlette wants to differ."""
    names = iter(range(path.count("{")))
    return re.sub(r"\{_", lambda _: f"{{p{next(names)}", path)
