"""The services that operators of datasets take from other rooms: detectors of personal data, tokenizers, datasets."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from llmos.core.errors import BadRequest
from llmos.data.datasets.contents import CaseContent, ChatContent, Content, Message, PreferenceContent, TextContent
from llmos.data.datasets.rows import Row
from llmos.data.operators.operator import Context, Span
from llmos.engine.messages import Generate, Tools
from llmos.models.registry import Registry
from llmos.security.guardrails.guardrail import Hit, text_of
from llmos.security.guardrails.kinds import load_kind

if TYPE_CHECKING:
    from llmos.data.datasets.datasets import ProjectDatasets
    from llmos.engine.text.tokenizer import Tokenizer


def operator_context(registry: Registry, datasets: "ProjectDatasets") -> Context:
    """Return the context of recipes on the datasets of one project."""
    return Context(
        personal_data=_personal_data,
        token_counter=partial(_token_counter, registry),
        rows_of=partial(_rows_of, datasets),
    )


def _personal_data(kinds: Sequence[str]) -> Callable[[str], list[Span]]:
    """Return what finds the personal data that the guardrail `pii` finds."""
    kind = load_kind("pii")
    guardrail = kind.open(kind.Options(**({"kinds": tuple(kinds)} if kinds else {})))

    def find(text: str) -> list[Span]:
        spans, end = [], 0
        for pieces in guardrail.screen_prompt([text], ["user"]):
            for piece in pieces:
                start, end = end, end + len(text_of(piece))
                if isinstance(piece, Hit):
                    spans.append(Span(start, end, piece.rule))
        return spans

    return find


def _token_counter(registry: Registry, model: str) -> Callable[[Content], int]:
    """Return what counts tokens by a model's own template and tokenizer."""
    from llmos.engine.checkpoint.checkpoint import open_checkpoint

    tokenizer = open_checkpoint(registry.loadable(registry.resolve(model)).files).tokenizer
    return partial(_num_tokens, tokenizer)


def _rows_of(datasets: "ProjectDatasets", reference: str) -> Iterable[Row]:
    return datasets.rows(datasets.resolve(reference))


def _num_tokens(tokenizer: "Tokenizer", content: Content) -> int:
    """Return the tokens of a content: conversations as the template writes them, preferences with the longer answer."""
    match content:
        case TextContent(text=text):
            return len(tokenizer.encode(text))
        case ChatContent(messages=messages, tools=tools):
            return _num_chat_tokens(tokenizer, messages, tools)
        case PreferenceContent(messages=messages, chosen=chosen, rejected=rejected):
            return max(_num_chat_tokens(tokenizer, [*messages, *answer], None) for answer in (chosen, rejected))
        case CaseContent(input=asked, expected=expected):
            answer = len(tokenizer.encode(expected, add_bos=False)) if isinstance(expected, str) else 0
            if isinstance(asked, str):
                return len(tokenizer.encode(asked)) + answer
            return _num_chat_tokens(tokenizer, asked, None) + answer
    raise AssertionError(f"no kind of content: {content!r}")


def _num_chat_tokens(tokenizer: "Tokenizer", messages: Sequence[Message], tools: list[dict[str, object]] | None) -> int:
    from llmos.engine.text.chat import encode_chat_prompt

    if not tokenizer.has_template:
        raise BadRequest("The model has no chat template, so it counts no conversations.", param="model")
    functions = [tool.get("function", tool) for tool in tools or []]
    request = Generate(
        id="count",
        messages=msgspec.to_builtins(messages),
        tools=Tools(functions=functions) if functions else None,  # type: ignore[arg-type]
    )
    return len(encode_chat_prompt(request, tokenizer, add_generation_prompt=False).tokens)
