"""Turns the prompt of a request into tokens, with every check that concerns it alone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from llmos.core.errors import BadRequest, PromptTooLong
from llmos.engine.messages import Counted, Generate, Tokenize, Tokenized
from llmos.engine.text.chat import ChatPrompt, encode_chat_prompt
from llmos.engine.text.json_strings import iter_strings

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer

CHARACTERS_PER_TOKEN = 8
"""More than the average of prose, code or numbers. Only long runs of one character, which are one token, have more."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The tokens of a prompt, all of which the model has, and where they come from."""

    tokens: list[int]
    """At least one."""
    field: str
    """The name that callers know the prompt's field by."""
    request: Generate
    """The request, with its user_text as the message or the text that the model takes."""
    chat: ChatPrompt | None
    """The conversation; None for a plain prompt."""

    def check_length(self, context_length: int) -> None:
        """Raise PromptTooLong for a prompt that the model can't take, whatever comes behind it."""
        num_tokens = len(self.tokens)
        if num_tokens > context_length:
            raise PromptTooLong(
                f"The prompt has {num_tokens:,} tokens; the model accepts {context_length:,}. "
                f"Shorten it by {num_tokens - context_length:,} tokens.",
                param=self.field,
            )


def encode_prompt(request: Generate, tokenizer: "Tokenizer", *, vocab_size: int, context_length: int) -> Prompt:
    """Return the tokens of the prompt, whether or not they leave room for an answer.

    Raises BadRequest, and PromptTooLong for a text that is too long to be encoded at all.
    """
    field = _prompt_field(request)
    _check_continuable(request)
    request = _with_template(request, tokenizer)
    _check_far_too_long(request, tokenizer, context_length, field)
    chat = _chat_prompt(request, tokenizer)
    tokens = chat.tokens if chat else _prompt_tokens(request, tokenizer)
    check_token_ids(tokens, tokenizer, vocab_size, "The prompt", field)
    return Prompt(tokens, field, request, chat)


def count(request: Generate, tokenizer: "Tokenizer", *, vocab_size: int, context_length: int) -> Counted:
    """Return how many tokens the prompt has. Raises as encode_prompt() does."""
    prompt = encode_prompt(request, tokenizer, vocab_size=vocab_size, context_length=context_length)
    return Counted(request.id, len(prompt.tokens))


def tokenize(command: Tokenize, tokenizer: "Tokenizer", *, vocab_size: int, context_length: int) -> Tokenized:
    """Return the tokens of the prompt, which may be empty. Raises as count() does."""
    request = command.request
    field = _prompt_field(request)
    _check_continuable(request)
    _check_far_too_long(request, tokenizer, context_length, field)
    if request.messages is None:
        _check_plain(request)
        tokens = _text_or_tokens(request, tokenizer, add_bos=command.adds_bos)
        if tokens:
            check_token_ids(tokens, tokenizer, vocab_size, "The prompt", field)
    else:
        _check_template(tokenizer)
        tokens = encode_chat_prompt(request, tokenizer, add_generation_prompt=command.adds_generation_prompt).tokens
    return Tokenized(
        id=request.id,
        tokens=tokens,
        token_texts=[tokenizer.token_text(token) for token in tokens],
        text=tokenizer.decode(tokens, skip_special=False),
        context_length=context_length,
    )


def _prompt_field(request: Generate) -> str:
    """Return the name that callers know the prompt's field by."""
    given = [name for name in ("messages", "user_text", "text", "tokens") if getattr(request, name) is not None]
    if len(given) != 1:
        raise BadRequest(
            f"The request has {' and '.join(given) or 'no prompt'}; "
            "give exactly one of messages, user_text, text and tokens.",
            param="messages" if "messages" in given else "prompt",
        )
    return "messages" if given[0] == "messages" else "prompt"


def _check_continuable(request: Generate) -> None:
    if not request.continue_final_message:
        return
    last = request.messages[-1] if request.messages else {}
    if last.get("role") != "assistant" or not isinstance(last.get("content"), str) or last.get("tool_calls"):
        raise BadRequest(
            "Only an assistant's message can be continued, and only its text. End with a message of the user's.",
            param="messages",
        )


def _with_template(request: Generate, tokenizer: "Tokenizer") -> Generate:
    """Turn a user_text into a message if the model has a chat template, into plain text otherwise."""
    if request.user_text is None:
        return request
    if not tokenizer.has_template:
        return msgspec.structs.replace(request, user_text=None, text=request.user_text)
    return msgspec.structs.replace(request, user_text=None, messages=[{"role": "user", "content": request.user_text}])


def _check_far_too_long(request: Generate, tokenizer: "Tokenizer", context_length: int, field: str) -> None:
    """Raise PromptTooLong if the beginning of the prompt is too long already. For messages, the text is everything that
    a template may write, concatenated."""
    if request.text is not None:
        text = request.text + (request.suffix or "")
    else:
        tools = request.tools.functions if request.tools else []
        text = "".join(iter_strings([request.messages, tools, request.template_options]))
    check_far_too_long(text, tokenizer, context_length, "The prompt", field)


def check_far_too_long(text: str, tokenizer: "Tokenizer", context_length: int, subject: str, param: str) -> None:
    """Raise PromptTooLong if the beginning of a text is too long already: encoding all of it would delay others."""
    num_characters = CHARACTERS_PER_TOKEN * context_length
    # If the beginning has few tokens, a longer one is tried, since the rest may have more.
    while num_characters < len(text):
        num_tokens = len(tokenizer.encode(text[:num_characters], add_bos=False))
        if num_tokens > context_length:
            raise PromptTooLong(
                f"{subject} has more than {num_tokens:,} tokens; the model accepts {context_length:,}. "
                f"Shorten it by more than {num_tokens - context_length:,} tokens.",
                param=param,
            )
        num_characters *= 2


def _chat_prompt(request: Generate, tokenizer: "Tokenizer") -> ChatPrompt | None:
    """Return the prompt of a conversation; None for a plain prompt."""
    if request.messages is None:
        _check_plain(request)
        return None
    _check_template(tokenizer)
    chat = encode_chat_prompt(request, tokenizer)
    if not chat.tokens:
        raise _empty_prompt()
    return chat


def _check_plain(request: Generate) -> None:
    """Raise BadRequest for what needs a conversation."""
    for param, given in (("tools", request.tools), ("chat_template_kwargs", request.template_options)):
        if given:
            raise BadRequest(f"`{param}` needs a conversation. Send `messages`, or leave it out.", param=param)


def _check_template(tokenizer: "Tokenizer") -> None:
    if not tokenizer.has_template:
        raise BadRequest(
            "The model has no chat template, so it can't take messages. Send it a text prompt.", param="messages"
        )


def _prompt_tokens(request: Generate, tokenizer: "Tokenizer") -> list[int]:
    tokens = _text_or_tokens(request, tokenizer, add_bos=True)
    if not tokens:
        raise _empty_prompt()
    return tokens


def check_token_ids(tokens: list[int], tokenizer: "Tokenizer", vocab_size: int, subject: str, param: str) -> None:
    """Raise BadRequest for a token that the model has no embedding for: it would fail the step of all callers.

    Such tokens come from callers who send ids, and from tokenizers with more tokens than the model.
    """
    if min(tokens) >= 0 and max(tokens) < vocab_size:
        return
    token = next(token for token in tokens if not 0 <= token < vocab_size)
    text = tokenizer.token_text(token) if 0 <= token < tokenizer.vocab_size else ""
    raise BadRequest(
        f"{subject} has token {token}{f' ({text!r:.60})' if text else ''}; the model's tokens are 0 to "
        f"{vocab_size - 1:,}."
        + (" Its tokenizer has more tokens than the model: leave this text out." if text else ""),
        param=param,
    )


def _text_or_tokens(request: Generate, tokenizer: "Tokenizer", *, add_bos: bool) -> list[int]:
    """Return the tokens of a prompt without a template."""
    text = request.text
    if request.suffix is not None:
        if text is None:
            raise BadRequest("`suffix` needs a text before it. Send `prompt` as a text.", param="suffix")
        return tokenizer.encode_infill(text, request.suffix)
    if text is not None:
        return tokenizer.encode(text, add_bos=add_bos, find_control=request.parse_special)
    return request.tokens or []


def _empty_prompt() -> BadRequest:
    return BadRequest("The prompt is empty, so there is nothing to continue. Send some text.", param="prompt")
