"""What each call sends and how its reply is read. No input or output happens here.

Two wire formats carry an answer: LLMOS's own (generate) and OpenAI's (chat). A `Call` hides which one it is.
"""

import difflib
import inspect
from array import array
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from sys import byteorder
from typing import Any, Generic, Literal, Protocol, TypedDict, TypeVar
from urllib.parse import quote

from llmos.client.answers import (
    Answer,
    DeploymentEvent,
    DeploymentInfo,
    Embeddings,
    ModelInfo,
    RouteInfo,
    Usage,
)
from llmos.client.draft import Draft, MalformedReply

T = TypeVar("T")


class Sampling(TypedDict, total=False):
    """How an answer is sampled and where it ends. What is left out is the server's default."""

    max_tokens: int
    """The most tokens to write; without it, as many as the context window has room for."""
    min_tokens: int
    """Don't end before this many tokens."""
    temperature: float
    """0 always takes the likeliest token."""
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
    """The answer ends before the first of these strings."""
    stop_token_ids: Sequence[int]
    ignore_eos: bool


class JSONModel(Protocol):
    """A class that knows its own JSON schema, as pydantic's models do."""

    def model_json_schema(self) -> dict[str, Any]: ...


class CallOptions(Sampling, total=False):
    """What a call takes besides: what the answer must be, and when it comes."""

    format: Mapping[str, Any] | JSONModel | Literal["json"]
    """The answer is JSON: of this schema, of this pydantic model, or any object. `Answer.json()` reads it."""
    regex: str
    """The answer matches it."""
    choice: Sequence[str]
    """The answer is one of these."""
    priority: int
    """-100 to 100: the higher goes first when the server is busy."""
    user: str
    """Which of your own users asks: when the server is busy, they take turns."""
    cache_salt: str
    """Prompts of one salt share the work for their common beginning; prompts of two never do."""


class ChatOptions(CallOptions, total=False):
    """What a conversation takes besides."""

    tools: Sequence[Mapping[str, Any]]
    """What the model may call: {"type": "function", "function": {"name", "description", "parameters": JSON schema}}."""
    tool_choice: Literal["auto", "required", "none"] | Mapping[str, Any]
    """Whether it must; or the one function: {"type": "function", "function": {"name"}}."""
    parallel_tool_calls: bool
    """Several calls may come in one answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call(Generic[T]):
    """One HTTP request and the reader of its reply."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    read: Callable[[Any], T]
    """Turn the decoded JSON of a reply, None for an empty one, into the result. Raises MalformedReply."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamedCall:
    """One HTTP request that is answered by server-sent events, and the reader of one event."""

    method: str
    path: str
    body: Mapping[str, Any]
    model: str
    read_event: Callable[[Any, Draft], str]
    """Note what an event says in the draft; return the text that it adds. Raises MalformedReply."""


def list_models() -> Call[list[ModelInfo]]:
    return Call(method="GET", path="/llmos/v1/models", read=_each(ModelInfo))


def get_model(name: str) -> Call[ModelInfo]:
    def read(body: Any) -> ModelInfo:
        return _described(ModelInfo, {**_object(body), "name": name})

    return Call(method="GET", path=f"/llmos/v1/models/{quote(name, safe='@:')}", read=read)


def list_routes() -> Call[list[RouteInfo]]:
    return Call(method="GET", path="/llmos/v1/routes", read=_each(RouteInfo))


class RouteSettings(TypedDict, total=False):
    """What a Route has besides its targets. What is left out is as if it had never been."""

    fallbacks: Sequence[str]
    """Tried in this order where a target fails before it has said anything."""
    shadow: Mapping[str, Any]
    """{"target", "percent"}: runs a share of the calls besides, to compare."""
    sticky: Literal["user", "caller", "none"]
    """Who always meets the same target."""
    timeout_seconds: float
    """How long a target may take to its first token, or to a whole answer that isn't streamed."""
    reason: str
    """Why, for the history."""


def get_route(name: str) -> Call[RouteInfo]:
    return Call(method="GET", path=_route_path(name), read=_one(RouteInfo))


def set_route(name: str, target: str | Mapping[str, float], settings: RouteSettings) -> Call[RouteInfo]:
    given = _given(settings, RouteSettings, "a route")
    targets = {"target": target} if isinstance(target, str) else {"targets": _weights(target)}
    return Call(method="PUT", path=_route_path(name), body={**targets, **given}, read=_one(RouteInfo))


def set_weights(name: str, percent_of: Mapping[str, float], reason: str) -> Call[RouteInfo]:
    body = {"targets": _weights(percent_of), "reason": reason}
    return Call(method="PUT", path=f"{_route_path(name)}/weights", body=body, read=_one(RouteInfo))


def route_history(name: str) -> Call[list[dict[str, Any]]]:
    return Call(method="GET", path=f"{_route_path(name)}/history", read=_rows)


def route_evidence(name: str) -> Call[dict[str, Any]]:
    return Call(method="GET", path=f"{_route_path(name)}/evidence", read=_object)


def list_providers() -> Call[list[dict[str, Any]]]:
    return Call(method="GET", path="/llmos/v1/providers", read=_rows)


def add_provider(name: str, kind: str, base_url: str, key: str | None) -> Call[dict[str, Any]]:
    body = {"kind": kind, "base_url": base_url} | ({} if key is None else {"key": key})
    return Call(method="PUT", path=_provider_path(name), body=body, read=_object)


def provider_models(name: str) -> Call[list[str]]:
    def read(body: Any) -> list[str]:
        return [str(each) for each in _object(body).get("models") or ()]

    return Call(method="GET", path=f"{_provider_path(name)}/models", read=read)


def remove_provider(name: str) -> Call[None]:
    return Call(method="DELETE", path=_provider_path(name), read=lambda _: None)


class RolloutSettings(TypedDict, total=False):
    """How a Version takes a Route over. What is left out is as the server has it."""

    steps: Sequence[float]
    """Percents of the calls, rising to 100."""
    gate: str
    """What has to hold at each step, as in "error_rate <= 1% and p95_first_token <= 1.5x"."""
    min_calls: int
    """Calls that each step wants to see before it is judged."""
    max_hold_seconds: int
    """A step that takes longer to judge goes back."""
    cases: Sequence[Mapping[str, Any]]
    """Questions with what a right answer has: the gate's score."""
    force: bool
    """Whatever its card says."""


def promote(version: str, route: str, settings: RolloutSettings) -> Call[dict[str, Any]]:
    body = {"version": version, "route": route, **_given(settings, RolloutSettings, "a rollout")}
    return Call(method="POST", path="/llmos/v1/rollouts", body=body, read=_object)


def list_rollouts(route: str | None) -> Call[list[dict[str, Any]]]:
    of_route = "" if route is None else f"?route={quote(route, safe='')}"
    return Call(method="GET", path=f"/llmos/v1/rollouts{of_route}", read=_rows)


def get_rollout(id: int) -> Call[dict[str, Any]]:
    return Call(method="GET", path=f"/llmos/v1/rollouts/{id}", read=_object)


def rollout_history(id: int) -> Call[list[dict[str, Any]]]:
    return Call(method="GET", path=f"/llmos/v1/rollouts/{id}/history", read=_rows)


def roll_back(route: str) -> Call[dict[str, Any]]:
    return Call(method="DELETE", path=f"{_route_path(route)}/rollout", read=_object)


def _given(settings: Mapping[str, Any], kind: type, whose: str) -> dict[str, Any]:
    """Return the settings that were given. Raises TypeError for one that the kind doesn't have."""
    given = {key: value for key, value in settings.items() if value is not None}
    known = kind.__annotations__
    if unknown := given.keys() - known.keys():
        raise TypeError(f"There is no setting {min(unknown)!r} of {whose}. There are {', '.join(known)}.")
    return given


def _weights(percent_of: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"target": target, "percent": percent} for target, percent in percent_of.items()]


def _provider_path(name: str) -> str:
    return f"/llmos/v1/providers/{quote(name, safe='')}"


def _rows(body: Any) -> list[dict[str, Any]]:
    rows = _object(body).get("data")
    if not isinstance(rows, list):
        raise MalformedReply
    return [_object(row) for row in rows]


def remove_route(name: str) -> Call[None]:
    return Call(method="DELETE", path=_route_path(name), read=lambda _: None)


class Wanted(TypedDict, total=False):
    """What a Version is deployed with. What is left out is as the server has it."""

    replicas: int
    """As many always; or, instead, min_replicas and max_replicas."""
    min_replicas: int
    max_replicas: int
    idle_seconds: int
    """It sleeps when nobody has asked for it for so long."""
    keep_warm: bool
    """It never sleeps."""
    options: dict[str, Any]
    """Of the engine, where they differ from the server's."""
    force: bool
    """Whatever its card says."""


def list_deployments() -> Call[list[DeploymentInfo]]:
    return Call(method="GET", path="/llmos/v1/deployments", read=_each(DeploymentInfo))


def get_deployment(name: str) -> Call[DeploymentInfo]:
    return Call(method="GET", path=_deployment_path(name), read=_one(DeploymentInfo))


def deploy(name: str, wanted: Wanted) -> Call[DeploymentInfo]:
    return Call(method="PUT", path=_deployment_path(name), body=dict(wanted), read=_one(DeploymentInfo))


def change_deployment(
    name: str, verb: Literal["scale", "sleep", "wake"], body: Mapping[str, Any] | None = None
) -> Call[DeploymentInfo]:
    return Call(method="POST", path=f"{_deployment_path(name)}/{verb}", body=body or {}, read=_one(DeploymentInfo))


def remove_deployment(name: str) -> Call[None]:
    return Call(method="DELETE", path=_deployment_path(name), read=lambda _: None)


def deployment_history(name: str) -> Call[list[DeploymentEvent]]:
    return Call(method="GET", path=f"{_deployment_path(name)}/history", read=_each(DeploymentEvent))


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


def embed(
    model: str, texts: Sequence[str], *, dimensions: int | None, truncate: bool, prompt_name: str | None
) -> Call[Embeddings]:
    if isinstance(texts, str):
        raise TypeError("embed takes a list of texts; put a single one into a list.")
    body: dict[str, Any] = {"model": model, "input": list(texts), "encoding_format": "base64"}
    options = {"dimensions": dimensions, "truncate": truncate or None, "prompt_name": prompt_name}
    body |= {name: value for name, value in options.items() if value is not None}
    return Call(method="POST", path="/v1/embeddings", body=body, read=lambda reply: _read_embeddings(reply, model))


def _route_path(name: str) -> str:
    return f"/llmos/v1/routes/{quote(name, safe='')}"


def _deployment_path(name: str) -> str:
    return f"/llmos/v1/deployments/{quote(name, safe='@:')}"


def checked(sampling: CallOptions, kind: type[CallOptions] = CallOptions) -> dict[str, Any]:
    """Return the options that were given. Raises TypeError for one that there is not, naming the nearest."""
    known = kind.__annotations__
    for name in sampling:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(sorted(known))}."
            raise TypeError(f"There is no option {name!r}. {advice}")
    return {name: value for name, value in sampling.items() if value is not None}


def _options(
    sampling: CallOptions, format_name: str, schema_name: str, kind: type[CallOptions] = CallOptions
) -> dict[str, Any]:
    """Return the options as a wire format calls them. Raises TypeError for one that there is not, or that is none."""
    options = checked(sampling, kind)
    held: dict[str, Any] = {name: options.pop(name) for name in ("format", "regex", "choice") if name in options}
    if "format" in held:
        asked = held.pop("format")
        if asked == "json":
            held["json_object"] = True
        else:
            held[schema_name] = _schema(asked)
    if "choice" in held:
        held["choice"] = list(held["choice"])
    return {**options, format_name: held} if held else options


def _schema(asked: Any) -> Mapping[str, Any]:
    if isinstance(asked, Mapping):
        return asked
    if isinstance(asked, type) and hasattr(asked, "model_json_schema"):
        schema: dict[str, Any] = asked.model_json_schema()
        return schema
    raise TypeError(f"format is {asked!r}; it takes a JSON schema, a pydantic model, or 'json' for any object.")


def _read_generated(body: Any, model: str) -> Answer:
    draft = Draft(model)
    draft.text = _read_generate_event(body, draft)
    return draft.finished()


def _read_generate_event(event: Any, draft: Draft) -> str:
    event = _object(event)
    draft.version = event.get("version") or draft.version
    return _note(event, draft, finish_reason=event.get("finish_reason"), text=event.get("text"))


def _read_chat(body: Any, model: str) -> Answer:
    draft = Draft(model)
    draft.text = _read_choice(body, draft, "message")
    return draft.finished()


def _read_chat_event(event: Any, draft: Draft) -> str:
    return _read_choice(event, draft, "delta")


def _read_embeddings(body: Any, model: str) -> Embeddings:
    body = _object(body)
    rows = body.get("data")
    if not isinstance(rows, list):
        raise MalformedReply
    try:
        vectors = [_floats(b64decode(_object(row)["embedding"], validate=True)) for row in rows]
        usage = _usage({"completion_tokens": 0, **_object(body.get("usage"))})
        return Embeddings(vectors=vectors, model=model, version=str(body["model"]), usage=usage)
    except (KeyError, TypeError, ValueError):
        raise MalformedReply from None


def _floats(data: bytes) -> list[float]:
    """Of 32 bits, little-endian."""
    values = array("f", data)
    if byteorder == "big":
        values.byteswap()
    return values.tolist()


def _read_choice(body: Any, draft: Draft, part: str) -> str:
    body = _object(body)
    draft.version = body.get("model") or draft.version
    choices = body.get("choices")
    if not isinstance(choices, list):
        raise MalformedReply
    # The event that carries the usage has no choice.
    choice = _object(choices[0]) if choices else {}
    said = _object(choice.get(part) or {})
    _note_calls(said, draft)
    reasoning, text = said.get("reasoning_content"), said.get("content")
    if not isinstance(reasoning, str | None):
        raise MalformedReply
    draft.reasoning += reasoning or ""
    return _note(body, draft, finish_reason=choice.get("finish_reason"), text=text)


def _note_calls(said: dict[str, Any], draft: Draft) -> None:
    for place, call in enumerate(said.get("tool_calls") or []):
        call = _object(call)
        function = _object(call.get("function"))
        index, id, name = call.get("index", place), call.get("id") or "", function.get("name") or ""
        arguments = function.get("arguments") or ""
        if not (isinstance(index, int) and all(isinstance(each, str) for each in (id, name, arguments))):
            raise MalformedReply
        draft.call(index, id, name, arguments)


def _note(body: dict[str, Any], draft: Draft, *, finish_reason: Any, text: Any) -> str:
    draft.id = body.get("id") or draft.id
    draft.finish_reason = finish_reason or draft.finish_reason
    if body.get("usage") is not None:
        draft.usage = _usage(body["usage"])
    if not isinstance(text, str | None):
        raise MalformedReply
    return text or ""


def _usage(body: Any) -> Usage:
    body = _object(body)
    try:
        details = _object(body.get("prompt_tokens_details") or {})  # An older server sends none.
        return Usage(
            int(body["prompt_tokens"]),
            int(body["completion_tokens"]),
            int(body["total_tokens"]),
            int(details.get("cached_tokens") or 0),
        )
    except (KeyError, TypeError, ValueError):
        raise MalformedReply from None


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise MalformedReply
    return body


def _described(kind: Callable[..., T], body: dict[str, Any]) -> T:
    """Return a …Info. A newer server may send fields that it doesn't know, an older one fewer."""
    known = inspect.signature(kind).parameters
    return kind(**{name: value for name, value in body.items() if name in known and name != "raw"}, raw=body)


def _one(kind: Callable[..., T]) -> Callable[[Any], T]:
    return lambda body: _described(kind, _object(body))


def _each(kind: Callable[..., T]) -> Callable[[Any], list[T]]:
    def read(body: Any) -> list[T]:
        rows = _object(body).get("data")
        if not isinstance(rows, list):
            raise MalformedReply
        return [_described(kind, _object(row)) for row in rows]

    return read
