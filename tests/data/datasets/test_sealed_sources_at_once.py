"""Encrypted files that threads begin to read at once."""

import sys
import threading
from collections.abc import Iterator
from functools import cache

import pytest

from llmos.data.datasets import sealed_sources


@pytest.fixture
def switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching_often")
def test_the_first_readers_share_one_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise one of them is told that its file isn't there."""
    make = sealed_sources._made_files.__wrapped__
    for _ in range(20):
        monkeypatch.setattr(sealed_sources, "_made_files", cache(make))
        barrier, found = threading.Barrier(8), []

        def read(barrier: threading.Barrier = barrier, found: list[object] = found) -> None:
            barrier.wait()
            found.append(sealed_sources._files())

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(each) for each in found}) == 1
