"""Builds of the native code for tests: by another compiler, or with other options than those of `make setup`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SANITIZERS = ("LLMOS_SANITIZE=ON", "CMAKE_BUILD_TYPE=Debug", "CMAKE_CXX_FLAGS_DEBUG=-O1")
"""Options of a build whose programs stop at a wrong address or undefined behaviour. g++ has all that it needs."""

LIBFUZZER = (*SANITIZERS, "LLMOS_FUZZERS=ON", "CMAKE_CXX_COMPILER=clang++")


def build(folder: Path, target: str, *options: str) -> Path:
    """Build a target of CMake in this folder; return that of the programs of tests/engine/native.

    Raises CommandFailed.
    """
    settings = ["LLMOS_KERNEL_TESTS=ON", f"Python_EXECUTABLE={sys.executable}", *options]
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", *(f"-D{each}" for each in settings)]
    for command in (configure, ["cmake", "--build", str(folder), "--target", target]):
        run(command)
    return folder / "tests" / "engine" / "native"


class CommandFailed(Exception):
    """A command ended with another status than 0. The message is the end of what it said."""


def run(command: list[str]) -> str:
    """Run a command, with the programs of this Python's environment first; return its output. Raises CommandFailed."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    finished = subprocess.run(
        command, env={**os.environ, "PATH": programs}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    if finished.returncode:
        raise CommandFailed(f"{' '.join(command)}\nended with {finished.returncode}:\n{finished.stdout[-8000:]}")
    return finished.stdout


def require(packages: str, *programs: str) -> None:
    """Skip the test unless this machine has the programs; fail where CI is set, which has everything."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        message = f"needs {' and '.join(missing)}: apt install {packages}"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
