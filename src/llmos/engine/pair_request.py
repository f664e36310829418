"""Turns a request for scores into tokens that a reranker can run: a query and a document in one sequence."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmos.core.errors import BadRequest, PromptTooLong
from llmos.engine.embedding_request import PreparedTexts, beginning_of, default_prompt, token_limit
from llmos.engine.encoder_spec import EncoderSpec
from llmos.engine.messages import Embed
from llmos.engine.prompt import check_token_ids
from llmos.engine.request import check_priority

if TYPE_CHECKING:
    from llmos.engine.text.tokenizer import Tokenizer

Tokens = list[int]


def prepare_pairs(request: Embed, tokenizer: "Tokenizer", spec: EncoderSpec) -> PreparedTexts:
    """Check the request and turn it into tokens. Changes nothing, so any thread may call it.

    `tokenizer`: its chat template is that for pairs, if the model uses one. Raises BadRequest or PromptTooLong, naming
    the field.
    """
    assert spec.score_head is not None, "only rerankers score pairs"
    check_priority(request.priority)
    if not request.pairs:
        raise BadRequest(
            "This model scores pairs of texts and makes no vectors. Send a query and documents to /v1/rerank or"
            " /v1/score.",
            param="model",
        )
    names = request.input_names or [f"documents[{i}]" for i in range(len(request.pairs))]
    encoder = (_TemplateEncoder if spec.score_head.uses_template else _FrameEncoder)(request, tokenizer, spec)
    encoded = [
        encoder.encode(query, document, name) for (query, document), name in zip(request.pairs, names, strict=True)
    ]
    for (tokens, _), name in zip(encoded, names, strict=True):
        check_token_ids(tokens, tokenizer, spec.vocab_size, f"`{name}` or its query", name)
    return PreparedTexts(
        request.id,
        [tokens for tokens, _ in encoded],
        dimensions=1,
        caller=request.caller,
        priority=request.priority,
        types=[types for _, types in encoded] if spec.num_types else None,
    )


def render_pair(
    tokenizer: "Tokenizer", instruction: str | None, query: str, document: str, variables: Mapping[str, Any]
) -> Tokens:
    """Return the tokens of a pair that the chat template renders. Raises BadRequest from the template."""
    texts = {"system": instruction, "query": query, "document": document}
    messages = [{"role": role, "content": text} for role, text in texts.items() if text is not None]
    return tokenizer.encode_chat(
        messages,
        variables={name: value for name, value in variables.items() if name != "add_generation_prompt"},
        add_generation_prompt=bool(variables.get("add_generation_prompt")),
    )


class _PairEncoder:
    """Encodes the pairs of one request."""

    def __init__(self, request: Embed, tokenizer: "Tokenizer", spec: EncoderSpec) -> None:
        self._tokenizer, self._spec = tokenizer, spec
        self._limit = token_limit(request.truncate_to, spec)
        self._is_cut = request.truncate_to is not None
        name = default_prompt(request, spec)
        self._prompt = spec.prompts[name] if name is not None else None

    def _text(self, text: str) -> str:
        return text.lower() if self._spec.lowercase else text

    def _beginning(self, text: str) -> str:
        """Return the text; of one that is far too long only the beginning, since encoding all of it would delay
        others. The beginning is too long, too."""
        return beginning_of(self._text(text), self._tokenizer, self._limit, is_cut=self._is_cut)

    def _too_long(self, num_tokens: int, name: str) -> PromptTooLong:
        return PromptTooLong(
            f"`{name}` and its query have {num_tokens:,} tokens together; the model accepts {self._limit:,}. Shorten"
            f" them by {num_tokens - self._limit:,} tokens, or set `truncate` to true and the end of the document is"
            " left out.",
            param=name,
        )

    def _no_room(self, name: str) -> PromptTooLong:
        return PromptTooLong(
            f"The query of `{name}` leaves no room for a document: the model accepts {self._limit:,} tokens for both."
            " Shorten the query.",
            param=name,
        )


class _FrameEncoder(_PairEncoder):
    """Packs pairs as the tokenizer's file says."""

    def __init__(self, request: Embed, tokenizer: "Tokenizer", spec: EncoderSpec) -> None:
        super().__init__(request, tokenizer, spec)
        if request.instruction is not None:
            raise BadRequest("This reranker takes no instruction. Leave `instruction` out.", param="instruction")
        self._frame = tokenizer.pair_frame
        self._queries: dict[str, Tokens] = {}

    def encode(self, query: str, document: str, name: str) -> tuple[Tokens, Tokens]:
        """Return the tokens of a pair and their types. Raises PromptTooLong."""
        first = self._queries.get(query)
        if first is None:
            [first] = self._tokenizer.encode_texts([self._beginning((self._prompt or "") + query)])
            self._queries[query] = first
        [second] = self._tokenizer.encode_texts([self._beginning(document)])
        room = self._limit - self._frame.num_tokens - len(first)
        if len(second) > room:
            if not self._is_cut:
                raise self._too_long(self._limit - room + len(second), name)
            if room < 1:
                raise self._no_room(name)
            second = second[:room]
        return self._frame.pack(first, second), self._frame.types(first, second)


class _TemplateEncoder(_PairEncoder):
    """Renders pairs by the chat template."""

    def __init__(self, request: Embed, tokenizer: "Tokenizer", spec: EncoderSpec) -> None:
        super().__init__(request, tokenizer, spec)
        self._instruction = self._prompt if request.instruction is None else request.instruction
        self._variables = spec.score_head.template_variables if spec.score_head is not None else {}

    def encode(self, query: str, document: str, name: str) -> tuple[Tokens, Tokens]:
        """Return the tokens of a pair and no types. Raises PromptTooLong, and BadRequest from the template."""
        if query.startswith("<|im_start|>"):
            raise BadRequest(
                "The query has a prompt around it already, which this model gets from LLMOS. Send the plain query.",
                param=name,
            )
        query, document = self._beginning(query), self._beginning(document)
        tokens = self._render(query, document)
        if len(tokens) <= self._limit:
            return tokens, []
        if not self._is_cut:
            raise self._too_long(len(tokens), name)
        return self._cut(query, document, len(tokens), name), []

    def _cut(self, query: str, document: str, num_tokens: int, name: str) -> Tokens:
        """Return the tokens of the query and as much of the document as fits."""
        [words] = self._tokenizer.encode_texts([document])
        while num_tokens > self._limit:
            words = words[: len(words) - (num_tokens - self._limit)]
            if not words:
                raise self._no_room(name)
            tokens = self._render(query, self._tokenizer.decode(words).rstrip("\N{REPLACEMENT CHARACTER}"))
            num_tokens = len(tokens)
        return tokens

    def _render(self, query: str, document: str) -> Tokens:
        return render_pair(self._tokenizer, self._instruction, query, document, self._variables)
