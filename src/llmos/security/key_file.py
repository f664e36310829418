"""A key in a file that only the owner can read: made once, whole or not there, by the first who comes."""

import os
import secrets
from pathlib import Path


def read_key(path: Path) -> str | None:
    """Return the key, None where there is none."""
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)  # Another program loosened it: nobody else may read the key.
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except FileNotFoundError:
        return None


def make_key(path: Path, key: str) -> str:
    """Return the key that the file holds from now on: this one, unless another program was quicker."""
    written = _write_beside(path, key)
    try:
        # A link, unlike a rename, fails where another program was quicker.
        os.link(written, path)
    except FileExistsError:
        if not read_key(path):
            os.replace(written, path)  # An empty file is left of somebody's accident.
    finally:
        written.unlink(missing_ok=True)
    made = read_key(path)
    assert made, "the key was written a moment ago"
    return made


def replace_key(path: Path, key: str) -> None:
    os.replace(_write_beside(path, key), path)


def _write_beside(path: Path, key: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    return beside
