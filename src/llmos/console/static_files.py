"""The console's scripts and styles, read once, compressed once, and addressed by their digests."""

import gzip
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import brotli
from starlette.requests import Request
from starlette.responses import Response

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    content_type: str
    digest: str
    bodies: dict[str, bytes]
    """By their content encoding; "" for the file as it is."""


@cache
def static_files() -> dict[str, StaticFile]:
    """Return every file that browsers may load, by its path below static/."""
    return {
        path.relative_to(_FOLDER).as_posix(): _read(path)
        for path in sorted(_FOLDER.rglob("*"))
        if path.suffix in _TYPES
    }


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    bodies = {"br": brotli.compress(body), "gzip": gzip.compress(body, mtime=0), "": body}
    return StaticFile(_TYPES[path.suffix], sha256(body).hexdigest()[:16], bodies)


@cache
def release() -> str:
    """Return what differs between two versions of the console: pages of another one load again."""
    return sha256("".join(file.digest for file in static_files().values()).encode()).hexdigest()[:16]


def respond(request: Request, name: str) -> Response | None:
    """Return the response with a file; None if there is no such file."""
    file = static_files().get(name)
    if file is None:
        return None
    accepted = {each.partition(";")[0].strip() for each in request.headers.get("accept-encoding", "").split(",")}
    encoding = next((each for each in file.bodies if each in accepted), "")
    # The address has the digest, so what is at it never changes.
    is_fixed = request.query_params.get("v") == file.digest
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if is_fixed else "no-cache",
        "Vary": "Accept-Encoding",
    }
    if encoding:
        headers["Content-Encoding"] = encoding
    return Response(file.bodies[encoding], 200, headers, file.content_type)
