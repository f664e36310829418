"""Statistics of paired results, against published values."""

import pytest

from llmos.evals.statistics import Pairs, cases_needed, cohens_kappa, count_pairs, mcnemar, newcombe, paired_bootstrap


def test_pairs_are_counted() -> None:
    pairs = count_pairs([(True, True), (True, False), (False, True), (False, False), (True, False)])
    assert pairs == Pairs(1, 2, 1, 1)
    assert pairs.difference == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("pairs", "p_value"),
    [
        (Pairs(10, 0, 0, 10), 1.0),
        (Pairs(0, 5, 0, 0), 0.0625),  # 2 / 2^5
        (Pairs(0, 6, 0, 0), 0.03125),
        (Pairs(0, 9, 1, 0), 0.021484375),  # scipy.stats.binomtest(1, 10).pvalue
        (Pairs(0, 3, 3, 0), 1.0),
    ],
)
def test_mcnemar_is_exact(pairs: Pairs, p_value: float) -> None:
    assert mcnemar(pairs) == pytest.approx(p_value)


def test_mcnemar_of_many_pairs_is_near_the_exact_value() -> None:
    assert mcnemar(Pairs(0, 560, 441, 0)) == pytest.approx(0.00019, abs=2e-5)


def test_newcombe_gives_the_intervals_of_his_paper() -> None:
    # Newcombe 1998, table III, method 10: 36, 12, 2, 0 and 53, 1, 0, 0.
    assert newcombe(Pairs(36, 12, 2, 0)) == pytest.approx((0.0569, 0.3404), abs=2e-4)
    assert newcombe(Pairs(53, 1, 0, 0)) == pytest.approx((-0.0498, 0.0979), abs=2e-4)


def test_few_cases_that_all_go_alike_leave_a_wide_interval() -> None:
    low, high = newcombe(Pairs(3, 0, 0, 0))
    assert low < -0.5
    assert high > 0.5
    assert newcombe(Pairs(0, 0, 0, 0)) == (-1.0, 1.0)


def test_the_bootstrap_is_the_same_each_time_and_holds_the_mean() -> None:
    differences = [1.0] * 10 + [0.0] * 25 + [-1.0] * 5
    low, high = paired_bootstrap(differences)
    assert low < 5 / 40 < high
    assert paired_bootstrap(differences) == (low, high)
    assert paired_bootstrap([]) == (-1.0, 1.0)


def test_kappa_is_agreement_beyond_chance() -> None:
    yes, no = (True, True), (False, False)
    assert cohens_kappa([yes] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [no] * 15) == pytest.approx(0.4)
    assert cohens_kappa([yes, no]) == 1
    assert cohens_kappa([yes, yes]) is None
    assert cohens_kappa([]) is None


def test_the_number_of_cases_that_would_decide() -> None:
    assert cases_needed(100, lambda factor: factor > 3) == pytest.approx(314, abs=1)
    assert cases_needed(100, lambda factor: False) is None
    assert cases_needed(0, lambda factor: True) is None
