"""Rendering of the answer of POST /llmos/v1/likelihood."""

from math import fsum

from llmos.core.schemas.likelihood import (
    CachedTokens,
    LikelihoodDescription,
    LikelihoodUsage,
    LikelyToken,
    OptionLikelihood,
    PromptLikelihood,
    ScoredToken,
)
from llmos.engine.messages import TokenScore
from llmos.gateway.calls.answer import finite
from llmos.gateway.calls.rating import Normalize, Ratings, probabilities, text_of
from llmos.gateway.http.answers import cost_fields


def render_likelihood(ratings: Ratings, normalize: Normalize) -> LikelihoodDescription:
    normalized = ratings.normalized(normalize)
    cost, currency = cost_fields(ratings.attempt.charge)
    return LikelihoodDescription(
        id=ratings.id,
        created=ratings.created,
        model=ratings.call.model,
        version=ratings.served.ref,
        digest=ratings.served.digest,
        best_index=max(range(len(normalized)), key=normalized.__getitem__, default=None),
        options=_render_options(ratings, normalized),
        prompt=_render_prompt(ratings),
        usage=LikelihoodUsage(
            prompt_tokens=ratings.num_tokens,
            total_tokens=ratings.num_tokens,
            prompt_tokens_details=CachedTokens(ratings.rated.num_cached_tokens),
            computed_tokens=ratings.rated.num_computed_tokens,
            cost=cost,
            currency=currency,
        ),
    )


def _render_options(ratings: Ratings, normalized: list[float]) -> list[OptionLikelihood]:
    scored = zip(ratings.call.continuations, ratings.rated.continuations, ratings.logprobs(), strict=True)
    shares = probabilities(normalized)
    return [
        OptionLikelihood(
            index=i,
            text=given if isinstance(given, str) else text_of(tokens),
            logprob=fsum(logprobs),
            normalized_logprob=normalized[i],
            probability=shares[i],
            tokens=list(map(_render, tokens)),
        )
        for i, (given, tokens, logprobs) in enumerate(scored)
    ]


def _render_prompt(ratings: Ratings) -> PromptLikelihood | None:
    start, logprobs = ratings.rated.prompt_start, ratings.prompt_logprobs()
    if start is None or logprobs is None:
        return None
    id, text, data = start
    first = ScoredToken(id, text, list(data), None, None, None, [])
    total = fsum(logprob for logprob in logprobs if logprob is not None)
    return PromptLikelihood(total, [first, *map(_render, ratings.rated.prompt)])


def _render(token: TokenScore) -> ScoredToken:
    return ScoredToken(
        id=token.token_id,
        text=token.text,
        bytes=list(token.bytes),
        logprob=finite(token.logprob),
        rank=token.rank,
        entropy=token.entropy,
        top=[LikelyToken(id, text, finite(logprob)) for id, text, _, logprob in token.top],
    )
