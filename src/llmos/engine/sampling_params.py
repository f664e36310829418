"""Validation of sampling parameters. Each error names the field and the values that it takes."""

import math
from collections.abc import Iterable

from llmos.core.errors import BadRequest
from llmos.engine.messages import SamplingParams

MAX_CHOICES = 128
MAX_LOGPROBS = 20
MAX_STOP_STRINGS = 64
MAX_STOP_LENGTH = 1024
_MASK = (1 << 64) - 1


def check_sampling(params: SamplingParams, vocab_size: int, context_length: int) -> None:
    """Validate the parameters against a model. Raises BadRequest, naming the field."""
    if params.max_tokens is not None:
        _check_count("max_tokens", params.max_tokens, 1, None if params.may_exceed_context else context_length)
    _check_count("min_tokens", params.min_tokens, 0, context_length)
    if params.max_tokens is not None and params.min_tokens > params.max_tokens:
        raise BadRequest(
            f"min_tokens is {params.min_tokens} and max_tokens is {params.max_tokens}; "
            "lower the first or raise the second.",
            param="min_tokens",
        )
    _check_number("temperature", params.temperature, 0, 2)
    _check_count("top_k", params.top_k, 0, None)
    _check_number("top_p", params.top_p, 0, 1)
    _check_number("min_p", params.min_p, 0, 1)
    if not (math.isfinite(params.repetition_penalty) and 0 < params.repetition_penalty <= 100):
        raise BadRequest(
            f"repetition_penalty is {params.repetition_penalty:g}; it takes a number above 0, up to 100 (1 is none).",
            param="repetition_penalty",
        )
    _check_number("presence_penalty", params.presence_penalty, -2, 2)
    _check_number("frequency_penalty", params.frequency_penalty, -2, 2)
    _check_tokens("logit_bias", params.logit_bias, vocab_size)
    for token, bias in params.logit_bias.items():
        _check_number(f"logit_bias[{token}]", bias, -100, 100, param="logit_bias")
    _check_count("n", params.n, 1, MAX_CHOICES)
    _check_stop(params.stop)
    _check_tokens("stop_token_ids", params.stop_token_ids, vocab_size)
    if params.logprobs is not None:
        _check_count("logprobs", params.logprobs, 0, min(MAX_LOGPROBS, vocab_size))


def derive_seed(seed: int, index: int) -> int:
    """Return a 64-bit seed for choice `index`, so that the choices of one request are independent but repeatable.

    SplitMix64 (Steele, Lea and Flood 2014).
    """
    mixed = (seed + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)


def _check_count(name: str, value: int, low: int, high: int | None) -> None:
    if value < low or (high is not None and value > high):
        limits = f"from {low} up" if high is None else f"from {low} to {high:,}"
        raise BadRequest(f"{name} is {value:,}; it takes a whole number {limits}.", param=name)


def _check_number(name: str, value: float, low: float, high: float, *, param: str | None = None) -> None:
    if not low <= value <= high:  # also rejects NaN
        raise BadRequest(f"{name} is {value:g}; it takes a number from {low:g} to {high:g}.", param=param or name)


def _check_tokens(name: str, tokens: Iterable[int], vocab_size: int) -> None:
    for token in tokens:
        if not 0 <= token < vocab_size:
            raise BadRequest(f"{name} names token {token}; the model's tokens are 0 to {vocab_size - 1:,}.", param=name)


def _check_stop(stop: list[str]) -> None:
    if len(stop) > MAX_STOP_STRINGS:
        raise BadRequest(f"stop has {len(stop)} strings; it takes up to {MAX_STOP_STRINGS}.", param="stop")
    for string in stop:
        if not string:
            raise BadRequest("stop has an empty string, which would stop every answer. Leave it out.", param="stop")
        if len(string) > MAX_STOP_LENGTH:
            raise BadRequest(
                f"stop has a string of {len(string):,} characters; it takes up to {MAX_STOP_LENGTH:,}.", param="stop"
            )
