"""What a wire format of a provider has to say, and what both have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import msgspec

from llmos.core.errors import BadRequest, ProviderFailed
from llmos.deployments.providers.provider_model import ProviderModel
from llmos.engine.messages import Event, Generate, SamplingParams

_DEFAULTS = SamplingParams()

MAX_TOKENS = 2**40
"""More than that nobody has counted."""


class Refusal(msgspec.Struct, frozen=True):
    """A field that the provider can't honour, and what callers call it."""

    name: str
    advice: str = "Leave it out, or ask for a model of this machine."


class Dialect(ABC):
    """How one request is sent and its stream read. Made anew for every request."""

    refused: ClassVar[Mapping[str, Refusal]] = {}
    """Sampling parameters that would change the answer and can't be sent."""

    def __init__(self, model: ProviderModel, request: Generate, given: frozenset[str]) -> None:
        """`given`: the sampling parameters that the caller named; the others are the provider's business."""
        self.model, self.request, self.given = model, request, given

    @staticmethod
    @abstractmethod
    def headers(key: str | None) -> dict[str, str]: ...

    @abstractmethod
    def path(self) -> str:
        """Return what follows the base URL."""

    @abstractmethod
    def body(self) -> dict[str, Any]:
        """Return the request as JSON. Raises BadRequest, by name, for what the provider can't do."""

    @abstractmethod
    def read(self, event: dict[str, Any]) -> Iterator[Event]:
        """Yield what an event of the stream adds."""

    @abstractmethod
    def end(self) -> Iterator[Event]:
        """Yield what is known at the end of the stream: Counted, then the last Delta of every choice. Raises
        ProviderFailed where the stream ended too early."""

    def check_common(self) -> None:
        """Raises BadRequest for what no provider takes."""
        request, params = self.request, self.request.sampling
        if request.tokens is not None:
            raise self.cannot("prompt", "take tokens for a prompt, since they are another model's", "Send the text.")
        if request.adapter is not None:
            raise self.cannot("model", "take adapters", "Ask for a model of this machine.")
        for name, refusal in self.refused.items():
            if getattr(params, name) != getattr(_DEFAULTS, name):
                raise self.cannot(refusal.name, f"take `{refusal.name}`", refusal.advice)

    def said(self, *names: str) -> dict[str, Any]:
        """Return those of the sampling parameters that were named, or that differ from ours where nobody names them."""
        params = self.request.sampling
        values = {name: getattr(params, name) for name in names}
        return {
            name: value for name, value in values.items() if name in self.given or value != getattr(_DEFAULTS, name)
        }

    def cannot(self, field: str, what: str, advice: str) -> BadRequest:
        return BadRequest(f"{self.model.ref} can't {what}. {advice}", param=field)

    @staticmethod
    def num_tokens(usage: Mapping[str, Any], name: str) -> int:
        """Return what the provider counted, 0 where it says nothing of it. Raises ValueError for what is no count."""
        num = usage.get(name) or 0
        if not (isinstance(num, int) and 0 <= num <= MAX_TOKENS):
            raise ValueError(name)
        return num

    def broken_off(self) -> ProviderFailed:
        return ProviderFailed(
            f"{self.model.provider.name} ended its stream before the answer of {self.model.name} was whole. Try again."
        )
