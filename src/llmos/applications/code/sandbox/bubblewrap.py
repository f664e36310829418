"""The command line of bubblewrap: namespaces, the few files, and nothing of this machine else."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from llmos.applications.code.sandbox.inside import judge, worker
from llmos.applications.code.sandbox.python_files import python_files
from llmos.applications.code.sandbox.seccomp import seccomp_filter
from llmos.applications.code.sandbox.types import NoSandbox, SandboxLimits

INSTALL = (
    "Install bubblewrap 0.8 or later (Debian, Ubuntu: `apt install bubblewrap`; Fedora: `dnf install bubblewrap`)."
)
_UNSHARED = ("user", "ipc", "pid", "net", "uts", "cgroup-try")
_NOBODY = "65534"
_PROGRAMS = {"judge": judge, "worker": worker}
"""They are imported here only so that Python keeps them compiled."""


def bubblewrap_command(limits: SandboxLimits, filter_fd: int, program: list[str]) -> list[str]:
    """Return the command that runs a module of `inside` with arguments. Raises NoSandbox."""
    found = shutil.which("bwrap")
    if found is None:
        raise NoSandbox(f"This machine has no sandbox, and code isn't run without one. {INSTALL}")
    module, *arguments = program
    assert module in _PROGRAMS
    start = f"import sys; sys.path.append('/sandbox'); from inside import {module}; {module}.main(sys.argv[1:])"
    python = [python_files().executable, "-I", "-S", "-B", "-X", "utf8", "-c", start]
    return [found, *_options(limits, filter_fd), "--", *python, *arguments]


def filter_program() -> bytes:
    """Return the filter of system calls. Raises NoSandbox."""
    program = seccomp_filter() if sys.platform == "linux" else None
    if program is None:
        raise NoSandbox("The sandbox works with Linux on x86-64 and Arm (64 bits), and this machine has neither.")
    return program


def _options(limits: SandboxLimits, filter_fd: int) -> Iterator[str]:
    for each in _UNSHARED:
        yield f"--unshare-{each}"
    yield from ("--uid", _NOBODY, "--gid", _NOBODY, "--hostname", "sandbox", "--cap-drop", "ALL")
    yield from ("--die-with-parent", "--new-session", "--seccomp", str(filter_fd))
    files = python_files()
    yield from ("--clearenv", "--setenv", "LD_LIBRARY_PATH", files.libraries)
    for target, path in files.binds.items():
        yield from ("--ro-bind", path, target)
    if files.masked:
        yield from ("--tmpfs", files.masked, "--remount-ro", files.masked)
    yield from ("--ro-bind", str(Path(judge.__file__).parent), "/sandbox/inside")
    # Devices one by one: a whole /dev has /dev/shm, which no limit counts.
    for device in ("null", "urandom"):
        yield from ("--dev-bind", f"/dev/{device}", f"/dev/{device}")
    yield from ("--size", str(limits.file_bytes), "--tmpfs", "/tmp")  # noqa: S108  that of the sandbox
    yield from ("--remount-ro", "/", "--chdir", "/tmp")  # noqa: S108
