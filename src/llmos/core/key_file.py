"""Keys in files that only the owner can read. A file is complete or absent, and the first process to create it wins."""

import os
import secrets
from pathlib import Path


def read_key(path: Path) -> str | None:
    """Return the key in a file, or None where there is none. Restores the permissions 0600."""
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)  # Another program made the file readable for others.
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except FileNotFoundError:
        return None


def make_key(path: Path, key: str) -> str:
    """Create the file with this key, and return the key in it: another one where another process was faster."""
    temporary = _write_temporary(path, key)
    try:
        # A link, unlike a rename, fails if another process has created the file.
        os.link(temporary, path)
    except FileExistsError:
        if not read_key(path):
            os.replace(temporary, path)  # The file is empty, so there is no key to keep.
    finally:
        temporary.unlink(missing_ok=True)
    key_in_file = read_key(path)
    assert key_in_file, "the file was written above"
    return key_in_file


def _write_temporary(path: Path, key: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    return temporary
