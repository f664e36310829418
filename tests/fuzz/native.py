"""Search for inputs that break the native readers of blocks: libFuzzer, with clang's sanitizers. `make fuzz` runs it.

python tests/fuzz/native.py [--seconds 60]
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.native_builds import LIBFUZZER, ROOT, CommandFailed, build

REGRESSIONS = Path(__file__).parent / "regressions" / "blocks"
NUM_KINDS = 14  # of fuzz_blocks.cpp


def seeds() -> Iterator[bytes]:
    """Yield an input for every kind of block, with one row, a group of rows, and more than two."""
    for kind in range(NUM_KINDS):
        for rows in (0, 15, 39):
            yield bytes([kind, rows, 1]) + bytes(range(256))


def main() -> int:
    parser = argparse.ArgumentParser(description="Search for inputs that break the native readers of blocks.")
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    if shutil.which("clang++") is None:
        sys.exit("Fuzzing native code needs clang and its runtimes: apt install clang libclang-rt-14-dev")
    try:
        program = build(ROOT / "build" / "fuzz", "fuzz_blocks", *LIBFUZZER) / "fuzz_blocks"
    except CommandFailed as failure:
        sys.exit(f"{failure}\nIf a library of clang_rt is missing: apt install libclang-rt-14-dev")
    REGRESSIONS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds()):
            (Path(corpus) / str(number)).write_bytes(seed)
        options = [f"-max_total_time={seconds}", "-max_len=2048", "-print_final_stats=1", "-rss_limit_mb=2500"]
        return subprocess.run([program, corpus, *options, f"-artifact_prefix={REGRESSIONS}/"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
