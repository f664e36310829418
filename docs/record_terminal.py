"""Run commands for real and draw the terminal: python docs/record_terminal.py > docs/images/first-answer.svg

Needs a running server (`make serve`).
"""

import shlex
import subprocess
import sys

from rich.console import Console
from rich.text import Text

COMMANDS = (
    'llmos run dialogue "Explain in two sentences why the sky is blue." --seed 7',
    "llmos list",
    "llmos ps",
)


def main() -> None:
    console = Console(record=True, width=100, file=sys.stderr, force_terminal=True)
    for command in COMMANDS:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        arguments = [sys.executable, "-m", *shlex.split(command)]
        shown = subprocess.run(arguments, capture_output=True, text=True, check=True, env=None).stdout
        console.print(Text(shown.rstrip()))
        console.print()
    print(console.export_svg(title="llmos"), end="")


if __name__ == "__main__":
    main()
