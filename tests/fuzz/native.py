"""Search for inputs that break the native readers of blocks: libFuzzer, with clang's sanitizers. `make fuzz` runs it.

python tests/fuzz/native.py [--seconds 60]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
REGRESSIONS = Path(__file__).parent / "regressions" / "blocks"


def build(folder: Path) -> Path:
    """Build the target with clang; return the program. Given files, it tries these and searches for none."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # those of the environment first
    environ = os.environ | {"PATH": programs}
    options = ["LLMOS_KERNEL_TESTS=ON", "LLMOS_FUZZERS=ON", "CMAKE_BUILD_TYPE=Debug", "CMAKE_CXX_COMPILER=clang++"]
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", f"-DPython_EXECUTABLE={sys.executable}"]
    for command in (
        [*configure, *(f"-D{option}" for option in options)],
        ["cmake", "--build", str(folder), "--target", "fuzz_blocks"],
    ):
        finished = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if finished.returncode:
            sys.exit(finished.stdout[-8000:])
    return folder / "tests" / "engine" / "native" / "fuzz_blocks"


def main() -> int:
    parser = argparse.ArgumentParser(description="Search for inputs that break the native readers of blocks.")
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    if shutil.which("clang++") is None:
        sys.exit("Fuzzing native code needs clang: apt install clang")
    program = build(ROOT / "build" / "fuzz")
    REGRESSIONS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for kind in range(14):
            (Path(corpus) / str(kind)).write_bytes(bytes([kind, 17, 1]) + bytes(range(256)))
        options = [f"-max_total_time={seconds}", "-max_len=2048", "-print_final_stats=1", "-rss_limit_mb=2500"]
        return subprocess.run([program, corpus, *options, f"-artifact_prefix={REGRESSIONS}/"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
