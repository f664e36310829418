"""The view of `llmos top`, on readings that were recorded."""

from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from llmos.cli.top_view import render_activity
from llmos.core.schemas.activity import ActivityDescription, ModelActivity, Spend

AT = datetime(2026, 12, 1, 12, 0, 0, tzinfo=UTC)
MODEL = ModelActivity(
    version="smollm2@3", state="ready", replicas_ready=2, replicas_wanted=2, num_running=5, num_waiting=3, num_queued=7,
    kv_used=0.42, restarts=1,
)  # fmt: skip


def reading(seconds: float = 0, **fields: Any) -> ActivityDescription:
    return ActivityDescription(at=AT + timedelta(seconds=seconds), **fields)


def shown(now: ActivityDescription, before: ActivityDescription | None = None) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(render_activity(now, before, "http://127.0.0.1:8000"))
    return console.export_text()


def test_it_has_rates_and_each_model() -> None:
    before = reading(output_tokens=1000, num_answered=10)
    now = reading(
        2, models=[MODEL], num_calls_running=8, output_tokens=1500, num_answered=16, prompt_tokens=400,
        cached_prompt_tokens=100, cache_hits=1, cache_misses=3, errors={"overloaded": 12, "prompt_too_long": 2},
        spend=Spend(hour={"EUR": "1.5"}, day={"EUR": "30", "USD": "2"}),
    )  # fmt: skip
    text = shown(now, before)
    assert "250.0 tokens/s (1,500)" in text
    assert "3.0/s (16)" in text
    assert "25% of prompts" in text
    assert "25% of 4" in text
    assert "30 EUR, 2 USD" in text
    assert "overloaded 12, prompt_too_long 2" in text
    (line,) = [line for line in text.splitlines() if line.startswith("smollm2@3")]
    assert line.split() == ["smollm2@3", "ready", "2/2", "5", "3", "7", "████░░░░░░", "42%", "1"]


def test_the_first_reading_and_a_server_that_was_started_again_have_counts_alone() -> None:
    for before in (None, reading(output_tokens=9000)):
        text = shown(reading(1, output_tokens=500), before)
        assert "500" in text
        assert "500.0" not in text
        assert "-" not in text.replace("http://127.0.0.1:8000", "")
    assert "No model is loaded" in text
