"""ProviderBackend: a provider's model, behind the interface of a local one."""

from collections.abc import AsyncGenerator

from llmos.core.errors import BadRequest
from llmos.deployments.providers.clients import ProviderClients
from llmos.deployments.providers.provider_model import ProviderModel
from llmos.deployments.served_model import ServedModel
from llmos.engine.checkpoint.metadata import Metadata
from llmos.engine.messages import Embed, Embedded, Event, Generate, Rate, Rated, Tokenize, Tokenized


class ProviderBackend:
    """Runs requests at a provider. Loading and stopping the model is the provider's business."""

    adapter = None

    def __init__(self, model: ProviderModel, clients: ProviderClients) -> None:
        self._model, self._clients = model, clients
        self.served: ServedModel = model.served
        self.replica_ref = model.ref

    async def check_generates(self) -> None:
        pass

    async def check_embeds(self) -> None:
        raise self._cannot_embed()

    async def check_compares(self) -> bool:
        raise self._cannot_embed()

    async def check_rates(self) -> None:
        raise self._cannot_rate()

    async def check_counts(self) -> None:
        raise self._cannot_count()

    async def metadata(self) -> Metadata | None:
        return None

    async def ensure(self, *, wait: bool = False) -> None:
        pass

    def generate(self, request: Generate, given: frozenset[str]) -> AsyncGenerator[Event, None]:
        return self._clients.generate(self._model, request, given)

    async def embed(self, request: Embed) -> Embedded:
        raise self._cannot_embed()

    async def rate(self, command: Rate) -> Rated:
        raise self._cannot_rate()

    async def count(self, request: Generate) -> int:
        raise self._cannot_count()

    async def tokenize(self, command: Tokenize) -> Tokenized:
        raise self._cannot_count()

    async def stop(self) -> None:
        pass

    def _cannot_embed(self) -> BadRequest:
        return BadRequest(
            f"{self.replica_ref} runs at {self._model.provider.name} and not here. A provider's model takes"
            " conversations and texts to continue, and nothing else.",
            param="model",
        )

    def _cannot_rate(self) -> BadRequest:
        return BadRequest(
            f"{self.replica_ref} runs at {self._model.provider.name} and can't score given texts. A model on this"
            " machine can: `llmos list` shows them, and `llmos pull smollm2` gets one.",
            param="model",
        )

    def _cannot_count(self) -> BadRequest:
        return BadRequest(
            f"{self.replica_ref} runs at {self._model.provider.name}, whose tokens can't be counted here. The usage of"
            " an answer has their number.",
            param="model",
        )
