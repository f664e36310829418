"""The framework stays thin: docs/decisions/0016."""

from pathlib import Path

import llmos.apps

MAX_LINES = 3_000


def test_the_framework_has_at_most_3000_lines() -> None:
    folder = Path(llmos.apps.__file__).parent
    num_lines = {path.name: len(path.read_text().splitlines()) for path in folder.glob("*.py")}
    assert len(num_lines) > 10
    assert sum(num_lines.values()) <= MAX_LINES, num_lines
