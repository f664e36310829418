"""The readers of blocks read no wrong address and rely on no undefined behaviour: in a build that would stop there.

`make sanitize` does the same with the rest of the native code, which takes minutes to build.
"""

import shutil
import sys
from pathlib import Path

import pytest

from fuzz.native import REGRESSIONS, seeds
from support.native_builds import SANITIZERS, build, run

pytestmark = pytest.mark.process


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("g++") is None, reason="needs g++ on Linux")
def test_blocks_of_any_bytes_are_read(tmp_path: Path) -> None:
    program = build(tmp_path / "build", "fuzz_blocks", *SANITIZERS) / "fuzz_blocks"
    inputs = [tmp_path / str(number) for number, _ in enumerate(seeds())]
    for path, seed in zip(inputs, seeds(), strict=True):
        path.write_bytes(seed)
    run([str(program), *map(str, [*inputs, *REGRESSIONS.glob("*")])])
