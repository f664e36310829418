"""Finds the files of the Python that the sandbox gets: the interpreter, its standard library, and the C libraries."""

import functools
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PYTHON = "/python"
"""The path of Python in the sandbox, which reveals no path of this machine."""

_UNNEEDED = ("_test", "_tkinter", "_curses", "readline")


@dataclass(frozen=True, slots=True)
class PythonFiles:
    """The files that are bound into the sandbox, read-only."""

    binds: Mapping[str, str]
    """A path in the sandbox, and the path here."""
    masked: str
    """A folder of packages, which an empty one hides."""
    executable: str
    libraries: str
    """The folder in the sandbox where the loader finds the C libraries."""


@functools.cache
def python_files() -> PythonFiles:
    """Find them once."""
    executable = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    library = os.path.realpath(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    inside = f"{_PYTHON}/lib/{version}"
    binds = {f"{_PYTHON}/bin/{version}": executable, inside: library}
    for name, path in _libraries(executable, library).items():
        binds[name if name.startswith("/") else f"{_PYTHON}/libraries/{name}"] = os.path.realpath(path)
    packages = next((each for each in ("site-packages", "dist-packages") if Path(library, each).is_dir()), "")
    return PythonFiles(
        binds=binds,
        masked=f"{inside}/{packages}" if packages else "",
        executable=f"{_PYTHON}/bin/{version}",
        libraries=f"{_PYTHON}/libraries",
    )


def _libraries(executable: str, library: str) -> dict[str, str]:
    """Return the paths of the C libraries of Python and its modules, and of the loader, by the names they go by.

    The loader lists what it would load, and runs nothing.
    """
    modules = [str(each) for each in Path(library, "lib-dynload").glob("*.so") if not each.name.startswith(_UNNEEDED)]
    env = {"LD_TRACE_LOADED_OBJECTS": "1", "LD_PRELOAD": ":".join(modules)}
    listed = subprocess.run([executable], env=env, capture_output=True, text=True, check=False).stdout
    found = {}
    for line in listed.splitlines():
        named = re.match(r"\s*(?:(\S+) => )?(/\S+) \(0x", line)
        if named and named[2] not in modules:
            # A path without a name is that of the loader, which the kernel looks for there.
            found[named[1] or named[2]] = named[2]
    return found
