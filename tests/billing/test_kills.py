"""A server that is killed under load: what arrived is in the ledger, once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "chaos.py"


def test_killed_servers_lose_and_double_nothing_that_arrived() -> None:
    """The database fails now and then, too, so that some entries are in the file beside it when the server dies."""
    command = [sys.executable, PROGRAM, "--kills", "8", "--failing", "0.2", "--outage-every", "4"]
    done = subprocess.run([*command, "--outage-seconds", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["rounds"] == {"none": 6, "clock turned back": 1, "database locked": 1}
    assert found["answers"] > 50
    assert (found["problems"], found["wrong_budgets"], found["open_reservations"]) == (0, 0, 0)
    assert (found["missing"], found["doubled"], found["wrong"], found["unequal_sums"]) == (0, 0, 0, 0)
