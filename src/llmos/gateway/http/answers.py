"""Parts of answers that several APIs share: usage and log probabilities."""

import msgspec

from llmos.billing.entries import Charge
from llmos.core.money import format_nanos
from llmos.gateway.calls.answer import Answer
from llmos.gateway.calls.embedding import Embeddings


class PromptTokensDetails(msgspec.Struct):
    cached_tokens: int
    """The tokens of the prompt that were found in the prefix cache, from an earlier request with the same beginning."""


class Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    cost: str | msgspec.UnsetType = msgspec.UNSET
    """The cost of the answer, as a decimal text. Absent if no price applies."""
    currency: str | msgspec.UnsetType = msgspec.UNSET


def usage(answer: Answer) -> Usage:
    """Return the tokens that the answer has used so far."""
    num_prompt, num_completion = answer.num_prompt_tokens, answer.num_completion_tokens
    details = PromptTokensDetails(answer.num_cached_tokens)
    cost, currency = cost_fields(answer.attempt.charge)
    return Usage(num_prompt, num_completion, num_prompt + num_completion, details, cost, currency)


def cost_fields(charge: Charge | None) -> tuple[str, str] | tuple[msgspec.UnsetType, msgspec.UnsetType]:
    """Return `cost` and `currency`."""
    return (msgspec.UNSET, msgspec.UNSET) if charge is None else (format_nanos(charge.cost_nanos), charge.currency)


class EmbeddingUsage(msgspec.Struct):
    prompt_tokens: int
    """The tokens of all texts, including special tokens and the model's prompts."""
    total_tokens: int
    cost: str | msgspec.UnsetType = msgspec.UNSET
    """As a decimal. Absent where no price applies."""
    currency: str | msgspec.UnsetType = msgspec.UNSET


def embedding_usage(embeddings: Embeddings) -> EmbeddingUsage:
    """Return the tokens that the embeddings have used."""
    cost, currency = cost_fields(embeddings.attempt.charge)
    return EmbeddingUsage(embeddings.num_prompt_tokens, embeddings.num_prompt_tokens, cost, currency)
