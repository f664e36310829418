"""Every kernel path computes what the portable one computes, to the bit: on this machine, and on Arm under an emulator.

The builds are those of CMakeLists.txt without optimization, which takes a fifth of the time and changes no bit. They
are also the tests that clang++ builds the module, and Debian's cross compiler all of it but the bindings.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[3]
TOOLCHAIN = ROOT / "packaging" / "aarch64-linux-gnu.cmake"
PATHS_OF_ARM = {
    "max": ["neon_i8mm", "neon_dotprod", "neon"],
    "cortex-a76": ["neon_dotprod", "neon"],
    "cortex-a53": ["neon"],
}


def require(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        message = f"needs {' and '.join(missing)}: apt install clang g++-aarch64-linux-gnu qemu-user"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Return a function that builds a target with an option of CMake, and returns the program that compares."""

    def build(target: str, option: str) -> Path:
        folder = tmp_path_factory.mktemp("build")
        configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", "-D", "LLMOS_KERNEL_TESTS=ON"]
        options = ["CMAKE_BUILD_TYPE=Debug", "CMAKE_CXX_FLAGS_DEBUG=-O0 -Werror", f"Python_EXECUTABLE={sys.executable}"]
        run([*configure, *(f"-D{each}" for each in [option, *options])])
        run(["cmake", "--build", str(folder), "--target", target])
        return folder / "tests" / "engine" / "native" / "compare_kernels"

    return build


def run(command: list[str]) -> None:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # those of the environment first
    finished = subprocess.run(
        command, env=os.environ | {"PATH": programs}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert finished.returncode == 0, finished.stdout[-8000:]


@pytest.fixture(scope="module")
def compare_on_arm(build: Callable[[str, str], Path]) -> Path:
    require("aarch64-linux-gnu-g++", "qemu-aarch64")
    return build("compare_kernels", f"CMAKE_TOOLCHAIN_FILE={TOOLCHAIN}")


@pytest.mark.parametrize("cpu", PATHS_OF_ARM)
def test_the_paths_of_an_arm_cpu_equal_the_portable_one_to_the_bit(compare_on_arm: Path, cpu: str) -> None:
    emulator = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-cpu", cpu]
    run([*emulator, str(compare_on_arm), *PATHS_OF_ARM[cpu]])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="compares the paths of x86")
def test_clang_builds_the_module_and_the_paths_of_this_cpu_equal_the_portable_one(
    build: Callable[[str, str], Path],
) -> None:
    require("clang++")
    run([str(build("all", "CMAKE_CXX_COMPILER=clang++"))])
