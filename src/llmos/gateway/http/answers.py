"""Parts of answers that several APIs share: usage and log probabilities."""

import msgspec

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


def usage(answer: Answer) -> Usage:
    """Return the tokens that the answer has used so far."""
    num_prompt, num_completion = answer.num_prompt_tokens, answer.num_completion_tokens
    details = PromptTokensDetails(answer.num_cached_tokens)
    return Usage(num_prompt, num_completion, num_prompt + num_completion, details)


class EmbeddingUsage(msgspec.Struct):
    prompt_tokens: int
    """The tokens of all texts, including special tokens and the model's prompts."""
    total_tokens: int


def embedding_usage(embeddings: Embeddings) -> EmbeddingUsage:
    """Return the tokens that the embeddings have used."""
    return EmbeddingUsage(embeddings.num_prompt_tokens, embeddings.num_prompt_tokens)
