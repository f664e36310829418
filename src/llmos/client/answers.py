"""The results of calls: frozen values without a connection."""

import json
from dataclasses import dataclass
from typing import Any

from llmos.core.schemas.deployments import DeploymentDescription
from llmos.core.schemas.likelihood import LikelihoodDescription
from llmos.core.schemas.models import ModelDescription
from llmos.core.schemas.routes import RouteDescription


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one call, as the server counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    """Prompt tokens that an earlier prompt with the same prefix had already computed."""
    cost: str | None = None
    """The cost, as a decimal text; None if no price applies."""
    currency: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A function that the model wants to call. Send the result as a message with the role `tool` and this id."""

    id: str
    name: str
    arguments: str
    """A JSON object."""

    def json(self) -> Any:
        """Return the arguments. Raises ValueError if they aren't JSON, for example when max_tokens cut the answer."""
        return json.loads(self.arguments)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A complete answer of a model."""

    id: str
    text: str
    model: str
    """The name that was asked for: a Route or a model."""
    version: str
    """The Version that produced the answer, such as `smollm2@1`."""
    finish_reason: str
    """`stop`: the model ended the answer or generated a stop string. `length`: it reached max_tokens or the context
    length. `tool_calls`: it wants to call functions."""
    usage: Usage
    reasoning: str = ""
    """The text that the model generated as its reasoning, if its template marks it."""
    tool_calls: tuple[ToolCall, ...] = ()
    warnings: tuple[str, ...] = ()
    """The faults of tool calls whose arguments don't follow the schema of their function."""

    def __str__(self) -> str:
        return self.text

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message, to send with the next call."""
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
        """Return the text, parsed as JSON. Raises ValueError if it isn't JSON, for example when max_tokens cut it."""
        return json.loads(self.text)


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenCount:
    """The size of a prompt."""

    num_tokens: int
    context_length: int
    """The most tokens that a prompt and its answer may have together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Embeddings:
    """The embeddings of a list of texts."""

    vectors: list[list[float]]
    """One vector per text, in the same order."""
    model: str
    """The name that was asked for: a Route or a model."""
    version: str
    """The Version that produced them, such as `minilm@1`."""
    usage: Usage


Likelihood = LikelihoodDescription
ModelInfo = ModelDescription
RouteInfo = RouteDescription
DeploymentInfo = DeploymentDescription
