"""Turns a request for embeddings into tokens that an encoder can run, with prompts and control tokens added."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmos.core.errors import BadRequest, PromptTooLong
from llmos.engine.encoder_spec import EncoderSpec
from llmos.engine.messages import Embed
from llmos.engine.prompt import CHARACTERS_PER_TOKEN, check_token_ids
from llmos.engine.request import check_priority

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer

_ENCODED_CONTEXTS = 32
"""A text that is too long is encoded up to so many times the model's context, so that the error can say by how much."""


@dataclass(frozen=True, slots=True)
class PreparedTexts:
    """A request that can run: everything about it has been checked."""

    id: str
    texts: list[list[int]]
    """Tokens of each text, at least one."""
    dimensions: int
    caller: str
    priority: int
    types: list[list[int]] | None = None
    """The type of each token. None: all are of the first type."""

    @property
    def num_tokens(self) -> int:
        return sum(map(len, self.texts))


def prepare_texts(request: Embed, tokenizer: "Tokenizer", spec: EncoderSpec) -> PreparedTexts:
    """Check the request and turn it into tokens. Changes nothing, so any thread may call it.

    Raises BadRequest or PromptTooLong, naming the field.
    """
    check_priority(request.priority)
    dimensions = _dimensions(request.dimensions, spec)
    if not request.inputs:
        raise BadRequest("There is nothing to embed: `input` is empty. Send at least one text.", param="input")
    if request.instruction is not None:
        raise BadRequest("Only a reranker takes an instruction. Leave `instruction` out.", param="instruction")
    limit = token_limit(request.truncate_to, spec)
    prompt = _prompt(request, spec)
    texts = _TextEncoder(tokenizer, spec, prompt, limit, is_cut=request.truncate_to is not None).tokens(request)
    return PreparedTexts(request.id, texts, dimensions, request.caller, request.priority)


def _dimensions(asked: int | None, spec: EncoderSpec) -> int:
    if asked is None:
        return spec.vector_size
    if not 1 <= asked <= spec.hidden_size:
        raise BadRequest(
            f"`dimensions` is {asked}; the model's vectors have {spec.hidden_size:,} numbers. "
            f"Use 1 to {spec.hidden_size:,}, or leave it out.",
            param="dimensions",
        )
    return asked


def token_limit(asked: int | None, spec: EncoderSpec) -> int:
    """Return how many tokens a text may have, control tokens included. Raises BadRequest."""
    if not asked:
        return spec.max_positions
    if asked < 0 or asked > spec.max_positions:
        raise BadRequest(
            f"`truncate_prompt_tokens` is {asked:,}; the model accepts {spec.max_positions:,} tokens at most.",
            param="truncate_prompt_tokens",
        )
    return asked


_ROLES = {"query": ("query",), "document": ("document", "passage"), None: ()}
"""Role of a text -> the names that model makers give its prompt."""


def _prompt(request: Embed, spec: EncoderSpec) -> str:
    """Return the text that goes before every input. Raises BadRequest for an unknown prompt_name."""
    name = default_prompt(request, spec) if request.prompt is None else request.prompt
    if name is None:
        return ""
    if name not in spec.prompts:
        known = ", ".join(sorted(spec.prompts)) or "none; leave prompt_name out"
        raise BadRequest(f"The model has no prompt {name[:64]!r}. Available: {known}.", param="prompt_name")
    return spec.prompts[name]


def default_prompt(request: Embed, spec: EncoderSpec) -> str | None:
    """Return the name of the prompt for the request's role if it asks for none by name."""
    return next((name for name in _ROLES[request.role] if name in spec.prompts), spec.default_prompt)


def beginning_of(text: str, tokenizer: "Tokenizer", num_tokens: int, *, is_cut: bool) -> str:
    """Return the text; of one that is far too long only a beginning that has more than `num_tokens`, since encoding all
    of it would delay others. `is_cut`: the text will be cut, so that nobody needs to know by how much it is too long.

    The beginning ends at a space, which no tokenizer merges with the text before it.
    """
    num_characters = CHARACTERS_PER_TOKEN * (num_tokens + 1) * (1 if is_cut else _ENCODED_CONTEXTS)
    # If the beginning has few tokens, a longer one is tried, since the rest may have more.
    while num_characters < len(text):
        end = text.rfind(" ", 0, num_characters)
        if end > 0 and len(tokenizer.encode(text[:end], add_bos=False)) > num_tokens:
            return text[:end]
        num_characters *= 2
    return text


class _TextEncoder:
    """Encodes the inputs of one request."""

    def __init__(self, tokenizer: "Tokenizer", spec: EncoderSpec, prompt: str, limit: int, *, is_cut: bool) -> None:
        self._tokenizer, self._spec, self._prompt, self._limit, self._is_cut = tokenizer, spec, prompt, limit, is_cut
        self._before, self._behind = tokenizer.affixes
        self._room = limit - len(self._before) - len(self._behind)
        if self._room < 1:
            raise BadRequest(
                f"{limit} tokens leave no room for a text: {limit - self._room} of them are control tokens.",
                param="truncate_prompt_tokens",
            )

    def tokens(self, request: Embed) -> list[list[int]]:
        """Return the tokens of every input. Raises BadRequest or PromptTooLong, naming the input."""
        names = request.input_names or [f"input[{i}]" for i in range(len(request.inputs))]
        texts = [self._with_prompt(each) for each in request.inputs if isinstance(each, str)]
        heads = [beginning_of(text, self._tokenizer, self._limit, is_cut=self._is_cut) for text in texts]
        is_head = iter(len(head) < len(text) for head, text in zip(heads, texts, strict=True))
        encoded = iter(self._tokenizer.encode_texts(heads))
        texts_of_inputs = [
            self._with_frame(next(encoded), name, is_head=next(is_head))
            if isinstance(each, str)
            else self._as_given(each, name)
            for each, name in zip(request.inputs, names, strict=True)
        ]
        for tokens, name in zip(texts_of_inputs, names, strict=True):
            check_token_ids(tokens, self._tokenizer, self._spec.vocab_size, f"`{name}`", name)
        return texts_of_inputs

    def _with_prompt(self, text: str) -> str:
        text = self._prompt + text
        return text.lower() if self._spec.lowercase else text

    def _with_frame(self, tokens: list[int], name: str, *, is_head: bool) -> list[int]:
        if len(tokens) > self._room:
            if not self._is_cut:
                raise self._too_long(len(tokens) + self._limit - self._room, name, "more than " if is_head else "")
            tokens = tokens[: self._room]
        return [*self._before, *tokens, *self._behind]

    def _as_given(self, tokens: Sequence[int], name: str) -> list[int]:
        if not tokens:
            raise BadRequest(f"`{name}` is empty: send at least one token.", param=name)
        self._check_frame(tokens, name)
        if len(tokens) > self._limit and not self._is_cut:
            raise self._too_long(len(tokens), name)
        if len(tokens) <= self._limit:
            return list(tokens)
        return [*tokens[: self._limit - len(self._behind)], *self._behind]

    def _check_frame(self, tokens: Sequence[int], name: str) -> None:
        """Raise BadRequest for ids without the control tokens around a text: another tokenizer made them.

        Ids of another vocabulary are mostly valid ids here, too, and would become the vector of another text.
        """
        before, behind = self._before, self._behind
        is_framed = list(tokens[: len(before)]) == before and list(tokens[len(tokens) - len(behind) :]) == behind
        if is_framed and len(tokens) >= len(before) + len(behind):
            return
        frame = " … ".join(
            ", ".join(f"{token} ({self._tokenizer.token_text(token).strip()})" for token in part)
            for part in (before, behind)
        )
        raise BadRequest(
            f"`{name}` has token ids that this model's tokenizer didn't make: its texts are {frame}. "
            "Send the text itself. LangChain's OpenAIEmbeddings sends ids of another tokenizer unless you set "
            "check_embedding_ctx_length=False.",
            param=name,
        )

    def _too_long(self, num_tokens: int, name: str, more_than: str = "") -> PromptTooLong:
        return PromptTooLong(
            f"`{name}` has {more_than}{num_tokens:,} tokens; the model accepts {self._limit:,}. "
            f"Shorten it by {more_than}{num_tokens - self._limit:,} tokens, "
            "or set `truncate` to true and its end is left out.",
            param=name,
        )
