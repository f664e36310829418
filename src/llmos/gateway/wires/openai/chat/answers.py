"""The answer of POST /v1/chat/completions, and the events of its stream."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from llmos.core.schemas.knowledge import Citation
from llmos.engine.messages import FinishReason
from llmos.gateway.calls.answer import CompleteChoice
from llmos.gateway.calls.applications import ApplicationRun, citation_path, cited_parts
from llmos.gateway.calls.tool_calls import CallWarning, ToolCall
from llmos.gateway.http.answers import Usage
from llmos.gateway.wires.openai.answers import PromptLogprobs, TokenLogprobs


class AnswerFunction(msgspec.Struct):
    name: str
    arguments: str
    """A JSON object, complete unless finish_reason is `length`."""


class AnswerToolCall(msgspec.Struct):
    id: str
    function: AnswerFunction
    type: Literal["function"] = "function"


def render_calls(calls: Sequence[ToolCall]) -> list[AnswerToolCall]:
    """Return the calls of a complete answer."""
    return [AnswerToolCall(call.id, AnswerFunction(call.name, call.arguments)) for call in calls]


class ChunkFunction(msgspec.Struct):
    arguments: str
    name: str | msgspec.UnsetType = msgspec.UNSET


class ChunkToolCall(msgspec.Struct):
    """A piece of a call. The first piece has the id, type and name; later pieces extend the arguments."""

    index: int
    function: ChunkFunction
    id: str | msgspec.UnsetType = msgspec.UNSET
    type: Literal["function"] | msgspec.UnsetType = msgspec.UNSET


class ChoiceLogprobs(msgspec.Struct):
    content: list[TokenLogprobs]
    refusal: None = None


class UrlCitation(msgspec.Struct, kw_only=True):
    start_index: int
    """In characters of the message's text."""
    end_index: int
    title: str
    """The name of the document."""
    url: str
    """The URL of the document on this server."""


class Annotation(msgspec.Struct, kw_only=True):
    """A passage of a document that a part of the text is based on. Answers of applications have such citations."""

    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation
    citation: Citation
    """The place itself, with the quote."""


class AnswerRun(msgspec.Struct, kw_only=True):
    """The run of an application that gave the answer."""

    id: str
    state: str
    """succeeded, or waiting for a person."""
    abstained: bool
    """The documents don't answer this."""
    waits_for: str | None
    notes: list[str]


class AnswerMessage(msgspec.Struct):
    content: str | None
    """null if the answer consists of calls only."""
    role: Literal["assistant"] = "assistant"
    refusal: None = None
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET
    """The reasoning before the answer, if the model's format separates it."""
    tool_calls: list[AnswerToolCall] | msgspec.UnsetType = msgspec.UNSET
    annotations: list[Annotation] | msgspec.UnsetType = msgspec.UNSET


class ChatChoice(msgspec.Struct):
    index: int
    message: AnswerMessage
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    """The version that answered, such as smollm2@1."""
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage
    warnings: list[CallWarning] | msgspec.UnsetType = msgspec.UNSET
    """The calls whose arguments don't follow their schema. Absent without any."""
    prompt_logprobs: PromptLogprobs | msgspec.UnsetType = msgspec.UNSET
    """With `prompt_logprobs` in the request."""
    run: AnswerRun | msgspec.UnsetType = msgspec.UNSET
    """The run, if an application answered."""


class ChunkDelta(msgspec.Struct, omit_defaults=True):
    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ChunkToolCall] = []
    annotations: list[Annotation] = []
    """In the last event before the one with the finish_reason."""


class ChunkChoice(msgspec.Struct):
    index: int
    delta: ChunkDelta
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason | None


class ChatCompletionChunk(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET
    warnings: list[CallWarning] | msgspec.UnsetType = msgspec.UNSET
    """In the event with the finish_reason: the calls whose arguments don't follow their schema."""


def render_annotations(run: ApplicationRun | None, text: str) -> list[Annotation]:
    """Return what the text of an application's answer rests on."""
    return [
        Annotation(
            url_citation=UrlCitation(
                start_index=part.start,
                end_index=part.end,
                title=part.citation.document,
                url=citation_path(part.citation),
            ),
            citation=part.citation,
        )
        for part in cited_parts(run, text)
    ]


def render_run(run: ApplicationRun | None) -> AnswerRun | msgspec.UnsetType:
    """Return what is known of an application's run that has ended."""
    if run is None or (result := run.result) is None:
        return msgspec.UNSET
    return AnswerRun(
        id=result.id,
        state=result.state,
        abstained=result.abstained,
        waits_for=result.waits_for,
        notes=result.notes,
    )


def render_message(choice: CompleteChoice, annotations: list[Annotation]) -> AnswerMessage:
    """Return the message of a complete choice."""
    return AnswerMessage(
        None if choice.tool_calls and not choice.text else choice.text,
        reasoning_content=choice.reasoning or msgspec.UNSET,
        tool_calls=render_calls(choice.tool_calls) if choice.tool_calls else msgspec.UNSET,
        annotations=annotations or msgspec.UNSET,
    )
