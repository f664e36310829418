"""llmos bench: the workloads on the real model, as a table or JSON lines. What they come to is not asserted."""

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _with_the_model(home: Path, smollm2_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_HOME", str(smollm2_home))


def test_json_lines_have_the_keys_that_every_benchmark_prints(cli: Any) -> None:
    outcome = cli("bench", "smollm2", "--workload", "decode_1", "--repeats", "1", "--json")
    (line,) = outcome.out.splitlines()
    measurement = json.loads(line)
    assert list(measurement) == ["engine", "workload", "tokens_per_second", "runs"]
    assert (measurement["engine"], measurement["workload"], len(measurement["runs"])) == ("llmos", "decode_1", 1)


def test_a_table_says_what_ran_and_how(cli: Any) -> None:
    outcome = cli("bench", "smollm2", "--workload", "prefill_512", "--repeats", "1")
    assert outcome.status == 0
    assert "smollm2@1 on " in outcome.out
    assert "prefill_512" in outcome.out
