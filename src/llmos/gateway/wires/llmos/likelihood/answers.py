"""The answer of POST /llmos/v1/likelihood."""

from collections.abc import Sequence
from math import fsum
from typing import Literal

import msgspec

from llmos.engine.messages import TokenScore
from llmos.gateway.calls.answer import finite
from llmos.gateway.calls.rating import Normalize, Ratings, probabilities, text_of
from llmos.gateway.http.answers import PromptTokensDetails


class LikelyToken(msgspec.Struct):
    id: int
    text: str
    logprob: float


class ScoredToken(msgspec.Struct):
    """A token of a given text. The first token of a prompt has nothing before it: its scores are null."""

    id: int
    text: str
    """The token alone; U+FFFD stands for a part of a character."""
    bytes: list[int]
    """The token's UTF-8."""
    logprob: float | None
    """The natural logarithm of its probability."""
    rank: int | None
    """1 for the most likely token."""
    entropy: float | None
    """The entropy of the distribution at this position, in nats."""
    top: list[LikelyToken]
    """The most likely tokens at this position, best first."""


class Option(msgspec.Struct):
    """A continuation of the request."""

    index: int
    """The position in `continuations`."""
    text: str
    logprob: float
    """The sum over its tokens."""
    normalized_logprob: float
    """The sum, divided as `normalize` says."""
    probability: float
    """Against the other options: the softmax of their normalized log probabilities."""
    tokens: list[ScoredToken]


class ScoredPrompt(msgspec.Struct):
    logprob: float
    """The sum over its tokens but the first."""
    tokens: list[ScoredToken]


class LikelihoodUsage(msgspec.Struct):
    prompt_tokens: int
    """The tokens of the prompt, once, and of all continuations."""
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    computed_tokens: int
    """Those that were not found in the prefix cache."""


class Likelihood(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["likelihood"] = "likelihood"
    created: int
    model: str
    """The name in the request."""
    version: str
    """The version that answered, such as smollm2@1."""
    digest: str | None
    best: int | None
    """The index of the most probable option, the first of equal ones. null without continuations."""
    options: list[Option]
    prompt: ScoredPrompt | None
    """null unless the request has `score_prompt`."""
    usage: LikelihoodUsage


def render_likelihood(ratings: Ratings, normalize: Normalize) -> Likelihood:
    rated, call = ratings.rated, ratings.call
    normalized = ratings.normalized(normalize)
    shares = probabilities(normalized)
    options = [
        Option(
            index=i,
            text=given if isinstance(given, str) else text_of(tokens),
            logprob=fsum(logprobs),
            normalized_logprob=normalized[i],
            probability=shares[i],
            tokens=list(map(_render, tokens)),
        )
        for i, (given, tokens, logprobs) in enumerate(
            zip(call.continuations, rated.continuations, ratings.logprobs(), strict=True)
        )
    ]
    return Likelihood(
        id=ratings.id,
        created=ratings.created,
        model=call.model,
        version=ratings.served.ref,
        digest=ratings.served.digest,
        best=max(range(len(options)), key=normalized.__getitem__, default=None),
        options=options,
        prompt=_render_prompt(ratings),
        usage=LikelihoodUsage(
            prompt_tokens=ratings.num_tokens,
            total_tokens=ratings.num_tokens,
            prompt_tokens_details=PromptTokensDetails(rated.num_cached_tokens),
            computed_tokens=rated.num_computed_tokens,
        ),
    )


def _render_prompt(ratings: Ratings) -> ScoredPrompt | None:
    rated = ratings.rated
    if rated.prompt_start is None:
        return None
    id, text, data = rated.prompt_start
    first = ScoredToken(id, text, list(data), None, None, None, [])
    return ScoredPrompt(_sum(rated.prompt), [first, *map(_render, rated.prompt)])


def _render(token: TokenScore) -> ScoredToken:
    return ScoredToken(
        token.token_id,
        token.text,
        list(token.bytes),
        finite(token.logprob),
        token.rank,
        token.entropy,
        [LikelyToken(id, text, finite(logprob)) for id, text, _, logprob in token.top],
    )


def _sum(tokens: Sequence[TokenScore]) -> float:
    return fsum(finite(token.logprob) for token in tokens)
