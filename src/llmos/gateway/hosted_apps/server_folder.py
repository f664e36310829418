"""ServerFolder: what one server notes on disk about its processes, so that the next one can tidy up after it.

LLMOS_HOME/hosting/servers/<random>/
    lock          held while the server lives
    keys/<id>     the key of a process
    work          the path of the folder with the sockets, in the system's temporary folder: its path is short
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_LOCK, _KEYS, _WORK = "lock", "keys", "work"


class ServerFolder:
    """The folder of this server's hosted applications."""

    def __init__(self, home: Path) -> None:
        servers = home / "hosting" / "servers"
        servers.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = Path(tempfile.mkdtemp(dir=servers, prefix=""))
        self._lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self._folder / _KEYS).mkdir()
        self._work = Path(tempfile.mkdtemp(prefix="llmos-apps-"))
        (self._folder / _WORK).write_text(str(self._work))
        self._num_folders = 0

    def new_work(self) -> Path:
        """Return the path of a folder, not made yet, for one process."""
        self._num_folders += 1
        return self._work / str(self._num_folders)

    def note_key(self, id: str) -> None:
        """Have the key revoked when this server has died."""
        (self._folder / _KEYS / id).touch(mode=0o600)

    def forget_key(self, id: str) -> None:
        (self._folder / _KEYS / id).unlink(missing_ok=True)

    def tidy_up(self, revoke: Callable[[str], object]) -> None:
        """Revoke the keys, and remove the folders, of servers that have died."""
        for folder in self._folder.parent.iterdir():
            if folder != self._folder:
                with suppress(OSError):
                    _tidy_up(folder, revoke)

    def close(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)


def _tidy_up(folder: Path, revoke: Callable[[str], object]) -> None:
    """Raises BlockingIOError for the folder of a server that lives."""
    lock = os.open(folder / _LOCK, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for key in (folder / _KEYS).iterdir():
            revoke(key.name)
        work = Path((folder / _WORK).read_text())
        if work.name.startswith("llmos-apps-"):
            shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
