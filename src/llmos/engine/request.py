"""Turns a request into sequences that the engine can run: the prompt as tokens, every limit checked and resolved."""

import os
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmos.core.errors import BadRequest, PromptTooLong
from llmos.engine.messages import MAX_PRIORITY, MAX_TOP, AdapterFiles, Delta, Generate, SamplingParams
from llmos.engine.prompt import Prompt, encode_prompt
from llmos.engine.rating import Rating
from llmos.engine.sampling.sampler import SamplingState
from llmos.engine.sampling_params import check_sampling, derive_seed
from llmos.engine.scheduling.branches import plan_branches
from llmos.engine.scheduling.scored_tokens import ScoredTokens
from llmos.engine.scheduling.sequence import Choice, Sequence
from llmos.engine.text.chat import compile_chat_grammar
from llmos.engine.text.grammar import GrammarCompiler, check_compatible
from llmos.engine.text.output import OutputProcessor, OutputSettings

if TYPE_CHECKING:
    from llmos.engine.checkpoint.adapters import Adapter
    from llmos.engine.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that can run: everything about it has been checked."""

    id: str
    num_prompt_tokens: int
    sequences: Seq[Sequence]
    """One for each choice; or those that score given texts, the first of which computes the prompt."""
    rating: Rating | None = None
    """Collects the scores of given tokens; None if the request has none."""
    ignored: tuple[str, ...] = ()
    """See messages.Started."""
    adapter: AdapterFiles | None = None
    opened_adapter: "Adapter | None" = None
    """The adapter's weights, if the engine doesn't hold them yet."""
    empty_choices: Seq[Delta] = ()
    """The choices of an answer that has no tokens, only the scores of its prompt."""


def prepare(
    request: Generate,
    tokenizer: "Tokenizer",
    grammars: GrammarCompiler,
    *,
    vocab_size: int,
    context_length: int,
    default_max_tokens: int | None = None,
) -> Prepared:
    """Check the request and turn it into sequences. Changes nothing, so any thread may call it.

    Raises BadRequest or PromptTooLong, naming the field.
    """
    params = request.sampling
    check_priority(request.priority)
    check_sampling(params, vocab_size, context_length)
    if request.prompt_logprobs is not None:
        check_num_top("prompt_logprobs", request.prompt_logprobs, vocab_size)
    prompt = encode_prompt(request, tokenizer, vocab_size=vocab_size, context_length=context_length)
    tokens, chat = prompt.tokens, prompt.chat
    grammar = chat.grammar if chat else request.grammar
    if grammar is not None:
        check_compatible(grammar, params)
    max_tokens = _resolve_max_tokens(prompt, params, context_length)
    if params.max_tokens is None and default_max_tokens is not None:
        max_tokens = min(max_tokens, default_max_tokens)
    end_ids = frozenset() if params.ignore_eos else tokenizer.eos_ids
    # The files may name ids that the model can't choose, and that the sampler therefore can't ban until min_tokens.
    stop_ids = frozenset(token for token in end_ids.union(params.stop_token_ids) if token < vocab_size)
    seed = int.from_bytes(os.urandom(8), "little") if params.seed is None else params.seed
    # Compiling comes last, since it may take long.
    dropped: list[str] = []
    if chat is not None:
        matcher, dropped = compile_chat_grammar(chat, grammars)
    else:
        matcher = None if grammar is None else grammars.compile(grammar)
    settings = OutputSettings(
        request_id=request.id,
        params=params,
        max_tokens=max_tokens,
        stop_ids=stop_ids,
        tokenizer=tokenizer,
        echo=echo_of(request, prompt, tokenizer),
        # A grammar constrains every character, so none is stripped.
        continues_prompt=request.continue_final_message or chat is None or request.grammar is not None,
        visible_control=chat.visible_control if chat else (),
        # A request for the scores of a prompt and its answer gets a log probability for each token of both.
        shows_stop_token=request.prompt_logprobs is not None,
    )
    rating, scored = _prompt_rating(request, tokens, tokenizer)
    sequences = [
        Choice(
            request.id,
            tokens,
            SamplingState(params, seed=derive_seed(seed, i), prompt=tokens, stop_ids=stop_ids, vocab_size=vocab_size),
            OutputProcessor(settings, i, parser=chat.parser() if chat else None),
            caller=request.caller,
            salt=cache_salt(request),
            priority=request.priority,
            matcher=matcher and matcher.copy(),
            scored=scored if i == 0 else None,
        )
        for i in range(params.n)
    ]
    ignored = (*(chat.ignored if chat else ()), *dropped)
    if params.max_tokens is not None and params.max_tokens > max_tokens:
        ignored = (*ignored, "max_tokens")
    return Prepared(request.id, len(tokens), sequences, rating, ignored, request.adapter)


def _prompt_rating(
    request: Generate, tokens: list[int], tokenizer: "Tokenizer"
) -> tuple[Rating | None, ScoredTokens | None]:
    """Return where the scores of the prompt's own tokens go, and what the first choice scores."""
    if request.prompt_logprobs is None:
        return None, None
    plan = plan_branches(tokens, [], scores_prompt=True)
    rating = Rating(request.id, tokenizer, num_top=request.prompt_logprobs, prompt=tokens, num_slots=plan.num_slots)
    return rating, ScoredTokens(plan.branches[0].targets, num_top=request.prompt_logprobs)


def cache_salt(request: Generate) -> str:
    """Return the salt of the request's prefixes: what was computed with an adapter is valid for that adapter only."""
    return f"{request.adapter.digest}\n{request.cache_salt}" if request.adapter else request.cache_salt


def check_num_top(field: str, num_top: int, vocab_size: int) -> None:
    """Raise BadRequest for more of the most likely tokens than a request may ask for."""
    most = min(MAX_TOP, vocab_size)
    if not 0 <= num_top <= most:
        raise BadRequest(f"{field} is {num_top}; it takes a whole number from 0 to {most}.", param=field)


def check_priority(priority: int) -> None:
    """Raise BadRequest for a priority out of range."""
    if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise BadRequest(
            f"priority is {priority}; it takes a whole number from {-MAX_PRIORITY} to {MAX_PRIORITY}.", param="priority"
        )


def echo_of(request: Generate, prompt: Prompt, tokenizer: "Tokenizer") -> str:
    """Return the text that each choice begins with, besides the answer."""
    if not request.echo:
        return ""
    text = prompt.request.text
    return tokenizer.decode(prompt.tokens) if text is None else text


def _resolve_max_tokens(prompt: Prompt, params: SamplingParams, context_length: int) -> int:
    """Return how many tokens the answer may have. Raises PromptTooLong or BadRequest if there is no room for them."""
    max_tokens = params.max_tokens
    prompt.check_length(context_length)
    num_prompt_tokens = len(prompt.tokens)
    room = context_length - num_prompt_tokens
    if not room:
        raise PromptTooLong(
            f"The prompt has {num_prompt_tokens:,} tokens, which is all that the model accepts: no room is left for an "
            "answer. Shorten it by as many tokens as the answer may need.",
            param=prompt.field,
        )
    if max_tokens is not None and max_tokens > room and not params.may_exceed_context:
        raise BadRequest(
            f"The prompt has {num_prompt_tokens:,} tokens and max_tokens is {max_tokens:,}, together "
            f"{num_prompt_tokens + max_tokens:,}; the model accepts {context_length:,}. "
            f"Lower max_tokens to {room:,}, or leave it out to use all the room that is left.",
            param="max_tokens",
        )
    return room if max_tokens is None else min(room, max_tokens)
