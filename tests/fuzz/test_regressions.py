"""Inputs that once broke a target, and the valid ones that the fuzzer begins with, raise nothing but clear errors."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fuzz.native import build
from fuzz.seeds import seeds_of
from fuzz.targets import TARGETS

REGRESSIONS = Path(__file__).parent / "regressions"
FOUND = sorted(path for path in REGRESSIONS.glob("*/*") if path.is_file() and path.parent.name in TARGETS)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_broke_a_target_does_not_any_more(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_every_seed_is_read(target: str) -> None:
    for seed in seeds_of(target):
        TARGETS[target](seed)


@pytest.mark.process
def test_what_once_broke_the_native_readers_does_not_any_more(tmp_path: Path) -> None:
    if shutil.which("clang++") is None:
        message = "needs clang: apt install clang"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    inputs = [bytes([kind, rows, 1]) + bytes(range(256)) for kind in range(14) for rows in (0, 15, 39)]
    for number, each in enumerate(inputs):
        (tmp_path / str(number)).write_bytes(each)
    found = [*(REGRESSIONS / "blocks").glob("*"), *tmp_path.iterdir()]
    outcome = subprocess.run([build(tmp_path / "build"), *found], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr[-4000:]
