"""RequestFormat: how requests are written and streams read in a provider's API, and what the APIs share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from llmos.core.errors import BadRequest, ProviderFailed
from llmos.core.money import NANOS
from llmos.deployments.providers.provider_model import ProviderModel
from llmos.engine.messages import Event, Generate, SamplingParams

_DEFAULTS = SamplingParams()

MAX_TOKENS = 2**40
"""A larger count in a provider's usage is an error of the provider."""


MAX_COST = 10**6
"""A larger cost of one request is an error of the provider."""


class Refusal(msgspec.Struct, frozen=True):
    """A sampling parameter that the provider's API lacks, under the name that callers use."""

    name: str
    advice: str = "Leave it out, or ask for a model of this machine."


class RequestFormat(ABC):
    """Writes one request and reads its stream. One instance per request."""

    is_streamed: bool = True
    """True where the answer is a stream of events. Otherwise it is one JSON object, which is read as the only event."""

    refused: ClassVar[Mapping[str, Refusal]] = {}
    """Sampling parameters that would change the answer and that the API does not take."""

    def __init__(self, model: ProviderModel, request: Generate, given: frozenset[str]) -> None:
        """`given`: the sampling parameters that the caller named. The provider chooses the others."""
        self.model, self.request, self.given = model, request, given

    @staticmethod
    @abstractmethod
    def headers(key: str | None) -> dict[str, str]: ...

    @abstractmethod
    def path(self) -> str:
        """Return the path below the base URL."""

    @abstractmethod
    def body(self) -> dict[str, Any]:
        """Return the JSON of the request. Raises BadRequest, naming the field, for what the API does not support."""

    @abstractmethod
    def read(self, event: dict[str, Any]) -> Iterator[Event]:
        """Yield what one event of the stream adds."""

    @abstractmethod
    def end(self) -> Iterator[Event]:
        """Yield what is known at the end of the stream: Counted, then the last Delta of every choice. Raises
        ProviderFailed where the stream ended too early."""

    def check_common(self) -> None:
        """Raise BadRequest for what no provider's API takes."""
        request, params = self.request, self.request.sampling
        if request.tokens is not None:
            raise self.unsupported(
                "prompt", "take tokens for a prompt, since they are another model's", "Send the text."
            )
        if request.adapter is not None:
            raise self.unsupported("model", "take adapters", "Ask for a model of this machine.")
        if request.prompt_logprobs is not None:
            raise self.unsupported("prompt_logprobs", "score given texts", "Ask for a model of this machine.")
        for name, refusal in self.refused.items():
            if getattr(params, name) != getattr(_DEFAULTS, name):
                raise self.unsupported(refusal.name, f"take `{refusal.name}`", refusal.advice)

    def sampling(self, *names: str) -> dict[str, Any]:
        """Return those of the named sampling parameters that the caller gave, or that differ from the defaults."""
        params = self.request.sampling
        values = {name: getattr(params, name) for name in names}
        return {
            name: value for name, value in values.items() if name in self.given or value != getattr(_DEFAULTS, name)
        }

    def unsupported(self, field: str, what: str, advice: str) -> BadRequest:
        return BadRequest(f"{self.model.ref} can't {what}. {advice}", param=field)

    @staticmethod
    def num_tokens(usage: Mapping[str, Any], name: str) -> int:
        """Return a count from the provider's usage, 0 if it is missing. Raises ValueError for anything but a count."""
        num = usage.get(name) or 0
        if not (isinstance(num, int) and 0 <= num <= MAX_TOKENS):
            raise ValueError(name)
        return num

    @staticmethod
    def cost_nanos(cost: object) -> int | None:
        """Return the billionths of a cost that the provider names, as OpenRouter does; None for anything else."""
        if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost <= MAX_COST:
            return None
        return round(Decimal(repr(cost)) * NANOS)

    def ended_early(self) -> ProviderFailed:
        return ProviderFailed(
            f"{self.model.provider.name} ended its stream before the answer of {self.model.name} was complete."
            " Try again."
        )
