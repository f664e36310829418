"""Checks of the machine: Python, processor, memory, the native engine, the sandbox for code. Nothing is changed."""

import shutil
import sys
from collections.abc import Iterable
from importlib import import_module

from llmos.core.config import Settings
from llmos.core.hardware import inspect_hardware
from llmos.core.schemas.doctor import Finding
from llmos.core.sizes import readable_size

_ENOUGH_MEMORY_BYTES = 1_000_000_000


def check_python(settings: Settings) -> Iterable[Finding]:
    yield Finding("python", True, f"{sys.version.split()[0]}, {sys.executable}")


def check_cpu(settings: Settings) -> Iterable[Finding]:
    hardware = inspect_hardware()
    best = hardware.isas[0]
    found = f"{hardware.cpu}, {hardware.num_cores} cores, kernels: {', '.join(hardware.isas)}"
    if settings.isa is not None and settings.isa not in hardware.isas:
        yield Finding("cpu", False, found, f"LLMOS_ISA is {settings.isa}, which this CPU doesn't support. Unset it.")
    elif best == "portable":
        yield Finding("cpu", True, found, "It works, but slowly: a CPU with AVX2 is several times faster.")
    else:
        yield Finding("cpu", True, found)


def check_memory(settings: Settings) -> Iterable[Finding]:
    hardware = inspect_hardware()
    found = f"{readable_size(hardware.available_bytes)} free of {readable_size(hardware.memory_bytes)}"
    ok = hardware.available_bytes >= _ENOUGH_MEMORY_BYTES
    needed = readable_size(_ENOUGH_MEMORY_BYTES)
    yield Finding("memory", ok, found, "" if ok else f"Close other programs: even a small model needs {needed}.")


def check_engine(settings: Settings) -> Iterable[Finding]:
    compiler = shutil.which("g++") or shutil.which("c++")
    try:
        import_module("llmos.engine._native")
    except ImportError as error:
        yield Finding("engine", False, f"the native engine can't be loaded: {error}", "Build it: make setup")
        if compiler is None:
            yield Finding("compiler", False, "no C++ compiler found", "Install one: apt-get install g++ make")
    else:
        yield Finding("engine", True, "the native engine loads")
    if compiler is not None:
        yield Finding("compiler", True, compiler)


def check_code_sandbox(settings: Settings) -> Iterable[Finding]:
    """Test whether code that models write can be run. Only the application `code` needs that."""
    from llmos.applications.code.sandbox import NoSandbox
    from llmos.applications.code.sandbox.running import check_sandbox

    try:
        check_sandbox()
    except NoSandbox as error:
        yield Finding("sandbox", True, "none: the application `code` runs nothing", error.message)
    else:
        yield Finding("sandbox", True, "bubblewrap keeps in code that models write")
