"""Gates: what they say, and what evidence makes of them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import BadRequest
from llmos.deployments.rollouts.evidence import CallOutcome, Evidence
from llmos.deployments.rollouts.gates import DEFAULT_GATE, Measured, judge, metrics_of, parse_gate

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def window_of(num_answered=0, num_failed=0, first_token_seconds=0.1, tokens_per_second=100.0, num_tokens=20):
    evidence = Evidence(clock=lambda: NOON)
    for _ in range(num_answered):
        evidence.record(
            "chat",
            "new@1",
            CallOutcome(
                kind="answered",
                version="new@1",
                seconds=1.0,
                first_token_seconds=first_token_seconds,
                num_later_tokens=num_tokens - 1,
                later_seconds=(num_tokens - 1) / tokens_per_second,
                num_tokens=num_tokens,
            ),
        )
    for _ in range(num_failed):
        evidence.record("chat", "new@1", CallOutcome(kind="failed", version="new@1", error="replica_failed"))
    return evidence.window("chat", "new@1")


def verdict(gate, window, before=None, scores=None, min_calls=20):
    return judge(parse_gate(gate), Measured(window=window, before=before or {}, scores=scores or {}), min_calls)


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("error_rate<1%", ["error_rate < 0.01"]),
        ("p95_first_token <= 800ms and score >= .7", ["p95_first_token <= 0.8", "score >= 0.7"]),
        ("p99_seconds<2s, tokens_per_second > 0.9x", ["p99_seconds < 2", "tokens_per_second > 0.9x"]),
    ],
)
def test_a_gate_is_parsed(text, formatted):
    assert [str(condition) for condition in parse_gate(text).conditions] == formatted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a condition"),
        ("error_rate", "is not a condition"),
        ("error_rate == 1", "is not a condition"),
        ("eror_rate < 1%", "Did you mean error_rate"),
        ("error_rate < 1 or score > 1", "is not a condition"),
        ("error_rate < 5ms", "error_rate is not a time"),
        ("__import__ < 1", "no metric __import__"),
        ("error_rate <= 5", "error_rate is a share, 0 to 1"),
        ("score >= 90", "score is a share, 0 to 1"),
        ("p95_first_token <= 150%", "p95_first_token <= 1.5x"),
        ("tokens_per_second >= 80%", "tokens_per_second >= 0.8x"),
        ("error_rate < 0", "can never hold"),
        ("score > 100%", "can never hold"),
        ("p95_seconds <= 0", "can never hold"),
    ],
)
def test_a_text_that_is_no_gate_is_refused(text, message):
    with pytest.raises(BadRequest, match=message):
        parse_gate(text)


def test_the_default_gate_can_be_parsed():
    assert len(parse_gate(DEFAULT_GATE).conditions) == 3


def test_a_gate_is_unknown_before_there_is_enough_evidence():
    judgement = verdict("error_rate <= 1%", window_of(num_answered=19))
    assert judgement.verdict == "unknown"
    assert "19 of 20 calls" in judgement.reason


def test_a_gate_holds_with_the_numbers():
    judgement = verdict("error_rate <= 5% and p95_first_token < 200ms", window_of(num_answered=19, num_failed=1))
    assert judgement.verdict == "holds"
    assert "error_rate is 0.05, required <= 0.05" in judgement.reason


def test_a_gate_fails_with_the_numbers():
    judgement = verdict("p95_first_token < 50ms", window_of(num_answered=20))
    assert (judgement.verdict, judgement.reason) == ("fails", "p95_first_token is 0.1, required < 0.05")


def test_a_relative_limit_is_a_multiple_of_the_value_before():
    window = window_of(num_answered=20, tokens_per_second=80)
    assert verdict("tokens_per_second >= 0.7x", window, {"tokens_per_second": 100}).verdict == "holds"
    assert verdict("tokens_per_second >= 0.9x", window, {"tokens_per_second": 100}).verdict == "fails"
    assert verdict("tokens_per_second >= 0.9x", window).verdict == "unknown"


def test_short_answers_have_no_rate_and_are_not_compared_by_it():
    # Three tokens that arrive in one step seem to take microseconds: 40,000 a second, or twice as many.
    before = window_of(num_answered=60, num_tokens=3, tokens_per_second=74_000)
    window = window_of(num_answered=60, num_tokens=3, tokens_per_second=39_000)
    judgement = verdict(DEFAULT_GATE, window, metrics_of(before))
    assert judgement.verdict == "holds"
    assert "tokens_per_second is not compared" in judgement.reason


def test_a_rate_needs_a_minimum_of_tokens():
    before = metrics_of(window_of(num_answered=20))
    few = window_of(num_answered=2, num_tokens=50, tokens_per_second=1)
    assert verdict("tokens_per_second >= 0.7x", few, before, min_calls=2).verdict == "unknown"
    enough = window_of(num_answered=2, num_tokens=51, tokens_per_second=1)
    assert verdict("tokens_per_second >= 0.7x", enough, before, min_calls=2).verdict == "fails"


def test_a_few_milliseconds_are_no_regression():
    window = window_of(num_answered=20, first_token_seconds=0.012)
    assert verdict("p95_first_token <= 1.5x", window, {"p95_first_token": 0.004}).verdict == "holds"
    slow = window_of(num_answered=20, first_token_seconds=0.2)
    assert verdict("p95_first_token <= 1.5x", slow, {"p95_first_token": 0.1}).verdict == "fails"


def test_errors_that_no_later_call_can_make_up_for_fail_at_once():
    assert verdict("error_rate <= 10%", window_of(num_failed=3)).verdict == "fails"
    assert verdict("error_rate <= 10%", window_of(num_failed=2)).verdict == "unknown", "two may be bad luck"
    assert verdict("error_rate <= 50%", window_of(num_failed=3)).verdict == "unknown"


def test_a_gate_that_requires_errors_waits_for_them():
    assert verdict("error_rate >= 50%", window_of(num_failed=3)).verdict == "unknown"
    assert verdict("error_rate >= 50%", window_of(num_failed=20)).verdict == "holds"


def test_the_score_needs_no_calls():
    assert verdict("score >= 0.5", window_of(), scores={"new": 0.6}).verdict == "holds"
    assert verdict("score >= 1x", window_of(), scores={"new": 0.6, "before": 0.7}).verdict == "fails"
    assert verdict("score >= 0.5", window_of()).verdict == "unknown"


@given(
    num_answered=st.integers(0, 60),
    num_failed=st.integers(0, 60),
    percent=st.integers(0, 100),
    least=st.integers(1, 60),
)
def test_a_verdict_never_contradicts_the_error_rate(num_answered, num_failed, percent, least):
    judgement = verdict(f"error_rate <= {percent}%", window_of(num_answered, num_failed), min_calls=least)
    num_judged = num_answered + num_failed
    if judgement.verdict == "holds":
        assert num_judged >= least
        assert num_failed / num_judged <= percent / 100
    if judgement.verdict == "fails":
        # Even if every call that is still missing were answered.
        assert num_failed / max(num_judged, least) > percent / 100
