"""Evidence: the outcomes of calls, counted by route and target."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from llmos.deployments.rollouts import evidence as evidence_module
from llmos.deployments.rollouts.evidence import CallOutcome, Comparison, Evidence, spread_of

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now

    def pass_seconds(self, seconds):
        self.now += timedelta(seconds=seconds)


def outcome(kind="answered", **facts):
    return CallOutcome(kind=kind, version="smollm2@1", **facts)


def test_a_window_counts_the_outcomes_since_its_beginning():
    clock = Clock()
    evidence = Evidence(clock=clock)
    evidence.record("chat", "a", outcome("failed", error="unavailable"))
    clock.pass_seconds(60)
    begins = clock()
    for each in ("answered", "answered", "answered", "refused", "cancelled"):
        evidence.record("chat", "a", outcome(each, first_token_seconds=0.1))
    evidence.record("chat", "a", outcome("failed", error="replica_failed"))
    evidence.record("chat", "b", outcome("failed", error="replica_failed"))
    window = evidence.window("chat", "a", begins)
    assert (window.num_calls, window.num_answered, window.num_failed) == (6, 3, 1)
    assert (window.num_refused, window.num_cancelled) == (1, 1)
    assert window.errors == {"replica_failed": 1}
    assert window.error_rate == 0.25
    assert window.first_token_seconds.num == 3
    assert evidence.window("chat", "a").num_failed == 2


def test_the_rate_of_tokens_is_that_of_all_tokens_together():
    evidence = Evidence()
    evidence.record("chat", "a", outcome(num_later_tokens=100, later_seconds=1.0))
    evidence.record("chat", "a", outcome(num_later_tokens=10, later_seconds=0.001))
    evidence.record("chat", "a", outcome(num_later_tokens=2, later_seconds=0.00002))
    window = evidence.window("chat", "a")
    assert window.tokens_per_second.mean == 110 / 1.001
    assert (window.tokens_per_second.num, window.num_timed_tokens) == (2, 110)


def test_a_window_without_calls_has_no_values():
    window = Evidence().window("chat", "a")
    assert (window.num_calls, window.error_rate, window.first_token_seconds, window.is_whole) == (0, None, None, True)


def test_refused_and_cancelled_calls_do_not_count_for_the_error_rate():
    evidence = Evidence()
    evidence.record("chat", "a", outcome("refused", error="invalid_request"))
    evidence.record("chat", "a", outcome("cancelled"))
    assert evidence.window("chat", "a").error_rate is None


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=200))
def test_percentiles_are_exact(values):
    spread = spread_of(values)
    for percent, found in ((50, spread.p50), (95, spread.p95), (99, spread.p99)):
        assert sum(value <= found for value in values) >= len(values) * percent / 100
        assert sum(value < found for value in values) < len(values) * percent / 100


def test_memory_is_bounded_and_a_window_says_if_calls_were_forgotten(monkeypatch):
    monkeypatch.setattr(evidence_module, "MAX_OUTCOMES", 10)
    monkeypatch.setattr(evidence_module, "MAX_KEYS", 2)
    clock = Clock()
    evidence = Evidence(clock=clock)
    begins = clock()
    for _ in range(30):
        clock.pass_seconds(1)
        evidence.record("chat", "a", outcome())
    assert evidence.window("chat", "a", begins).num_calls == 10
    assert not evidence.window("chat", "a", begins).is_whole
    assert evidence.window("chat", "a", clock() - timedelta(seconds=3)).is_whole
    evidence.record("chat", "b", outcome())
    evidence.record("chat", "c", outcome())
    assert [evidence.window("chat", each).num_calls for each in "abc"] == [0, 1, 1]


def test_agreement_counts_only_texts_that_can_be_compared():
    evidence = Evidence()
    evidence.record_comparison("chat", "b", Comparison(agrees=True, common_share=1, seconds=1, shadow_seconds=2))
    evidence.record_comparison("chat", "b", Comparison(agrees=False, common_share=0.5, seconds=1, shadow_seconds=4))
    evidence.record_comparison("chat", "b", Comparison(seconds=1, shadow_seconds=3))
    evidence.record_comparison("chat", "b", Comparison(seconds=1, error="unavailable"))
    agreement = evidence.agreement("chat", "b")
    assert (agreement.num_calls, agreement.num_failed, agreement.num_compared, agreement.num_agreed) == (4, 1, 2, 1)
    assert (agreement.agreement, agreement.common_share) == (0.5, 0.75)
    assert agreement.shadow_seconds.p50 == 3
