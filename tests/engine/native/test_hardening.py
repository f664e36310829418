"""The module that this Python imports, and those of wheels, have what csrc/hardening.cmake adds against errors."""

import sys
import zipfile
from pathlib import Path

import pytest

from llmos.engine import _native
from support.elf import EXECUTABLE, PT_GNU_RELRO, PT_GNU_STACK, PT_LOAD, WRITABLE, X86_64, ElfFile
from support.native_builds import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads a file of Linux")


def module_of(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as files:
        (name,) = [name for name in files.namelist() if name.endswith(".so")]
        return files.read(name)


WHEELS = sorted((ROOT / "dist").glob("llmos-*-manylinux*.whl"))


@pytest.fixture(scope="module", params=[None, *WHEELS], ids=lambda wheel: wheel.name if wheel else "installed")
def module(request: pytest.FixtureRequest) -> ElfFile:
    return ElfFile(module_of(request.param) if request.param else Path(_native.__file__).read_bytes())


def test_no_memory_is_writable_and_executable(module: ElfFile) -> None:
    (stack,) = module.segments_of(PT_GNU_STACK)
    for segment in (stack, *module.segments_of(PT_LOAD)):
        assert segment.flags & (WRITABLE | EXECUTABLE) != WRITABLE | EXECUTABLE
    assert not stack.flags & EXECUTABLE


def test_tables_of_addresses_cannot_be_written_once_the_module_is_loaded(module: ElfFile) -> None:
    assert len(module.segments_of(PT_GNU_RELRO)) == 1
    assert module.binds_at_load


def test_an_overwritten_stack_is_noticed(module: ElfFile) -> None:
    assert "__stack_chk_fail" in module.symbols


def test_sizes_of_copies_are_checked(module: ElfFile) -> None:
    assert [name for name in module.symbols if name.startswith("__") and name.endswith("_chk")]


def test_an_index_out_of_range_is_noticed_and_needs_no_newer_library(module: ElfFile) -> None:
    check = next((name for name in module.symbols if "__glibcxx_assert_fail" in name), None)
    assert check is not None
    assert module.symbols[check], "the module defines it itself: libstdc++ has it from GCC 12 on"


def test_a_jump_that_was_led_astray_finds_no_target(module: ElfFile) -> None:
    if module.machine != X86_64:
        pytest.skip("Arm's mark of a target depends on the compiler")
    assert module.read(module.symbols["PyInit__native"], 4) == bytes.fromhex("f30f1efa"), "not endbr64"
