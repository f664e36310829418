"""Limits on cards, and the sentences about passed and failed ones."""

from llmos.models.cards.limits import LIMITS, failed, verdicts
from support.made_cards import CARD, card


def test_without_limits_everything_passes():
    assert failed(CARD, {}) == []
    assert failed(CARD, {"require_signature": True, "max_perplexity_increase": None}) == []


def test_a_failed_limit_says_both_numbers_and_what_was_compared():
    assert failed(CARD, {"max_perplexity_increase": 0.05}) == [
        "tiny-gptq4@1 has 7.50 % more perplexity than tiny@1; max_perplexity_increase allows at most 5.00 %."
    ]


def test_a_limit_that_is_just_met_passes():
    exact = {"max_perplexity_increase": 0.075, "min_greedy_agreement": 0.91, "min_decode_ratio": 1.25}
    assert failed(CARD, exact) == []
    assert [verdict.passes for verdict in verdicts(CARD, exact)] == [True, True, True]


def test_every_limit_can_be_passed_and_failed():
    for name, limit in LIMITS.items():
        never, always = (-1, 1e18) if limit.is_maximum else (1e18, -1)
        assert failed(CARD, {name: always}) == []
        (sentence,) = failed(CARD, {name: never})
        assert name in sentence


def test_a_limit_on_an_unmeasured_metric_fails():
    bare = card(decode=None, not_measured={"decode": "This model writes no text."})
    (sentence,) = failed(bare, {"min_decode_ratio": 0.5})
    assert sentence == (
        "min_decode_ratio is 0.50 times, but tiny-gptq4@1's card lacks this number. This model writes no text."
    )


def test_limits_on_comparisons_do_not_apply_without_a_parent():
    alone = card(parent=None, parent_digest=None, comparison=None)
    assert failed(alone, {"max_perplexity_increase": 0.0, "min_decode_ratio": 9}) == []
    assert len(failed(alone, {"max_resident_bytes": 1})) == 1


def test_no_card_fails_no_limit():
    assert failed(None, {"max_perplexity_increase": 0.05}) == []
