"""OpenInferenceServer: what a server of the protocol says of itself and of its models."""

from collections.abc import Awaitable, Callable
from time import monotonic
from urllib.parse import quote

import msgspec

from llmos.core.errors import LLMOSError, ProviderFailed
from llmos.core.suggest import nearest
from llmos.deployments.providers.failures import error_of
from llmos.deployments.providers.open_inference.description import ModelDescription, read_description
from llmos.deployments.providers.provider_model import Provider

KEEP_SECONDS = 60.0
"""A model's description is asked for again after this time, and after each request that fails."""

Fetch = Callable[[str, str, bytes | None], Awaitable[tuple[int, bytes]]]
"""Sends a request by method, path and body, and returns the status and the body of the answer."""


class _Listed(msgspec.Struct):
    name: str
    state: str = ""
    reason: str = ""


class OpenInferenceServer:
    def __init__(self, provider: Provider, fetch: Fetch) -> None:
        self._provider, self._fetch = provider, fetch
        self._known: dict[str, tuple[ModelDescription, float]] = {}

    async def models(self) -> list[str]:
        """Return the models that are ready. Only Triton lists them. Raises what is wrong with the server or the key."""
        status, body = await self._fetch("GET", "/v2", None)
        if status != 200:
            raise error_of(self._provider, status, body)
        return sorted({each.name for each in await self._listed() if each.state == "READY"})

    async def describe(self, model: str) -> ModelDescription:
        """Raises ProviderFailed for a model that isn't there or isn't ready."""
        known = self._known.get(model)
        if known is not None and monotonic() < known[1] + KEEP_SECONDS:
            return known[0]
        path = f"/v2/models/{quote(model)}"
        status, metadata = await self._fetch("GET", path, None)
        if status != 200:
            raise await self._missing(model, status, metadata)
        status, config = await self._fetch("GET", f"{path}/config", None)
        try:
            description = read_description(metadata, config if status == 200 else None)
        except msgspec.MsgspecError:
            raise ProviderFailed(
                f"{self._provider.base_url}{path} does not answer like an API of the kind {self._provider.kind}. Check"
                " the provider's --base-url and --kind."
            ) from None
        self._known[model] = description, monotonic()
        return description

    def forget(self, model: str) -> None:
        """Ask for the model's description again: it may have been loaded anew, with other tensors."""
        self._known.pop(model, None)

    async def _missing(self, model: str, status: int, body: bytes) -> LLMOSError:
        if status not in (400, 404):
            return error_of(self._provider, status, body)
        listed = await self._listed()
        found = next((each for each in listed if each.name == model), None)
        at = f"at the provider {self._provider.name}"
        if found is not None:
            reason = (found.reason.strip().splitlines() or [found.state])[0]
            return ProviderFailed(f"The model {model[:100]} {at} is not ready: {reason[:300]}. Load it there first.")
        ready = [each.name for each in listed if each.state == "READY"]
        meant = nearest(model, ready)
        hint = f" Did you mean {' or '.join(meant)}?" if meant else f" It has {', '.join(ready[:10])}." if ready else ""
        return ProviderFailed(f"There is no model {model[:100]!r} {at}.{hint}")

    async def _listed(self) -> list[_Listed]:
        status, body = await self._fetch("POST", "/v2/repository/index", b"{}")
        if status != 200:
            return []
        try:
            return msgspec.json.decode(body, type=list[_Listed])
        except msgspec.MsgspecError:
            return []
