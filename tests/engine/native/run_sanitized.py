"""Run tests of the native code in a build that stops at a wrong address or undefined behaviour. `make sanitize` does.

    python tests/engine/native/run_sanitized.py [ARGUMENT OF PYTEST ...]

Without arguments, the kernel paths are compared, and the tests of the runner and of the sampler run.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from support.native_builds import ROOT, SANITIZERS, CommandFailed, build, run

FOLDER = ROOT / "build" / "sanitized"

TESTS = ("tests/engine/runner", "tests/engine/sampling")
LEFT_OUT = "beyond_all_memory or runs_out_of_memory or every_kernel_path_agrees"
"""A sanitizer stops at the first failed allocation, and its own memory fits into no limit. The last are hundreds of
tests of what compare_kernels compares."""


def compare_kernels() -> None:
    print(run([str(build(FOLDER, "compare_kernels", *SANITIZERS) / "compare_kernels")]), end="", flush=True)


def environment() -> dict[str, str]:
    """Build the module; return the environment in which the tests import it."""
    build(FOLDER, "_native", *SANITIZERS)
    (module,) = FOLDER.glob("src/llmos/engine/csrc/_native*.so")
    first = [run(["g++", f"-print-file-name={name}"]).strip() for name in ("libasan.so", "libstdc++.so")]
    return {
        **os.environ,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python frees little when it ends
        "LD_PRELOAD": " ".join(first),
        "LLMOS_TEST_NATIVE": str(module),
        "PYTHONMALLOC": "malloc",  # the sanitizers know its memory, but not that of Python's own allocator
        "PYTHONPATH": str(ROOT / "tests"),
    }


def main() -> None:
    try:
        if not sys.argv[1:]:
            compare_kernels()
        environ = environment()
    except CommandFailed as failure:
        sys.exit(str(failure))
    os.chdir(ROOT)
    arguments = sys.argv[1:] or ["-q", "--fast", *TESTS, "-k", f"not ({LEFT_OUT})"]
    os.execve(sys.executable, [sys.executable, "-m", "pytest", "-p", "support.other_native", *arguments], environ)


if __name__ == "__main__":
    main()
