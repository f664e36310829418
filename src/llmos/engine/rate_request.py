"""Turns a request to score given texts into sequences that the engine can run, every limit checked."""

from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from llmos.core.errors import BadRequest, PromptTooLong
from llmos.engine.messages import MAX_CONTINUATIONS, Delta, Generate, Rate
from llmos.engine.prompt import Prompt, check_far_too_long, check_token_ids, encode_prompt
from llmos.engine.rating import Rating
from llmos.engine.request import Prepared, cache_salt, check_num_top, check_priority, echo_of
from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.sampling_params import check_sampling
from llmos.engine.scheduling.branches import plan_branches
from llmos.engine.scheduling.scored_tokens import ScoredTokens
from llmos.engine.scheduling.sequence import Sequence
from llmos.engine.text.chat import encode_chat_prompt
from llmos.engine.text.tokenizer.continuations import PromptEnd, encode_behind

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer

MAX_CONTINUATION_TOKENS = 32_768
"""Tokens of all continuations together."""
MAX_CONTINUATION_CHARACTERS = 16 * MAX_CONTINUATION_TOKENS

_ANSWER = "Yes"


def prepare_rate(command: Rate, tokenizer: "Tokenizer", *, vocab_size: int, context_length: int) -> Prepared:
    """Check the request and turn it into sequences. Changes nothing, so any thread may call it.

    Where only continuations are scored, the prompt may come from the prefix cache. Where its own tokens are, too, it is
    computed anew, since the cache keeps no scores. Either way it is in the cache afterwards.

    Raises BadRequest or PromptTooLong, naming the field.
    """
    request = command.request
    check_priority(request.priority)
    check_num_top("num_top", command.num_top, vocab_size)
    _check_number(command)
    prompt = encode_prompt(request, tokenizer, vocab_size=vocab_size, context_length=context_length)
    prompt.check_length(context_length)
    continuations = _continuations(command, prompt, tokenizer, context_length)
    for i, tokens in enumerate(continuations):
        _check_tokens(tokens, prompt, tokenizer, vocab_size, context_length, _name(i))
    _check_total(sum(map(len, continuations)))
    return _prepared(command, prompt, continuations, tokenizer)


def prepare_prompt_alone(
    request: Generate, tokenizer: "Tokenizer", *, vocab_size: int, context_length: int
) -> Prepared:
    """Turn a request whose choices have no tokens, since max_tokens is 0, into the sequence that scores its prompt.

    Raises BadRequest or PromptTooLong, naming the field.
    """
    num_top = request.prompt_logprobs
    assert num_top is not None, "something is to be scored"
    check_priority(request.priority)
    check_sampling(msgspec.structs.replace(request.sampling, max_tokens=None), vocab_size, context_length)
    check_num_top("prompt_logprobs", num_top, vocab_size)
    prompt = encode_prompt(request, tokenizer, vocab_size=vocab_size, context_length=context_length)
    prompt.check_length(context_length)
    command = Rate(request=request, scores_prompt=True, num_top=num_top)
    text = echo_of(request, prompt, tokenizer)
    choices = [Delta(id=request.id, index=i, text=text, finish_reason="length") for i in range(request.sampling.n)]
    return replace(_prepared(command, prompt, [], tokenizer), empty_choices=choices)


def _prepared(command: Rate, prompt: Prompt, continuations: Seq[list[int]], tokenizer: "Tokenizer") -> Prepared:
    request = command.request
    plan = plan_branches(prompt.tokens, continuations, scores_prompt=command.scores_prompt)
    rating = Rating(
        request.id,
        tokenizer,
        num_top=command.num_top,
        prompt=prompt.tokens if command.scores_prompt else None,
        continuations=plan.slots,
        num_slots=plan.num_slots,
    )
    sequences = [
        Sequence(
            request.id,
            branch.tokens,
            caller=request.caller,
            salt=cache_salt(request),
            priority=request.priority,
            scored=ScoredTokens(branch.targets, num_top=command.num_top),
        )
        for branch in plan.branches
    ]
    if len(sequences) > 1:
        sequences[0].fork = len(prompt.tokens) // BLOCK_SIZE * BLOCK_SIZE
    ignored = prompt.chat.ignored if prompt.chat else ()
    return Prepared(request.id, len(prompt.tokens), sequences, rating, ignored, request.adapter)


def _check_number(command: Rate) -> None:
    num_continuations = len(command.continuations)
    if not (num_continuations or command.scores_prompt):
        raise BadRequest(
            "There is nothing to score: `continuations` is empty. Send at least one, or ask for the prompt's scores.",
            param="continuations",
        )
    if num_continuations > MAX_CONTINUATIONS:
        raise BadRequest(
            f"`continuations` has {num_continuations:,} entries; a request takes up to {MAX_CONTINUATIONS:,}. "
            "Send the others in further requests: the prompt is cached.",
            param="continuations",
        )
    for i, each in enumerate(command.continuations):
        if not each:
            raise _empty(_name(i))
    num_characters = sum(len(each) for each in command.continuations if isinstance(each, str))
    if num_characters > MAX_CONTINUATION_CHARACTERS:
        raise BadRequest(
            f"The continuations have {num_characters:,} characters together; a request takes up to "
            f"{MAX_CONTINUATION_CHARACTERS:,}. Send some of them in further requests: the prompt is cached.",
            param="continuations",
        )


def _continuations(command: Rate, prompt: Prompt, tokenizer: "Tokenizer", context_length: int) -> list[list[int]]:
    """Return the tokens of each continuation."""
    texts = {i: each for i, each in enumerate(command.continuations) if isinstance(each, str)}
    for i, text in texts.items():
        check_far_too_long(text, tokenizer, context_length, f"`{_name(i)}`", _name(i))
    encoded = iter(_encode_texts([*texts.values()], [_name(i) for i in texts], prompt, tokenizer))
    return [next(encoded) if isinstance(each, str) else each for each in command.continuations]


def _encode_texts(texts: Seq[str], names: Seq[str], prompt: Prompt, tokenizer: "Tokenizer") -> list[list[int]]:
    """Return the tokens of texts behind the prompt.

    Where the caller chose the end of a text, the texts go on there, and may merge with it. A conversation ends with the
    template's text, a gap to fill with a control token, and token ids end where the caller made them end: behind these,
    the texts begin anew.
    """
    request = prompt.request
    if request.text is not None and request.suffix is None:
        end = PromptEnd.of_text(request.text, prompt.tokens, tokenizer, find_control=request.parse_special)
        return encode_behind(end, texts, names, tokenizer)
    if request.continue_final_message and (last := PromptEnd.of_message(prompt.tokens, tokenizer)) is not None:
        return encode_behind(last, texts, names, tokenizer)
    space = _space_before_answers(prompt, tokenizer) if request.messages and not request.continue_final_message else ""
    return tokenizer.encode_inside([space + text for text in texts])


def _space_before_answers(prompt: Prompt, tokenizer: "Tokenizer") -> str:
    """Return the space that the chat template writes between the prompt and an answer, "" for almost all.

    The templates of Llama 2 and Mistral write "[/INST] answer", and their models begin an answer with a space.
    """
    request = prompt.request
    answer = {"role": "assistant", "content": _ANSWER}
    answered = msgspec.structs.replace(
        request, messages=[*(request.messages or ()), answer], continue_final_message=True
    )
    try:
        tokens = encode_chat_prompt(answered, tokenizer).tokens
    except BadRequest:
        return ""
    if tokens[: len(prompt.tokens)] != prompt.tokens:
        return ""
    behind = b"".join(map(tokenizer.token_bytes, tokens[len(prompt.tokens) :])).decode(errors="replace")
    return " " if behind == f" {_ANSWER}" else ""


def _check_tokens(
    tokens: list[int], prompt: Prompt, tokenizer: "Tokenizer", vocab_size: int, context_length: int, name: str
) -> None:
    """Raise what is wrong with a continuation."""
    if not tokens:
        raise _empty(name)
    check_token_ids(tokens, tokenizer, vocab_size, f"`{name}`", name)
    num_tokens = len(prompt.tokens) + len(tokens)
    if num_tokens > context_length:
        raise PromptTooLong(
            f"The prompt has {len(prompt.tokens):,} tokens and `{name}` has {len(tokens):,}, together {num_tokens:,}; "
            f"the model accepts {context_length:,}. Shorten them by {num_tokens - context_length:,} tokens.",
            param=name,
        )


def _check_total(num_tokens: int) -> None:
    if num_tokens > MAX_CONTINUATION_TOKENS:
        raise BadRequest(
            f"The continuations have {num_tokens:,} tokens together; a request takes up to "
            f"{MAX_CONTINUATION_TOKENS:,}. Send some of them in further requests: the prompt is cached.",
            param="continuations",
        )


def _empty(name: str) -> BadRequest:
    return BadRequest(f"`{name}` is empty, so there is nothing to score. Send a text, or leave it out.", param=name)


def _name(index: int) -> str:
    return f"continuations[{index}]"
