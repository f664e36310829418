"""The likelihood of given texts: the scores of their tokens, and the probabilities of options."""

from collections.abc import Sequence

import msgspec

from llmos.core.schemas.base import Description


class LikelyToken(msgspec.Struct, frozen=True):
    id: int
    text: str
    logprob: float


class ScoredToken(msgspec.Struct, frozen=True):
    """A token of a given text. The scores of the first token of a prompt are null, because nothing precedes it."""

    id: int
    text: str
    """The text of this token alone; U+FFFD stands for a part of a character."""
    bytes: list[int]
    """The token in UTF-8."""
    logprob: float | None
    """The natural logarithm of its probability."""
    rank: int | None
    """The rank of the token by probability; 1 for the most likely one."""
    entropy: float | None
    """The entropy of the distribution at this position, in nats."""
    top: list[LikelyToken]
    """The most likely tokens at this position, best first."""


class OptionLikelihood(msgspec.Struct, frozen=True):
    """A continuation of the request."""

    index: int
    """Its position in the request."""
    text: str
    logprob: float
    """The sum over its tokens."""
    normalized_logprob: float
    """The sum, divided as `normalize` says."""
    probability: float
    """The probability among the options: the softmax of their normalized log probabilities."""
    tokens: list[ScoredToken]


class PromptLikelihood(msgspec.Struct, frozen=True):
    logprob: float
    """The sum over all tokens except the first."""
    tokens: list[ScoredToken]


class CachedTokens(msgspec.Struct, frozen=True):
    cached_tokens: int


class LikelihoodUsage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    """The tokens of the prompt, once, and of all continuations."""
    total_tokens: int
    prompt_tokens_details: CachedTokens
    computed_tokens: int
    """The tokens that went through the model. The last token of a continuation isn't computed, because nothing after it
    is scored, and continuations with a common beginning share it."""
    cost: str | msgspec.UnsetType = msgspec.UNSET
    """The cost, as a decimal text. Absent if no price applies."""
    currency: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def cached_tokens(self) -> int:
        return self.prompt_tokens_details.cached_tokens


class LikelihoodDescription(Description, frozen=True, kw_only=True):
    """The answer of POST /llmos/v1/likelihood."""

    id: str
    object: str = "likelihood"
    created: int
    model: str
    """The model name in the request: a route or a model."""
    version: str
    """The version that answered, such as smollm2@1."""
    digest: str | None
    best_index: int | None
    """The index of the most probable option (the first of equal ones); null without continuations."""
    options: list[OptionLikelihood]
    prompt: PromptLikelihood | None
    """null unless the request has `score_prompt`."""
    usage: LikelihoodUsage

    @property
    def best(self) -> OptionLikelihood:
        """The most probable option. Raises IndexError if there are none."""
        if self.best_index is None:
            raise IndexError("There are no options: only the prompt was scored.")
        return self.options[self.best_index]

    @property
    def probabilities(self) -> Sequence[float]:
        """The probability of each option. Their sum is 1."""
        return [option.probability for option in self.options]
