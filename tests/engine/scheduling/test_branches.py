"""Every token of every continuation is scored once, behind exactly the tokens before it; few tokens are computed."""

from hypothesis import given
from hypothesis import strategies as st

from llmos.engine.scheduling.branches import plan_branches

TOKENS = st.lists(st.integers(1, 3), min_size=1, max_size=6)


def scored_behind(plan):
    """Return {slot: (the tokens before it, the token)}."""
    found = {}
    for branch in plan.branches:
        for position, token, slot in branch.targets:
            assert slot not in found, "a token is scored twice"
            found[slot] = (branch.tokens[: position + 1], token)
    return found


@given(TOKENS, st.lists(TOKENS, max_size=12), st.booleans())
def test_each_token_is_scored_once_behind_the_tokens_before_it(prompt, continuations, scores_prompt):
    plan = plan_branches(prompt, continuations, scores_prompt=scores_prompt)
    scored = scored_behind(plan)
    assert sorted(scored) == list(range(plan.num_slots))
    for slots, tokens in zip(plan.slots, continuations, strict=True):
        assert [scored[slot] for slot in slots] == [(prompt + tokens[:i], tokens[i]) for i in range(len(tokens))]
    own = [scored[slot] for slot in range(len(prompt) - 1)] if scores_prompt else []
    assert own == [(prompt[:i], prompt[i]) for i in range(1, len(prompt))][: len(own)]


@given(TOKENS, st.lists(TOKENS, min_size=1, max_size=12))
def test_a_branch_begins_to_score_with_its_first_token_that_no_other_branch_computes(prompt, continuations):
    first, *others = plan_branches(prompt, continuations).branches
    assert min(position for position, _, _ in first.targets) == len(prompt) - 1
    known = [first.tokens]
    for branch in others:
        num_known = max(common(branch.tokens, tokens) for tokens in known)
        assert min(position for position, _, _ in branch.targets) == num_known
        assert len(branch.tokens) > num_known
        known.append(branch.tokens)


def common(first, second):
    pairs = zip(first, second, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def test_single_tokens_and_beginnings_of_others_need_no_branch_of_their_own():
    plan = plan_branches([1, 2], [[7], [5, 6, 7], [5, 6], [8], [5, 6, 7]])
    assert [branch.tokens for branch in plan.branches] == [[1, 2, 5, 6]]
    assert plan.slots[1] == plan.slots[4]
    assert plan.slots[2] == plan.slots[1][:2]


def test_the_last_token_of_a_scored_prompt_is_not_computed():
    assert plan_branches([1, 2, 3], [], scores_prompt=True).branches[0].tokens == [1, 2]


def test_a_prompt_of_one_token_is_computed_and_has_nothing_to_score():
    plan = plan_branches([1], [], scores_prompt=True)
    assert (plan.branches[0].tokens, plan.num_slots) == ([1], 0)
