"""The calls that run a model: what each sends and how its reply is read. No input or output happens here.

Two wire formats carry an answer: LLMOS's own (generate) and OpenAI's (chat). A `Call` hides which one it is.
"""

import difflib
from array import array
from base64 import b64decode
from collections.abc import Mapping, Sequence
from sys import byteorder
from typing import Any, Literal, Protocol, TypedDict, TypeVar

from llmos.client.answers import Answer, Embeddings, TokenCount, Usage
from llmos.client.call import Call, StreamedCall, json_object, read_one
from llmos.client.draft import Draft, MalformedReply
from llmos.core.schemas.base import Description
from llmos.core.schemas.likelihood import LikelihoodDescription

T = TypeVar("T")
D = TypeVar("D", bound=Description)


class Sampling(TypedDict, total=False):
    """Options of sampling, and of when an answer ends. One that is left out gets the server's default."""

    max_tokens: int
    """The maximum number of tokens to generate; by default, what the context window has room for."""
    min_tokens: int
    """The minimum number of tokens to generate."""
    temperature: float
    """0 always takes the most likely token."""
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    logit_bias: dict[int, float]
    seed: int
    """The same seed gives the same text."""
    stop: str | Sequence[str]
    """The answer ends before the first occurrence of any of these strings."""
    stop_token_ids: Sequence[int]
    ignore_eos: bool


class JSONModel(Protocol):
    """A class with a JSON schema, such as a pydantic model."""

    def model_json_schema(self) -> dict[str, Any]: ...


class CallOptions(Sampling, total=False):
    """Options of a call besides sampling: the format of the answer, and scheduling."""

    format: Mapping[str, Any] | JSONModel | Literal["json"]
    """The answer is JSON that matches this schema or pydantic model, or any JSON object. `Answer.json()` parses it."""
    regex: str
    """The answer matches this regular expression."""
    choice: Sequence[str]
    """The answer is one of these."""
    priority: int
    """-100 to 100: higher priorities go first when the server is busy."""
    user: str
    """Your own user: when the server is busy, users take turns."""
    cache_salt: str
    """Prompts with the same salt share the cache of common prefixes; prompts with different salts never do."""


class ChatOptions(CallOptions, total=False):
    """Further options of a conversation."""

    tools: Sequence[Mapping[str, Any]]
    """The functions: {"type": "function", "function": {"name", "description", "parameters": JSON schema}}."""
    tool_choice: Literal["auto", "required", "none"] | Mapping[str, Any]
    """`required`: it must call one. Or the function to call: {"type": "function", "function": {"name"}}."""
    parallel_tool_calls: bool
    """One answer may contain several calls."""


def generate(model: str, prompt: str, *, raw: bool, sampling: CallOptions) -> Call[Answer]:
    body = {"model": model, "prompt": prompt, "raw": raw, **_options(sampling, "format", "json_schema")}
    return Call(method="POST", path="/llmos/v1/generate", body=body, read=lambda reply: _read_generated(reply, model))


def generate_streamed(model: str, prompt: str, *, raw: bool, sampling: CallOptions) -> StreamedCall:
    options = _options(sampling, "format", "json_schema")
    body = {"model": model, "prompt": prompt, "raw": raw, "stream": True, **options}
    return StreamedCall(
        method="POST", path="/llmos/v1/generate", body=body, model=model, read_event=_read_generate_event
    )


def chat(model: str, messages: Sequence[Mapping[str, Any]], *, sampling: ChatOptions) -> Call[Answer]:
    body = {"model": model, "messages": list(messages), **_options(sampling, "structured_outputs", "json", ChatOptions)}
    return Call(method="POST", path="/v1/chat/completions", body=body, read=lambda reply: _read_chat(reply, model))


def chat_streamed(model: str, messages: Sequence[Mapping[str, Any]], *, sampling: ChatOptions) -> StreamedCall:
    body = {
        "model": model,
        "messages": list(messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        **_options(sampling, "structured_outputs", "json", ChatOptions),
    }
    return StreamedCall(method="POST", path="/v1/chat/completions", body=body, model=model, read_event=_read_chat_event)


def count_tokens(
    model: str, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> Call[TokenCount]:
    body = {"model": model, "messages": list(messages), **({"tools": list(tools)} if tools else {})}
    return Call(method="POST", path="/v1/tokenize", body=body, read=_read_token_count)


def embed(
    model: str, texts: Sequence[str], *, dimensions: int | None, truncate: bool, prompt_name: str | None
) -> Call[Embeddings]:
    if isinstance(texts, str):
        raise TypeError("embed takes a list of texts; put a single one into a list.")
    body: dict[str, Any] = {"model": model, "input": list(texts), "encoding_format": "base64"}
    options = {"dimensions": dimensions, "truncate": truncate or None, "prompt_name": prompt_name}
    body |= {name: value for name, value in options.items() if value is not None}
    return Call(method="POST", path="/v1/embeddings", body=body, read=lambda reply: _read_embeddings(reply, model))


class LikelihoodOptions(TypedDict, total=False):
    """Options of scoring given texts."""

    top: int
    """Return this many of the most likely tokens at each position, up to 20."""
    normalize: Literal["none", "tokens", "bytes"]
    """Divide log probabilities by the number of tokens or bytes of an option before options are compared."""
    score_prompt: bool
    """Score the prompt's own tokens, too."""
    tools: Sequence[Mapping[str, Any]]
    """The tools of the conversation."""
    continue_final_message: bool
    """The last message is the beginning of the answer, which the continuations go on with."""
    chat_template_kwargs: Mapping[str, Any]
    """More variables for the model's chat template."""
    priority: int
    user: str
    cache_salt: str


def likelihood(
    model: str,
    prompt: str | Sequence[int] | Sequence[Mapping[str, Any]],
    continuations: Sequence[str | Sequence[int]],
    *,
    options: LikelihoodOptions,
) -> Call[LikelihoodDescription]:
    if isinstance(continuations, str):
        raise TypeError("likelihood takes a list of continuations; put a single one into a list.")
    body = {
        "model": model,
        **_prompt(prompt),
        "continuations": [each if isinstance(each, str) else list(each) for each in continuations],
        **checked(options, LikelihoodOptions),
    }
    return Call(method="POST", path="/llmos/v1/likelihood", body=body, read=read_one(LikelihoodDescription))


def _prompt(prompt: str | Sequence[int] | Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the field of a text, of token ids or of messages."""
    if isinstance(prompt, str):
        return {"prompt": prompt}
    are_tokens = bool(prompt) and all(isinstance(each, int) for each in prompt)
    return {"tokens" if are_tokens else "messages": list(prompt)}


def checked(sampling: Mapping[str, Any], kind: type[Any] = CallOptions) -> dict[str, Any]:
    """Return the options that aren't None. Raises TypeError for an unknown one, with the nearest name."""
    known = kind.__annotations__
    for name in sampling:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"Did you mean {near[0]!r}?" if near else f"Options: {', '.join(sorted(known))}."
            raise TypeError(f"There is no option {name!r}. {advice}")
    return {name: value for name, value in sampling.items() if value is not None}


def _options(
    sampling: CallOptions, format_name: str, schema_name: str, kind: type[CallOptions] = CallOptions
) -> dict[str, Any]:
    """Return the options with the names of a wire format. Raises TypeError for an unknown or malformed one."""
    options = checked(sampling, kind)
    constraint: dict[str, Any] = {name: options.pop(name) for name in ("format", "regex", "choice") if name in options}
    if "format" in constraint:
        format = constraint.pop("format")
        if format == "json":
            constraint["json_object"] = True
        else:
            constraint[schema_name] = _schema(format)
    if "choice" in constraint:
        constraint["choice"] = list(constraint["choice"])
    return {**options, format_name: constraint} if constraint else options


def _schema(format: Any) -> Mapping[str, Any]:
    if isinstance(format, Mapping):
        return format
    if isinstance(format, type) and hasattr(format, "model_json_schema"):
        schema: dict[str, Any] = format.model_json_schema()
        return schema
    raise TypeError(f"format is {format!r}; it takes a JSON schema, a pydantic model, or 'json' for any object.")


def _read_generated(body: Any, model: str) -> Answer:
    draft = Draft(model)
    draft.text = _read_generate_event(body, draft)
    return draft.finished()


def _read_generate_event(event: Any, draft: Draft) -> str:
    event = json_object(event)
    draft.version = event.get("version") or draft.version
    return _update(event, draft, finish_reason=event.get("finish_reason"), text=event.get("text"))


def _read_chat(body: Any, model: str) -> Answer:
    draft = Draft(model)
    draft.text = _read_choice(body, draft, "message")
    return draft.finished()


def _read_chat_event(event: Any, draft: Draft) -> str:
    return _read_choice(event, draft, "delta")


def _read_embeddings(body: Any, model: str) -> Embeddings:
    body = json_object(body)
    rows = body.get("data")
    if not isinstance(rows, list):
        raise MalformedReply
    try:
        vectors = [_floats(b64decode(json_object(row)["embedding"], validate=True)) for row in rows]
        usage = _usage({"completion_tokens": 0, **json_object(body.get("usage"))})
        return Embeddings(vectors=vectors, model=model, version=str(body["model"]), usage=usage)
    except (KeyError, TypeError, ValueError):
        raise MalformedReply from None


def _read_token_count(body: Any) -> TokenCount:
    body = json_object(body)
    try:
        return TokenCount(num_tokens=int(body["count"]), context_length=int(body["max_model_len"]))
    except (KeyError, TypeError, ValueError):
        raise MalformedReply from None


def _floats(data: bytes) -> list[float]:
    """Decode little-endian float32 values."""
    values = array("f", data)
    if byteorder == "big":
        values.byteswap()
    return values.tolist()


def _read_choice(body: Any, draft: Draft, part: str) -> str:
    body = json_object(body)
    draft.version = body.get("model") or draft.version
    choices = body.get("choices")
    if not isinstance(choices, list):
        raise MalformedReply
    # The event with the usage has no choices.
    choice = json_object(choices[0]) if choices else {}
    message = json_object(choice.get(part) or {})
    _add_tool_calls(message, draft)
    for warning in body.get("warnings") or ():
        draft.warnings.append(str(json_object(warning).get("message")))
    reasoning, text = message.get("reasoning_content"), message.get("content")
    if not isinstance(reasoning, str | None):
        raise MalformedReply
    draft.reasoning += reasoning or ""
    return _update(body, draft, finish_reason=choice.get("finish_reason"), text=text)


def _add_tool_calls(message: dict[str, Any], draft: Draft) -> None:
    for position, call in enumerate(message.get("tool_calls") or []):
        call = json_object(call)
        function = json_object(call.get("function"))
        index, id, name = call.get("index", position), call.get("id") or "", function.get("name") or ""
        arguments = function.get("arguments") or ""
        if not (isinstance(index, int) and all(isinstance(each, str) for each in (id, name, arguments))):
            raise MalformedReply
        draft.add_tool_call(index, id, name, arguments)


def _update(body: dict[str, Any], draft: Draft, *, finish_reason: Any, text: Any) -> str:
    draft.id = body.get("id") or draft.id
    draft.finish_reason = finish_reason or draft.finish_reason
    if body.get("usage") is not None:
        draft.usage = _usage(body["usage"])
    if not isinstance(text, str | None):
        raise MalformedReply
    return text or ""


def _usage(body: Any) -> Usage:
    body = json_object(body)
    try:
        details = json_object(body.get("prompt_tokens_details") or {})  # An older server sends none.
        return Usage(
            int(body["prompt_tokens"]),
            int(body["completion_tokens"]),
            int(body["total_tokens"]),
            int(details.get("cached_tokens") or 0),
            None if body.get("cost") is None else str(body["cost"]),
            str(body.get("currency") or ""),
        )
    except (KeyError, TypeError, ValueError):
        raise MalformedReply from None
