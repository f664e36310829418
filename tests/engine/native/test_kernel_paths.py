"""Every kernel path computes what the portable one computes, to the bit: on this machine, and on Arm under an emulator.

The builds are those of CMakeLists.txt without optimization, which takes a fifth of the time and changes no bit. They
are also the tests that clang++ builds the module, and Debian's cross compiler all of it but the bindings.
"""

import platform
from pathlib import Path

import pytest

from support.native_builds import ROOT, build, require, run

pytestmark = pytest.mark.process

PACKAGES = "clang g++-aarch64-linux-gnu qemu-user"
TOOLCHAIN = ROOT / "packaging" / "aarch64-linux-gnu.cmake"
PATHS_OF_ARM = {
    # Every return of a function checks its pointer, for which the emulator computes a cipher: nine tenths of the time.
    "max,pauth=off": ["neon_i8mm", "neon_dotprod", "neon"],
    "cortex-a76": ["neon_dotprod", "neon"],
    "cortex-a53": ["neon"],
}
UNOPTIMIZED = ("CMAKE_BUILD_TYPE=Debug", "CMAKE_CXX_FLAGS_DEBUG=-O0 -Werror")


@pytest.fixture(scope="module")
def compare_on_arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(PACKAGES, "aarch64-linux-gnu-g++", "qemu-aarch64")
    folder = tmp_path_factory.mktemp("build")
    return build(folder, "compare_kernels", f"CMAKE_TOOLCHAIN_FILE={TOOLCHAIN}", *UNOPTIMIZED) / "compare_kernels"


@pytest.mark.parametrize("cpu", PATHS_OF_ARM)
def test_the_paths_of_an_arm_cpu_equal_the_portable_one_to_the_bit(compare_on_arm: Path, cpu: str) -> None:
    emulator = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-cpu", cpu]
    run([*emulator, str(compare_on_arm), *PATHS_OF_ARM[cpu]])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="compares the paths of x86")
def test_clang_builds_the_module_and_the_paths_of_this_cpu_equal_the_portable_one(tmp_path: Path) -> None:
    require(PACKAGES, "clang++")
    run([str(build(tmp_path, "all", "CMAKE_CXX_COMPILER=clang++", *UNOPTIMIZED) / "compare_kernels")])
