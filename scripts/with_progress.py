"""Run a build and show how far it is, in one line: with_progress.py COMMAND…

The build's own output is shown only if it fails. Steps are those of ninja: [12/40].
"""

import re
import subprocess
import sys
from collections import deque

_STEP = re.compile(r"\s*\[(\d+)/(\d+)\] ")
_NUM_LINES = 60
"""The lines of a failed build that are shown."""


def main(command: list[str]) -> int:
    lines: deque[str] = deque(maxlen=_NUM_LINES)
    is_terminal, shown = sys.stdout.isatty(), 0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            lines.append(line)
            if (step := _STEP.match(line)) is None:
                continue
            done, total = int(step[1]), int(step[2])
            if is_terminal:
                print(f"\r  compiling: {done} of {total} ", end="", flush=True)
            elif done == total or done >= shown + max(1, total // 4):
                shown = done
                print(f"  compiling: {done} of {total}", flush=True)
    if is_terminal:
        print("\r" + " " * 40 + "\r", end="", flush=True)
    if run.returncode:
        sys.stderr.writelines(lines)
    return run.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
