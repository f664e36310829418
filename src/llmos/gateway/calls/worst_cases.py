"""The worst case of a call: at least as many tokens as its prompts can have, and the longest answers it may get.

A token has a byte at least, so that the bytes of a text are a bound without a tokenizer. Normalization can make a text
longer; templates add some tokens of their own.
"""

import unicodedata
from collections.abc import Sequence

import msgspec

from llmos.billing.worst_cases import WorstCase
from llmos.gateway.calls.call import Call, ModelCall, Prompt, PromptedCall
from llmos.gateway.calls.embedding import EmbedCall
from llmos.gateway.calls.rating import RateCall
from llmos.gateway.calls.record import Record
from llmos.gateway.calls.resolve import Resolution

TEMPLATE_TOKENS = 256
"""The most tokens that a chat template may add to the messages: its own system prompt, and instructions for tools."""

TEXT_TOKENS = 8
"""The most tokens that are added around a text: BOS, EOS and separators."""

_TOOLS_FACTOR = 2
"""Templates may indent the JSON of tools."""

UNKNOWN_OUTPUT_TOKENS = 32_768
"""The longest answer of a model with an unknown context window, where the call has no limit."""


def worst_case(call: ModelCall, record: Record, num_prompt_tokens: int | None = None) -> WorstCase:
    """Return what the call may consume. `num_prompt_tokens`: of all prompts, if they have been counted."""
    resolution = record.resolution
    assert resolution is not None, "the name is resolved before the holds"
    versions = resolution.versions()
    if isinstance(call, EmbedCall):
        return _case("embed", record, versions, _num_embedded(call))
    if isinstance(call, RateCall):
        texts = sum(_bound(each) + TEXT_TOKENS for each in call.continuations)
        prompt = prompt_bound(call, [call.prompt]) if num_prompt_tokens is None else num_prompt_tokens
        return _case("rate", record, versions, prompt + texts)
    assert isinstance(call, Call), "calls generate, embed or rate"
    return WorstCase(
        operation="generate",
        route=record.route or "",
        versions=versions,
        input_tokens=prompt_bound(call, call.prompts) if num_prompt_tokens is None else num_prompt_tokens,
        num_outputs=call.num_choices,
        output_tokens=_output_bound(call, resolution),
    )


def is_exact(call: ModelCall) -> bool:
    """Return whether the prompts' tokens are known without counting."""
    return isinstance(call, Call) and all(prompt.tokens is not None for prompt in call.prompts)


def _case(operation: str, record: Record, versions: Sequence[str], num_tokens: int) -> WorstCase:
    assert operation in ("embed", "rate")
    return WorstCase(
        operation="embed" if operation == "embed" else "rate",
        route=record.route or "",
        versions=versions,
        input_tokens=num_tokens,
    )


def _output_bound(call: Call, resolution: Resolution) -> int:
    """Return the tokens that each choice has at most."""
    bounds = []
    for served in resolution.served():
        params = call.sampling.with_defaults(served.sampling)
        limits = [each for each in (params.max_tokens, served.context_length) if each is not None]
        bounds.append(min(limits, default=UNKNOWN_OUTPUT_TOKENS))
    return max(bounds, default=call.sampling.params.max_tokens or 0)


def prompt_bound(call: PromptedCall, prompts: Sequence[Prompt]) -> int:
    """Return a number of tokens that prompts don't exceed."""
    definitions = 0 if call.tools is None else _TOOLS_FACTOR * _json_bound(call.tools.functions)
    options = _json_bound(call.template_options) if call.template_options else 0
    return sum(_bound_of(prompt) + definitions + options for prompt in prompts)


def _bound_of(prompt: Prompt) -> int:
    if prompt.tokens is not None:
        return len(prompt.tokens)
    if prompt.messages is not None:
        return _json_bound(prompt.messages) + TEMPLATE_TOKENS
    if prompt.user_text is not None:
        return _bound(prompt.user_text) + TEMPLATE_TOKENS
    return _bound(prompt.text or "") + _bound(prompt.suffix or "") + TEXT_TOKENS


def _num_embedded(call: EmbedCall) -> int:
    instruction, num_inputs = _bound(call.instruction or ""), len(call.inputs)
    added = instruction + (TEMPLATE_TOKENS if call.instruction or call.num_queries is not None else TEXT_TOKENS)
    bounds = [_bound(each) for each in call.inputs]
    if call.num_queries is None:
        return sum(min(each + added, call.truncate_to or each + added) for each in bounds)
    # Each document with its query, or each text alone: whichever is more.
    in_pairs = sum(bounds[query] + bounds[document] + added for query, document in call.pair_indices)
    return max(in_pairs, sum(bounds) + num_inputs * added)


def _json_bound(value: object) -> int:
    return _bound(msgspec.json.encode(value).decode())


def _bound(text: str | list[int]) -> int:
    if isinstance(text, list) or text.isascii():
        return len(text)
    longest = max(text, unicodedata.normalize("NFKD", text), key=len)
    return max(len(each.encode(errors="replace")) for each in (text, longest))
