"""Requests to score given texts, and the scores that the definition gives them."""

import numpy as np

from llmos.engine.messages import Generate, Rate, Rated
from support.fakes import FakeTokenizer
from support.reference_scores import scores_of

TOKENIZER = FakeTokenizer()


def rate(id="s", tokens=(1, 2, 3), continuations=(), *, scores_prompt=False, num_top=0, **request):
    """Return a request to score continuations of these tokens."""
    return Rate(
        request=Generate(id=id, tokens=list(tokens), **request),
        continuations=[each if isinstance(each, str) else list(each) for each in continuations],
        scores_prompt=scores_prompt,
        num_top=num_top,
    )


def expected(runner, before, tokens, num_top=0):
    """Return the scores of these tokens behind those before them, as lists of numbers."""
    before, scores = list(before), []
    for token in tokens:
        logits_QV = np.array([runner.logits(np.array(before, np.int32))], np.float32)
        scores.append(scores_of(logits_QV, np.array([token], np.int32), num_top))
        before.append(token)
    return [
        (
            token,
            each.logprobs_Q[0].item(),
            each.ranks_Q[0].item(),
            each.entropies_Q[0].item(),
            list(zip(each.top_ids_QK[0].tolist(), each.top_logprobs_QK[0].tolist(), strict=True)),
        )
        for token, each in zip(tokens, scores, strict=True)
    ]


def numbers(scores):
    """Return the numbers of scores, without texts."""
    return [(s.token_id, s.logprob, s.rank, s.entropy, [(id, value) for id, _, _, value in s.top]) for s in scores]


def check_rated(event, command, runner):
    """Assert that the event has the scores that the definition gives the command's tokens."""
    assert isinstance(event, Rated), event
    prompt = command.request.tokens
    assert [numbers(each) for each in event.continuations] == [
        expected(runner, prompt, tokens, command.num_top) for tokens in command.continuations
    ]
    own = expected(runner, prompt[:1], prompt[1:], command.num_top) if command.scores_prompt else []
    assert numbers(event.prompt) == own
    assert (event.prompt_start is not None) == command.scores_prompt
