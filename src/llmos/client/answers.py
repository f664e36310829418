"""What comes back: plain, frozen values that know no server."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """How many tokens one call read and wrote, as the server counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    """Of the prompt's tokens, those whose work was done already, for an earlier prompt with the same beginning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A function that the model wants called. The result goes back as a message of the role `tool` with the id."""

    id: str
    name: str
    arguments: str
    """A JSON object."""

    def json(self) -> Any:
        """Return the arguments. Raises ValueError where they are no JSON, as of an answer that max_tokens cut."""
        return json.loads(self.arguments)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One finished answer of a model."""

    id: str
    text: str
    model: str
    """The name that was asked: a Route or a model."""
    version: str
    """The Version that really produced the answer, such as `smollm2@1`."""
    finish_reason: str
    """`stop`: the model ended it or a stop string was met. `length`: it reached max_tokens or the context's end.
    `tool_calls`: it wants functions called."""
    usage: Usage
    reasoning: str = ""
    """What the model thought before it answered, where its template sets that apart."""
    tool_calls: tuple[ToolCall, ...] = ()

    def __str__(self) -> str:
        return self.text

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message of the conversation, for the next call."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.tool_calls
            ]
        return message

    def json(self) -> Any:
        """Return the text's JSON. Raises ValueError where it is none, as of an answer that max_tokens cut."""
        return json.loads(self.text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Embeddings:
    """The vectors of some texts."""

    vectors: list[list[float]]
    """One of each text, in their order."""
    model: str
    """The name that was asked: a Route or a model."""
    version: str
    """The Version that really made them, such as `minilm@1`."""
    usage: Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """What the server knows about the Version behind a name."""

    name: str = ""
    """The name that was asked: a Route or a model."""
    version: str = ""
    """The reference of the Version, such as `smollm2@1`."""
    digest: str | None = ""
    """None for a model that a provider runs."""
    family: str = ""
    format: str = ""
    quantization: str | None = None
    parameters: int | None = None
    context_length: int | None = None
    sampling: dict[str, float] = field(default_factory=dict)
    """How tokens are chosen where a call doesn't say."""
    size_bytes: int | None = None
    license: str | None = None
    source: str | None = None
    created_at: str | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The server's JSON object, whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteInfo:
    """A name that callers ask for, and the model that answers."""

    name: str = ""
    target: str = ""
    """What gets most of the calls: the reference of a model, or remote:PROVIDER/MODEL."""
    targets: list[dict[str, Any]] = field(default_factory=list)
    """{"target", "percent"} each: those of all come to 100."""
    fallbacks: list[str] = field(default_factory=list)
    shadow: dict[str, Any] | None = None
    sticky: str = ""
    timeout_seconds: float | None = None
    updated_at: str | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The server's JSON object, whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeploymentInfo:
    """A Version that the server runs, has tried to run, or is to run."""

    version: str = ""
    state: str = ""
    """`loading`, `ready`, `stuck`, `failed`, `stopped` or `asleep`."""
    reason: str | None = None
    """Why it can't answer at once. None where it can."""
    replicas_ready: int = 0
    replicas_wanted: int = 0
    percent_loaded: float | None = None
    """Of the replica that is loaded next."""
    seconds_left: float | None = None
    """Until it is loaded, as far as that is known."""
    wanted: dict[str, Any] | None = None
    """What it was deployed with; None where nobody has deployed it."""
    pid: int | None = None
    restarts: int = 0
    since: str | None = None
    """When it entered this state."""
    error: str | None = None
    """Why it failed, or why it is loaded once more."""
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The server's JSON object, whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeploymentEvent:
    """One thing that happened to a deployment."""

    at: str = ""
    kind: str = ""
    """`deployed`, `changed`, `slept`, `woken`, `scaled`, `ready`, `died`, `failed` or `removed`."""
    reason: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The server's JSON object, whole."""
